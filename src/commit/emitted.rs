//! Emitted rows on their way to the bus: one message per row, or a dead letter instead of one that can't be written.
//!
//! The id is made of what identifies a row: table, window, key, kind, moment.

use std::fmt::Write as _;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::json::{self, Unwritable};
use super::letter::{Letter, UNWRITABLE};
use super::outputs::{ID, id};
use super::telemetry::{Replaced, record_replaced};
use crate::bus::{Outgoing, Subject};
use crate::history::Misfit;
use crate::pipeline::Pipeline;
use crate::step::{Emitted, RowId};
use crate::time::EventTime;

pub(super) const TABLE: &str = "Tidewheel-Table";
const KIND: &str = "Tidewheel-Kind";
pub(super) const KEY: &str = "Tidewheel-Key";
pub(super) const WINDOW: &str = "Tidewheel-Window";

/// Kind of a row that no longer holds.
const REMOVED: &str = "removed";

/// Keys that are longer than this are named by their digest in message ids.
const LONGEST_KEY: usize = 200;

/// The messages of a step's emissions, for the tables that are published, in their order.
pub(crate) fn messages(pipeline: &Pipeline, emissions: &[Emitted]) -> Vec<Outgoing> {
    let mut messages = Vec::new();
    if emissions.is_empty() {
        return messages;
    }
    let dead = pipeline.names.dead_letters();
    for emission in emissions {
        let Some(table) = pipeline.tables.get(emission.table.0) else { continue };
        let Some(subject) = &table.publish else { continue };
        let before = messages.len();
        of_table(table.plan.name(), (subject, &dead), emission, &mut messages);
        let letters = messages.iter().skip(before).filter(|message| message.subject == dead).count();
        record_replaced(&pipeline.name, Replaced::Table, letters);
    }
    messages
}

/// Dead letters about rows of an emission that the Delta table of its table can't hold.
pub(crate) fn unkept(pipeline: &Pipeline, emission: &Emitted, misfits: &[Misfit]) -> Vec<Outgoing> {
    let Some(table) = pipeline.tables.get(emission.table.0) else { return Vec::new() };
    let dead = pipeline.names.dead_letters();
    let name = table.plan.name();
    let keys = json::keys(&emission.keys, emission.windows.len());
    let letter = |misfit: &Misfit| {
        let row = row_message(name, &dead, emission, (misfit.row, keys.get(misfit.row)?, Bytes::new()))?;
        let detail = format!(
            "the row is not in the history of table `{name}`: column `{}` is {}; cast it, or leave it out where `history` is set",
            misfit.column, misfit.reason
        );
        let letter = Letter {
            id: format!("history-{}", id(&row)?),
            column: Some(misfit.column.clone()),
            bytes: json::readable_row(&emission.rows, misfit.row),
            ..Letter::instead_of(&row, UNWRITABLE, detail)
        };
        Some(letter.into_message(&dead))
    };
    misfits.iter().filter_map(letter).collect()
}

/// Rows go to the first subject, dead letters to the second.
fn of_table(table: &str, (subject, dead): (&Subject, &Subject), emission: &Emitted, messages: &mut Vec<Outgoing>) {
    let payloads = match emission.is_removal {
        true => vec![Ok(Bytes::new()); emission.windows.len()],
        false => json::objects(&emission.rows),
    };
    let keys = json::keys(&emission.keys, emission.windows.len());
    for (row, (payload, key)) in payloads.into_iter().zip(&keys).enumerate() {
        match payload {
            Ok(payload) => messages.extend(row_message(table, subject, emission, (row, key, payload))),
            Err(unwritable) => {
                let message = row_message(table, subject, emission, (row, key, Bytes::new()));
                let letter = message.map(|message| unwritten(&message, table, unwritable));
                let shown = || json::readable_row(&emission.rows, row);
                messages.extend(letter.map(|letter| Letter { bytes: shown(), ..letter }.into_message(dead)));
            }
        }
    }
}

/// A row by its place in the emission, with its key and payload.
fn row_message(
    table: &str,
    subject: &Subject,
    emission: &Emitted,
    (row, key, payload): (usize, &String, Bytes),
) -> Option<Outgoing> {
    let (start, end) = emission.windows.get(row)?;
    let kind = if emission.is_removal { REMOVED } else { emission.kind.as_str() };
    let id = format!("row-{table}-{kind}-{}-{start}-{end}-{}", emission.at.micros(), short(key, LONGEST_KEY));
    let message = Outgoing::new(subject.clone(), payload)
        .header(ID, id)
        .header(TABLE, table)
        .header(KIND, kind)
        .header(KEY, key)
        .header(WINDOW, format!("{}/{}", EventTime(*start), EventTime(*end)));
    Some(message)
}

/// Names a dead letter after the row of a table that is not there.
pub(super) fn name_row(message: Outgoing, table: &str, row: &RowId) -> Outgoing {
    let RowId { kind, at, keys, window: (start, end) } = row;
    let key = json::keys(keys, 1).pop().unwrap_or_else(|| "[]".to_owned());
    let key_in_id = short(&key, LONGEST_KEY);
    let id = format!("dead-row-{table}-{}-{}-{start}-{end}-{key_in_id}", kind.as_str(), at.micros());
    let window = format!("{}/{}", EventTime(*start), EventTime(*end));
    message.header(ID, id).header(KEY, key).header(WINDOW, window)
}

fn unwritten(message: &Outgoing, table: &str, Unwritable { column, reason }: Unwritable) -> Letter {
    let what = column.as_ref().map_or_else(String::new, |column| format!("column `{column}` is "));
    let detail =
        format!("the row of table `{table}` can't be written as JSON: {what}{reason}; cast it, or leave it out");
    Letter { column, ..Letter::instead_of(message, UNWRITABLE, detail) }
}

/// A text as a part of an id: the text itself, or its digest where it is longer.
pub(super) fn short(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(16).fold(String::from("sha256:"), |mut text, byte| {
        // Writing to a String cannot fail.
        let _written = write!(text, "{byte:02x}").is_ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

    use super::*;
    use crate::commit::outputs;
    use crate::pipeline::TableIndex;
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

    fn of(table: &str, emission: &Emitted) -> Vec<Outgoing> {
        let subjects = ["shop.spend", "shop.dead"].map(|subject| Subject::new(subject).unwrap());
        let mut messages = Vec::new();
        of_table(table, (&subjects[0], &subjects[1]), emission, &mut messages);
        messages
    }

    fn shown(emission: &Emitted) -> String {
        let mut text = String::new();
        for message in of("spend", emission) {
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

    /// The time was written as a text that began with "ERROR".
    #[test]
    fn a_row_that_cannot_be_written_becomes_a_dead_letter_and_its_neighbour_a_row() {
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0, i64::MAX]));
        let rows = RecordBatch::try_from_iter([("at", times)]).unwrap();
        let messages = of("spend", &Emitted { rows, ..emission(false) });
        let subjects: Vec<_> = messages.iter().map(|message| message.subject.as_str()).collect();
        assert_eq!(subjects, ["shop.spend", "shop.dead"]);
        let letter = &messages[1];
        let header =
            |name: &str| letter.headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str());
        assert_eq!((header("Tidewheel-Reason"), header(TABLE)), (Some("unwritable"), Some("spend")));
        assert_eq!(header("Tidewheel-Column"), Some("at"));
        assert_eq!(header(WINDOW), Some("1970-01-01T00:00:00Z/1970-01-01T00:01:00Z"));
        assert!(header(KEY).unwrap().starts_with("[null,\"longlong"));
        insta::assert_snapshot!(header("Tidewheel-Detail").unwrap(), @"the row of table `spend` can't be written as JSON: column `at` is 9223372036854775807, a Timestamp(µs): times can be of the years 1 to 9999; cast it, or leave it out");
        assert_eq!(&letter.payload[..], br#"{"at":9223372036854775807}"#);
        let row = outputs::id(&of("spend", &emission(false))[1]).unwrap().to_owned();
        assert_eq!(
            outputs::id(letter),
            Some(format!("instead-{row}").as_str()),
            "named after the row that it stands for"
        );
    }
}
