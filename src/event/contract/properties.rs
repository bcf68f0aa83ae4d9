//! One property of a contract: a value with its rule, or an object.

use super::document::{Member, Node, Value};
use super::kind::Kind;
use super::objects::{MOST_LEVELS, ObjectPart, Part};
use super::reading::Reader;
use super::references::Declared;

impl<'d> Reader<'d> {
    /// What a property is, whose object is on this level; `None` after reporting why it can't be told.
    pub(super) fn property(&mut self, name: &str, level: usize, node: &'d Node<'d>) -> Option<Part> {
        let open = self.open.len();
        let part = if self.takes_one_more() { self.part(name, level, node) } else { None };
        self.open.truncate(open);
        part
    }

    fn part(&mut self, name: &str, level: usize, node: &'d Node<'d>) -> Option<Part> {
        let declared = self.declared(&format!("property \"{name}\""), node)?;
        let Declared { members, offset, .. } = declared;
        let mut property = Property { name, level, reader: self, members };
        let (kind, nullable) = property.kind(offset)?;
        let nullable = nullable || declared.nullable;
        property.check_keywords(kind);
        match kind {
            Kind::Object => {
                let part = self.below(name, level, members, offset)?;
                Some(Part::Object { part, nullable, is_text: false })
            }
            Kind::ObjectText => {
                let part = property.content(offset)?;
                Some(Part::Object { part, nullable, is_text: true })
            }
            _ => {
                let column = property.column(declared.column);
                let mut rule = property.rule(kind, nullable, offset)?;
                // An enumeration says nothing of what stands around it.
                rule.nullable |= declared.nullable;
                let written = if let Kind::Written(written) = kind { Some(written) } else { None };
                Some(Part::Value { rule, column, written })
            }
        }
    }

    /// An object on the next level.
    fn below(&mut self, name: &str, level: usize, members: &'d [Member<'d>], offset: usize) -> Option<ObjectPart> {
        if level >= MOST_LEVELS {
            let message = format!("property \"{name}\": objects nest deeper than {MOST_LEVELS} levels");
            self.problem(offset, message, Some("leave it out: fields that a contract doesn't have are ignored".into()));
            return None;
        }
        self.object_part(members, Some(name), level + 1)
    }
}

/// A property while its keywords are read.
pub(super) struct Property<'r, 'n, 'd> {
    pub(super) name: &'n str,
    /// The level of the object that it is in.
    pub(super) level: usize,
    pub(super) reader: &'r mut Reader<'d>,
    pub(super) members: &'d [Member<'d>],
}

impl<'d> Property<'_, '_, 'd> {
    pub(super) fn problem(&mut self, offset: usize, message: &str, suggestion: Option<String>) {
        self.reader.problem(offset, format!("property \"{}\": {message}", self.name), suggestion);
    }

    pub(super) fn find(&self, keyword: &str) -> Option<&'d Node<'d>> {
        self.members.iter().find(|member| member.name == keyword).map(|member| &member.node)
    }

    /// The object whose JSON a string holds.
    fn content(&mut self, offset: usize) -> Option<ObjectPart> {
        let media = self.find("contentMediaType").map(|node| (node.offset, &node.value));
        if let Some((offset, media)) = media
            && !matches!(media, Value::Text(name) if name == "application/json")
        {
            let suggestion = "write \"application/json\", or move it into \"description\"".into();
            self.problem(offset, "\"contentMediaType\" of another kind is not checked", Some(suggestion));
            return None;
        }
        let Some(schema) = self.find("contentSchema") else {
            let suggestion = "add \"contentSchema\": {\"type\": \"object\", \"properties\": ...}".into();
            self.problem(offset, "\"contentSchema\" is missing", Some(suggestion));
            return None;
        };
        let (name, level) = (self.name, self.level);
        match self.reader.property(name, level, schema)? {
            Part::Object { part, nullable: false, is_text: false } => Some(part),
            _ => {
                self.problem(schema.offset, "\"contentSchema\" must be of \"type\": \"object\"", None);
                None
            }
        }
    }

    /// The name that the contract chooses for the column, here or beside a reference.
    fn column(&mut self, beside: Option<&Node<'_>>) -> Option<String> {
        let node = beside.or(self.find("x-column"))?;
        match &node.value {
            Value::Text(name) if !name.is_empty() => Some(name.clone()),
            _ => {
                self.problem(node.offset, "\"x-column\" must be the name of a column", None);
                None
            }
        }
    }
}
