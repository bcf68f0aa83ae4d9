//! The decoder against a naive model: `serde_json::Value`, one event at a time, plain `if`s.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;
use serde_json::Value;

use super::testing::{Message, PUBLISHED, arrow, is_json_by_its_grammar, json};
use super::{Contract, DecodeSettings, Decoder};

const CONTRACT: &str = r#"{"type": "object", "properties": {
    "ts": {"type": "integer"},
    "user": {"type": "string", "minLength": 1},
    "kind": {"enum": ["view", "buy"], "type": "string"},
    "price": {"type": ["number", "null"], "exclusiveMinimum": 0},
    "count": {"type": "integer", "minimum": 1, "maximum": 5},
    "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2}
}, "required": ["ts", "user", "kind"]}"#;

const NOW: i64 = PUBLISHED / 1_000;

#[derive(Debug, Clone, PartialEq)]
struct Row {
    ts: i64,
    user: String,
    kind: String,
    price: Option<f64>,
    count: Option<i64>,
    tags: Option<Vec<String>>,
}

/// What one message is made of.
#[derive(Debug, Clone)]
enum Content {
    Single(String),
    Array(Vec<String>),
    Lines(Vec<String>),
    Stream(Vec<Row>),
}

/// The model of one JSON event.
fn accepts_event(text: &str) -> Option<Row> {
    let Value::Object(event) = serde_json::from_str(text).ok()? else { return None };
    let integer =
        |value: &Value| value.as_i64().or_else(|| value.as_f64().filter(|f| f.fract() == 0.0).map(|f| f as i64));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let row = Row {
        ts: integer(event.get("ts")?)?,
        user: text(event.get("user")?)?,
        kind: text(event.get("kind")?)?,
        price: match event.get("price") {
            None | Some(Value::Null) => None,
            Some(value) => Some(value.as_f64()?),
        },
        count: match event.get("count") {
            None => None,
            Some(value) => Some(integer(value)?),
        },
        tags: match event.get("tags") {
            None => None,
            Some(value) => Some(value.as_array()?.iter().map(text).collect::<Option<_>>()?),
        },
    };
    accepts_row(&row).then_some(row)
}

/// The model of the constraints and of the bounds of time.
fn accepts_row(row: &Row) -> bool {
    (946_684_800_000..=NOW + 60_000).contains(&row.ts)
        && !row.user.is_empty()
        && ["view", "buy"].contains(&row.kind.as_str())
        && row.price.is_none_or(|price| price > 0.0 && price.is_finite())
        && row.count.is_none_or(|count| (1..=5).contains(&count))
        && row.tags.as_ref().is_none_or(|tags| tags.len() <= 2)
}

/// The rows that a message's content should give, and how many of its events should be refused.
fn expect(content: &Content) -> (Vec<Row>, u64) {
    let mut rows = Vec::new();
    let mut refused = 0;
    let outcomes: Vec<Option<Row>> = match content {
        Content::Single(event) => vec![accepts_event(event)],
        Content::Lines(events) => events.iter().map(|event| accepts_event(event)).collect(),
        Content::Array(events) => {
            // Broken syntax takes the rest of an array along, as one reject.
            let readable = events.iter().take_while(|event| is_json_by_its_grammar(event)).count();
            let mut outcomes: Vec<_> = events[..readable].iter().map(|event| accepts_event(event)).collect();
            outcomes.extend((readable < events.len()).then_some(None));
            outcomes
        }
        Content::Stream(stream) => stream.iter().map(|row| accepts_row(row).then(|| row.clone())).collect(),
    };
    for outcome in outcomes {
        match outcome {
            Some(row) => rows.push(row),
            None => refused += 1,
        }
    }
    (rows, refused)
}

fn message(content: &Content) -> Message {
    match content {
        Content::Single(event) => json(event),
        Content::Array(events) => json(&format!("[{}]", events.join(", "))),
        Content::Lines(events) => json(&events.join("\n")),
        Content::Stream(rows) => {
            let mut tags = ListBuilder::new(StringBuilder::new());
            for row in rows {
                for tag in row.tags.iter().flatten() {
                    tags.values().append_value(tag);
                }
                tags.append(row.tags.is_some());
            }
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("tags", Arc::new(tags.finish())),
                ("count", Arc::new(rows.iter().map(|row| row.count).collect::<Int64Array>())),
                ("price", Arc::new(rows.iter().map(|row| row.price).collect::<Float64Array>())),
                ("kind", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.kind)))),
                ("user", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.user)))),
                ("ts", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.ts)))),
            ];
            arrow(&RecordBatch::try_from_iter(columns).expect("a batch"))
        }
    }
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let text = |column: usize, row: usize| batch.column(column).as_string::<i32>().value(row).to_owned();
    let valid = |column: usize, row: usize| batch.column(column).is_valid(row);
    let row = |row: usize| Row {
        ts: batch.column(0).as_primitive::<TimestampMicrosecondType>().value(row) / 1_000,
        user: text(1, row),
        kind: text(2, row),
        price: valid(3, row).then(|| batch.column(3).as_primitive::<Float64Type>().value(row)),
        count: valid(4, row).then(|| batch.column(4).as_primitive::<Int64Type>().value(row)),
        tags: valid(5, row).then(|| {
            let tags = batch.column(5).as_list::<i32>().value(row);
            tags.as_string::<i32>().iter().flatten().map(str::to_owned).collect()
        }),
    };
    (0..batch.num_rows()).map(row).collect()
}

/// An event as text: mostly good, with fields in any order, sometimes with a bad value, sometimes cut off.
fn event() -> impl Strategy<Value = String> {
    let now = NOW.to_string();
    let values = |good: Vec<String>, bad: &[&str]| {
        let bad: Vec<String> = bad.iter().map(|&value| value.to_owned()).collect();
        prop_oneof![12 => prop::sample::select(good), 1 => prop::sample::select(bad)]
    };
    let own = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>();
    let ts =
        values(vec![now.clone(), format!("{now}.0"), "1.5e12".into()], &["-1", "1", "\"1\"", "1e30", "null", "NaN"]);
    let user = values(own(&["\"ann\"", "\"\\u00e9\\n\"", "\"日本\""]), &["\"\"", "7", "\"\\ud800\"", "[]"]);
    let kind = values(own(&["\"view\"", "\"b\\u0075y\""]), &["\"sell\"", "null", "true"]);
    let price = values(own(&["0.25", "null", "12", "1e3"]), &["0", "-2", "1e999", "\"1\"", "01"]);
    let count = values(own(&["1", "5", "3.0"]), &["0", "6", "2.5", "99999999999999999999", "{}"]);
    let tags = values(own(&["[]", "[\"a\"]", "[ \"a\" , \"b\" ]"]), &["[1]", "[\"a\",\"b\",\"c\"]", "[null]", "\"a\""]);
    let other = values(own(&["1", "{\"a\":[{}]}"]), &["tru", "{]", "\"\u{1}\""]);
    let present = prop::collection::vec(prop::bool::weighted(0.9), 7);
    let cut = prop::option::weighted(0.05, any::<prop::sample::Index>());
    ((ts, user, kind, price, count, tags, other), present, any::<u64>(), cut).prop_map(
        |(values, present, order, cut)| {
            let (ts, user, kind, price, count, tags, other) = values;
            let fields = [
                ("ts", ts),
                ("user", user),
                ("kind", kind),
                ("price", price),
                ("count", count),
                ("tags", tags),
                ("other", other),
            ];
            let mut fields: Vec<_> = fields.into_iter().zip(present).filter(|(_, present)| *present).collect();
            let turn = (order % 7) as usize % fields.len().max(1);
            fields.rotate_left(turn);
            let members: Vec<_> = fields.iter().map(|((name, value), _)| format!("\"{name}\" : {value}")).collect();
            let mut text = format!("{{{}}}", members.join(","));
            if let Some(cut) = cut {
                let mut at = 1 + cut.index(text.len() - 1);
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                text.truncate(at);
            }
            text
        },
    )
}

fn row() -> impl Strategy<Value = Row> {
    let ts = prop_oneof![9 => NOW - 1_000..NOW, 1 => prop::sample::select(vec![0, i64::MIN, i64::MAX, NOW + 60_001])];
    let user = prop::sample::select(vec!["ann", "bob", "日本", ""]);
    let kind = prop::sample::select(vec!["view", "view", "buy", "sell"]);
    let price = prop::option::of(prop::sample::select(vec![0.25, 1.0, 7.5, 0.0, f64::NAN, f64::INFINITY]));
    let tags = prop::option::of(prop::collection::vec(prop::sample::select(vec!["a", "b"]), 0..4));
    (ts, user, kind, price, prop::option::of(0_i64..7), tags).prop_map(|(ts, user, kind, price, count, tags)| Row {
        ts,
        user: user.into(),
        kind: kind.into(),
        price,
        count,
        tags: tags.map(|tags| tags.into_iter().map(str::to_owned).collect()),
    })
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        3 => event().prop_map(Content::Single),
        1 => prop::collection::vec(event(), 0..6).prop_map(Content::Array),
        1 => prop::collection::vec(event(), 1..6).prop_map(Content::Lines),
        1 => prop::collection::vec(row(), 0..6).prop_map(Content::Stream),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn accepted_and_refused_events_are_those_of_the_model(
        calls in prop::collection::vec(prop::collection::vec(content(), 0..8), 1..3),
    ) {
        let contract = Arc::new(Contract::parse(CONTRACT).expect("a contract"));
        let mut decoder = Decoder::new(contract, &DecodeSettings::new("ts")).expect("a decoder");
        for contents in calls {
            let messages: Vec<_> = contents.iter().map(message).collect();
            let decoded = decoder.decode(&messages).expect("decoded");
            let mut expected = Vec::new();
            for (index, content) in contents.iter().enumerate() {
                let (rows, refused) = expect(content);
                expected.extend(rows.into_iter().map(|row| (index as u32, row)));
                let found = decoded.rejects.iter().filter(|reject| reject.message == index as u32).count() as u64;
                prop_assert_eq!(found, refused, "{:?}: {:?}", content, decoded.rejects);
            }
            let accepted: Vec<_> = decoded.origin.iter().copied().zip(rows(&decoded.batch)).collect();
            prop_assert_eq!(accepted, expected);
        }
    }
}
