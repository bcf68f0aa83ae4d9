//! `[model] class`: a column of the output, by its number or by the name that the model gives its class.

use std::fmt;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Unexpected, Visitor};

use crate::model::Class;

/// What editors are told about it.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "minLength": 1 }],
        "examples": [1, "buy"],
    })
}

/// A class that may be left out.
pub(super) fn if_given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Class>, D::Error> {
    deserializer.deserialize_any(ClassVisitor).map(Some)
}

struct ClassVisitor;

impl Visitor<'_> for ClassVisitor {
    type Value = Class;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the number of a column from 0, or the name of a class such as \"buy\"")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Class, E> {
        let column = usize::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))?;
        Ok(Class::At(column))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Class, E> {
        if name.is_empty() {
            return Err(E::invalid_value(Unexpected::Str(name), &self));
        }
        Ok(Class::Named(name.to_owned()))
    }
}
