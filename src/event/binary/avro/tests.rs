//! Against what `fastavro` 1.13 writes and says.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;

use super::canonical::{canonical, fingerprint};
use super::*;
use crate::event::testing::{Encoding, json, message};
use crate::event::{DecodeSettings, Decoded, Decoder, Limits, TimeZone};

const SCHEMA: &str = r#"{"type": "record", "name": "Click", "namespace": "shop", "doc": "a click", "fields": [
    {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "user", "type": "string", "default": ""},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["view", "buy"]}},
    {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]},
    {"name": "count", "type": ["null", "int"]},
    {"name": "tags", "type": {"type": "array", "items": ["null", "string"]}},
    {"name": "props", "type": {"type": "map", "values": "double"}},
    {"name": "device", "type": ["null", {"type": "record", "name": "Device", "fields": [
        {"name": "os", "type": "string"}, {"name": "width", "type": ["null", "int"]}]}]},
    {"name": "id", "type": {"type": "fixed", "name": "Id", "size": 16, "logicalType": "uuid"}},
    {"name": "gift", "type": "boolean"},
    {"name": "weight", "type": "float"},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "made", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
    {"name": "last", "type": ["null", "Kind"]}]}"#;

/// All fields with values: `fastavro.schemaless_writer`.
const FULL: &str = "80c9d8c4baeba4060c61220ae697a5020204fb2e020e0602027800020000040261000000000000f83f0262000000000000d0bf\
                    000206696f7300000102030405060708090a0b0c0d0e0f01cdcccc3d88c0028af8e4be82670200";

/// The others null, empty or zero.
const EMPTY: &str = "0100000000000000ffffffffffffffffffffffffffffffff0000000080010000";

const CONTRACT: &str = r#"{"type": "object", "properties": {
    "ts": {"type": "string", "format": "date-time"},
    "user": {"type": "string"},
    "kind": {"type": "string", "enum": ["view", "buy"]},
    "price": {"type": ["number", "null"]},
    "count": {"type": "integer"},
    "tags": {"type": "array", "items": {"type": ["string", "null"]}},
    "props": {"type": "object"},
    "device": {"type": "object", "required": ["os"], "properties": {
        "os": {"type": "string"}, "width": {"type": ["integer", "null"]}}},
    "id": {"type": "string"},
    "gift": {"type": "boolean"},
    "weight": {"type": "number"},
    "day": {"type": "string", "format": "date-time"},
    "made": {"type": "string", "format": "date-time"},
    "last": {"type": "string"}
}, "required": ["ts", "user", "price"]}"#;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.bytes().filter_map(|digit| (digit as char).to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn schema() -> AvroSchema {
    AvroSchema::parse(SCHEMA).expect("a schema")
}

fn reader(framing: &AvroFraming, contract: &str, has_zone: bool) -> Result<AvroReader, String> {
    AvroReader::new(framing, &Contract::parse(contract).expect("a contract"), has_zone)
}

fn written(contract: &str, has_zone: bool, message: &[u8]) -> Result<String, String> {
    let mut out = Vec::new();
    let reader = reader(&AvroFraming::Record(schema()), contract, has_zone).expect("a reader");
    reader.write(message, &mut out).map_err(|flaw| format!("{}: {}", flaw.reason, flaw.detail))?;
    Ok(String::from_utf8(out).expect("text"))
}

#[test]
fn a_record_becomes_the_object_that_it_would_be() {
    insta::assert_snapshot!(written(CONTRACT, false, &bytes(FULL)).expect("an object"), @r#"{"ts":"2026-01-31T12:00:00.123456Z","user":"a\"\u000a日","kind":"buy","price":-12.34,"count":7,"tags":["x",null,""],"props":{"a":1.5,"b":-0.25},"device":{"os":"ios","width":null},"id":"00010203-0405-0607-0809-0a0b0c0d0e0f","gift":true,"weight":0.10000000149011612,"day":"2026-01-31T00:00:00.000000Z","made":"2026-01-31T12:00:00.005000Z","last":"view"}"#);
    insta::assert_snapshot!(written(CONTRACT, true, &bytes(EMPTY)).expect("an object"), @r#"{"ts":"1969-12-31T23:59:59.999999Z","user":"","kind":"view","price":null,"tags":[],"props":{},"id":"ffffffff-ffff-ffff-ffff-ffffffffffff","gift":false,"weight":-0.0,"day":"1969-12-31T00:00:00.000000","made":"1970-01-01T00:00:00.000000"}"#);
    let numbers = r#"{"type": "object", "properties": {"made": {"type": "integer"}, "price": {"type": "string"}, "ts": {"type": "integer"},
        "day": {"type": "number"}}, "required": ["ts"]}"#;
    let found = written(numbers, false, &bytes(FULL)).expect("an object");
    assert_eq!(found, r#"{"ts":1769860800123456,"price":"-12.34","day":20484,"made":1769860800005}"#);
}

/// `fastavro.schema.fingerprint`, whose bytes stand in the order of the message.
#[test]
fn fingerprints_are_those_of_the_canonical_form() {
    for (schema, expected) in
        [("\"int\"", "8f5c393f1ad57572"), ("\"string\"", "c70345637248018f"), ("\"null\"", "8a8f25cce724dd63")]
    {
        assert_eq!(fingerprint(schema).to_le_bytes().as_slice(), bytes(expected), "{schema}");
    }
    let document = serde_json::from_str(SCHEMA).expect("JSON");
    insta::assert_snapshot!(canonical(&document, ""), @r#"{"name":"shop.Click","type":"record","fields":[{"name":"ts","type":"long"},{"name":"user","type":"string"},{"name":"kind","type":{"name":"shop.Kind","type":"enum","symbols":["view","buy"]}},{"name":"price","type":["null","bytes"]},{"name":"count","type":["null","int"]},{"name":"tags","type":{"type":"array","items":["null","string"]}},{"name":"props","type":{"type":"map","values":"double"}},{"name":"device","type":["null",{"name":"shop.Device","type":"record","fields":[{"name":"os","type":"string"},{"name":"width","type":["null","int"]}]}]},{"name":"id","type":{"name":"shop.Id","type":"fixed","size":16}},{"name":"gift","type":"boolean"},{"name":"weight","type":"float"},{"name":"day","type":"int"},{"name":"made","type":"long"},{"name":"last","type":["null","shop.Kind"]}]}"#);
    assert_eq!(schema().0.fingerprint.to_le_bytes().as_slice(), bytes("e463f684e63af981"));
}

fn decoded(framing: AvroFraming, messages: &[Vec<u8>]) -> Decoded {
    let contract = Arc::new(Contract::parse(CONTRACT).expect("a contract"));
    let limits = Limits { max_event_bytes: 600, ..Limits::default() };
    let settings = DecodeSettings { avro: Some(framing), earliest_micros: -2, limits, ..DecodeSettings::new("ts") };
    let mut decoder = Decoder::new(contract, &settings).expect("a decoder");
    let messages: Vec<_> = messages.iter().map(|payload| message(payload.clone().into(), Encoding::OfStream)).collect();
    decoder.decode(&messages).expect("decoded")
}

/// An event of the broker's time at most, which the first is ahead of.
fn full() -> Vec<u8> {
    let mut full = bytes(FULL);
    let ts = bytes("80f787e188d2a306");
    full.splice(..8, ts);
    full
}

#[test]
fn records_become_the_columns_that_json_would() {
    let mut broken = full();
    broken.truncate(30);
    let decoded = decoded(AvroFraming::Record(schema()), &[full(), broken.clone(), bytes(EMPTY), vec![]]);
    let reasons: Vec<_> = decoded.rejects.iter().map(|reject| (reject.message, reject.bytes.to_vec())).collect();
    assert_eq!(reasons, [(1, broken), (3, vec![])]);
    insta::assert_snapshot!(decoded.rejects[0].detail, @r#"field "props": expected 1 more bytes, got 0"#);
    assert_eq!(decoded.origin, [0, 2]);
    let column = |name: &str| decoded.batch.column_by_name(name).expect("a column");
    assert_eq!(column("price").as_primitive::<Float64Type>().iter().collect::<Vec<_>>(), [Some(-12.34), None]);
    assert_eq!(column("count").as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(7), None]);
    assert_eq!(column("device.os").as_string::<i32>().iter().collect::<Vec<_>>(), [Some("ios"), None]);
    assert_eq!(column("ts").as_primitive::<TimestampMicrosecondType>().value(1), -1);
    assert_eq!(column("tags").as_list::<i32>().value(0).len(), 3);
}

#[test]
fn a_message_says_of_which_schema_it_is() {
    let single = [&bytes("c301e463f684e63af981")[..], &full()].concat();
    let confluent = [&bytes("0000000007")[..], &full()].concat();
    let unknown = [bytes("c3010000000000000000"), full(), single[..9].to_vec()];
    let found = decoded(AvroFraming::SingleObject(vec![schema()]), &[vec![single], unknown.to_vec()].concat());
    assert_eq!(found.batch.num_rows(), 1);
    let details: Vec<_> = found.rejects.iter().map(|reject| format!("{}: {}", reject.reason, reject.detail)).collect();
    insta::assert_snapshot!(details.join("\n"), @"
    invalid_avro: fingerprint 0000000000000000 is that of no schema in `avro`
    invalid_avro: expected c3 01 and a fingerprint, as in single-object encoding, got [80, f7, 87, e1, 88]
    invalid_avro: expected c3 01 and a fingerprint, as in single-object encoding, got [c3, 01, e4, 63, f6]
    ");
    let unknown = [bytes("0000000008"), bytes("00"), full()];
    let found = decoded(AvroFraming::Confluent(vec![(7, schema())]), &[vec![confluent], unknown.to_vec()].concat());
    assert_eq!(found.batch.num_rows(), 1);
    let details: Vec<_> = found.rejects.iter().map(|reject| reject.detail.as_str()).collect();
    insta::assert_snapshot!(details.join("\n"), @"
    schema 8 is not in `avro`: add its file
    expected a zero byte and four of a schema's number, got [00]
    expected a zero byte and four of a schema's number, got [80, f7, 87, e1, 88]
    ");
}

#[test]
fn json_and_arrow_are_still_read_where_the_message_says_so() {
    let contract = Arc::new(Contract::parse(CONTRACT).expect("a contract"));
    let settings = DecodeSettings { avro: Some(AvroFraming::Record(schema())), ..DecodeSettings::new("ts") };
    let mut decoder = Decoder::new(contract, &settings).expect("a decoder");
    let event = json(r#"{"ts": "2025-12-31T12:00:00Z", "user": "u", "price": null}"#);
    assert_eq!(decoder.decode(&[event]).expect("decoded").batch.num_rows(), 1);
}

#[test]
fn a_schema_and_a_contract_that_disagree_say_on_what() {
    let of = |properties: &str, rest: &str| {
        let contract = format!(r#"{{"type": "object", "properties": {{{properties}}}{rest}}}"#);
        reader(&AvroFraming::Record(schema()), &contract, false).err().unwrap_or_default()
    };
    let found = [
        of(r#""ts": {"type": "boolean"}"#, ""),
        of(r#""count": {"type": "string"}"#, ""),
        of(r#""tags": {"type": "array", "items": {"type": "integer"}}"#, ""),
        of(r#""device": {"type": "object", "properties": {"os": {"type": "number"}}}"#, ""),
        of(r#""user": {"type": "object", "properties": {"id": {"type": "string"}}}"#, ""),
        of(r#""usr": {"type": "string"}"#, r#", "required": ["usr"]"#),
        of(r#""ts": {"type": "integer"}"#, r#", "additionalProperties": false"#),
        of(r#""usr": {"type": "string"}, "kind": {"type": "string"}"#, ""),
    ];
    insta::assert_snapshot!(found.join("\n"), @r#"
    field "ts" is of another type in the schema than the contract's boolean
    field "count" is of another type in the schema than the contract's string
    field "tags" is of another type in the schema than the contract's array of integer
    field "device.os" is of another type in the schema than the contract's number
    field "user": the contract has an object, and the schema no record
    the contract requires "usr", which the schema has no field for
    field "user" is not in the contract, which allows no others
    "#);
}

#[test]
fn a_file_that_is_no_schema_says_why() {
    let of = |text: &str| AvroSchema::parse(text).err().unwrap_or_default();
    let found = [
        of("{"),
        of("\"string\""),
        of("7"),
        of(r#"{"type": "record", "name": "A"}"#),
        of(r#"{"type": "record", "name": "A", "fields": [{"name": "a", "type": "strin"}]}"#),
        of(
            r#"{"type": "record", "name": "A", "fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]}"#,
        ),
        of(r#"{"type": "record", "name": "A", "fields": [{"name": "a", "type": {"type": "array"}}]}"#),
        of(r#"{"name": "A"}"#),
    ];
    insta::assert_snapshot!(found.join("\n"), @r#"
    not JSON: EOF while parsing an object at line 1 column 1
    an event is a record, or one of a union of records
    7 is no schema
    "fields" is missing in type "A"
    field "a": type "strin" is not defined before it is used
    field "a" is in type "A" twice
    field "a": "items" is missing in a type "array"
    "type" is missing in {"name":"A"}
    "#);
}

/// A record that holds itself, and lists of nothing.
const NASTY: &str = r#"{"type": "record", "name": "N", "fields": [
    {"name": "next", "type": ["null", "N"]}, {"name": "nothing", "type": {"type": "array", "items": "null"}}]}"#;

fn nasty(wanted: &str, message: &[u8]) -> Result<usize, String> {
    let framing = AvroFraming::Record(AvroSchema::parse(NASTY).expect("a schema"));
    let contract = format!(r#"{{"type": "object", "properties": {{{wanted}}}}}"#);
    let mut out = Vec::new();
    let read = reader(&framing, &contract, false).expect("a reader").write(message, &mut out);
    read.map(|()| out.len()).map_err(|flaw| format!("{}: {}", flaw.reason, flaw.detail))
}

#[test]
fn limits_hold_at_their_edge_for_what_is_wanted_and_what_is_not() {
    // So many blocks of 128 items of nothing each, then some more of it, and the end of the list.
    let items = |blocks: usize, more: &[u8]| [&[0x80, 2].repeat(blocks), more, &[0]].concat();
    let next = r#""next": {"type": "object"}, "other": {"type": "string"}"#;
    let passed = |list: Vec<u8>| nasty(next, &[vec![0], list].concat());
    let written = |list: Vec<u8>| nasty(next, &[vec![2, 0], list, vec![0]].concat());
    assert!(passed(items(512, &[])).is_ok() && written(items(512, &[])).is_ok());
    let too_many = [passed(items(512, &[2])), written(items(512, &[2]))].map(|refused| refused.expect_err("too many"));
    insta::assert_snapshot!(too_many.join("\n"), @r#"
    too_large: field "nothing": expected at most 65536 items without a byte, got more
    too_large: field "next": expected at most 65536 items without a byte, got more
    "#);
    // Each record in a union takes two levels, and the null in the innermost one another.
    let nested = |records: usize| [vec![2; records - 1], vec![0], vec![0; records]].concat();
    for wanted in [next, r#""other": {"type": "string"}"#] {
        assert_eq!(nasty(wanted, &nested(31)).map(|bytes| bytes > 0), Ok(true));
        assert_eq!(
            nasty(wanted, &nested(32)).expect_err("too deep"),
            "too_deep: field \"next\": expected at most 64 levels of types, got more"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_break_it(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        cut in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut message = full();
        for (index, byte) in changes {
            let at = index.index(message.len());
            message[at] = byte;
        }
        let cut = message[..cut.index(message.len() + 1)].to_vec();
        let messages = [message, cut, noise];
        let zone = TimeZone::named("Europe/Berlin").is_some();
        for message in &messages {
            if let Ok(text) = written(CONTRACT, zone, message) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
            }
        }
        let together = decoded(AvroFraming::Record(schema()), &messages);
        prop_assert_eq!(together.batch.num_rows() + together.rejects.len(), 3);
    }
}
