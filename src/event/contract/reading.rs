//! The top level of a contract file: its properties, which of them are required, and whether others are allowed.

use super::document::{self, Member, Node, Value};
use super::problem::{ContractProblem, did_you_mean};
use super::{Contract, ContractField};

/// Keywords that say something to people and nothing to a validator.
pub(super) const ANNOTATIONS: [&str; 7] = ["$schema", "$id", "$comment", "title", "description", "examples", "default"];

const KEYWORDS: [&str; 4] = ["type", "properties", "required", "additionalProperties"];

pub(super) fn read(text: &str) -> Result<Contract, Vec<ContractProblem>> {
    let root = document::parse(text)
        .map_err(|error| vec![ContractProblem::new(text, error.offset, format!("not JSON: {error}"), None)])?;
    let mut reader = Reader { text, problems: Vec::new() };
    let contract = reader.contract(&root);
    reader.problems.sort_by_key(|problem| (problem.line, problem.column));
    match contract {
        Some(contract) if reader.problems.is_empty() => Ok(contract),
        _ => Err(reader.problems),
    }
}

/// Collects problems while a contract is put together.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    text: &'t str,
    problems: Vec<ContractProblem>,
}

impl Reader<'_> {
    pub(super) fn problem(&mut self, offset: usize, message: impl Into<String>, suggestion: Option<String>) {
        self.problems.push(ContractProblem::new(self.text, offset, message.into(), suggestion));
    }

    /// Reports names that an object repeats, and returns its members; `what` names it when it is not an object at all.
    pub(super) fn object<'n, 'a>(&mut self, node: &'n Node<'a>, what: &str) -> Option<&'n [Member<'a>]> {
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

    fn contract(&mut self, root: &Node<'_>) -> Option<Contract> {
        let members = self.object(root, "a contract")?;
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
            None => self.problem(root.offset, "\"type\" is missing", Some("add \"type\": \"object\"".into())),
        }
        let closed = match find("additionalProperties").map(|node| (node.offset, &node.value)) {
            Some((_, Value::Boolean(allowed))) => !allowed,
            Some((offset, _)) => {
                let suggestion = Some("write false to refuse events with other fields".into());
                self.problem(offset, "\"additionalProperties\" must be true or false", suggestion);
                false
            }
            None => false,
        };
        let Some(properties) = find("properties") else {
            let suggestion = Some("add \"properties\" with one entry per field of the event".into());
            self.problem(root.offset, "\"properties\" is missing", suggestion);
            return None;
        };
        let mut fields = self.fields(properties)?;
        if let Some(required) = find("required") {
            self.required(required, properties, &mut fields);
        }
        Some(Contract::new(fields, closed))
    }

    fn fields(&mut self, properties: &Node<'_>) -> Option<Vec<ContractField>> {
        let members = self.object(properties, "\"properties\"")?;
        if members.is_empty() {
            self.problem(properties.offset, "\"properties\" has no entries", None);
        }
        let mut fields = Vec::with_capacity(members.len());
        for member in members {
            if member.name.is_empty() {
                self.problem(member.offset, "a property needs a name", None);
            }
            if let Some(rule) = self.property(&member.name, &member.node) {
                fields.push(ContractField { name: member.name.clone(), rule, required: false });
            }
        }
        Some(fields)
    }

    fn required(&mut self, node: &Node<'_>, properties: &Node<'_>, fields: &mut [ContractField]) {
        let Value::List(names) = &node.value else {
            return self.problem(node.offset, "\"required\" must be a list of property names", None);
        };
        let Value::Object(declared) = &properties.value else { return };
        for item in names {
            let Value::Text(name) = &item.value else {
                self.problem(item.offset, "\"required\" must be a list of property names", None);
                continue;
            };
            if let Some(field) = fields.iter_mut().find(|field| field.name == *name) {
                field.required = true;
            } else if declared.iter().all(|member| member.name != *name) {
                let suggestion = did_you_mean(name, declared.iter().map(|member| member.name.as_str()));
                self.problem(item.offset, format!("required property \"{name}\" is not declared"), suggestion);
            }
        }
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
    "user": {"type": "object"},
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
        5:22: property "user": type "object" is not supported; flatten it into properties of its own
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
