//! Event contracts: a JSON Schema file decides which events are accepted and which columns they become.
//!
//! ```text
//!   schemas/click.json ──▶ document ──▶ properties ──▶ Contract ──▶ Arrow schema, one column per property, in order
//!        (text)          (positions)      (rules)
//! ```
//!
//! A contract is a flat JSON Schema (draft-07) object, the same file that producers validate with. A keyword that this
//! program could not enforce is refused rather than ignored: an event that a producer's validator accepts and this one
//! refuses, or the other way round, would be a contract that lies. Every problem of a file is reported at once, with line,
//! column and, where there is one, a suggestion.

mod document;
mod kind;
mod problem;
mod properties;
mod reading;

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

pub(crate) use self::problem::ContractProblem;
use super::rule::{FieldType, Shape, ValueRule};

/// Which events a stream accepts, and the columns that they become.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    fields: Vec<ContractField>,
    schema: SchemaRef,
    closed: bool,
}

impl Contract {
    /// Reads a contract from the text of a JSON Schema file.
    ///
    /// # Errors
    /// Every problem of the text, in the order in which they stand in it.
    pub fn parse(text: &str) -> Result<Self, Vec<ContractProblem>> {
        reading::read(text)
    }

    fn new(fields: Vec<ContractField>, closed: bool) -> Self {
        let columns = fields.iter().map(|field| {
            Field::new(&field.name, field.field_type().data_type(), !field.required || field.rule.nullable)
        });
        let schema = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
        Self { fields, schema, closed }
    }

    /// The properties, in the order of the file.
    #[must_use]
    pub fn fields(&self) -> &[ContractField] {
        &self.fields
    }

    /// A property by name, with its position among the columns.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<(usize, &ContractField)> {
        self.fields.iter().enumerate().find(|(_, field)| field.name == name)
    }

    /// One column per property. A column is nullable when its property may be absent or null.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether events with fields that the contract does not have are refused; otherwise those fields are ignored.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

/// One property of a contract.
#[derive(Debug, Clone, PartialEq)]
pub struct ContractField {
    name: String,
    rule: ValueRule,
    required: bool,
}

impl ContractField {
    /// The property's name, which is the column's too.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The JSON type of the values.
    #[must_use]
    pub fn field_type(&self) -> FieldType {
        self.rule.field_type()
    }

    /// Whether an event without this property is refused.
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

    pub(super) fn rule(&self) -> &ValueRule {
        &self.rule
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
