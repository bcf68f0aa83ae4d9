//! Emitted rows on their way to the bus: one message per row.
//!
//! The id is made of what identifies a row: table, window, key, kind, moment.

use std::fmt::Write as _;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::outputs::ID;
use crate::bus::{Outgoing, Subject};
use crate::commit::CommitError;
use crate::pipeline::Pipeline;
use crate::step::{Emitted, RowId};
use crate::time::EventTime;

pub(super) const TABLE: &str = "Tidewheel-Table";
const KIND: &str = "Tidewheel-Kind";
const KEY: &str = "Tidewheel-Key";
const WINDOW: &str = "Tidewheel-Window";

/// Kind of a row that no longer holds.
const REMOVED: &str = "removed";

/// Keys that are longer than this are named by their digest in message ids.
const LONGEST_KEY: usize = 200;

/// The messages of a step's emissions, for the tables that are published, in their order.
pub(crate) fn messages(pipeline: &Pipeline, emissions: &[Emitted]) -> Result<Vec<Outgoing>, CommitError> {
    let mut messages = Vec::new();
    for emission in emissions {
        let Some(table) = pipeline.tables.get(emission.table.0) else { continue };
        let Some(subject) = &table.publish else { continue };
        of_table(table.plan.name(), subject, emission, &mut messages)
            .map_err(|source| CommitError::Emitted { table: table.plan.name().to_owned(), source })?;
    }
    Ok(messages)
}

fn of_table(
    table: &str,
    subject: &Subject,
    emission: &Emitted,
    messages: &mut Vec<Outgoing>,
) -> Result<(), ArrowError> {
    let kind = if emission.is_removal { REMOVED } else { emission.kind.as_str() };
    let payloads = match emission.is_removal {
        true => vec![Bytes::new(); emission.windows.len()],
        false => json_lines(&emission.rows)?,
    };
    let keys = json_keys(&emission.keys, emission.windows.len())?;
    for ((payload, key), (start, end)) in payloads.into_iter().zip(keys).zip(&emission.windows) {
        let id = format!("row-{table}-{kind}-{}-{start}-{end}-{}", emission.at.micros(), short(&key));
        let message = Outgoing::new(subject.clone(), payload)
            .header(ID, id)
            .header(TABLE, table)
            .header(KIND, kind)
            .header(KEY, key)
            .header(WINDOW, format!("{}/{}", EventTime(*start), EventTime(*end)));
        messages.push(message);
    }
    Ok(())
}

/// Names a dead letter after the row of a table that is not there.
pub(super) fn name_row(message: Outgoing, table: &str, row: &RowId) -> Outgoing {
    let RowId { kind, at, keys, window: (start, end) } = row;
    let key = json_keys(keys, 1).ok().and_then(|mut keys| keys.pop()).unwrap_or_else(|| "[]".to_owned());
    let id = format!("dead-row-{table}-{}-{}-{start}-{end}-{}", kind.as_str(), at.micros(), short(&key));
    let window = format!("{}/{}", EventTime(*start), EventTime(*end));
    message.header(ID, id).header(KEY, key).header(WINDOW, window)
}

/// A JSON object per row.
fn json_lines(rows: &RecordBatch) -> Result<Vec<Bytes>, ArrowError> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    let lines = Bytes::from(writer.into_inner());
    // Line breaks in texts are escaped, so these are the ends of rows.
    let mut start = 0;
    let mut found = Vec::with_capacity(rows.num_rows());
    for end in lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(end, _)| end) {
        found.push(lines.slice(start..end));
        start = end + 1;
    }
    Ok(found)
}

/// A JSON array of the key's values per row.
fn json_keys(columns: &[ArrayRef], rows: usize) -> Result<Vec<String>, ArrowError> {
    let mut keys = vec![String::from("["); rows];
    for (index, column) in columns.iter().enumerate() {
        let batch = RecordBatch::try_from_iter_with_nullable([("k", std::sync::Arc::clone(column), true)])?;
        for (key, line) in keys.iter_mut().zip(json_lines(&batch)?) {
            let line = String::from_utf8_lossy(&line);
            let value = line.strip_prefix("{\"k\":").and_then(|line| line.strip_suffix('}')).unwrap_or("null");
            if index > 0 {
                key.push(',');
            }
            key.push_str(value);
        }
    }
    for key in &mut keys {
        key.push(']');
    }
    Ok(keys)
}

/// A key as a part of an id.
fn short(key: &str) -> String {
    if key.len() <= LONGEST_KEY {
        return key.to_owned();
    }
    let digest = Sha256::digest(key.as_bytes());
    digest.iter().take(16).fold(String::from("sha256:"), |mut text, byte| {
        // Writing to a String cannot fail.
        let _written = write!(text, "{byte:02x}").is_ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use crate::pipeline::TableIndex;
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;
    use crate::commit::outputs;
    use crate::window::EmissionKind;

    fn emission(is_removal: bool) -> Emitted {
        let users: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
        let kinds: ArrayRef = Arc::new(StringArray::from(vec!["line\nbreak", &"long".repeat(100)]));
        let spent: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), None]));
        let rows = [("user_id", Arc::clone(&users), true), ("spent", spent, true)];
        Emitted {
            table: TableIndex(0),
            kind: EmissionKind::Final,
            at: EventTime(60_000_000),
            rows: RecordBatch::try_from_iter_with_nullable(rows).unwrap(),
            keys: vec![users, kinds],
            windows: vec![(0, 60_000_000); 2],
            is_removal,
            failed: Vec::new(),
        }
    }

    fn shown(emission: &Emitted) -> String {
        let mut messages = Vec::new();
        of_table("spend", &Subject::new("shop.spend").unwrap(), emission, &mut messages).unwrap();
        let mut text = String::new();
        for message in messages {
            writeln!(text, "{} {}", outputs::id(&message).unwrap(), String::from_utf8_lossy(&message.payload)).unwrap();
            for (name, value) in message.headers {
                writeln!(text, "  {name}: {}", value.chars().take(40).collect::<String>()).unwrap();
            }
        }
        text
    }

    #[test]
    fn a_row_is_a_json_object_under_an_id_of_its_own() {
        insta::assert_snapshot!(shown(&emission(false)));
    }

    #[test]
    fn a_removal_has_no_payload() {
        let text = shown(&emission(true));
        assert!(text.starts_with("row-spend-removed-60000000-0-60000000-[7,\"line\\nbreak\"] \n"), "{text}");
        assert!(text.contains("Tidewheel-Kind: removed"), "{text}");
    }
}
