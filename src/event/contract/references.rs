//! A schema as it counts: what it refers to, and whether null may stand in its place.
//!
//! ```text
//!   {"$ref": "#/definitions/price"}                      ─▶ definitions ▸ price
//!   {"anyOf": [{"type": "string"}, {"type": "null"}]}    ─▶ {"type": "string"}, or null
//!   {"type": "string", "nullable": true}                 ─▶ {"type": "string"}, or null
//! ```

use super::document::{Member, Node, Value};
use super::kinds::are_kinds;
use super::problem::did_you_mean;
use super::reading::{ANNOTATIONS, Reader};

/// What may stand beside a schema that is another one's.
const BESIDE: [&str; 4] = ["x-column", "nullable", "definitions", "$defs"];

/// What a property's schema says once it is found.
pub(super) struct Declared<'d> {
    pub(super) members: &'d [Member<'d>],
    pub(super) offset: usize,
    /// Whether something around it accepts null.
    pub(super) nullable: bool,
    /// The column's name, where that stands beside a reference.
    pub(super) column: Option<&'d Node<'d>>,
}

impl<'d> Reader<'d> {
    /// Follows references and unions with null. The references stay open: whoever reads the schema closes them.
    pub(super) fn declared(&mut self, what: &str, node: &'d Node<'d>) -> Option<Declared<'d>> {
        let (mut node, mut nullable, mut column) = (node, false, None);
        loop {
            let members = self.object(node, what)?;
            let find = |name: &str| members.iter().find(|member| member.name == name);
            if let Some(keyword) = find("nullable") {
                match &keyword.node.value {
                    Value::Boolean(is_nullable) => nullable |= is_nullable,
                    _ => self.problem(keyword.node.offset, format!("{what}: \"nullable\" must be true or false"), None),
                }
            }
            // A union beside properties, or one of objects, tells kinds apart.
            let is_union_of_kinds = |member: &&Member<'_>| {
                let is_pair = only_of(&member.name, &member.node).is_some();
                member.name != "$ref" && (find("properties").is_some() || (!is_pair && are_kinds(&member.node)))
            };
            let other = ["$ref", "anyOf", "oneOf", "allOf"].into_iter().find_map(find);
            let other = other.filter(|member| !is_union_of_kinds(member));
            let Some(other) = other else { return Some(Declared { members, offset: node.offset, nullable, column }) };
            column = column.or(find("x-column").map(|member| &member.node));
            self.check_beside(what, members, other);
            node = match other.name.as_str() {
                "$ref" => self.referred(what, &other.node)?,
                name => {
                    let (found, has_null) = self.only_one(what, name, &other.node)?;
                    nullable |= has_null;
                    found
                }
            };
        }
    }

    fn check_beside(&mut self, what: &str, members: &[Member<'_>], other: &Member<'_>) {
        for member in members {
            let name = member.name.as_str();
            if name != other.name && !ANNOTATIONS.contains(&name) && !BESIDE.contains(&name) {
                let message = format!("{what}: \"{name}\" beside \"{}\" is not supported", other.name);
                self.problem(member.offset, message, Some("move it into the schema that is meant".into()));
            }
        }
    }

    /// The schema that a reference leads to.
    fn referred(&mut self, what: &str, node: &'d Node<'d>) -> Option<&'d Node<'d>> {
        let local = "write \"#/definitions/...\" for a schema of this file".to_owned();
        let Value::Text(reference) = &node.value else {
            self.problem(node.offset, format!("{what}: \"$ref\" must be a text"), Some(local));
            return None;
        };
        let Some(pointer) = reference.strip_prefix('#').filter(|path| path.is_empty() || path.starts_with('/')) else {
            let message = format!("{what}: \"$ref\" {reference:?} leads out of the file");
            self.problem(node.offset, message, Some(local));
            return None;
        };
        let mut found = self.root;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &found.value {
                Value::Object(members) => members.iter().find(|member| member.name == step).map(|member| &member.node),
                Value::List(items) => step.parse().ok().and_then(|at: usize| items.get(at)),
                _ => None,
            };
            let Some(next) = next else {
                let names = if let Value::Object(members) = &found.value { members.as_slice() } else { &[] };
                let suggestion = did_you_mean(&step, names.iter().map(|member| member.name.as_str()));
                let message = format!("{what}: \"$ref\" {reference:?} leads nowhere: there is no {step:?}");
                self.problem(node.offset, message, suggestion);
                return None;
            };
            found = next;
        }
        if let Some(first) = self.open.iter().position(|(_, offset)| *offset == found.offset) {
            let by_way = self.open.iter().skip(first + 1).map(|(name, _)| format!(" by way of {name:?}"));
            let message = format!("{what}: {reference:?} contains itself{}", by_way.collect::<Vec<_>>().join(" and"));
            let suggestion = "a column for each level would never end: leave the property out of the contract".into();
            self.problem(node.offset, message, Some(suggestion));
            return None;
        }
        self.open.push((reference, found.offset));
        Some(found)
    }

    /// The one schema of a union with null, or of a list of one; and whether null is in it.
    fn only_one(&mut self, what: &str, keyword: &str, node: &'d Node<'d>) -> Option<(&'d Node<'d>, bool)> {
        if let Some(only) = only_of(keyword, node) {
            return Some(only);
        }
        let schemas = if let Value::List(schemas) = &node.value { schemas.as_slice() } else { &[] };
        let message = format!("{what}: \"{keyword}\" of {} schemas is not supported", schemas.len());
        let suggestion = match keyword {
            "allOf" => "write one schema that says all of it",
            _ => "write one schema, with {\"type\": \"null\"} beside it where null is a value",
        };
        self.problem(node.offset, message, Some(suggestion.into()));
        None
    }
}

/// The one schema of a union with null, or of a list of one; and whether null is in it.
fn only_of<'d>(keyword: &str, node: &'d Node<'d>) -> Option<(&'d Node<'d>, bool)> {
    let Value::List(schemas) = &node.value else { return None };
    match schemas.as_slice() {
        [only] => Some((only, false)),
        [null, other] | [other, null] if keyword != "allOf" && is_null(null) => Some((other, true)),
        _ => None,
    }
}

/// Whether a schema accepts null alone.
fn is_null(node: &Node<'_>) -> bool {
    let Value::Object(members) = &node.value else { return false };
    let mut said = members.iter().filter(|member| !ANNOTATIONS.contains(&member.name.as_str()));
    match (said.next(), said.next()) {
        (Some(only), None) => match (only.name.as_str(), &only.node.value) {
            ("type", Value::Text(name)) => name == "null",
            ("const", value) => matches!(value, Value::Null),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::event::Contract;

    fn problems(properties: &str, definitions: &str) -> Vec<String> {
        let text =
            format!("{{\"type\": \"object\", \"properties\": {{{properties}}}, \"definitions\": {{{definitions}}}}}");
        let problems = Contract::parse(&text).expect_err("problems");
        problems
            .into_iter()
            .map(|problem| format!("{}; {}", problem.message, problem.suggestion.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn a_reference_that_leads_nowhere_or_in_a_circle_is_named() {
        let money = r#""money": {"type": "number"}"#;
        assert_eq!(
            problems(r##""x": {"$ref": "#/definitions/mony"}"##, money),
            [r##"property "x": "$ref" "#/definitions/mony" leads nowhere: there is no "mony"; did you mean "money"?"##]
        );
        assert_eq!(
            problems(r#""x": {"$ref": "other.json#/money"}"#, money),
            [
                r##"property "x": "$ref" "other.json#/money" leads out of the file; write "#/definitions/..." for a schema of this file"##
            ]
        );
        let circle = r##""a": {"type": "object", "properties": {"b": {"$ref": "#/definitions/b"}}},
            "b": {"type": "object", "properties": {"c": {"anyOf": [{"$ref": "#/definitions/a"}, {"type": "null"}]}}}"##;
        assert_eq!(
            problems(r##""x": {"$ref": "#/definitions/a"}"##, circle),
            [
                r##"property "x.b.c": "#/definitions/a" contains itself by way of "#/definitions/b"; a column for each level would never end: leave the property out of the contract"##
            ]
        );
        assert_eq!(
            problems(r##""x": {"$ref": "#"}"##, money),
            [
                r##"property "x": "#" contains itself; a column for each level would never end: leave the property out of the contract"##
            ]
        );
    }

    #[test]
    fn what_stands_beside_a_reference_would_be_ignored_and_is_refused() {
        assert_eq!(
            problems(r##""x": {"$ref": "#/definitions/y", "minimum": 3, "title": "X"}"##, r#""y": {"type": "number"}"#),
            [r#"property "x": "minimum" beside "$ref" is not supported; move it into the schema that is meant"#]
        );
        assert_eq!(
            problems(r#""x": {"anyOf": [{"type": "string"}, {"type": "integer"}]}"#, ""),
            [
                r#"property "x": "anyOf" of 2 schemas is not supported; write one schema, with {"type": "null"} beside it where null is a value"#
            ]
        );
    }

    #[test]
    fn references_that_multiply_are_stopped() {
        let level = |name: u32| {
            let next = |of: &str| format!(r##""{of}": {{"$ref": "#/definitions/l{}"}}"##, name + 1);
            format!(r#""l{name}": {{"type": "object", "properties": {{{}, {}, {}}}}}"#, next("a"), next("b"), next("c"))
        };
        let mut definitions: Vec<String> = (0..14).map(level).collect();
        definitions.push(r#""l14": {"type": "integer"}"#.to_owned());
        let problems = problems(r##""x": {"$ref": "#/definitions/l0"}"##, &definitions.join(", "));
        assert_eq!(
            problems,
            ["more than 10000 properties, with all that references lead to; leave out what no feature reads"]
        );
    }
}
