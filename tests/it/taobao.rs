//! The pipeline `intent` over a clickstream, every feature against plain DataFusion over the raw events.
//!
//! Uses the real log when it lies beside the project and generated events of the same shape otherwise.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::prelude::SessionContext;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};
use tidewheel::config::Folder;
use tidewheel::feature::LiveReads;
use tidewheel::pipeline::StreamIndex;
use tidewheel::step::Step;
use tidewheel::time::EventTime;

use crate::oracle::{self, View};

const POINTS: usize = 1_000;
const STEP: usize = 1_000;

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

struct Event {
    user: i64,
    item: i64,
    category: i64,
    behavior: String,
    ts: i64,
}

fn events() -> Vec<Event> {
    let file = root().join("../shared/data/taobao/user_behavior.csv.gz");
    if !file.exists() {
        eprintln!("the real log is not there: using generated events");
        return generated();
    }
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    let parse = |line: &str| {
        let cells: Vec<_> = line.split(',').collect();
        let number = |index: usize| cells[index].parse().unwrap();
        Event { user: number(0), item: number(1), category: number(2), behavior: cells[3].to_owned(), ts: number(4) }
    };
    text.lines().map(parse).collect()
}

fn generated() -> Vec<Event> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let kinds = ["pv", "pv", "pv", "pv", "pv", "cart", "fav", "buy"];
    (0..60_000_i64)
        .map(|index| {
            let item = (random.random_range(0.0..1.0_f64).powi(3) * 2_000.0) as i64;
            Event {
                user: random.random_range(0..3_000),
                item,
                category: item % 50,
                behavior: kinds[random.random_range(0..kinds.len())].to_owned(),
                ts: 1_511_658_000 + index / 8,
            }
        })
        .collect()
}

fn messages(events: &[Event], first: usize) -> Vec<Message> {
    let message = |(index, event): (usize, &Event)| {
        let mut payload = String::new();
        write!(
            payload,
            r#"{{"user_id":{},"item_id":{},"category_id":{},"behavior":"{}","ts":{}}}"#,
            event.user, event.item, event.category, event.behavior, event.ts
        )
        .unwrap();
        Message {
            payload: payload.into_bytes().into(),
            sequence: StreamSequence((first + index) as u64 + 1),
            published_micros: 1_800_000_000_000_000,
            encoding: Encoding::Json,
            subject: Subject::new("shop.behavior").unwrap(),
        }
    };
    events.iter().enumerate().map(message).collect()
}

fn raw(events: &[Event]) -> RecordBatch {
    let numbers =
        |value: fn(&Event) -> i64| Arc::new(Int64Array::from_iter_values(events.iter().map(value))) as ArrayRef;
    let times = events.iter().map(|event| event.ts * 1_000_000);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", numbers(|event| event.user)),
        ("item_id", numbers(|event| event.item)),
        ("category_id", numbers(|event| event.category)),
        ("behavior", Arc::new(StringArray::from_iter_values(events.iter().map(|event| &event.behavior)))),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("+00:00"))),
        ("seq", Arc::new(Int64Array::from_iter_values(0..events.len() as i64))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// The value of a key column for an event.
fn key(event: &Event, name: &str) -> i64 {
    match name {
        "user_id" => event.user,
        "item_id" => event.item,
        "category_id" => event.category,
        other => panic!("no key {other}"),
    }
}

#[test]
fn every_feature_of_intent_equals_plain_datafusion_at_a_thousand_points() {
    let events = events();
    let folder = Folder::read(&root().join("pipelines/intent")).unwrap();
    let pipeline = Arc::new(folder.assemble_without_model().unwrap());
    let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Plain DataFusion over the raw events, partitioned by nothing; one context per table key keeps scans short.
    let context = SessionContext::new_with_config(datafusion::prelude::SessionConfig::new().with_target_partitions(1));
    context.register_batch("behavior", raw(&events)).unwrap();

    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut points: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let steps = events.len().div_ceil(STEP);
    for _ in 0..POINTS {
        let after = random.random_range(0..steps);
        // Half of the points are about people who were just there, the others about anybody.
        let upto = (after + 1) * STEP;
        let about = if random.random_bool(0.5) {
            random.random_range(after * STEP..upto)
        } else {
            random.random_range(0..events.len())
        };
        points.entry(after).or_default().push(about.min(events.len() - 1));
    }
    let mut compared = 0;
    for after in 0..steps {
        let first = after * STEP;
        let batch = &events[first..events.len().min(first + STEP)];
        let output = step.events(StreamIndex(0), &messages(batch, first), true).unwrap();
        assert_eq!(output.counts.counted, batch.len() as u64);
        let views = batch.iter().filter(|event| event.behavior == "pv").count();
        assert_eq!(output.job.matrix.rows, views, "every page view has a vector");
        assert!(output.job.matrix.unscorable.is_empty());
        let newest = batch.last().unwrap().ts * 1_000_000;
        let Some(points) = points.get(&after) else { continue };
        for (index, plan) in pipeline.tables.iter().enumerate() {
            let sql = &folder.features[index].source.text;
            let plan = plan.plan.as_of().unwrap();
            let span = plan.horizons().max().unwrap();
            let table = &mut step.tables_mut()[index];
            for point in points {
                let event = &events[*point];
                let keys: Vec<ArrayRef> = plan
                    .keys()
                    .iter()
                    .map(|column| Arc::new(Int64Array::from(vec![key(event, &column.name)])) as ArrayRef)
                    .collect();
                let (mut slots, mut reads) = (Vec::new(), LiveReads::default());
                table.look_up(&keys, 1, &mut slots).unwrap();
                table.read(slots[0], EventTime(newest), &mut reads);
                let live = table.evaluate(&reads).unwrap();
                let condition: Vec<_> = plan
                    .keys()
                    .iter()
                    .map(|column| format!("{} = {}", column.name, key(event, &column.name)))
                    .collect();
                let view = View { at: newest, upto: (first + batch.len() - 1) as i64, key: condition.join(" AND ") };
                let batch = runtime.block_on(oracle::rows(&context, &uncommented(sql), "behavior", span, &view));
                assert_row(&live, &batch, &format!("{} of {}", plan.name(), view.key));
            }
        }
        compared += points.len();
    }
    assert_eq!(compared, POINTS);
}

fn uncommented(sql: &str) -> String {
    sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn assert_row(live: &RecordBatch, batch: &RecordBatch, what: &str) {
    if batch.num_rows() == 0 {
        assert!(live.columns().iter().all(|column| column.is_null(0)), "{what}: live has a row, the batch has none");
        return;
    }
    for (index, field) in live.schema().fields().iter().enumerate() {
        let (left, right) = (live.column(index), batch.column(index));
        let what = format!("{what}: {}", field.name());
        match left.data_type() {
            DataType::List(_) => {
                let list = |column: &ArrayRef| {
                    if column.is_null(0) {
                        Vec::new()
                    } else {
                        column.as_list::<i32>().value(0).as_primitive::<Int64Type>().values().to_vec()
                    }
                };
                let mut right = list(right);
                right.drain(..right.len().saturating_sub(20));
                assert_eq!(list(left), right, "{what}");
            }
            DataType::Float64 if left.is_valid(0) && right.is_valid(0) => {
                let (left, right) =
                    (left.as_primitive::<Float64Type>().value(0), right.as_primitive::<Float64Type>().value(0));
                assert!((left - right).abs() < 1e-9, "{what}: {left} and {right}");
            }
            _ => {
                let text = |column: &ArrayRef| {
                    cast(column, &DataType::Utf8).unwrap().as_string::<i32>().iter().next().flatten().map(str::to_owned)
                };
                assert_eq!(text(left), text(right), "{what}");
            }
        }
    }
}

/// Long enough for a busy machine; tests wait for conditions, not for time.
pub const PATIENCE: Duration = Duration::from_secs(60);
