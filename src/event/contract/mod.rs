//! Event contracts: a JSON Schema file decides which events are accepted and which columns they become.
//!
//! ```text
//!   schemas/click.json ──▶ document ──▶ objects ──▶ properties ──▶ shape ──▶ Contract ──▶ Arrow schema, one column per value
//!        (text)          (positions)   (members)     (rules)     (columns)
//! ```
//!
//! A contract is the JSON Schema (draft-07) of an object, the same file that producers validate with. A keyword that this
//! program could not enforce is refused rather than ignored: an event that a producer's validator accepts and this one
//! refuses, or the other way round, would be a contract that lies. Every problem of a file is reported at once, with line,
//! column and, where there is one, a suggestion.

mod declared_type;
mod document;
mod kind;
mod kinds;
mod objects;
mod problem;
mod properties;
mod reading;
mod references;
mod rules;
mod shape;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde_json::Value;

pub(crate) use self::problem::ContractProblem;
pub(super) use self::shape::{Kinds, Member, MemberValue, ObjectShape};
use super::rule::{FieldType, Shape, ValueRule};
use super::written::Written;

/// Which events a stream accepts, and the columns that they become.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    fields: Vec<ContractField>,
    schema: SchemaRef,
    shape: shape::Shape,
}

impl Contract {
    /// Reads a contract from the text of a JSON Schema file.
    ///
    /// # Errors
    /// Every problem of the text, in the order in which they stand in it.
    pub fn parse(text: &str) -> Result<Self, Vec<ContractProblem>> {
        reading::read(text)
    }

    fn new(fields: Vec<ContractField>, shape: shape::Shape) -> Self {
        let columns = fields.iter().map(|field| {
            Field::new(&field.name, field.field_type().data_type(), !field.required || field.rule.nullable)
        });
        let schema = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
        Self { fields, schema, shape }
    }

    /// The properties that are values, those of objects among them, in the order of the file.
    #[must_use]
    pub fn fields(&self) -> &[ContractField] {
        &self.fields
    }

    /// A property by the name of its column, with its position among the columns.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<(usize, &ContractField)> {
        self.fields.iter().enumerate().find(|(_, field)| field.name == name)
    }

    /// One column per value. A column is nullable when its value may be absent or null.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether events with fields that the contract does not have are refused; otherwise those fields are ignored.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match &self.shape {
            shape::Shape::Flat { closed } => *closed,
            shape::Shape::Nested(object) => object.closed,
        }
    }

    /// All that it says, for fingerprints of what depends on it: events of another form may be other events.
    pub(crate) fn form(&self) -> String {
        match &self.shape {
            shape::Shape::Flat { .. } => format!("{:?}", self.fields),
            shape::Shape::Nested(object) => format!("{:?} {object:?}", self.fields),
        }
    }

    /// Whether an event may have a property of this name, be it a value or an object.
    #[must_use]
    pub(crate) fn has_property(&self, name: &str) -> bool {
        match &self.shape {
            shape::Shape::Flat { .. } => self.field(name).is_some(),
            shape::Shape::Nested(object) => object.has(name),
        }
    }

    /// The event's own object with all in it; none where each property is the column of its name.
    #[must_use]
    pub(super) fn nested(&self) -> Option<&ObjectShape> {
        match &self.shape {
            shape::Shape::Flat { .. } => None,
            shape::Shape::Nested(object) => Some(object),
        }
    }
}

/// One property of a contract that is a value.
#[derive(Clone, PartialEq)]
pub struct ContractField {
    name: String,
    /// The names that lead to it, from the event's own object down.
    path: Vec<String>,
    rule: ValueRule,
    required: bool,
    /// How its numbers may be written where that is not as JSON's own.
    written: Option<Written>,
}

impl ContractField {
    /// The name of its column: that of the property, those of the objects around it before it (`properties.price`), or another
    /// one that the contract chooses.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names that lead to it, from the event's own object down.
    #[must_use]
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// The value as an event has it; none where the event lacks it.
    pub(crate) fn value_in(&self, event: &Value) -> Option<Value> {
        let mut found = Cow::Borrowed(event);
        for name in &self.path {
            found = match found {
                // An object that is written as a string.
                Cow::Borrowed(Value::String(text)) => Cow::Owned(serde_json::from_str(text).ok()?),
                Cow::Owned(Value::String(text)) => Cow::Owned(serde_json::from_str(&text).ok()?),
                found => found,
            };
            found = match found {
                Cow::Borrowed(object) => Cow::Borrowed(object.get(name)?),
                Cow::Owned(mut object) => Cow::Owned(object.get_mut(name)?.take()),
            };
        }
        Some(found.into_owned())
    }

    /// The JSON type of the values.
    #[must_use]
    pub fn field_type(&self) -> FieldType {
        self.rule.field_type()
    }

    /// Whether an event without this property is refused. One of an object that may be missing is not required by itself.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Whether an explicit `null` is accepted.
    #[must_use]
    pub fn is_nullable(&self) -> bool {
        self.rule.nullable
    }

    /// The texts or integers that an enumeration leaves, as texts; none where there is no enumeration of such.
    #[must_use]
    pub(crate) fn choices(&self) -> Vec<String> {
        match &self.rule.shape {
            Shape::Text(rule) => rule.allowed.clone(),
            Shape::Integer(rule) => rule.allowed.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn written(&self) -> Option<Written> {
        self.written
    }

    pub(super) fn rule(&self) -> &ValueRule {
        &self.rule
    }
}

impl fmt::Debug for ContractField {
    /// A property that is its column says no more than its name: fingerprints of streams are made of this text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("ContractField");
        text.field("name", &self.name).field("rule", &self.rule).field("required", &self.required);
        if self.path != [self.name.as_str()] {
            text.field("path", &self.path);
        }
        if let Some(written) = &self.written {
            text.field("written", written);
        }
        text.finish()
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, TimeUnit};

    use super::*;

    #[test]
    fn properties_become_columns_in_the_order_of_the_file() {
        let contract = Contract::parse(
            r#"{"$schema": "http://json-schema.org/draft-07/schema#", "title": "view", "type": "object",
                "properties": {
                    "ts": {"type": "string", "format": "date-time"},
                    "kind": {"type": "string", "enum": ["view", "buy"]},
                    "count": {"type": ["integer", "null"]},
                    "price": {"type": "number"},
                    "gift": {"type": "boolean"},
                    "tags": {"type": "array", "items": {"type": "string"}}
                },
                "required": ["ts", "kind", "count"]}"#,
        )
        .expect("a contract");
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
        let tags = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
        let expected = Schema::new(vec![
            Field::new("ts", time, false),
            Field::new("kind", DataType::Utf8, false),
            Field::new("count", DataType::Int64, true),
            Field::new("price", DataType::Float64, true),
            Field::new("gift", DataType::Boolean, true),
            Field::new("tags", tags, true),
        ]);
        assert_eq!(contract.schema().as_ref(), &expected);
        assert!(!contract.is_closed());
        let nullable: Vec<_> = contract.fields().iter().filter(|f| f.is_nullable()).map(ContractField::name).collect();
        assert_eq!(nullable, ["count"]);
    }
}
