//! Nested contracts against models: a naive validator, arrow-json's structs, and the decoder of flat contracts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type, Schema};
use arrow_json::ReaderBuilder;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::random_events::{CONTRACT, payloads};
use super::schema_model::{Model, events};
use super::testing::{Encoding, PUBLISHED, arrow, json as message_of, message};
use super::{Contract, DecodeSettings, Decoder, Limits};

pub(super) const NOW: i64 = PUBLISHED / 1_000;

const NESTED: &str = r#"{"type": "object", "properties": {
    "ts": {"type": "integer"},
    "user": {"type": "object", "required": ["id"], "properties": {
        "id": {"type": "string"},
        "age": {"type": ["integer", "null"], "minimum": 0},
        "traits": {"type": "object"}
    }},
    "kind": {"type": "string", "enum": ["view", "buy"]},
    "cart": {"type": ["object", "null"], "additionalProperties": false, "properties": {
        "total": {"type": "number"},
        "lines": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
        "ship": {"type": "object", "required": ["to"], "properties": {
            "to": {"type": "string"},
            "by": {"type": ["string", "null"], "x-column": "carrier"},
            "fast": {"type": "boolean"}
        }}
    }}
}, "required": ["ts", "user"]}"#;

/// References, unions with null, numbers in strings, and objects in strings, one of them in another.
const WORDS: &str = r##"{"$ref": "#/definitions/event", "definitions": {
    "event": {"type": "object", "properties": {
        "ts": {"type": "integer"},
        "billing": {"$ref": "#/definitions/address"},
        "shipping": {"anyOf": [{"$ref": "#/definitions/address"}, {"type": "null"}]},
        "total": {"$ref": "#/definitions/money"},
        "tax": {"type": ["string", "number", "null"], "format": "decimal", "x-column": "tax"},
        "count": {"type": "string", "format": "int64", "nullable": true},
        "kind": {"enum": ["view", "buy", null]},
        "version": {"const": 3},
        "share": {"oneOf": [{"type": "null"}, {"type": "number", "minimum": 0.5}]},
        "payload": {"type": ["string", "null"], "contentMediaType": "application/json", "contentSchema": {
            "type": "object", "required": ["id"], "properties": {
                "id": {"type": "string"},
                "to": {"$ref": "#/definitions/address"},
                "more": {"type": "string", "contentMediaType": "application/json",
                    "contentSchema": {"$ref": "#/definitions/more"}},
                "note": {"type": "string"}
            }}}
    }, "required": ["ts", "total"]},
    "address": {"type": "object", "additionalProperties": false, "required": ["zip"], "properties": {
        "zip": {"type": "string"}, "floor": {"allOf": [{"$ref": "#/definitions/floor"}]}}},
    "floor": {"type": ["integer", "null"]},
    "money": {"type": "string", "format": "decimal"},
    "more": {"type": "object", "properties": {"size": {"type": "integer"}}}
}}"##;

pub(super) fn decoder(contract: &str, limits: Limits) -> Decoder {
    let contract = Arc::new(Contract::parse(contract).unwrap_or_else(|problems| panic!("{problems:?}")));
    Decoder::new(contract, &DecodeSettings { limits, ..DecodeSettings::new("ts") }).expect("a decoder")
}

/// A cell as JSON.
fn cell(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => json!(column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => json!(column.as_boolean().value(row)),
        DataType::Utf8 => json!(column.as_string::<i32>().value(row)),
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            (0..items.len()).map(|item| cell(&items, item)).collect()
        }
        other => panic!("{other}"),
    }
}

/// Whether a cell is what an event has there, however its numbers are written.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::String(text)) => one.as_f64() == text.parse().ok(),
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        _ => one == other,
    }
}

/// The type in Arrow of what a schema describes, with objects as structs.
fn arrow_type(schema: &Value) -> DataType {
    let name = match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        name => name.as_str(),
    };
    match name.expect("a type") {
        "integer" => DataType::Int64,
        "number" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "string" => DataType::Utf8,
        "array" => DataType::List(Arc::new(Field::new_list_field(arrow_type(&schema["items"]), true))),
        "object" => DataType::Struct(arrow_fields(schema)),
        other => panic!("{other}"),
    }
}

fn arrow_fields(schema: &Value) -> Fields {
    let properties = schema["properties"].as_object().into_iter().flatten();
    // arrow-json has no structs without fields.
    let kept = properties.filter(|(_, of)| of["type"] != json!("object") || of.get("properties").is_some());
    kept.map(|(name, of)| Field::new(name, arrow_type(of), true)).collect()
}

/// Decodes events, a message each, compares what is accepted and each of its values with the validator's, and returns which
/// messages are accepted.
pub(super) fn agrees_with_the_validator(contract: &str, lines: &[String]) -> Result<Vec<usize>, TestCaseError> {
    let schema: Value = serde_json::from_str(contract).expect("a schema");
    let columns = Contract::parse(contract).expect("a contract");
    let messages: Vec<_> = lines.iter().map(|line| message_of(line)).collect();
    let decoded = decoder(contract, Limits::default()).decode(&messages).expect("decoded");
    let values: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let valid: Vec<usize> = (0..lines.len()).filter(|at| Model::of(&schema).accepts(&values[*at])).collect();
    let origin: Vec<usize> = decoded.origin.iter().map(|message| *message as usize).collect();
    prop_assert_eq!(&origin, &valid, "{:#?}", decoded.rejects);
    prop_assert_eq!(decoded.rejects.len() + valid.len(), lines.len());
    for (row, message) in valid.iter().enumerate() {
        for (field, column) in columns.fields().iter().zip(decoded.batch.columns()).skip(1) {
            let event = &values[*message];
            let is_declared = Model::of(&schema).declares(field.path(), event);
            let expected = field.value_in(event).filter(|_| is_declared).unwrap_or_default();
            let found = cell(column, row);
            prop_assert!(is_same(&found, &expected), "{}: {found} for {expected}", field.name());
        }
    }
    let again = decoder(contract, Limits::default()).decode(&[arrow(&decoded.batch)]).expect("decoded");
    prop_assert_eq!(&again.rejects, &[]);
    prop_assert_eq!(&again.batch, &decoded.batch);
    Ok(valid)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]
    #[test]
    fn nested_events_are_those_of_a_naive_validator_and_of_structs(lines in events(NESTED, NOW)) {
        let schema: Value = serde_json::from_str(NESTED).expect("a schema");
        let valid = agrees_with_the_validator(NESTED, &lines)?;
        let mut decoder = decoder(NESTED, Limits::default());
        let decoded = decoder.decode(&lines.iter().map(|line| message_of(line)).collect::<Vec<_>>()).expect("decoded");
        if valid.is_empty() {
            return Ok(());
        }
        let fields = arrow_fields(&schema);
        let mut structs = ReaderBuilder::new(Arc::new(Schema::new(fields))).build_decoder().expect("a decoder");
        for at in &valid {
            structs.decode(lines[*at].as_bytes()).expect("an event");
        }
        let batch: RecordBatch = structs.flush().expect("structs").expect("rows");
        for again in [
            decoder.decode(&[arrow(&batch)]).expect("decoded"),
            decoder.decode_rows(&batch, &vec![0; batch.num_rows()], &[PUBLISHED]).expect("decoded"),
        ] {
            prop_assert_eq!(&again.rejects, &[]);
            prop_assert_eq!(&again.batch, &decoded.batch);
        }
    }

    #[test]
    fn schemas_in_all_their_words_are_those_of_a_naive_validator(lines in events(WORDS, NOW)) {
        agrees_with_the_validator(WORDS, &lines)?;
    }

    #[test]
    fn a_flat_event_is_read_alike_by_both_ways(payloads in payloads(NOW)) {
        // One column of another name is enough for the other way.
        let renamed = CONTRACT.replacen("{\"type\": [\"number\", \"null\"]", "{\"x-column\": \"cost\", \"type\": [\"number\", \"null\"]", 1);
        prop_assert_ne!(&renamed, CONTRACT);
        let limits = Limits { max_event_bytes: 400, max_depth: 3 };
        let messages: Vec<_> = payloads.into_iter().map(|payload| message(payload.into(), Encoding::Json)).collect();
        let flat = decoder(CONTRACT, limits).decode(&messages).expect("decoded");
        let nested = decoder(&renamed, limits).decode(&messages).expect("decoded");
        prop_assert_eq!(nested.rejects, flat.rejects);
        prop_assert_eq!(nested.origin, flat.origin);
        prop_assert_eq!(nested.batch.columns(), flat.batch.columns());
        prop_assert!(nested.batch.column_by_name("cost").is_some());
    }
}

/// Why an event is refused.
pub(super) fn refused(contract: &str, event: &str) -> String {
    let decoded = decoder(contract, Limits::default()).decode(&[message_of(event)]).expect("decoded");
    assert_eq!(decoded.batch.num_rows(), 0, "{event}");
    format!("{}: {}", decoded.rejects[0].reason, decoded.rejects[0].detail)
}

#[test]
fn a_fault_names_the_way_to_its_value() {
    let of = |rest: &str| refused(NESTED, &format!(r#"{{"ts":{NOW},{rest}}}"#));
    let found = [
        of(r#""user":7"#),
        of(r#""user":null"#),
        of(r#""user":{"age":3}"#),
        of(r#""user":{"id":"a","id":"b"}"#),
        of(r#""user":{"id":"a","age":-1}"#),
        of(r#""user":{"id":"a"},"cart":[1]"#),
        of(r#""user":{"id":"a"},"cart":{"ship":{}}"#),
        of(r#""user":{"id":"a"},"cart":{"ship":{"to":"x","by":7}}"#),
        of(r#""user":{"id":"a"},"cart":{"lines":[1,true]}"#),
        of(r#""user":{"id":"a"},"cart":{"n\u006fte":1}"#),
        of(r#""user":{"id":"a"},"user":{"id":"a"}"#),
        of(r#""user":{"id":"a""#),
    ];
    insta::assert_snapshot!(found.join("\n"), @r#"
    wrong_type: field "user": expected an object, got 7
    wrong_type: field "user": expected an object, got null
    missing_field: field "user.id" is required and missing
    duplicate_field: field "user.id" appears twice
    constraint: field "user.age": expected an integer of at least 0 or null, got -1
    wrong_type: field "cart": expected an object or null, got [1]
    missing_field: field "cart.ship.to" is required and missing
    wrong_type: field "cart.ship.by": expected a string or null, got 7
    wrong_type: field "cart.lines" item 1: expected an integer, got true
    unknown_field: field "cart.note" is not in the contract
    duplicate_field: field "user" appears twice
    invalid_json: expected `,` or `}` at byte 37, found the end
    "#);
}

#[test]
fn what_a_string_should_hold_is_named() {
    let of = |rest: &str| refused(WORDS, &format!(r#"{{"ts":{NOW},"total":"1"{rest}}}"#));
    let found = [
        of(r#","tax":"1.2.3""#),
        of(r#","tax":true"#),
        of(r#","tax":"1e999""#),
        of(r#","count":"1.5""#),
        of(r#","count":3"#),
        of(r#","payload":{"id":"a"}"#),
        of(r#","payload":"{\"id\":""#),
        of(r#","payload":"[1]""#),
        of(r#","payload":"{\"id\":\"a\"} x""#),
        of(r#","payload":"{\"id\":7}""#),
        of(r#","payload":"{\"id\":\"a\",\"more\":\"{\\\"size\\\":true}\"}""#),
    ];
    insta::assert_snapshot!(found.join("\n"), @r#"
    wrong_type: field "tax": expected a number or a string that holds a number or null, got "1.2.3"
    wrong_type: field "tax": expected a number or a string that holds a number or null, got true
    not_finite: field "tax": expected a number or a string that holds a number or null, got "1e999"
    wrong_type: field "count": expected a string that holds an integer or null, got "1.5"
    wrong_type: field "count": expected a string that holds an integer or null, got 3
    wrong_type: field "payload": expected a string that holds a JSON object or null, got {"id":"a"}
    wrong_type: field "payload": no JSON object in the string: expected a value at byte 6, found the end
    wrong_type: field "payload": no JSON object in the string: expected an object at byte 0, found `[`
    wrong_type: field "payload": no JSON object in the string: expected the end of the object at byte 11, found `x`
    wrong_type: field "payload.id": expected a string, got 7
    wrong_type: field "payload.more.size": expected an integer, got true
    "#);
}

/// Objects in each other, the event's own the first; the innermost has `x`.
fn contract_of(levels: usize) -> String {
    let mut object = r#"{"type": "object", "properties": {"x": {"type": "integer"}}}"#.to_owned();
    for _ in 2..levels {
        object = format!(r#"{{"type": "object", "properties": {{"o": {object}}}}}"#);
    }
    format!(r#"{{"type": "object", "properties": {{"ts": {{"type": "integer"}}, "o": {object}}}, "required": ["ts"]}}"#)
}

fn event_of(levels: usize) -> String {
    let (open, close) = (r#"{"o":"#.repeat(levels - 2), "}".repeat(levels - 2));
    format!(r#"{{"ts":{NOW},"o":{open}{{"x":1}}{close}}}"#)
}

#[test]
fn sixteen_levels_of_objects_are_columns_and_one_more_is_refused() {
    let mut deepest = decoder(&contract_of(16), Limits::default());
    let decoded = deepest.decode(&[message_of(&event_of(16))]).expect("decoded");
    assert_eq!(decoded.rejects, []);
    assert_eq!(decoded.batch.schema().field(1).name(), &format!("{}x", "o.".repeat(15)));
    assert_eq!(cell(decoded.batch.column(1), 0), json!(1));
    let problems = Contract::parse(&contract_of(17)).expect_err("too deep");
    assert!(problems[0].message.ends_with("objects nest deeper than 16 levels"), "{}", problems[0]);
}

#[test]
fn an_event_nests_as_deep_as_its_stream_allows() {
    let limits = |max_depth| Limits { max_depth, ..Limits::default() };
    for (max_depth, rejects) in [(3, 0), (2, 1)] {
        let decoded = decoder(&contract_of(3), limits(max_depth)).decode(&[message_of(&event_of(3))]).expect("decoded");
        assert_eq!(decoded.rejects.len(), rejects);
    }
    let lists = r#"{"type": "object", "properties": {"ts": {"type": "integer"}, "o": {"type": "object",
        "properties": {"l": {"type": "array", "items": {"type": "integer"}}}}}, "required": ["ts"]}"#;
    for (max_depth, rejects) in [(3, 0), (2, 1)] {
        let event = format!(r#"{{"ts":{NOW},"o":{{"l":[1]}}}}"#);
        let decoded = decoder(lists, limits(max_depth)).decode(&[message_of(&event)]).expect("decoded");
        assert_eq!(decoded.rejects.len(), rejects);
    }
}
