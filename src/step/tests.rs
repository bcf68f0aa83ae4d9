//! A step whose producers' clocks are not right.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::Step;
use crate::bus::{Encoding, Message, StreamSequence, Subject};
use crate::config::Folder;
use crate::pipeline::StreamIndex;
use crate::time::EventTime;

/// 2023-11-14T22:00:00Z, in milliseconds.
const START: i64 = 1_699_999_200_000;

/// A click on item 3 by this person at `ts`, which the broker has at `published`; milliseconds after the start.
fn click(sequence: u64, user: i64, ts: i64, published: i64) -> Message {
    let event = json!({"event_id": sequence.to_string(), "user_id": user, "item_id": 3, "category_id": 1, "kind": "view",
        "price": 1.0, "ts": START + ts});
    Message {
        payload: event.to_string().into(),
        sequence: StreamSequence(sequence),
        published_micros: (START + published) * 1_000,
        encoding: Encoding::Json,
        subject: Subject::new("shop.clicks.web").unwrap(),
    }
}

/// As of when a request is answered, milliseconds after the start, and how often its person looked at something within
/// five minutes of then.
fn ask(step: &mut Step, user: i64, ts: Option<i64>) -> (i64, f32) {
    let mut request = json!({"request_id": "r", "user_id": user, "items": [3]});
    if let Some(ts) = ts {
        request["ts"] = json!(START + ts);
    }
    let output = step.requests(&[Bytes::from(request.to_string())], EventTime(START * 1_000)).unwrap();
    let EventTime(at) = output.job.groups[0].at;
    let columns = step.pipeline.vector.as_ref().unwrap().columns();
    let views = columns.iter().position(|column| column == "user_views_5m").unwrap();
    (at / 1_000 - START, output.job.matrix.values[views])
}

/// A phone 50 s fast had every request without a time answered as of 50 s from now: without what people had done since.
#[test]
fn a_request_without_a_time_is_answered_as_of_no_later_than_the_broker_s_newest() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/recommend");
    let pipeline = Arc::new(Folder::read(&folder).unwrap().assemble_without_model().unwrap());
    let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
    let honest = click(1, 1, 0, 20);
    let fast = click(2, 9, 51_000, 1_000);
    let output = step.events(StreamIndex(0), &[honest, fast], true).unwrap();
    assert_eq!(output.newest, Some(EventTime((START + 1_000) * 1_000)));
    assert_eq!(ask(&mut step, 1, None), (1_000, 1.0));
    assert_eq!(ask(&mut step, 9, None), (1_000, 0.0), "its time has not come");
    assert_eq!(ask(&mut step, 9, Some(51_000)), (51_000, 1.0), "whoever asks for its time sees it");

    let output = step.events(StreamIndex(0), &[click(3, 1, 4_980, 5_000)], true).unwrap();
    assert_eq!((output.counts.counted, output.counts.late), (1, 0));
    assert_eq!(ask(&mut step, 1, None), (4_980, 2.0));
    step.events(StreamIndex(0), &[click(4, 1, 52_000, 52_020)], true).unwrap();
    assert_eq!(ask(&mut step, 9, None), (52_000, 1.0), "its time has come");
    assert_eq!(ask(&mut step, 1, None), (52_000, 3.0));
}
