//! An object of a contract, the event's own or one in it: its properties, which of them are required, and whether others are
//! allowed.

use super::document::{Member, Node, Value};
use super::kinds::KindsPart;
use super::problem::did_you_mean;
use super::reading::Reader;
use crate::event::rule::ValueRule;
use crate::event::written::Written;

/// Levels of objects that a contract may have; the event's own is the first. The decoder goes down them by recursion.
pub(super) const MOST_LEVELS: usize = 16;

/// An object as the file has it, before its columns are counted.
#[derive(Debug, Clone, Default)]
pub(super) struct ObjectPart {
    pub(super) members: Vec<MemberPart>,
    pub(super) closed: bool,
    pub(super) kinds: Option<KindsPart>,
}

/// One property of an object.
#[derive(Debug, Clone)]
pub(super) struct MemberPart {
    pub(super) name: String,
    /// Where its name stands in the file.
    pub(super) offset: usize,
    pub(super) required: bool,
    pub(super) part: Part,
}

/// What a property is.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// A value, with the name of its column where the contract chooses one.
    Value { rule: ValueRule, column: Option<String>, written: Option<Written> },
    /// As it is, or written as a string that holds it.
    Object { part: ObjectPart, nullable: bool, is_text: bool },
}

impl<'d> Reader<'d> {
    /// What the keywords of an object say; `path` is none for the event's own.
    pub(super) fn object_part(
        &mut self,
        members: &'d [Member<'d>],
        path: Option<&str>,
        level: usize,
    ) -> Option<ObjectPart> {
        let find = |name: &str| members.iter().find(|member| member.name == name).map(|member| &member.node);
        let closed = match find("additionalProperties").map(|node| (node.offset, &node.value)) {
            Some((_, Value::Boolean(allowed))) => !allowed,
            Some((offset, _)) => {
                let suggestion = Some("write false to refuse events with other fields".into());
                self.problem(offset, of(path, "\"additionalProperties\" must be true or false"), suggestion);
                false
            }
            None => false,
        };
        let mut part = ObjectPart { members: Vec::new(), closed, kinds: None };
        if let Some(properties) = find("properties") {
            part.members = self.members(properties, path, level)?;
            if let Some(required) = find("required") {
                self.required(required, properties, path, &mut part.members);
            }
        } else if let Some(required) = find("required").filter(|_| path.is_some()) {
            self.problem(required.offset, of(path, "\"required\" without \"properties\""), None);
        }
        part.kinds = self.kinds(members, path, level, &part);
        Some(part)
    }

    fn members(&mut self, properties: &'d Node<'d>, path: Option<&str>, level: usize) -> Option<Vec<MemberPart>> {
        let entries = self.object(properties, &of(path, "\"properties\""))?;
        let mut members = Vec::with_capacity(entries.len());
        for entry in entries {
            if entry.name.is_empty() {
                self.problem(entry.offset, of(path, "a property needs a name"), None);
            }
            let place = path.map_or_else(|| entry.name.clone(), |path| format!("{path}.{}", entry.name));
            if let Some(part) = self.property(&place, level, &entry.node) {
                members.push(MemberPart { name: entry.name.clone(), offset: entry.offset, required: false, part });
            }
        }
        Some(members)
    }

    fn required(&mut self, node: &Node<'_>, properties: &Node<'_>, path: Option<&str>, members: &mut [MemberPart]) {
        let Value::List(names) = &node.value else {
            return self.problem(node.offset, of(path, "\"required\" must be a list of property names"), None);
        };
        let Value::Object(declared) = &properties.value else { return };
        for item in names {
            let Value::Text(name) = &item.value else {
                self.problem(item.offset, of(path, "\"required\" must be a list of property names"), None);
                continue;
            };
            if let Some(member) = members.iter_mut().find(|member| member.name == *name) {
                member.required = true;
            } else if declared.iter().all(|member| member.name != *name) {
                let suggestion = did_you_mean(name, declared.iter().map(|member| member.name.as_str()));
                self.problem(
                    item.offset,
                    of(path, &format!("required property \"{name}\" is not declared")),
                    suggestion,
                );
            }
        }
    }
}

/// What is wrong, with the object that it is wrong in.
fn of(path: Option<&str>, message: &str) -> String {
    path.map_or_else(|| message.to_owned(), |path| format!("property \"{path}\": {message}"))
}
