//! `[model] missing`: which columns of the vector may be NULL, and what the model gets then.

use std::collections::BTreeSet;
use std::fmt;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};

use crate::feature::Missing;

/// What stands for a value that is not there.
const NAN: &str = "nan";

/// The columns that may be NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingColumns(pub(in crate::config) Missing);

/// What editors are told about it.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [
            { "type": "string", "enum": [NAN] },
            { "type": "object", "minProperties": 1, "additionalProperties": { "type": "string", "enum": [NAN] } },
        ],
        "examples": [NAN, { "age": NAN }],
    })
}

impl<'de> Deserialize<'de> for MissingColumns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MissingVisitor).map(Self)
    }
}

struct MissingVisitor;

impl<'de> Visitor<'de> for MissingVisitor {
    type Value = Missing;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"nan\" for every column of numbers, or { COLUMN = \"nan\" } for some")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Missing, E> {
        if text == NAN { Ok(Missing::All) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Missing, A::Error> {
        let mut columns = BTreeSet::new();
        while let Some((column, value)) = map.next_entry::<String, String>()? {
            if value != NAN {
                return Err(A::Error::invalid_value(Unexpected::Str(&value), &self));
            }
            columns.insert(column);
        }
        if columns.is_empty() {
            return Err(A::Error::invalid_length(0, &self));
        }
        Ok(Missing::Of(columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Model {
        missing: MissingColumns,
    }

    fn read(text: &str) -> Result<Missing, String> {
        let read = toml::from_str::<Model>(text).map(|model| model.missing.0);
        read.map_err(|error| error.message().to_owned())
    }

    #[test]
    fn columns_are_named_or_all_are_meant() {
        let of = |names: &[&str]| Missing::Of(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(read("missing = 'nan'"), Ok(Missing::All));
        assert_eq!(read("missing = { age = 'nan', 'last price' = 'nan' }"), Ok(of(&["age", "last price"])));
        let expected = "expected \"nan\" for every column of numbers, or { COLUMN = \"nan\" } for some";
        for bad in
            ["missing = 'zero'", "missing = { age = '0' }", "missing = {}", "missing = true", "missing = ['age']"]
        {
            assert!(read(bad).unwrap_err().contains(expected), "{bad}: {:?}", read(bad));
        }
    }
}
