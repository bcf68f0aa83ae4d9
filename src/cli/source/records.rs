//! The records of a CSV file as JSON objects.
//!
//! The contract decides how a cell is written, never whether it is accepted: one that is not of its column's type
//! becomes a string, which the engine then refuses with its reason.

use std::io::{self, Read, Write};

use csv::ByteRecord;
use serde_json::value::RawValue;

use super::BUFFER_BYTES;
use crate::event::{Contract, ContractField, FieldType, MemberText, order, quoted};

/// The records of a CSV file.
pub(super) struct Records<R> {
    reader: csv::Reader<R>,
    columns: Vec<Column>,
    /// In which order the columns are written, so that those of one object are next to each other.
    order: Vec<usize>,
    record: ByteRecord,
    /// Whether `record` is an event that was read to look for a header and has not been returned.
    holds_event: bool,
}

impl<R: Read> Records<R> {
    /// The first record is a header when each of its cells names a column of the contract; without a header the
    /// columns are the contract's in their order.
    pub(super) fn open(content: R, contract: &Contract) -> io::Result<Self> {
        let mut builder = csv::ReaderBuilder::new();
        builder.has_headers(false).flexible(true).buffer_capacity(BUFFER_BYTES);
        let mut reader = builder.from_reader(content);
        let mut record = ByteRecord::new();
        let found = reader.read_byte_record(&mut record)?;
        let named = |cell| contract.field(str::from_utf8(cell).ok()?).map(|(_, field)| Column::new(field));
        let header: Option<Vec<Column>> = record.iter().map(named).collect();
        let holds_event = found && header.is_none();
        let columns = header.unwrap_or_else(|| contract.fields().iter().map(Column::new).collect());
        let order = order(columns.iter().map(|column| column.path.as_slice()));
        Ok(Self { reader, columns, order, record, holds_event })
    }

    /// Appends the next record to `out`, which is empty, as an object; false at the end.
    pub(super) fn next_event(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        if self.holds_event {
            self.holds_event = false;
        } else if !self.reader.read_byte_record(&mut self.record)? {
            return Ok(false);
        }
        out.push(b'{');
        let mut members = MemberText::default();
        for column in self.order.iter().filter_map(|at| Some((self.columns.get(*at)?, self.record.get(*at)?))) {
            let (column, cell) = column;
            if cell.is_empty() && column.kind == Kind::Number {
                continue;
            }
            members.key(column.above(), &column.key, out);
            if column.kind.is_written_as(cell) {
                out.extend_from_slice(cell);
            } else {
                write_text(cell, out)?;
            }
        }
        for (index, cell) in self.record.iter().enumerate().skip(self.columns.len()) {
            members.key(&[], &quoted(&format!("column_{}", index + 1)), out);
            write_text(cell, out)?;
        }
        members.end(out);
        Ok(true)
    }

    /// A cell of the record that was read last.
    pub(super) fn cell(&self, name: &str) -> Option<&[u8]> {
        self.record.get(self.columns.iter().position(|column| column.name == name)?)
    }
}

struct Column {
    name: String,
    /// The names that lead to its property.
    path: Vec<String>,
    /// The property's name as the key of a JSON object, with its colon.
    key: Vec<u8>,
    kind: Kind,
}

impl Column {
    fn new(field: &ContractField) -> Self {
        let kind = match field.field_type() {
            FieldType::Integer | FieldType::Number => Kind::Number,
            FieldType::Text | FieldType::DateTime => Kind::Text,
            FieldType::Boolean => Kind::Boolean,
            FieldType::List(_) => Kind::List,
        };
        let key = quoted(field.path().last().map_or("", String::as_str));
        Self { name: field.name().to_owned(), path: field.path().to_vec(), key, kind }
    }

    /// The names of the objects that it stands in.
    fn above(&self) -> &[String] {
        self.path.split_last().map_or(&[], |(_, above)| above)
    }
}

/// How the cells of a column become JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Has no value where the cell is empty.
    Number,
    Text,
    Boolean,
    List,
}

impl Kind {
    /// Whether the cell is already the JSON of its value.
    fn is_written_as(self, cell: &[u8]) -> bool {
        match self {
            // Without the look at both ends, `12 ` and ` 12` would be numbers too.
            Self::Number => {
                cell.first().is_some_and(|byte| matches!(byte, b'-' | b'0'..=b'9'))
                    && cell.last().is_some_and(u8::is_ascii_digit)
                    && is_json(cell)
            }
            Self::Text => false,
            Self::Boolean => matches!(cell, b"true" | b"false"),
            Self::List => is_json(cell),
        }
    }
}

/// Whether the bytes are one JSON value. Numbers are not evaluated: `1e999` is one.
fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(bytes).is_ok()
}

/// Appends a cell as a JSON string.
fn write_text(cell: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    if let Ok(text) = str::from_utf8(cell) {
        serde_json::to_writer(&mut *out, text)?;
        return Ok(());
    }
    // Bytes that are not UTF-8 are kept: the event is refused for them.
    out.push(b'"');
    for &byte in cell {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => write!(out, "\\u{byte:04x}")?,
            _ => out.push(byte),
        }
    }
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Limits, ObjectRows, RejectReason};

    const CONTRACT: &str = r#"{"type": "object", "properties": {
        "id": {"type": "integer"},
        "price": {"type": "number"},
        "kind": {"type": "string"},
        "gift": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "at": {"type": "string", "format": "date-time"}
    }}"#;

    fn contract() -> Contract {
        Contract::parse(CONTRACT).expect("a contract")
    }

    fn events(csv: &[u8]) -> Vec<Vec<u8>> {
        let mut records = Records::open(csv, &contract()).expect("records");
        let mut events = Vec::new();
        let mut out = Vec::new();
        while records.next_event(&mut out).expect("an event or the end") {
            events.push(std::mem::take(&mut out));
        }
        events
    }

    fn texts(csv: &str) -> Vec<String> {
        events(csv.as_bytes()).into_iter().map(|event| String::from_utf8(event).expect("text")).collect()
    }

    #[test]
    fn without_a_header_the_columns_are_the_properties_of_the_contract() {
        assert_eq!(
            texts("1,-2.5e3,view,true,\"[\"\"a\"\"]\",2026-01-31T12:00:00Z\n2,,,false,[],\n"),
            [
                r#"{"id":1,"price":-2.5e3,"kind":"view","gift":true,"tags":["a"],"at":"2026-01-31T12:00:00Z"}"#,
                r#"{"id":2,"kind":"","gift":false,"tags":[],"at":""}"#,
            ]
        );
    }

    #[test]
    fn a_header_names_the_columns_in_its_own_order() {
        let expected = [r#"{"kind":"view","id":1}"#, r#"{"kind":"buy"}"#];
        assert_eq!(texts("kind,id\r\nview,1\r\n\r\nbuy,"), expected);
        assert!(texts("kind,id\n").is_empty());
        assert!(texts("").is_empty());
    }

    #[test]
    fn columns_of_one_object_are_written_as_one_object() {
        let contract = r#"{"type": "object", "properties": {"id": {"type": "integer"}, "cart": {"type": "object",
            "properties": {"total": {"type": "number"}, "note": {"type": "string", "x-column": "remark"}}}}}"#;
        let contract = Contract::parse(contract).expect("a contract");
        let mut records = Records::open(&b"cart.total,id,remark\n9.5,1,a\n,2,b\n"[..], &contract).expect("records");
        for expected in [r#"{"cart":{"total":9.5,"note":"a"},"id":1}"#, r#"{"cart":{"note":"b"},"id":2}"#] {
            let mut out = Vec::new();
            assert!(records.next_event(&mut out).expect("an event"));
            assert_eq!(String::from_utf8(out).expect("text"), expected);
        }
    }

    #[test]
    fn a_first_record_with_an_unknown_name_is_an_event() {
        let expected = [r#"{"id":"id","price":"prize"}"#, r#"{"id":1,"price":2}"#];
        assert_eq!(texts("id,prize\n1,2\n"), expected);
    }

    #[test]
    fn records_may_be_shorter_and_longer_than_the_columns() {
        assert_eq!(texts("id,kind\n1\n,a,b,3\n"), [r#"{"id":1}"#, r#"{"kind":"a","column_3":"b","column_4":"3"}"#]);
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(
            texts("kind,id\n\"a \"\"b\"\" \\\n\u{fc}\",1\n"),
            ["{\"kind\":\"a \\\"b\\\" \\\\\\n\u{fc}\",\"id\":1}"]
        );
    }

    #[test]
    fn a_bad_cell_becomes_an_event_that_is_refused() {
        use RejectReason::{InvalidJson, NotFinite, WrongType};
        let mut rows = ObjectRows::new(Arc::new(contract()), Limits::default(), None);
        let cases: [(&[u8], &[u8], RejectReason); 12] = [
            (b"id\n12a", br#"{"id":"12a"}"#, WrongType),
            (b"id\n 12", br#"{"id":" 12"}"#, WrongType),
            (b"id\n12 ", br#"{"id":"12 "}"#, WrongType),
            (b"id\n012", br#"{"id":"012"}"#, WrongType),
            (b"id\n+12", br#"{"id":"+12"}"#, WrongType),
            (b"id\n1.5", br#"{"id":1.5}"#, WrongType),
            (b"id\nnull", br#"{"id":"null"}"#, WrongType),
            (b"price\n1e999", br#"{"price":1e999}"#, NotFinite),
            (b"gift\nTRUE", br#"{"gift":"TRUE"}"#, WrongType),
            (b"tags\n[a]", br#"{"tags":"[a]"}"#, WrongType),
            (b"at\nyesterday", br#"{"at":"yesterday"}"#, WrongType),
            (b"kind\n\"\xff\"\"\n\"", b"{\"kind\":\"\xff\\\"\\u000a\"}", InvalidJson),
        ];
        for (csv, expected, reason) in cases {
            let events = events(csv);
            let shown = csv.escape_ascii();
            assert_eq!(events, [expected], "{shown}");
            assert_eq!(rows.push(&events[0]).map_err(|flaw| flaw.reason), Err(reason), "{shown}");
        }
    }
}
