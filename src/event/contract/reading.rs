//! A contract file from its top: what it says of the event as a whole.

use super::Contract;
use super::document::{self, Member, Node, Value};
use super::objects::ObjectPart;
use super::problem::{ContractProblem, did_you_mean};
use super::shape::{Builder, Column};

/// Keywords that say something to people and nothing to a validator.
pub(super) const ANNOTATIONS: [&str; 7] = ["$schema", "$id", "$comment", "title", "description", "examples", "default"];

const KEYWORDS: [&str; 12] = [
    "type",
    "properties",
    "required",
    "additionalProperties",
    "definitions",
    "$defs",
    "oneOf",
    "anyOf",
    "allOf",
    "if",
    "then",
    "else",
];

/// Properties that a contract may have, those that several references lead to as often as they are led to.
const MOST_PROPERTIES: usize = 10_000;

pub(super) fn read(text: &str) -> Result<Contract, Vec<ContractProblem>> {
    let root = document::parse(text)
        .map_err(|error| vec![ContractProblem::new(text, error.offset, format!("not JSON: {error}"), None)])?;
    let mut reader = Reader { text, root: &root, open: vec![("#", root.offset)], properties: 0, problems: Vec::new() };
    let contract = reader.contract();
    reader.problems.sort_by_key(|problem| (problem.line, problem.column));
    reader.problems.dedup();
    match contract {
        Some(contract) if reader.problems.is_empty() => Ok(contract),
        _ => Err(reader.problems),
    }
}

/// Collects problems while a contract is put together.
#[derive(Debug)]
pub(super) struct Reader<'d> {
    text: &'d str,
    pub(super) root: &'d Node<'d>,
    /// The references that are being followed, with where they lead to, from the file's own object on.
    pub(super) open: Vec<(&'d str, usize)>,
    /// How many properties there have been.
    properties: usize,
    problems: Vec<ContractProblem>,
}

impl<'d> Reader<'d> {
    pub(super) fn problem(&mut self, offset: usize, message: impl Into<String>, suggestion: Option<String>) {
        self.problems.push(ContractProblem::new(self.text, offset, message.into(), suggestion));
    }

    /// Reports names that an object repeats, and returns its members; `what` names it when it is not an object at all.
    pub(super) fn object(&mut self, node: &'d Node<'d>, what: &str) -> Option<&'d [Member<'d>]> {
        let Value::Object(members) = &node.value else {
            self.problem(node.offset, format!("{what} must be an object"), None);
            return None;
        };
        for (index, member) in members.iter().enumerate() {
            if members.iter().take(index).any(|earlier| earlier.name == member.name) {
                self.problem(member.offset, format!("\"{}\" appears twice", member.name), Some("remove one".into()));
            }
        }
        Some(members)
    }

    /// Whether there may be one more property; that there are too many is said once.
    pub(super) fn takes_one_more(&mut self) -> bool {
        self.properties += 1;
        if self.properties == MOST_PROPERTIES + 1 {
            let message = format!("more than {MOST_PROPERTIES} properties, with all that references lead to");
            self.problem(self.root.offset, message, Some("leave out what no feature reads".into()));
        }
        self.properties <= MOST_PROPERTIES
    }

    fn contract(&mut self) -> Option<Contract> {
        let declared = self.declared("a contract", self.root)?;
        let (members, offset) = (declared.members, declared.offset);
        for member in members {
            let name = member.name.as_str();
            if !KEYWORDS.contains(&name) && !ANNOTATIONS.contains(&name) {
                let suggestion = did_you_mean(name, KEYWORDS)
                    .unwrap_or_else(|| format!("remove it; a contract has {}", KEYWORDS.join(", ")));
                self.problem(member.offset, format!("keyword \"{name}\" is not supported here"), Some(suggestion));
            }
        }
        let find = |name: &str| members.iter().find(|member| member.name == name).map(|member| &member.node);

        match find("type").map(|node| (node.offset, &node.value)) {
            Some((_, Value::Text(name))) if name == "object" => {}
            Some((offset, _)) => self.problem(offset, "a contract must have \"type\": \"object\"", None),
            None => self.problem(offset, "\"type\" is missing", Some("add \"type\": \"object\"".into())),
        }
        let Some(properties) = ["properties", "oneOf", "anyOf"].into_iter().find_map(find) else {
            let suggestion = Some("add \"properties\" with one entry per field of the event".into());
            self.problem(offset, "\"properties\" is missing", suggestion);
            // What the other keywords say is looked at nevertheless.
            self.object_part(members, None, 1);
            return None;
        };
        let part = self.object_part(members, None, 1)?;
        if matches!(&properties.value, Value::Object(entries) if entries.is_empty()) {
            self.problem(properties.offset, "\"properties\" has no entries", None);
        }
        Some(self.columns(part, properties.offset))
    }

    /// The contract, once its columns have names of their own.
    fn columns(&mut self, part: ObjectPart, offset: usize) -> Contract {
        let mut builder = Builder::default();
        let shape = builder.build(part);
        let Builder { columns, conflicts } = builder;
        for (offset, path) in conflicts {
            let message = format!("\"{path}\" is of different types in different kinds");
            self.problem(offset, message, Some("give each of them a column of its own: \"x-column\": \"...\"".into()));
        }
        for (index, Column { field, offset, .. }) in columns.iter().enumerate() {
            if columns.iter().take(index).any(|earlier| earlier.field.name() == field.name()) {
                let message = format!("there is a column \"{}\" already", field.name());
                self.problem(*offset, message, Some("name another one: \"x-column\": \"...\"".into()));
            }
        }
        if columns.is_empty() && self.problems.is_empty() {
            let suggestion = "declare a property of a type other than object".into();
            self.problem(offset, "no property becomes a column", Some(suggestion));
        }
        Contract::new(columns.into_iter().map(|column| column.field).collect(), shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        read(text).expect_err("problems").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_place() {
        let text = r#"{
  "type": "object",
  "propertys": {},
  "properties": {
    "user": {"type": "objekt"},
    "price": {"type": "number", "minimun": 0, "multipleOf": 0.01},
    "kind": {"type": "string", "enum": ["view", 3]},
    "at": {"type": "string", "format": "date"},
    "kind": {"type": "string"}
  },
  "required": ["user", "prise"],
  "additionalProperties": {}
}"#;
        insta::assert_snapshot!(problems(text).join("\n"), @r#"
        3:3: keyword "propertys" is not supported here; did you mean "properties"?
        5:22: property "user": type "objekt" is not known; write one of integer, number, string, boolean, array, object
        6:33: property "price": keyword "minimun" is not supported; did you mean "minimum"?
        6:47: property "price": keyword "multipleOf" is not supported; remove it, or move it into "description"
        7:49: property "kind": 3 is not a string
        8:40: property "at": format "date" is not checked; use "date-time", or move it into "description"
        9:5: "kind" appears twice; remove one
        11:24: required property "prise" is not declared; did you mean "price"?
        12:27: "additionalProperties" must be true or false; write false to refuse events with other fields
        "#);
    }

    #[test]
    fn a_file_that_is_not_a_contract_says_why() {
        assert_eq!(problems("{"), ["1:2: not JSON: expected a string at byte 1, found the end"]);
        assert_eq!(problems("[]"), ["1:1: a contract must be an object"]);
        assert_eq!(
            problems("{}"),
            [
                "1:1: \"type\" is missing; add \"type\": \"object\"",
                "1:1: \"properties\" is missing; add \"properties\" with one entry per field of the event"
            ]
        );
    }
}
