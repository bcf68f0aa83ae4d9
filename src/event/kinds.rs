//! Events of several kinds in one stream against the naive validator.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Float64Type;
use proptest::prelude::*;

use super::nested::{NOW, agrees_with_the_validator, decoder, refused};
use super::schema_model::events;
use super::testing::arrow;
use super::{Contract, Limits};

/// Kinds by the text of `type`; no other is accepted.
const CLOSED: &str = r##"{"type": "object", "properties": {
    "ts": {"type": "integer"}, "user": {"type": "string"}
}, "required": ["ts"], "oneOf": [
    {"properties": {"type": {"const": "view"}, "page": {"type": "string"}}, "required": ["type"]},
    {"properties": {"type": {"enum": ["order", "refund"]}, "total": {"type": "number", "minimum": 10},
        "properties": {"type": "object", "required": ["price"], "properties": {
            "price": {"type": "number"}, "size": {"type": "integer"}}}
    }, "required": ["type", "total"]},
    {"$ref": "#/definitions/search"}
], "definitions": {"search": {"type": "object", "properties": {
    "type": {"const": "search"}, "query": {"type": "string"}, "total": {"type": "number"},
    "properties": {"type": "object", "properties": {"price": {"type": "number", "minimum": 20}}}
}, "required": ["type", "query"]}}}"##;

/// Events of any name, some of which are held to more; and an object of kinds that have nothing else.
const OPEN: &str = r#"{"type": "object", "properties": {
    "ts": {"type": "integer"},
    "event": {"type": "string"},
    "payload": {"oneOf": [
        {"type": "object", "properties": {"of": {"const": "a"}, "x": {"type": "integer"}}, "required": ["of"],
            "additionalProperties": false},
        {"type": "object", "properties": {"of": {"const": "b"}, "y": {"type": "integer"}}, "required": ["of", "y"]}
    ]}
}, "required": ["ts", "event"], "allOf": [
    {"if": {"properties": {"event": {"const": "buy"}}},
        "then": {"properties": {"price": {"type": "number"}}, "required": ["price"]}},
    {"if": {"properties": {"event": {"const": "seen"}}, "required": ["event"]},
        "then": {"properties": {"item": {"type": "integer"}}}}
]}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]
    #[test]
    fn each_event_is_held_to_its_kind_and_has_its_columns(lines in events(CLOSED, NOW)) {
        agrees_with_the_validator(CLOSED, &lines)?;
    }

    #[test]
    fn an_event_of_no_kind_is_held_to_what_all_have(lines in events(OPEN, NOW)) {
        agrees_with_the_validator(OPEN, &lines)?;
    }
}

#[test]
fn an_unknown_kind_is_refused_with_those_that_there_are() {
    let of = |rest: &str| refused(CLOSED, &format!(r#"{{"ts":{NOW}{rest}}}"#));
    assert_eq!(
        of(r#","type":"cart""#),
        r#"constraint: field "type" tells the kind of it: expected one of "view", "order", "refund", "search", got "cart""#
    );
    assert_eq!(of(r#","page":"/""#), r#"missing_field: field "type" is required and missing"#);
    assert!(of(r#","type":7"#).starts_with("wrong_type: field \"type\""));
    assert_eq!(of(r#","type":"order""#), r#"missing_field: field "total" is required and missing"#);
}

#[test]
fn columns_that_kinds_share_are_one() {
    let contract = Contract::parse(CLOSED).expect("a contract");
    let names: Vec<&str> = contract.fields().iter().map(super::ContractField::name).collect();
    assert_eq!(names, ["ts", "user", "type", "page", "total", "properties.price", "properties.size", "query"]);
    let (_, kind) = contract.field("type").expect("a column");
    assert_eq!((kind.choices().join(" "), kind.is_required()), ("view order refund search".to_owned(), true));
    assert!(!contract.field("total").expect("a column").1.is_required());
}

#[test]
fn rows_are_held_to_their_kinds_as_json_is() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("ts", Arc::new(Int64Array::from(vec![NOW; 5]))),
        ("type", Arc::new(StringArray::from(vec!["view", "order", "order", "cart", "search"]))),
        ("total", Arc::new(Float64Array::from(vec![Some(7.0), Some(20.0), None, None, Some(7.0)]))),
        ("query", Arc::new(StringArray::from(vec![Some("x"), None, None, None, Some("shoes")]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("a batch");
    let decoded = decoder(CLOSED, Limits::default()).decode(&[arrow(&batch)]).expect("decoded");
    let totals = decoded.batch.column_by_name("total").expect("a column").as_primitive::<Float64Type>().clone();
    assert_eq!(totals, Float64Array::from(vec![None, Some(20.0), Some(7.0)]));
    let queries = decoded.batch.column_by_name("query").expect("a column");
    assert_eq!((queries.null_count(), queries.is_valid(2)), (2, true));
    let rejects: Vec<String> = decoded.rejects.iter().map(|reject| reject.detail.clone()).collect();
    assert_eq!(
        rejects,
        [
            r#"field "total" is required and missing"#,
            r#"field "type" tells the kind of it: expected one of "view", "order", "refund", "search", got "cart""#
        ]
    );
}

fn problems(contract: &str) -> Vec<String> {
    let problems = Contract::parse(contract).expect_err("problems");
    problems.into_iter().map(|problem| problem.message).collect()
}

#[test]
fn kinds_that_cannot_be_told_apart_are_refused() {
    let of = |base: &str, kinds: &str| {
        problems(&format!(
            r#"{{"type": "object", "properties": {{"ts": {{"type": "integer"}}}} {base}, "oneOf": [{kinds}]}}"#
        ))
    };
    let kind = |text: &str, rest: &str| {
        format!(r#"{{"properties": {{"type": {{"const": "{text}"}}{rest}}}, "required": ["type"]}}"#)
    };
    let found = [
        of("", &[kind("a", ""), kind("a", "")].join(", ")),
        of("", &[kind("a", ""), kind("b", "").replace("required", "title\": \"x\", \"examples")].join(", ")),
        of("", &[kind("a", r#", "x": {"type": "number"}"#), kind("b", r#", "x": {"type": "string"}"#)].join(", ")),
        of("", &[kind("a", r#", "ts": {"type": "integer"}"#), kind("b", "")].join(", ")),
        of(
            r#", "additionalProperties": false"#,
            &[kind("a", r#", "x": {"type": "number"}"#), kind("b", "")].join(", "),
        ),
    ];
    insta::assert_snapshot!(found.map(|problems| problems.join("; ")).join("\n"), @r#"
    a contract: no property tells the schemas of "oneOf" apart
    a contract: "type" tells kinds apart and is not required
    "x" is of different types in different kinds
    a contract: "ts" is declared both beside the kinds and in one
    a contract: "additionalProperties": false beside the kinds refuses "x"
    "#);
}
