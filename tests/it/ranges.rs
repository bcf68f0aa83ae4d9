//! The shipped pipelines take every event that keeps its contract, and every request that keeps its own: whatever the
//! values, nothing ends a step, and every event is accounted for.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};
use tidewheel::config::Folder;
use tidewheel::engine::load_model;
use tidewheel::pipeline::{Pipeline, StreamIndex};
use tidewheel::score::{Arms, rank};
use tidewheel::step::{Counts, StepOutput};
use tidewheel::time::EventTime;

use crate::restart::passage::Passage;
use crate::taobao::root;

/// 2023-11-14T22:00:00Z, milliseconds.
const START: i64 = 1_699_999_200_000;

fn pipeline(name: &str) -> Arc<Pipeline> {
    Arc::new(Folder::read(&root().join("pipelines").join(name)).unwrap().assemble().unwrap())
}

fn contract(name: &str) -> Value {
    serde_json::from_slice(&fs::read(root().join("schemas").join(name)).unwrap()).unwrap()
}

/// Values of one property of a contract: those at the edges of its range more often than others; `None` leaves it out.
fn property(schema: &Value, is_required: bool) -> BoxedStrategy<Option<Value>> {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    };
    let within = move |value: f64, schema: &Value| {
        let bound = |name: &str, otherwise: f64| schema.get(name).and_then(Value::as_f64).unwrap_or(otherwise);
        value >= bound("minimum", f64::NEG_INFINITY) && value <= bound("maximum", f64::INFINITY)
    };
    let mut options: Vec<BoxedStrategy<Option<Value>>> = Vec::new();
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        options.push(select(values.clone()).prop_map(Some).boxed());
    } else if types.contains(&"array") {
        let member = property(&schema["items"], true).prop_map(Option::unwrap);
        let length = select(vec![1, 2, 5, bound("maxItems").map_or(50, |bound| bound as usize)]);
        let list = length.prop_flat_map(move |length| prop::collection::vec(member.clone(), length));
        options.push(list.prop_map(|list| Some(Value::Array(list))).boxed());
    } else if types.contains(&"integer") {
        let edges = [i64::MIN, -(1 << 53) - 1, -1, 0, 1, (1 << 24) + 1, (1 << 53) + 1, i64::MAX];
        let edges: Vec<Value> =
            edges.into_iter().filter(|edge| within(*edge as f64, schema)).map(|edge| json!(edge)).collect();
        options
            .push(prop_oneof![2 => (0_i64..6).prop_map(|few| json!(few)), 1 => select(edges)].prop_map(Some).boxed());
    } else if types.contains(&"number") {
        let edges = [-1e308, -1e39, -1.0, -0.0, 0.0, 5e-324, 1e-40, 1.0, 3.4e38, 1e39, f64::MAX];
        let edges: Vec<Value> =
            edges.into_iter().filter(|edge| within(*edge, schema)).map(|edge| json!(edge)).collect();
        options.push(
            prop_oneof![2 => (0_u32..90).prop_map(|few| json!(f64::from(few))), 1 => select(edges)]
                .prop_map(Some)
                .boxed(),
        );
    } else {
        let length = |name: &str, otherwise: usize| bound(name).map_or(otherwise, |bound| bound as usize);
        let (least, most) = (length("minLength", 0), length("maxLength", 5_000));
        options.push(
            select(vec![least, most, most.min(3).max(least)])
                .prop_flat_map(|length| {
                    prop_oneof![Just("x"), Just("ü"), Just("\u{1F6D2}"), Just("\""), Just("\n")]
                        .prop_map(move |letter| Some(json!(letter.repeat(length))))
                })
                .boxed(),
        );
    }
    if types.contains(&"null") {
        options.push(Just(Some(Value::Null)).boxed());
    }
    if !is_required {
        options.push(Just(None).boxed());
    }
    prop::strategy::Union::new(options).boxed()
}

/// Objects of a contract without the properties of these names.
fn objects(schema: &Value, except: &'static [&'static str]) -> BoxedStrategy<Map<String, Value>> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut all = Just(Map::new()).boxed();
    for (name, property_schema) in schema["properties"].as_object().unwrap() {
        if except.contains(&name.as_str()) {
            continue;
        }
        let name = name.clone();
        let value = property(property_schema, required.contains(&name.as_str()));
        all = (all, value)
            .prop_map(move |(mut object, value)| {
                if let Some(value) = value {
                    object.insert(name.clone(), value);
                }
                object
            })
            .boxed();
    }
    all
}

/// What a pipeline is told: events, each with its step in event time, and requests after some of them.
#[derive(Debug, Clone)]
struct Told {
    events: Vec<(Map<String, Value>, i64)>,
    requests: Vec<Map<String, Value>>,
}

fn told(events: &Value, requests: Option<&Value>, id: &'static [&'static str]) -> BoxedStrategy<Told> {
    let event = (objects(events, id), prop_oneof![5 => 0_i64..3_000, 1 => -5_000_i64..100_000]);
    let requests = requests.map_or_else(
        || Just(Vec::new()).boxed(),
        |schema| prop::collection::vec(objects(schema, &["ts"]), 0..4).boxed(),
    );
    (prop::collection::vec(event, 1..40), requests).prop_map(|(events, requests)| Told { events, requests }).boxed()
}

/// Tells a pipeline everything in two parts with a restart between, and scores what is to be scored.
fn tell(name: &str, told: &Told, unit: i64) {
    let pipeline = pipeline(name);
    let mut arms = load_model(&pipeline).unwrap().map(Arms::new);
    let subject = if name == "intent" { "shop.behavior" } else { "shop.clicks.web" };
    let mut now = START;
    let messages: Vec<Message> = told
        .events
        .iter()
        .enumerate()
        .map(|(number, (event, step))| {
            now += step;
            let mut event = event.clone();
            event.insert("ts".to_owned(), json!(now / unit));
            if name != "intent" {
                event.insert("event_id".to_owned(), json!(format!("e{number}")));
            }
            Message {
                payload: serde_json::to_vec(&event).unwrap().into(),
                sequence: StreamSequence(number as u64 + 1),
                published_micros: now * 1_000,
                encoding: Encoding::Json,
                subject: Subject::new(subject).unwrap(),
            }
        })
        .collect();
    let requests: Vec<Bytes> =
        told.requests.iter().map(|request| serde_json::to_vec(request).unwrap().into()).collect();
    let mut counts = Counts::default();
    let mut passage = Passage::new(&pipeline);
    let mut take = |output: StepOutput| {
        counts.add(&output.counts);
        assert!(output.dead.iter().all(|letter| letter.reason != "failed"), "{name}: {:?}", output.dead);
        if let (Some(arms), Some(vector)) = (&mut arms, &pipeline.vector) {
            let ranked = rank(arms, &output.job, vector.inputs().width(), 256).unwrap();
            let unscorable = output.job.matrix.unscorable.len();
            let scored: usize = ranked.iter().map(|ranking| ranking.order.len()).sum();
            assert_eq!(scored + unscorable, output.job.matrix.rows, "{name}: each row is scored or named");
        }
        assert!(output.refused.is_empty(), "{name}: {:?}", output.refused);
    };
    let (first, second) = messages.split_at(messages.len() / 2);
    for part in [first, second] {
        take(passage.step.events(StreamIndex(0), part, true).unwrap());
        take(passage.step.requests(&requests, EventTime(now * 1_000)).unwrap());
        passage.restart(false);
    }
    for table in passage.step.tables_mut() {
        table.scan().unwrap();
    }
    passage.step.close_windows().unwrap();
    let all = counts.counted + counts.late + counts.rejected + counts.duplicate;
    assert_eq!((all, counts.rejected), (messages.len() as u64, 0), "{name}: {counts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn recommend_takes_every_click_and_request_that_keep_their_contracts(
        told in told(&contract("click.json"), Some(&contract("ranking_request.json")), &["ts", "event_id"]),
    ) {
        tell("recommend", &told, 1);
    }

    #[test]
    fn trends_takes_every_click_that_keeps_its_contract(told in told(&contract("click.json"), None, &["ts", "event_id"])) {
        tell("trends", &told, 1);
    }

    #[test]
    fn intent_takes_every_behavior_that_keeps_its_contract(told in told(&contract("behavior.json"), None, &["ts"])) {
        tell("intent", &told, 1_000);
    }
}

#[test]
fn the_contracts_have_only_kinds_of_values_that_are_tried_here() {
    let known = ["string", "integer", "number", "null", "array"];
    for name in ["click.json", "behavior.json", "ranking_request.json"] {
        for (property, schema) in contract(name)["properties"].as_object().unwrap() {
            let types = match &schema["type"] {
                Value::Array(types) => types.clone(),
                one => vec![one.clone()],
            };
            for kind in types {
                assert!(kind.as_str().is_some_and(|kind| known.contains(&kind)), "{name} {property}: {kind}");
            }
        }
    }
}
