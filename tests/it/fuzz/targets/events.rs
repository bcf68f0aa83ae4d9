//! Events under four contracts: messages of JSON, between bytes of 0x1E, or one Arrow stream.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::ipc::writer::StreamWriter;
use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};
use tidewheel::event::{Contract, DecodeSettings, Decoded, Decoder, TimeUnit};

use super::shipped_text;
use crate::fuzz::engine::{Outcome, Target};
use crate::fuzz::pack::messages;

/// Every kind of rule that a contract can have.
pub const NASTY: &str = r#"{"type": "object", "additionalProperties": false, "properties": {
    "ts": {"type": "string", "format": "date-time"},
    "id": {"type": "integer", "minimum": -5, "exclusiveMaximum": 9007199254740993},
    "kind": {"type": ["string", "null"], "enum": ["a", "ä\u0000", "", null]},
    "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1.5},
    "on": {"type": ["boolean", "null"]},
    "name": {"type": "string", "minLength": 1, "maxLength": 3},
    "tags": {"type": "array", "items": {"type": ["string", "null"], "maxLength": 4}, "maxItems": 3},
    "times": {"type": "array", "items": {"type": "string", "format": "date-time"}},
    "flags": {"type": ["array", "null"], "items": {"type": "boolean"}, "minItems": 1},
    "\ud83d\ude00 \"quoted\"": {"type": "number"}
}, "required": ["ts", "id"]}"#;

/// Objects in objects and in strings, numbers in strings, references.
pub const NESTED: &str = r##"{"type": "object", "properties": {
    "ts": {"type": "string", "format": "date-time"},
    "user": {"type": "object", "required": ["id"], "properties": {
        "id": {"type": ["string", "null"]}, "age": {"type": "integer", "x-column": "years"},
        "balance": {"$ref": "#/definitions/money"}
    }},
    "paid": {"anyOf": [{"$ref": "#/definitions/money"}, {"type": "null"}]},
    "text": {"type": "string", "contentMediaType": "application/json", "contentSchema": {"type": "object", "properties": {
        "page": {"type": ["integer", "string"], "format": "int64"}}}},
    "cart": {"type": ["object", "null"], "additionalProperties": false, "properties": {
        "total": {"type": "number", "minimum": 0},
        "lines": {"type": "array", "items": {"type": "integer"}},
        "ship": {"type": "object", "properties": {"to": {"type": "string", "maxLength": 4}, "at": {"type": "object"}}}
    }}
}, "required": ["ts", "user"], "definitions": {"money": {"type": "string", "format": "decimal"}}}"##;

const PUBLISHED: i64 = 1_790_000_000_000_000;

pub const TARGET: Target = Target {
    name: "events",
    seconds: 2,
    dictionary: &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\u0000",
        "\\ud83d\\ude00",
        "\\ud800",
        "\n",
        "\u{1e}",
        "null",
        "true",
        "false",
        "-0",
        "1e308",
        "1e309",
        "\"ts\"",
        "\"id\"",
        "\"kind\"",
        "\"tags\"",
        "\"flags\"",
        "\"times\"",
        "\"name\"",
        "\"share\"",
        "\"user\":{",
        "\"cart\":{",
        "\"ship\":{",
        "\"total\"",
        "\"age\"",
        "2026-09-21T14:13:20Z",
        "2026-09-21T14:13:20.123456789+05:30",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:60Z",
        "1790000000000",
        "\"user_id\"",
        "\"price\"",
        "\u{feff}",
    ],
    inputs: || {
        let decoded = decoders().pop().unwrap().decode(&[message(MESSAGES[2].into())]).unwrap();
        assert_eq!(decoded.batch.num_rows(), 1, "{:?}", decoded.rejects);
        MESSAGES.iter().map(|text| text.as_bytes().to_vec()).chain([stream(&decoded.batch)]).collect()
    },
    reader: || {
        let mut decoders = decoders();
        Box::new(move |input| {
            let mut outcome = Outcome::Refused(String::new());
            for decoder in &mut decoders {
                let messages: Vec<Message> = match input.starts_with(&[0xff; 4]) {
                    true => vec![Message { encoding: Encoding::ArrowStream, ..message(input.to_vec().into()) }],
                    false => messages(input).into_iter().map(message).collect(),
                };
                let decoded = decoder.decode(&messages).unwrap();
                check(&messages, &decoded);
                check_one_by_one(decoder, &messages, &decoded);
                check_written(decoder, &decoded);
                outcome = match (decoded.batch.num_rows(), decoded.rejects.first(), outcome) {
                    (1.., _, _) | (_, _, Outcome::Accepted) => Outcome::Accepted,
                    (0, Some(reject), Outcome::Refused(before)) => Outcome::Refused(before + &reject.detail),
                    (0, None, outcome) => outcome,
                };
            }
            outcome
        })
    },
};

const MESSAGES: [&str; 4] = [
    "{\"event_id\":\"e1\",\"user_id\":7,\"item_id\":3,\"category_id\":1,\"kind\":\"view\",\"price\":9.5,\
     \"ts\":1790000000000,\"request_id\":null}\u{1e}[{\"event_id\":\"e2\",\"user_id\":8,\"item_id\":3,\"category_id\":1,\
     \"kind\":\"buy\",\"price\":0,\"ts\":1790000000001}]",
    "{\"user_id\":1,\"item_id\":2,\"category_id\":3,\"behavior\":\"pv\",\"ts\":1790000000}\n\
     {\"user_id\":1,\"item_id\":2,\"category_id\":3,\"behavior\":\"buy\",\"ts\":1790000000}\n",
    r#"{"ts":"2026-09-21T14:13:20.5+00:00","id":9007199254740992,"kind":"\u00e4\u0000","share":1e-3,"on":true,
        "name":"\ud83d\ude00","tags":["a",null],"times":[],"flags":[true,false],"😀 \"quoted\"":-0.0}"#,
    r#"{"ts":"2026-09-21T14:13:20Z","user":{"id":"a","age":7,"balance":"-1.5"},"paid":"3","text":"{\"page\":\"7\"}","cart":{"total":9.5,"lines":[1],"ship":{"to":"x"}}}
        {"ts":"2026-09-21T14:13:20Z","user":{"id":null},"cart":null}"#,
];

fn decoders() -> Vec<Decoder> {
    let shipped = ["schemas/click.json", "schemas/behavior.json"].map(shipped_text);
    let contracts = shipped.into_iter().chain([NESTED, NASTY].map(str::to_owned));
    let units = [TimeUnit::Milliseconds, TimeUnit::Seconds, TimeUnit::Microseconds, TimeUnit::Microseconds];
    let decoder = |(contract, time_unit): (String, TimeUnit)| {
        let settings = DecodeSettings { time_unit, ..DecodeSettings::new("ts") };
        Decoder::new(Arc::new(Contract::parse(&contract).unwrap()), &settings).unwrap()
    };
    contracts.zip(units).map(decoder).collect()
}

fn message(payload: bytes::Bytes) -> Message {
    Message {
        payload,
        sequence: StreamSequence(1),
        published_micros: PUBLISHED,
        encoding: Encoding::Json,
        subject: Subject::new("shop.clicks").unwrap(),
    }
}

/// Each event is a row or a reject, once, and says which message it came with.
fn check(messages: &[Message], decoded: &Decoded) {
    let rows = decoded.batch.num_rows();
    assert_eq!(decoded.origin.len(), rows);
    assert!(decoded.origin.is_sorted() && decoded.rejects.is_sorted_by_key(|reject| reject.message));
    let last = decoded.origin.last().copied().max(decoded.rejects.last().map(|reject| reject.message));
    assert!(last.is_none_or(|last| (last as usize) < messages.len()));
    for reject in &decoded.rejects {
        let message = &messages[reject.message as usize];
        assert!(message.encoding == Encoding::ArrowStream || message.payload.len() >= reject.bytes.len());
        assert!(!reject.detail.is_empty());
    }
    if messages.iter().all(|message| message.encoding == Encoding::Json) {
        let bytes: usize = messages.iter().map(|message| message.payload.len()).sum();
        let refused: usize = decoded.rejects.iter().map(|reject| reject.bytes.len()).sum();
        assert!(refused <= bytes, "no byte is refused twice");
    }
}

/// The messages around one have no influence on it.
fn check_one_by_one(decoder: &mut Decoder, messages: &[Message], together: &Decoded) {
    if messages.len() < 2 {
        return;
    }
    let alone: Vec<Decoded> =
        messages.iter().map(|message| decoder.decode(std::slice::from_ref(message)).unwrap()).collect();
    let batches: Vec<&RecordBatch> = alone.iter().map(|decoded| &decoded.batch).collect();
    assert_eq!(concat_batches(decoder.schema(), batches).unwrap(), together.batch);
    let details = |decoded: &Decoded| {
        decoded.rejects.iter().map(|reject| (reject.reason, reject.bytes.clone())).collect::<Vec<_>>()
    };
    assert_eq!(alone.iter().flat_map(details).collect::<Vec<_>>(), details(together));
}

/// Where the contract's columns are the batch's, what was read reads back equal as an Arrow stream.
fn check_written(decoder: &mut Decoder, decoded: &Decoded) {
    let is_same_type = decoder.schema().fields()[0].name() == "ts" && decoder.schema().fields().len() > 5;
    if is_same_type && decoded.batch.num_rows() > 0 {
        let written = Message { encoding: Encoding::ArrowStream, ..message(stream(&decoded.batch).into()) };
        let again = decoder.decode(&[written]).unwrap();
        assert!(again.rejects.is_empty(), "{:?}", again.rejects);
        // Equal bit by bit: -0.0 and 0.0 are not the same.
        assert_eq!(stream(&again.batch), stream(&decoded.batch));
    }
}

fn stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}
