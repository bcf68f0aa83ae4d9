//! The decoder against two passes: the same check, which appends nothing, and then `arrow-json` for the columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::Int64Type;
use arrow_json::ReaderBuilder;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::check::ObjectCheck;
use super::frame::{Frame, Frames};
use super::instant;
use super::number::one_zero;
use super::random_events::{CONTRACT, payloads};
use super::reject::{Reject, RejectReason};
use super::rule::UTC;
use super::surrogates::without_surrogate_pairs;
use super::testing::{Encoding, Message, PUBLISHED, message};
use super::{Contract, DecodeSettings, Decoder, Limits};
use crate::time::EventTime;

const LIMITS: Limits = Limits { max_event_bytes: 400, max_depth: 3 };

/// The accepted events, their messages, and the rejects.
type Outcome = (RecordBatch, Vec<u32>, Vec<Reject>);

fn two_passes(decoder: &Decoder, contract: &Arc<Contract>, messages: &[Message]) -> Outcome {
    let mut check = ObjectCheck::new(Arc::clone(contract), LIMITS, None);
    let builder = ReaderBuilder::new(Arc::clone(contract.schema())).with_batch_size(1_000);
    let mut tape = builder.build_decoder().expect("a tape");
    let mut rejects = Vec::new();
    let mut events = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let mut frames = Frames::new(&message.payload);
        while let Some(frame) = frames.next(&mut check, &mut []) {
            match frame {
                Frame::Event(range) => {
                    let event = message.payload.slice(range);
                    let text = with_usual_time(&without_halves(&without_surrogate_pairs(&event)));
                    assert_eq!(tape.decode(&text).expect("an event"), text.len());
                    events.push((index as u32, event));
                }
                Frame::Refused(range, flaw) => rejects.push(Reject {
                    message: index as u32,
                    reason: flaw.reason,
                    detail: flaw.detail,
                    bytes: message.payload.slice(range),
                }),
            }
        }
    }
    let Some(batch) = tape.flush().expect("columns") else {
        return (RecordBatch::new_empty(Arc::clone(decoder.schema())), Vec::new(), rejects);
    };
    let micros: Vec<_> =
        batch.column(0).as_primitive::<Int64Type>().values().iter().map(|time| time.saturating_mul(1_000)).collect();
    let (earliest, latest) = (946_684_800_000_000, PUBLISHED + 60_000_000);
    let believed: Vec<_> = micros.iter().map(|time| (earliest..=latest).contains(time)).collect();
    let mut origin = Vec::new();
    for ((message, event), (time, believed)) in events.into_iter().zip(micros.iter().zip(&believed)) {
        if *believed {
            origin.push(message);
            continue;
        }
        let [earliest, latest, time] = [earliest, latest, *time].map(EventTime);
        rejects.push(Reject {
            message,
            reason: RejectReason::TimeOutOfBounds,
            detail: format!("field \"ts\": expected a time from {earliest} to {latest}, got {time}"),
            bytes: event,
        });
    }
    rejects.sort_by_key(|reject| reject.message);
    let mut columns: Vec<ArrayRef> =
        batch.columns().iter().map(|column| one_zero(Arc::clone(column)).expect("a column")).collect();
    columns[0] = Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("+00:00"));
    let batch = RecordBatch::try_new(Arc::clone(decoder.schema()), columns).expect("a batch");
    let batch = filter_record_batch(&batch, &BooleanArray::from(believed)).expect("rows");
    (batch, origin, rejects)
}

/// The text without halves of surrogate pairs, which stand only in values that nobody reads: arrow-json reads them all.
fn without_halves(json: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(byte) = json.get(at) {
        let taken = match (byte, json.get(at + 1..at + 4)) {
            (b'\\', Some([b'u', b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F'])) => 6,
            (b'\\', _) => 2,
            _ => 1,
        };
        let end = (at + taken).min(json.len());
        out.extend_from_slice(if taken == 6 { b"\\ufffd" } else { &json[at..end] });
        at = end;
    }
    out
}

/// The event with its field `at` in the one form of times that the library reads, if it has another one.
fn with_usual_time(event: &[u8]) -> Vec<u8> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(event).expect("an object");
    let Some(at) = fields.get("at") else { return event.to_vec() };
    let Ok(text) = serde_json::from_str::<String>(at.get()) else { return event.to_vec() };
    let utc: Tz = UTC.parse().expect("a zone");
    if string_to_datetime(&utc, &text).is_ok() {
        return event.to_vec();
    }
    let micros = instant::micros(text.as_bytes(), None).expect("an instant");
    let start = at.get().as_ptr() as usize - event.as_ptr() as usize;
    let usual = format!("\"{}\"", EventTime(micros));
    [&event[..start], usual.as_bytes(), &event[start + at.get().len()..]].concat()
}

/// A column's values as bits: `0.0` and `-0.0` are equal and yet not the same.
fn bits(column: &ArrayRef) -> Vec<Option<u64>> {
    match column.as_primitive_opt::<arrow::datatypes::Float64Type>() {
        Some(numbers) => numbers.iter().map(|number| number.map(f64::to_bits)).collect(),
        None => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn one_pass_gives_what_two_passes_give(calls in prop::collection::vec(payloads(PUBLISHED / 1_000), 1..4)) {
        let contract = Arc::new(Contract::parse(CONTRACT).expect("a contract"));
        let settings = DecodeSettings { limits: LIMITS, ..DecodeSettings::new("ts") };
        let mut decoder = Decoder::new(Arc::clone(&contract), &settings).expect("a decoder");
        for payloads in calls {
            let messages: Vec<_> =
                payloads.into_iter().map(|payload| message(payload.into(), Encoding::Json)).collect();
            let (batch, origin, rejects) = two_passes(&decoder, &contract, &messages);
            let decoded = decoder.decode(&messages).expect("decoded");
            prop_assert_eq!(&decoded.rejects, &rejects);
            prop_assert_eq!(&decoded.origin, &origin);
            prop_assert_eq!(&decoded.batch, &batch);
            for (found, expected) in decoded.batch.columns().iter().zip(batch.columns()) {
                prop_assert_eq!(found.null_count(), expected.null_count());
                prop_assert_eq!(bits(found), bits(expected));
            }
        }
    }
}
