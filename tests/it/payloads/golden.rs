//! Every ready contract takes what was sent, value for value.

use std::fs;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_json::writer::{JsonArray, WriterBuilder};
use serde_json::{Number, Value};
use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};
use tidewheel::event::{Contract, ContractField, DecodeSettings, Decoder, TimeUnit};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ready;
use crate::taobao::root;

/// 2027: later than everything that was sent.
const PUBLISHED_MICROS: i64 = 1_800_000_000_000_000;

/// How a stream of a ready contract is read: the column of its time, and that of its id.
const STREAMS: [(&str, &str, Option<&str>); 7] = [
    ("segment-track", "timestamp", Some("id")),
    ("segment-page", "timestamp", Some("id")),
    ("snowplow", "derived_tstamp", Some("event_id")),
    ("ga4", "event_timestamp", None),
    ("posthog", "timestamp", Some("uuid")),
    ("cloudevents", "time", Some("id")),
    ("shopify-order", "created_at", Some("id")),
];

/// The events of the files of a contract, with the names of the files.
fn sent(contract: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("tests/golden/payloads")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with(&format!("{contract}.")) {
            let text = fs::read_to_string(&path).unwrap();
            found.push((name, text.lines().map(str::to_owned).collect()));
        }
    }
    found
}

/// Decodes messages, all of which must be taken.
fn decode(contract: &Arc<Contract>, time: &str, payloads: Vec<String>) -> RecordBatch {
    let settings = DecodeSettings { time_unit: TimeUnit::Microseconds, ..DecodeSettings::new(time) };
    let mut decoder = Decoder::new(Arc::clone(contract), &settings).unwrap();
    let message = |(index, payload): (usize, String)| Message {
        payload: payload.into(),
        sequence: StreamSequence(index as u64 + 1),
        published_micros: PUBLISHED_MICROS,
        encoding: Encoding::Json,
        subject: Subject::new("shop.events").unwrap(),
    };
    let messages: Vec<Message> = payloads.into_iter().enumerate().map(message).collect();
    let decoded = decoder.decode(&messages).unwrap();
    assert!(decoded.rejects.is_empty(), "{:#?}", decoded.rejects);
    decoded.batch
}

/// The rows as JSON, by the names of the columns.
fn rows(batch: &RecordBatch) -> Vec<Value> {
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut bytes);
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The value as it was sent; null where it was left out.
fn value<'e>(event: &'e Value, field: &ContractField) -> &'e Value {
    field.path().iter().try_fold(event, |object, name| object.get(name)).unwrap_or(&Value::Null)
}

fn micros(text: &str) -> Option<i128> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(|at| at.unix_timestamp_nanos() / 1_000)
}

fn same_number(found: &Number, sent: &Number) -> bool {
    match (found.as_i64(), sent.as_i64()) {
        (Some(found), Some(sent)) => found == sent,
        _ => found.as_f64() == sent.as_f64(),
    }
}

/// Whether a value came through; a time is written anew.
fn same(found: &Value, sent: &Value) -> bool {
    match (found, sent) {
        (Value::String(found), Value::String(sent)) => {
            found == sent || micros(found).is_some_and(|at| Some(at) == micros(sent).or_else(|| sent.parse().ok()))
        }
        (Value::String(found), Value::Number(sent)) => micros(found) == sent.as_i64().map(i128::from),
        (Value::Number(found), Value::Number(sent)) => same_number(found, sent),
        (Value::Number(found), Value::String(sent)) => sent.parse().is_ok_and(|sent| same_number(found, &sent)),
        _ => found == sent,
    }
}

#[test]
fn every_ready_contract_takes_what_was_sent_value_for_value() {
    for (name, time, id) in STREAMS {
        let contract = Arc::new(Contract::parse(&ready(name)).unwrap());
        assert!(id.is_none_or(|id| contract.field(id).is_some()), "{name} has no column for {id:?}");
        let files = sent(name);
        assert!(!files.is_empty(), "nothing was sent for {name}");
        let mut used = vec![false; contract.fields().len()];
        for (file, lines) in files {
            let rows = rows(&decode(&contract, time, lines.clone()));
            assert_eq!(rows.len(), lines.len(), "{file}");
            for (row, line) in rows.iter().zip(&lines) {
                let event: Value = serde_json::from_str(line).unwrap();
                for (field, used) in contract.fields().iter().zip(&mut used) {
                    let (found, sent) = (&row[field.name()], value(&event, field));
                    assert!(same(found, sent), "{file}: {}: {found} of {sent} in {line}", field.name());
                    *used |= !sent.is_null();
                }
            }
        }
        assert!(
            used.iter().filter(|used| **used).count() * 3 > used.len(),
            "{name}: most of its columns were never sent"
        );
    }
}

#[test]
fn a_batch_of_what_was_sent_is_the_same_as_its_events() {
    for (name, time, _) in STREAMS {
        let contract = Arc::new(Contract::parse(&ready(name)).unwrap());
        for (file, lines) in sent(name) {
            let together = vec![format!("[{}]", lines.join(","))];
            assert_eq!(decode(&contract, time, lines), decode(&contract, time, together), "{file}");
        }
    }
}
