//! CSV (RFC 4180): a header with the columns' names, commas, quotes; an empty field is NULL, quoted or not.
//!
//! With a contract each record becomes the JSON object that it stands for, and is checked as any other: numbers, booleans
//! and lists are written as in JSON, texts and times as they are. Without one, types are inferred over the whole file.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::error::ArrowError;
use csv::{ReaderBuilder, StringRecord};
use serde_json::value::RawValue;

use super::bad_rows::BadRows;
use super::error::ReferenceError;
use super::load::{Loaded, Reading};
use super::place::Places;
use super::{contracted, infer};
use crate::event::{self, Contract, FieldType, MemberText, order};

pub(super) fn load(reading: &Reading<'_>, content: &[u8], bad_rows: BadRows) -> Result<Loaded, ReferenceError> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(content);
    let header = reader.headers().map_err(|error| refuse(reading, 1, &error.to_string()))?.clone();
    check_header(reading, &header)?;
    let mut rows = Rows::new(reading, &header)?;
    let mut lines = Vec::new();
    let mut record = StringRecord::new();
    loop {
        let before = reader.position().line();
        let read = reader.read_record(&mut record);
        let line = record.position().map_or(before, |position| first_line(content, position));
        if !read.map_err(|error| refuse(reading, line, &describe(&error)))? {
            break;
        }
        if record.len() != header.len() {
            let reason = format!("{} fields, but the header has {}", record.len(), header.len());
            return Err(refuse(reading, line, &reason));
        }
        lines.push(line as u32);
        reading.check_rows(lines.len())?;
        rows.push(&record);
    }
    if reading.contract.is_none() {
        reading.check_not_empty(lines.len())?;
    }
    rows.finish(reading, &header, Places::Lines(lines), bad_rows)
}

/// Records on their way to columns.
enum Rows {
    /// Per column its texts.
    Texts(Vec<StringBuilder>),
    /// The objects that the records stand for.
    Objects {
        /// The columns that the contract has, those of one object next to each other.
        columns: Vec<Known>,
        objects: Vec<Vec<u8>>,
    },
}

/// A column of the contract.
struct Known {
    /// Where it stands in a record.
    at: usize,
    path: Vec<String>,
    /// Its property's name as JSON with a colon.
    key: Vec<u8>,
    field_type: FieldType,
}

impl Rows {
    fn new(reading: &Reading<'_>, header: &StringRecord) -> Result<Self, ReferenceError> {
        let Some(contract) = reading.contract else {
            return Ok(Self::Texts(header.iter().map(|_| StringBuilder::new()).collect()));
        };
        let columns = header.iter().enumerate().map(|(at, name)| column(reading, contract, at, name));
        let mut columns: Vec<Option<Known>> = columns.collect::<Result<_, _>>()?;
        columns.retain(Option::is_some);
        let order = order(columns.iter().flatten().map(|column| column.path.as_slice()));
        let columns = order.into_iter().filter_map(|at| columns.get_mut(at)?.take()).collect();
        Ok(Self::Objects { columns, objects: Vec::new() })
    }

    fn push(&mut self, record: &StringRecord) {
        match self {
            Self::Texts(columns) => {
                for (column, field) in columns.iter_mut().zip(record) {
                    column.append_option((!field.is_empty()).then_some(field));
                }
            }
            Self::Objects { columns, objects } => {
                let mut object = Vec::with_capacity(record.as_slice().len() * 2);
                object.push(b'{');
                let mut members = MemberText::default();
                for column in columns.iter() {
                    let field = record.get(column.at).unwrap_or_default();
                    if !field.is_empty() {
                        let above = column.path.split_last().map_or(&[][..], |(_, above)| above);
                        members.key(above, &column.key, &mut object);
                        object.extend_from_slice(json(field, &column.field_type).as_bytes());
                    }
                }
                members.end(&mut object);
                objects.push(object);
            }
        }
    }

    fn finish(
        self,
        reading: &Reading<'_>,
        header: &StringRecord,
        places: Places,
        bad_rows: BadRows,
    ) -> Result<Loaded, ReferenceError> {
        match (self, reading.contract) {
            (Self::Objects { objects, .. }, Some(contract)) => {
                contracted::columns(reading.origin, contract, &objects, places, bad_rows)
            }
            (Self::Texts(columns), _) => {
                let columns = columns.into_iter().map(|mut column| infer::typed(column.finish()));
                let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
                let named = header.iter().zip(columns).map(|(name, column)| (name, column, true));
                Ok(Loaded { batch: RecordBatch::try_from_iter_with_nullable(named)?, places, bad_rows })
            }
            // Objects are only made for a contract.
            (Self::Objects { .. }, None) => Err(ArrowError::SchemaError("objects without a contract".into()).into()),
        }
    }
}

/// The contract's column of a name.
fn column(
    reading: &Reading<'_>,
    contract: &Arc<Contract>,
    at: usize,
    name: &str,
) -> Result<Option<Known>, ReferenceError> {
    match contract.field(name) {
        Some((_, field)) => {
            let key = event::quoted(field.path().last().map_or("", String::as_str));
            Ok(Some(Known { at, path: field.path().to_vec(), key, field_type: field.field_type() }))
        }
        None if contract.is_closed() => {
            Err(refuse(reading, 1, &format!("column {name:?} is not in the contract: remove it, or add it there")))
        }
        None => Ok(None),
    }
}

/// A field as the JSON value of its type, or as a text, which the contract's check then refuses, when it isn't one.
fn json(field: &str, field_type: &FieldType) -> String {
    let is_text = matches!(field_type, FieldType::Text | FieldType::DateTime);
    if !is_text && serde_json::from_str::<&RawValue>(field).is_ok() { field.to_owned() } else { quoted(field) }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn check_header(reading: &Reading<'_>, header: &StringRecord) -> Result<(), ReferenceError> {
    if header.is_empty() {
        return Err(refuse(reading, 1, "expected a header with the names of the columns"));
    }
    let mut names = HashSet::new();
    for (at, name) in header.iter().enumerate() {
        if name.is_empty() {
            return Err(refuse(reading, 1, &format!("column {} has no name: give it one in the header", at + 1)));
        }
        if !names.insert(name) {
            return Err(refuse(reading, 1, &format!("column {name:?} appears twice: rename one in the header")));
        }
    }
    Ok(())
}

/// The line that a record begins on. The reader's position is that of the empty lines before it.
fn first_line(content: &[u8], position: &csv::Position) -> u64 {
    let record = content.get(position.byte() as usize..).unwrap_or_default();
    let empty = record.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + empty.filter(|byte| **byte == b'\n').count() as u64
}

fn describe(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { err, .. } => format!("field {} is not UTF-8: save the file as UTF-8", err.field() + 1),
        _ => error.to_string(),
    }
}

fn refuse(reading: &Reading<'_>, line: u64, reason: &str) -> ReferenceError {
    ReferenceError::Row { origin: reading.origin.to_owned(), place: format!("line {line}"), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing::{reading, reading_with, table_text};

    fn error(text: &[u8]) -> String {
        load(&reading(), text, BadRows::refused()).err().unwrap().to_string()
    }

    #[test]
    fn types_are_inferred_over_the_whole_file_and_empty_fields_are_null() {
        let text = "\u{feff}id,name,price,code\n1,\"Shoe, \"\"red\"\"\nlong\",2,007\n\n2,,2.5,\"\"\n";
        let loaded = load(&reading(), text.as_bytes(), BadRows::refused()).unwrap();
        insta::assert_snapshot!(table_text(&loaded.batch).replace("red\"\nlong", "red\"~long"), @r#"
        id: Int64 = 1 2
        name: Utf8 = Shoe, "red"~long -
        price: Float64 = 2.0 2.5
        code: Utf8 = 007 -
        "#);
        assert_eq!(loaded.places, Places::Lines(vec![2, 5]));
    }

    #[test]
    fn records_are_held_to_a_contract_as_the_objects_that_they_stand_for() {
        let contract = r#"{"type": "object", "required": ["id"], "additionalProperties": false, "properties": {
            "id": {"type": "string"}, "price": {"type": "number", "minimum": 0}, "tags": {"type": "array", "items": {"type": "string"}}}}"#;
        let contract = Arc::new(Contract::parse(contract).unwrap());
        let reading = reading_with(&contract);
        let loaded =
            load(&reading, b"price,id,tags\n1.5,007,\"[\"\"a\"\"]\"\n,\"quo\"\"te\",\n", BadRows::refused()).unwrap();
        assert_eq!(
            table_text(&loaded.batch),
            "id: Utf8 = 007 quo\"te\nprice: Float64 = 1.5 -\ntags: List(Utf8) = [a] -"
        );
        let error = |text: &[u8]| load(&reading, text, BadRows::refused()).err().unwrap().to_string();
        insta::assert_snapshot!(error(b"id,price\na,1\nb,cheap\n"), @r#"items, line 3: field "price": expected a number of at least 0, got "cheap""#);
        insta::assert_snapshot!(error(b"id,price\na,1\nb,-1\n"), @r#"items, line 3: field "price": expected a number of at least 0, got -1"#);
        insta::assert_snapshot!(error(b"id,price\n,1\n"), @r#"items, line 2: field "id" is required and missing"#);
        insta::assert_snapshot!(error(b"id,color\n"), @r#"items, line 1: column "color" is not in the contract: remove it, or add it there"#);
        let none = load(&reading, b"id,price\n", BadRows::refused()).unwrap();
        assert_eq!((none.batch.num_rows(), none.batch.num_columns()), (0, 3));
    }

    #[test]
    fn a_file_that_is_no_table_says_where_it_stops_being_one() {
        insta::assert_snapshot!(error(b"id,name\n1,a\n2\n"), @"items, line 3: 1 fields, but the header has 2");
        insta::assert_snapshot!(error(b"id,name\n1,a\n2,\xff\n"), @"items, line 3: field 2 is not UTF-8: save the file as UTF-8");
        insta::assert_snapshot!(error(b""), @"items, line 1: expected a header with the names of the columns");
        insta::assert_snapshot!(error(b"id,id\n"), @r#"items, line 1: column "id" appears twice: rename one in the header"#);
        insta::assert_snapshot!(error(b"id,\n"), @"items, line 1: column 2 has no name: give it one in the header");
        insta::assert_snapshot!(error(b"id\n"), @"items: no rows to infer the columns' types from: add one, or give the table a contract");
    }
}
