//! The objects of a contract with the columns that their values become.
//!
//! ```text
//!   {"user": "ann", "properties": {"price": 9.5, "size": {"eu": 42}}}
//!
//!   user ──────────────▶ column 0   "user"
//!   properties
//!     ├ price ─────────▶ column 1   "properties.price"
//!     └ size
//!        └ eu ─────────▶ column 2   "properties.size.eu"
//! ```
//!
//! Every value that the contract names, however deep, is a column of its own; objects are none. A value that several kinds of an
//! object have is one column, which allows what any of them does.

use super::ContractField;
use super::kinds::KindsPart;
use super::objects::{MemberPart, ObjectPart, Part};
use crate::event::rule::{IntegerRule, ListRule, NumberRule, Shape as RuleShape, TextRule, ValueRule};
use crate::event::written::Written;

/// An object of the events that keep a contract.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::event) struct ObjectShape {
    pub(in crate::event) members: Vec<Member>,
    /// Whether an object with other members is refused.
    pub(in crate::event) closed: bool,
    /// What it has by its kind instead of `members`, which are those of one that is of no kind.
    pub(in crate::event) kinds: Option<Kinds>,
}

/// The kinds of an object.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::event) struct Kinds {
    /// The member whose text tells them apart, and the names that lead to it.
    pub(in crate::event) by: String,
    pub(in crate::event) path: String,
    /// Whether an object of no kind is accepted.
    pub(in crate::event) is_open: bool,
    /// The texts of each kind, and its shape.
    pub(in crate::event) kinds: Vec<(Vec<String>, ObjectShape)>,
}

/// One member of an object.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::event) struct Member {
    pub(in crate::event) name: String,
    /// The names that lead to it, for messages.
    pub(in crate::event) path: String,
    /// Whether an object without it is refused.
    pub(in crate::event) required: bool,
    pub(in crate::event) value: MemberValue,
}

/// What a member holds.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::event) enum MemberValue {
    /// The value of a column.
    Column { index: usize, rule: ValueRule, written: Option<Written> },
    /// As it is, or written as a string that holds it.
    Object { shape: ObjectShape, nullable: bool, is_text: bool },
}

impl ObjectShape {
    /// Whether each member is the column of its name, so that nothing has to be looked for below them.
    fn is_flat(&self, columns: &[Column]) -> bool {
        let is_plain = |member: &Member| match &member.value {
            MemberValue::Column { index, written, .. } => {
                written.is_none() && columns.get(*index).is_some_and(|column| column.field.name() == member.name)
            }
            MemberValue::Object { .. } => false,
        };
        self.kinds.is_none() && self.members.iter().all(is_plain)
    }

    /// Whether it may have a member of a name.
    pub(in crate::event) fn has(&self, name: &str) -> bool {
        let kinds = self.kinds.iter().flat_map(|kinds| &kinds.kinds);
        self.members.iter().any(|member| member.name == name) || kinds.into_iter().any(|(_, kind)| kind.has(name))
    }

    /// The columns of it and of all objects in it.
    pub(in crate::event) fn columns(&self) -> Vec<usize> {
        let mut columns = Vec::new();
        for member in &self.members {
            match &member.value {
                MemberValue::Column { index, .. } => columns.push(*index),
                MemberValue::Object { shape, .. } => columns.extend(shape.columns()),
            }
        }
        columns.extend(self.kinds.iter().flat_map(|kinds| &kinds.kinds).flat_map(|(_, kind)| kind.columns()));
        columns
    }
}

impl Kinds {
    /// The kind of an object, by the text of the member that tells.
    pub(in crate::event) fn of(&self, text: &[u8]) -> Option<usize> {
        self.kinds.iter().position(|(texts, _)| texts.iter().any(|known| known.as_bytes() == text))
    }

    /// That there is no such kind.
    pub(in crate::event) fn unknown(&self, got: &str) -> String {
        let allowed = self.kinds.iter().flat_map(|(texts, _)| texts).cloned().collect();
        let rule = RuleShape::Text(TextRule { allowed, ..TextRule::default() });
        let expected = ValueRule { shape: rule, nullable: false }.expected();
        format!("field \"{}\" tells the kind of it: expected {expected}, got {got}", self.path)
    }
}

/// A column and where the property stands in the file whose values it has.
pub(super) struct Column {
    pub(super) field: ContractField,
    pub(super) offset: usize,
}

/// What a contract is of, and its columns in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// Each property is the column of its name.
    Flat {
        closed: bool,
    },
    Nested(ObjectShape),
}

/// Gives the values of objects their columns.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) columns: Vec<Column>,
    /// Values of kinds that have the same path and are of different types: where the later one stands, and its path.
    pub(super) conflicts: Vec<(usize, String)>,
}

impl Builder {
    pub(super) fn build(&mut self, part: ObjectPart) -> Shape {
        let shape = self.object(part, &mut Vec::new(), true);
        if shape.is_flat(&self.columns) { Shape::Flat { closed: shape.closed } } else { Shape::Nested(shape) }
    }

    /// `required` tells whether every event has the object.
    fn object(&mut self, part: ObjectPart, above: &mut Vec<String>, required: bool) -> ObjectShape {
        let ObjectPart { members, closed, kinds } = part;
        let mut shape = ObjectShape { members: Vec::new(), closed, kinds: None };
        // Where each object is of a kind, these members are in all of the kinds.
        if kinds.as_ref().is_none_or(|kinds| kinds.is_open) {
            for member in members {
                shape.members.push(self.member(member, above, required));
            }
        }
        shape.kinds = kinds.map(|kinds| self.kinds(kinds, above, required, &shape));
        shape
    }

    fn member(&mut self, member: MemberPart, above: &mut Vec<String>, required: bool) -> Member {
        let MemberPart { name, offset, required: is_required, part } = member;
        above.push(name.clone());
        let path = above.join(".");
        let value = match part {
            Part::Value { rule, column, written } => {
                let field = ContractField {
                    name: column.unwrap_or_else(|| path.clone()),
                    path: above.clone(),
                    rule: rule.clone(),
                    required: required && is_required,
                    written,
                };
                MemberValue::Column { index: self.column(field, offset), rule, written }
            }
            Part::Object { part, nullable, is_text } => {
                let shape = self.object(part, above, required && is_required && !nullable);
                MemberValue::Object { shape, nullable, is_text }
            }
        };
        above.pop();
        Member { name, path, required: is_required, value }
    }

    fn kinds(&mut self, part: KindsPart, above: &mut Vec<String>, required: bool, other: &ObjectShape) -> Kinds {
        let mut kinds = Vec::with_capacity(part.kinds.len());
        for (texts, kind) in part.kinds {
            kinds.push((texts, self.object(kind, above, required)));
        }
        // What not every kind has is not required of every event.
        let mut sets: Vec<Vec<usize>> = kinds.iter().map(|(_, kind)| kind.columns()).collect();
        sets.extend(part.is_open.then(|| other.columns()));
        for (index, column) in self.columns.iter_mut().enumerate() {
            let has = sets.iter().filter(|set| set.contains(&index)).count();
            column.field.required &= has == 0 || has == sets.len();
        }
        above.push(part.by.clone());
        let path = above.join(".");
        above.pop();
        Kinds { path, by: part.by, is_open: part.is_open, kinds }
    }

    /// The column of a value; that of the same value in another kind where there is one.
    fn column(&mut self, field: ContractField, offset: usize) -> usize {
        let is_same = |column: &Column| column.field.path == field.path && column.field.name == field.name;
        let Some(index) = self.columns.iter().position(is_same) else {
            self.columns.push(Column { field, offset });
            return self.columns.len() - 1;
        };
        if let Some(Column { field: known, .. }) = self.columns.get_mut(index) {
            if known.field_type() != field.field_type() || known.written != field.written {
                self.conflicts.push((offset, field.path.join(".")));
            } else if known.rule != field.rule {
                known.rule = either(&known.rule, &field.rule);
            }
            known.required &= field.required;
        }
        index
    }
}

/// A rule that permits what either of two rules for values of one type does.
fn either(one: &ValueRule, other: &ValueRule) -> ValueRule {
    let shape = match (&one.shape, &other.shape) {
        (RuleShape::Text(one), RuleShape::Text(other)) if !one.allowed.is_empty() && !other.allowed.is_empty() => {
            let mut allowed = one.allowed.clone();
            allowed.extend(other.allowed.iter().filter(|text| !one.allowed.contains(text)).cloned());
            RuleShape::Text(TextRule { allowed, ..TextRule::default() })
        }
        (RuleShape::Integer(_), _) => RuleShape::Integer(IntegerRule::default()),
        (RuleShape::Number(_), _) => RuleShape::Number(NumberRule::default()),
        (RuleShape::Text(_), _) => RuleShape::Text(TextRule::default()),
        (RuleShape::DateTime, _) => RuleShape::DateTime,
        (RuleShape::Boolean(_), _) => RuleShape::Boolean(Vec::new()),
        (RuleShape::List(one), RuleShape::List(other)) => RuleShape::List(ListRule {
            item: Box::new(either(&one.item, &other.item)),
            shortest: 0,
            longest: usize::MAX,
        }),
        (RuleShape::List(one), _) => RuleShape::List(one.clone()),
    };
    ValueRule { shape, nullable: one.nullable || other.nullable }
}
