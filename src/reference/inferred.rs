//! Rows without a contract: the types of their fields are those of all their values.
//!
//! A field is a boolean, an integer, a number (integers may be among them), a text, or a list of one of these. Texts that
//! are all dates or times become such. Other mixtures are an error that names a row of each kind, because guessing which
//! one was meant would give another table when another row comes first.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_json::ReaderBuilder;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::error::ReferenceError;
use super::infer::dates_and_times;
use super::place::Places;
use crate::event::without_surrogate_pairs;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 16 * 1024;

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Boolean,
    Integer,
    Number,
    Text,
    /// A list, and of what if it ever had an item.
    List(Option<Box<Kind>>),
}

/// What is known about a field.
struct Seen {
    name: String,
    /// None while all values were null.
    kind: Option<Kind>,
    /// The first row that had a value.
    row: usize,
    /// The last row that had the field.
    last_row: Option<usize>,
}

/// The members of an object, also those that it repeats.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = object.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// The fields in the order in which they first appear.
struct Fields<'a> {
    origin: &'a str,
    places: &'a Places,
    seen: Vec<Seen>,
    positions: HashMap<String, usize>,
}

/// Finds out the types of all fields and turns the rows into columns.
pub(super) fn columns(origin: &str, rows: &[impl AsRef<[u8]>], places: &Places) -> Result<RecordBatch, ReferenceError> {
    let mut fields = Fields { origin, places, seen: Vec::new(), positions: HashMap::new() };
    for (row, object) in rows.iter().enumerate() {
        fields.take(row, object.as_ref())?;
    }
    if fields.seen.is_empty() {
        let reason = "no field in any row: give the objects a field per column".to_owned();
        return Err(ReferenceError::Content { origin: origin.to_owned(), reason });
    }
    let schema = Arc::new(Schema::new(fields.seen.iter().map(Seen::field).collect::<Vec<_>>()));
    let batch = decode(&schema, rows)?;
    let columns: Vec<ArrayRef> = batch.columns().iter().map(with_times).collect::<Result<_, _>>()?;
    let named = schema.fields().iter().zip(columns).map(|(field, column)| (field.name(), column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(named)?)
}

fn with_times(column: &ArrayRef) -> Result<ArrayRef, arrow::error::ArrowError> {
    match column.as_string_opt::<i32>() {
        Some(texts) => dates_and_times(texts.clone()),
        None => Ok(Arc::clone(column)),
    }
}

impl Fields<'_> {
    fn take(&mut self, row: usize, object: &[u8]) -> Result<(), ReferenceError> {
        let Members(members) = serde_json::from_slice(object).map_err(|error| match error.is_data() {
            true => self.error(row, "expected an object with a value per column"),
            false => self.error(row, &format!("not JSON: {error}")),
        })?;
        for (name, value) in members {
            let kind = kind(&value).map_err(|reason| self.error(row, &format!("field {name:?}: {reason}")))?;
            let at = match self.positions.get(&name) {
                Some(at) => *at,
                None => {
                    self.positions.insert(name.clone(), self.seen.len());
                    self.seen.push(Seen { name, kind: None, row, last_row: None });
                    self.seen.len() - 1
                }
            };
            let Some(seen) = self.seen.get_mut(at) else { continue };
            if seen.last_row.replace(row) == Some(row) {
                let reason = format!("field {:?} appears twice; remove one", seen.name);
                return Err(self.error(row, &reason));
            }
            match (&seen.kind, kind) {
                (_, None) => {}
                (None, kind) => self.set(at, kind, row),
                (Some(before), Some(now)) => match merge(before, &now) {
                    Some(both) => {
                        let row = seen.row;
                        self.set(at, Some(both), row);
                    }
                    None => {
                        let reason = format!(
                            "field {:?}: {now} here and {before} in {}; make them one kind, or give the table a contract",
                            seen.name,
                            self.places.of(seen.row)
                        );
                        return Err(self.error(row, &reason));
                    }
                },
            }
        }
        Ok(())
    }

    fn set(&mut self, at: usize, kind: Option<Kind>, row: usize) {
        if let Some(seen) = self.seen.get_mut(at) {
            (seen.kind, seen.row) = (kind, row);
        }
    }

    fn error(&self, row: usize, reason: &str) -> ReferenceError {
        ReferenceError::Row { origin: self.origin.to_owned(), place: self.places.of(row), reason: reason.to_owned() }
    }
}

impl Seen {
    fn field(&self) -> Field {
        // A field without values is text: it has to be something, and a contract can say better.
        Field::new(&self.name, self.kind.as_ref().map_or(DataType::Utf8, Kind::data_type), true)
    }
}

impl Kind {
    fn data_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::List(item) => {
                let item = item.as_ref().map_or(DataType::Utf8, |item| item.data_type());
                DataType::List(Arc::new(Field::new_list_field(item, true)))
            }
        }
    }
}

/// What a value is; nothing for null.
fn kind(value: &Value) -> Result<Option<Kind>, String> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(_) => Kind::Boolean,
        Value::Number(number) if number.is_i64() => Kind::Integer,
        Value::Number(_) => Kind::Number,
        Value::String(_) => Kind::Text,
        Value::Array(items) => {
            let mut all: Option<Kind> = None;
            for item in items {
                let Some(now) = kind(item)? else { continue };
                if matches!(now, Kind::List(_)) {
                    return Err("a list of lists; a column has values or lists of values".to_owned());
                }
                all = Some(match all {
                    None => now,
                    Some(before) => merge(&before, &now)
                        .ok_or_else(|| format!("{before} and {now} in one list; make them one kind"))?,
                });
            }
            Kind::List(all.map(Box::new))
        }
        Value::Object(_) => return Err("an object; give its fields names of their own, beside the others".to_owned()),
    }))
}

/// The kind that both values are of.
fn merge(before: &Kind, now: &Kind) -> Option<Kind> {
    match (before, now) {
        (Kind::Integer, Kind::Number) | (Kind::Number, Kind::Integer) => Some(Kind::Number),
        (Kind::List(None), Kind::List(item)) | (Kind::List(item), Kind::List(None)) => Some(Kind::List(item.clone())),
        (Kind::List(Some(before)), Kind::List(Some(now))) => {
            merge(before, now).map(|item| Kind::List(Some(Box::new(item))))
        }
        (before, now) => (before == now).then(|| now.clone()),
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("a boolean"),
            Self::Integer => f.write_str("an integer"),
            Self::Number => f.write_str("a number"),
            Self::Text => f.write_str("a text"),
            Self::List(None) => f.write_str("a list"),
            Self::List(Some(item)) => write!(f, "a list with {item}"),
        }
    }
}

/// JSON objects as columns of a schema that they are known to fit.
fn decode(schema: &SchemaRef, rows: &[impl AsRef<[u8]>]) -> Result<RecordBatch, ArrowError> {
    let mut decoder = ReaderBuilder::new(Arc::clone(schema)).with_batch_size(BATCH_ROWS).build_decoder()?;
    let mut batches = Vec::new();
    for rows in rows.chunks(BATCH_ROWS) {
        for row in rows {
            let (row, before) = (without_surrogate_pairs(row.as_ref()), decoder.len());
            let read = decoder.decode(&row)?;
            if read != row.len() || decoder.len() != before + 1 || decoder.has_partial_record() {
                return Err(ArrowError::JsonError(format!("{read} of {} bytes were read as one object", row.len())));
            }
        }
        batches.extend(decoder.flush()?);
    }
    concat_batches(schema, &batches)
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;

    use super::*;
    use crate::reference::column_type::time;

    fn error(rows: &[&str]) -> String {
        columns("items.jsonl", rows, &Places::Rows).unwrap_err().to_string()
    }

    #[test]
    fn rows_become_columns_whatever_their_number() {
        let rows: Vec<String> = (0..=BATCH_ROWS * 2).map(|id| format!("{{\"id\": {id}}}")).collect();
        let batch = columns("items.jsonl", &rows, &Places::Rows).unwrap();
        assert_eq!(batch.num_rows(), rows.len());
        let last = batch.column(0).as_primitive::<arrow::datatypes::Int64Type>().value(BATCH_ROWS * 2);
        assert_eq!(last, BATCH_ROWS as i64 * 2);
    }

    #[test]
    fn fields_are_of_the_kind_of_all_their_values() {
        let rows = [
            r#"{"id": 1, "price": 2, "tags": [], "since": "2026-01-31", "on": null, "gone": null}"#,
            r#"{"price": 2.5, "id": 2, "tags": ["a", null], "since": "2026-01-31T12:00:00+01:00", "on": true, "name": "x"}"#,
        ];
        let batch = columns("items.jsonl", &rows, &Places::Rows).unwrap();
        insta::assert_snapshot!(pretty_format_batches(std::slice::from_ref(&batch)).unwrap(), @r"
        +----+-------+-------+----------------------+------+------+------+
        | id | price | tags  | since                | on   | gone | name |
        +----+-------+-------+----------------------+------+------+------+
        | 1  | 2.0   | []    | 2026-01-31T00:00:00Z |      |      |      |
        | 2  | 2.5   | [a, ] | 2026-01-31T11:00:00Z | true |      | x    |
        +----+-------+-------+----------------------+------+------+------+
        ");
        assert_eq!(batch.column(3).data_type(), &time());
    }

    #[test]
    fn mixed_kinds_name_a_row_of_each() {
        insta::assert_snapshot!(error(&[r#"{"id": 1}"#, r#"{"id": null}"#, r#"{"id": "2"}"#]), @r#"items.jsonl, row 3: field "id": a text here and an integer in row 1; make them one kind, or give the table a contract"#);
        insta::assert_snapshot!(error(&[r#"{"id": [1, "a"]}"#]), @r#"items.jsonl, row 1: field "id": an integer and a text in one list; make them one kind"#);
        insta::assert_snapshot!(error(&[r#"{"id": {"a": 1}}"#]), @r#"items.jsonl, row 1: field "id": an object; give its fields names of their own, beside the others"#);
        insta::assert_snapshot!(error(&[r#"{"id": [[1]]}"#]), @r#"items.jsonl, row 1: field "id": a list of lists; a column has values or lists of values"#);
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_place() {
        insta::assert_snapshot!(error(&[r#"{"id": 1"#]), @"items.jsonl, row 1: not JSON: EOF while parsing an object at line 1 column 8");
        insta::assert_snapshot!(error(&["{}", "{}"]), @"items.jsonl: no field in any row: give the objects a field per column");
        insta::assert_snapshot!(error(&[r#"{"id": 1, "id": 2}"#]), @r#"items.jsonl, row 1: field "id" appears twice; remove one"#);
        insta::assert_snapshot!(error(&["[1]"]), @"items.jsonl, row 1: expected an object with a value per column");
    }
}
