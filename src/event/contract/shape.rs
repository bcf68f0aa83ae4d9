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
//! Every value that the contract names, however deep, is a column of its own; objects are none.

use super::ContractField;
use super::objects::{MemberPart, ObjectPart, Part};
use crate::event::rule::ValueRule;

/// An object of the events that keep a contract.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::event) struct ObjectShape {
    pub(in crate::event) members: Vec<Member>,
    /// Whether an object with other members is refused.
    pub(in crate::event) closed: bool,
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
    Column {
        index: usize,
        rule: ValueRule,
    },
    Object {
        shape: ObjectShape,
        nullable: bool,
    },
}

impl ObjectShape {
    /// Whether each member is the column of its name, so that nothing has to be looked for below them.
    fn is_flat(&self, columns: &[Column]) -> bool {
        self.members.iter().all(|member| match &member.value {
            MemberValue::Column { index, .. } => columns.get(*index).is_some_and(|c| c.field.name() == member.name),
            MemberValue::Object { .. } => false,
        })
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

pub(super) fn build(part: ObjectPart) -> (Shape, Vec<Column>) {
    let mut columns = Vec::new();
    let shape = object(part, &mut Vec::new(), true, &mut columns);
    if shape.is_flat(&columns) {
        (Shape::Flat { closed: shape.closed }, columns)
    } else {
        (Shape::Nested(shape), columns)
    }
}

/// `required` tells whether every event has the object.
fn object(part: ObjectPart, above: &mut Vec<String>, required: bool, columns: &mut Vec<Column>) -> ObjectShape {
    let closed = part.closed;
    let members = part.members.into_iter().map(|member| {
        let MemberPart { name, offset, required: is_required, part } = member;
        above.push(name.clone());
        let path = above.join(".");
        let value = match part {
            Part::Value { rule, column } => {
                let field = ContractField {
                    name: column.unwrap_or_else(|| path.clone()),
                    path: above.clone(),
                    rule: rule.clone(),
                    required: required && is_required,
                };
                columns.push(Column { field, offset });
                MemberValue::Column { index: columns.len() - 1, rule }
            }
            Part::Object { part, nullable } => {
                let shape = object(part, above, required && is_required && !nullable, columns);
                MemberValue::Object { shape, nullable }
            }
        };
        above.pop();
        Member { name, path, required: is_required, value }
    });
    ObjectShape { members: members.collect(), closed }
}
