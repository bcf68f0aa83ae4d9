//! What is shown and what people do with it becomes examples, once each, through restarts and swaps of the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tidewheel::bus::{Bus, Subject};
use tidewheel::learn::{Example, ExampleKind, Examples, decode};
use tidewheel::model::{MlpSpec, ModelVersion, build_mlp};
use tidewheel::pipeline::{Names, Pipeline, StreamIndex, input_spec, output_spec};
use tidewheel::registry::{Control, ModelRecord, Registry};
use tidewheel::step::Step;
use tidewheel::time::EventTime;

use crate::broker::{pipeline, publish, server, start, stored, through};
use crate::taobao::PATIENCE;

const SERVICE: &str = "recommend.score";
const SUBJECT: &str = "shop.clicks.web";

/// How long feedback is waited for, and after how long the watermark has passed that; milliseconds.
fn windows(pipeline: &Pipeline) -> (u64, u64) {
    let window = pipeline.labels.as_ref().unwrap().settings.window_micros as u64 / 1_000;
    (window, window + pipeline.streams[0].disorder.as_millis() as u64 + 1)
}

/// Waits for a condition.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let started = Instant::now();
    loop {
        ticks.tick().await;
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
    }
}

/// Milliseconds since 1970, a minute ago: events may then follow for a minute without being of the future.
pub fn a_minute_ago() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64 - 60_000
}

/// The event `id`: this person looked at this item, because of a ranking or by themselves.
pub fn view(id: &str, (user, item): (u64, u64), ts: u64, request: Option<&str>) -> Vec<u8> {
    let event = json!({
        "event_id": id, "user_id": user, "item_id": item, "category_id": item % 5, "kind": "view",
        "price": 9.5, "ts": ts, "request_id": request,
    });
    serde_json::to_vec(&event).unwrap()
}

/// The bytes of a request for a ranking.
pub fn request(id: &str, user: u64, items: &[u64], ts: Option<u64>) -> Vec<u8> {
    serde_json::to_vec(&json!({"request_id": id, "user_id": user, "items": items, "ts": ts})).unwrap()
}

async fn ask(bus: &Bus, request: Vec<u8>) -> Value {
    let reply = bus.request(&Subject::new(SERVICE).unwrap(), request.into(), PATIENCE).await.unwrap();
    serde_json::from_slice(&reply).unwrap()
}

/// The items of a reply in the order of their places.
pub fn items(reply: &Value) -> Vec<u64> {
    reply["items"].as_array().unwrap().iter().map(|item| item["item_id"].as_u64().unwrap()).collect()
}

/// All examples that were committed.
pub async fn examples(bus: &Bus, pipeline: &Pipeline) -> Examples {
    let vector = pipeline.vector.as_ref().unwrap();
    let mut examples = Examples::new(vector.inputs());
    let subject = Names::of(&pipeline.name).examples();
    let outputs = stored(bus, &output_spec(pipeline).name).await;
    for message in outputs.into_iter().filter(|message| message.subject == subject) {
        decode(&message.payload, vector.inputs(), vector.fingerprint().as_str(), &mut examples).unwrap();
    }
    examples
}

pub fn rows(examples: &Examples) -> Vec<Example<'_>> {
    (0..examples.len()).map(|row| examples.get(row).unwrap()).collect()
}

/// The vectors of a request by item, read by a step of its own that has seen exactly what is in the input stream.
async fn vectors(bus: &Bus, pipeline: &Arc<Pipeline>, (bytes, items): (&[u8], &[u64])) -> BTreeMap<u64, Vec<f32>> {
    let mut step = Step::new(Arc::clone(pipeline)).unwrap();
    step.events(StreamIndex(0), &stored(bus, &input_spec(pipeline, &pipeline.streams[0]).name).await, true).unwrap();
    let matrix = step.requests(&[bytes.to_vec().into()], EventTime(1_000 * a_minute_ago() as i64)).unwrap().job.matrix;
    let columns = pipeline.vector.as_ref().unwrap().columns().len();
    items.iter().copied().zip(matrix.values.chunks(columns).map(<[f32]>::to_vec)).collect()
}

/// The fingerprint of a pipeline's vector.
pub fn fingerprint(pipeline: &Pipeline) -> &str {
    pipeline.vector.as_ref().unwrap().fingerprint().as_str()
}

/// Some events, and a moment after them.
async fn warm_up(bus: &Bus) -> u64 {
    let began = a_minute_ago();
    let people = (0..30).map(|id| view(&format!("w{id}"), (1, id % 3), began, None));
    publish(bus, SUBJECT, people).await;
    began + 100
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_on_one_of_four_makes_one_positive_and_three_negatives_with_the_vectors_that_were_served() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = pipeline("recommend");
    let run = start(&pipeline, &bus).await;
    let shown = warm_up(&bus).await;
    let (window, closed) = windows(&pipeline);
    through(&run, &bus, &pipeline).await;

    let candidates = [0, 1, 2, 77];
    let bytes = request("r1", 1, &candidates, Some(shown));
    let served = vectors(&bus, &pipeline, (&bytes, &candidates)).await;
    let places = items(&ask(&bus, bytes).await);

    publish(&bus, SUBJECT, [view("c1", (1, 1), shown + 1_000, Some("r1"))]).await;
    through(&run, &bus, &pipeline).await;
    assert_eq!(examples(&bus, &pipeline).await.len(), 1, "a positive does not wait for the window's end");
    publish(&bus, SUBJECT, [view("other", (2, 9), shown + closed, None)]).await;
    through(&run, &bus, &pipeline).await;

    let made = examples(&bus, &pipeline).await;
    let found: BTreeMap<u64, Example<'_>> =
        rows(&made).into_iter().map(|example| (places[example.place as usize], example)).collect();
    assert_eq!((made.len(), found.len()), (4, 4));
    for (item, example) in &found {
        let clicked = *item == 1;
        assert_eq!(example.vector, served[item], "item {item}");
        assert_eq!(example.kind, if clicked { ExampleKind::Positive } else { ExampleKind::Negative });
        let labelled = if clicked { shown + 1_000 } else { shown + window };
        let micros = (example.shown_micros as u64, example.labelled_micros as u64);
        assert_eq!(micros, (shown * 1_000, labelled * 1_000));
    }

    // Late: the window has closed, and the negative is corrected. Then feedback that makes no example.
    let after = shown + 2 * window - 100;
    publish(&bus, SUBJECT, [view("late", (1, 2), after + 10, Some("r1"))]).await;
    let useless = [("nobody", "no such request"), ("twice", "r1"), ("twice", "r1")];
    publish(&bus, SUBJECT, useless.map(|(id, of)| view(id, (1, 1), after + 20, Some(of)))).await;
    publish(&bus, SUBJECT, [view("alone", (1, 1), after + 30, None)]).await;
    through(&run, &bus, &pipeline).await;
    let made = examples(&bus, &pipeline).await;
    let corrected = made.get(4).unwrap();
    assert_eq!((made.len(), corrected.kind), (5, ExampleKind::Correction));
    assert_eq!(corrected.vector, served[&2]);
    let counts = run.stats().labels();
    assert_eq!((counts.shown, counts.positives, counts.negatives, counts.corrections), (4, 1, 3, 1));
    assert_eq!((counts.unmatched, counts.repeated, counts.early, counts.expired), (1, 1, 0, 0));
    // Those who look by themselves: the first thirty, the one who moved time on, and the last.
    assert_eq!((counts.without_key, run.stats().snapshot().counts.duplicate), (32, 1));
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_shown_before_a_restart_is_labelled_after_it_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = pipeline("recommend");
    let run = start(&pipeline, &bus).await;
    let shown = warm_up(&bus).await;
    let (window, closed) = windows(&pipeline);
    through(&run, &bus, &pipeline).await;
    let candidates = [0, 1, 2, 77];
    let bytes = request("r1", 1, &candidates, Some(shown));
    let served = vectors(&bus, &pipeline, (&bytes, &candidates)).await;
    let places = items(&ask(&bus, bytes).await);
    run.stop().await.unwrap();

    let run = start(&pipeline, &bus).await;
    publish(&bus, SUBJECT, [view("c1", (1, 1), shown + 1_000, Some("r1"))]).await;
    through(&run, &bus, &pipeline).await;
    run.stop().await.unwrap();

    let run = start(&pipeline, &bus).await;
    publish(&bus, SUBJECT, [view("other", (2, 9), shown + closed, None)]).await;
    through(&run, &bus, &pipeline).await;
    run.stop().await.unwrap();

    let run = start(&pipeline, &bus).await;
    publish(&bus, SUBJECT, [view("again", (1, 1), shown + 2 * window - 1, Some("r1"))]).await;
    through(&run, &bus, &pipeline).await;
    let counts = run.stats().labels();
    run.stop().await.unwrap();

    let made = examples(&bus, &pipeline).await;
    let found: BTreeSet<u64> = rows(&made).iter().map(|example| places[example.place as usize]).collect();
    assert_eq!((made.len(), found.len()), (4, 4));
    for example in rows(&made) {
        let item = places[example.place as usize];
        assert_eq!(example.vector, served[&item]);
        assert_eq!(example.kind == ExampleKind::Positive, item == 1);
    }
    assert_eq!((counts.shown, counts.positives, counts.negatives, counts.repeated), (4, 1, 3, 1));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_answered_with_features_that_are_still_being_rebuilt() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = pipeline("recommend");
    start(&pipeline, &bus).await.stop().await.unwrap();
    let began = a_minute_ago();
    publish(&bus, SUBJECT, (0..40_000).map(|id| view(&format!("e{id}"), (id % 50, id % 30), began + id, None))).await;

    let run = start(&pipeline, &bus).await;
    let service = Subject::new(SERVICE).unwrap();
    let first =
        until("an answer", async || bus.request(&service, request("r1", 1, &[1], None).into(), PATIENCE).await.ok());
    let reply: Value = serde_json::from_slice(&first.await).unwrap();
    assert_eq!(reply["as_of"], began + 39_999);
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}

/// A message of the broker holds about a megabyte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_may_close_more_windows_than_a_message_holds() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = pipeline("recommend");
    let run = start(&pipeline, &bus).await;
    let shown = warm_up(&bus).await;
    let (_, closed) = windows(&pipeline);
    through(&run, &bus, &pipeline).await;
    let candidates: Vec<u64> = (0..1_000).collect();
    let names: Vec<String> = (0..32).map(|number| format!("r{number}")).collect();
    let asked = names.iter().map(|id| ask(&bus, request(id, 1, &candidates, Some(shown))));
    assert_eq!(futures::future::join_all(asked).await.len(), 32);

    publish(&bus, SUBJECT, [view("other", (2, 9), shown + closed, None)]).await;
    through(&run, &bus, &pipeline).await;
    assert_eq!(run.stats().labels().negatives, 32_000);
    run.stop().await.unwrap();
    assert_eq!(examples(&bus, &pipeline).await.len(), 32_000);

    // What was shown is read back whole, too.
    let run = start(&pipeline, &bus).await;
    until("what was shown", async || (run.stats().labels().shown == 32_000).then_some(())).await;
    run.stop().await.unwrap();
    assert_eq!(examples(&bus, &pipeline).await.len(), 32_000);
    server.stop().await.unwrap();
}

/// Another model for the pipeline's vector, stored in its registry.
async fn another_model(registry: &Registry, pipeline: &Pipeline) -> ModelVersion {
    let vector = pipeline.vector.as_ref().unwrap();
    let fingerprint = vector.fingerprint().as_str().to_owned();
    let spec = MlpSpec {
        columns: vector.columns().to_vec(),
        hidden: vec![16],
        dropout: 0.0,
        seed: 99,
        fingerprint: fingerprint.clone(),
    };
    let bytes = build_mlp(&spec).unwrap();
    let record = ModelRecord::initial(&bytes, fingerprint, 0);
    registry.store(bytes.into(), &record).await.unwrap();
    record.version
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_model_answers_within_five_seconds_and_no_request_fails_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = pipeline("recommend");
    let run = start(&pipeline, &bus).await;
    warm_up(&bus).await;
    through(&run, &bus, &pipeline).await;
    let registry = Registry::open(&bus, Names::of("recommend").registry(), None).await.unwrap();
    let first = registry.pointer().await.unwrap().unwrap();
    let second = another_model(&registry, &pipeline).await;

    let asking = Arc::new(AtomicBool::new(true));
    let (replies, mut newest) = tokio::sync::watch::channel(String::new());
    let asker = {
        let (bus, asking) = (bus.clone(), Arc::clone(&asking));
        tokio::spawn(async move {
            let mut count = 0_u64;
            while asking.load(Ordering::Relaxed) {
                let reply = ask(&bus, request(&format!("r{count}"), count % 100, &[0, 1, 2], None)).await;
                assert_eq!(reply["items"].as_array().unwrap().len(), 3);
                replies.send_replace(reply["model"].as_str().unwrap().to_owned());
                count += 1;
            }
            count
        })
    };
    newest.wait_for(|model| *model == first.active.to_string()).await.unwrap();
    let within = Duration::from_secs(5);
    let promoted = registry.promote(&second, first.revision, "a test", 0).await.unwrap();
    let named = newest.wait_for(|model| *model == second.to_string());
    tokio::time::timeout(within, named).await.unwrap().unwrap();
    assert_eq!(promoted.previous, std::slice::from_ref(&first.active));
    registry.rollback(fingerprint(&pipeline), "a test", 0).await.unwrap();
    let named = newest.wait_for(|model| *model == first.active.to_string());
    tokio::time::timeout(within, named).await.unwrap().unwrap();
    asking.store(false, Ordering::Relaxed);
    assert!(asker.await.unwrap() > 0);

    let control = Control { version: second.clone(), share: 0.5 };
    registry.set_control(Some(control)).await.unwrap();
    let divided = async || ask(&bus, request("c", 1, &[0, 1], None)).await.get("arm").map(|_| ());
    until("a control group", divided).await;
    let mut arms: BTreeMap<u64, BTreeSet<(String, String)>> = BTreeMap::new();
    for (round, user) in (0..3).flat_map(|round| (0..60).map(move |user| (round, user))) {
        let reply = ask(&bus, request(&format!("c{round}-{user}"), user, &[0, 1], None)).await;
        let text = |field: &str| reply[field].as_str().unwrap().to_owned();
        arms.entry(user).or_default().insert((text("arm"), text("model")));
    }
    assert!(arms.values().all(|seen| seen.len() == 1), "each person stays in one arm: {arms:?}");
    let all: BTreeSet<_> = arms.into_values().flatten().collect();
    let expected = [("active".to_owned(), first.active.to_string()), ("control".to_owned(), second.to_string())];
    assert_eq!(all, BTreeSet::from(expected));
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}
