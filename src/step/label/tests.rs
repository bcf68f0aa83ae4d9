//! The label join at work, and across restarts.

mod silent;

use std::path::Path;

use super::*;
use crate::config::Folder;
use crate::feature::{Matrix, Unscorable};
use crate::learn::{ExampleKind, decode};
use crate::model::ModelVersion;
use crate::score::{Group, Id, ItemIds, Job};
use crate::snapshot::SaveError;
use crate::step::StepError;
use crate::step::feedback::Positive;
use crate::time::EventTime;

/// Microseconds of event time.
const SHOWN: i64 = 1_000_000_000;

fn pipeline() -> Pipeline {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Folder::read(&root.join("pipelines/recommend")).unwrap().assemble_without_model().unwrap()
}

fn labeller(pipeline: &Pipeline, recorded: Vec<(u64, Impressions)>) -> Labeller {
    let shown = |(position, shown)| (StreamSequence(position), Past::Shown(shown));
    let recorded = recorded.into_iter().map(shown).collect();
    Labeller::new(pipeline, recorded, Shown::default()).unwrap().unwrap()
}

fn columns(pipeline: &Pipeline) -> usize {
    pipeline.vector.as_ref().unwrap().columns().len()
}

/// Where the stream stood.
fn at(read: u64) -> (&'static str, StreamSequence) {
    let text = if read == 3 { "clicks=3" } else { "clicks=0" };
    (text, StreamSequence(read))
}

/// A request for `rows` candidates, of which row `n` has key `n` and a vector of `n`s, and its ranking: the last first.
fn request(pipeline: &Pipeline, rows: usize) -> (StepOutput, Vec<Ranked>) {
    let values = (0..rows).flat_map(|row| vec![row as f32; columns(pipeline)]).collect();
    let (at, shown, arrived) = (EventTime(SHOWN), EventTime(SHOWN), EventTime(SHOWN));
    let group = Group { request_id: "r".to_owned(), user: None, at, shown, arrived, rows };
    let output = StepOutput {
        job: Job { matrix: Matrix { values, rows, unscorable: Vec::new() }, groups: vec![group], ..Job::default() },
        keys: (0..rows).map(|row| Some(row as u128)).collect(),
        ..StepOutput::default()
    };
    let order = (0..rows).rev().collect();
    let ranked = Ranked { payload: Bytes::new(), model: model(), order, left_out: None, failed: 0 };
    (output, vec![ranked])
}

fn model() -> ModelVersion {
    ModelVersion::of(b"a model")
}

/// Events of these messages, of which the `row`th is feedback on `key`; the last one closes the window if it is to.
fn events(sequences: &[u64], positive: Option<(usize, u128)>, closes: bool) -> StepOutput {
    let window = 60_000_000;
    let mut watermarks = vec![EventTime(SHOWN); sequences.len()];
    if closes && let Some(last) = watermarks.last_mut() {
        last.0 += window;
    }
    let positive = positive.map(|(row, key)| Positive { row, key: Some(key), at: EventTime(SHOWN + 1_000) });
    let sequences = sequences.iter().map(|sequence| StreamSequence(*sequence)).collect();
    let feedback = Feedback { sequences, watermarks, positives: positive.into_iter().collect() };
    StepOutput { feedback: Some(feedback), ..StepOutput::default() }
}

fn decoded(pipeline: &Pipeline, messages: &[ExampleMessage]) -> Vec<(String, Examples)> {
    let vector = pipeline.vector.as_ref().unwrap();
    let decode_one = |message: &ExampleMessage| {
        let mut examples = Examples::new(columns(pipeline));
        let fingerprint = vector.fingerprint().as_str();
        decode(&message.payload, columns(pipeline), fingerprint, &mut examples).unwrap();
        (message.id.clone(), examples)
    };
    messages.iter().map(decode_one).collect()
}

#[test]
fn what_was_shown_before_a_restart_gives_the_same_messages_under_the_same_ids() {
    let pipeline = pipeline();
    let mut before = labeller(&pipeline, Vec::new());
    let (output, ranked) = request(&pipeline, 3);
    let shown = before.take(&output, &ranked, at(3)).unwrap();
    assert!(shown.examples.is_empty());
    let made = before.take(&events(&[4, 5, 5], Some((1, 2)), true), &[], at(3)).unwrap().examples;

    let examples = decoded(&pipeline, &made);
    let ids: Vec<&str> = examples.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["clicks-5-0", "clicks-5-1"], "two events of one message have names of their own");
    let (click, closed) = (&examples[0].1, &examples[1].1);
    assert_eq!((click.kinds(), click.places()), (&[ExampleKind::Positive][..], &[0][..]));
    assert_eq!((closed.labels(), closed.places()), (&[0.0, 0.0][..], &[1, 2][..]));
    assert!(click.vectors().iter().all(|value| *value == 2.0));

    let fingerprint = pipeline.vector.as_ref().unwrap().fingerprint().as_str();
    let read = |bytes: &Bytes| Impressions::decode(bytes, columns(&pipeline), fingerprint).unwrap();
    let recorded: Vec<(u64, Impressions)> =
        shown.impressions.iter().map(|message| (3, read(&message.payload).0)).collect();
    assert_eq!(read(&shown.impressions[0].payload).1, "clicks=3@:1");
    let mut after = labeller(&pipeline, recorded);
    let replayed = StepOutput { is_replay: true, ..events(&[1, 2, 3], None, false) };
    assert!(after.take(&replayed, &[], at(0)).unwrap().examples.is_empty());
    assert_eq!(after.counts().shown, 0, "they come back before the first event that followed them");
    let again = after.take(&events(&[4, 5, 5], Some((1, 2)), true), &[], at(3)).unwrap().examples;
    assert_eq!(pairs(&again), pairs(&made));
    assert_eq!(after.counts(), before.counts());
}

/// Examples said neither who was shown what, nor by which model.
#[test]
fn an_example_says_who_was_shown_what_by_which_model_also_after_a_restart() {
    let pipeline = pipeline();
    let mut before = labeller(&pipeline, Vec::new());
    let (mut output, ranked) = request(&pipeline, 3);
    output.job.groups[0].user = Some("7".to_owned());
    output.job.items = ItemIds::new(Some(Arc::new(arrow::array::StringArray::from(vec!["a", "b", "c"]))));
    let shown = before.take(&output, &ranked, at(3)).unwrap().impressions;
    let made = before.take(&events(&[4], Some((0, 1)), true), &[], at(3)).unwrap().examples;
    let examples = decoded(&pipeline, &made);
    let found = examples[0].1.provenances();
    let asked = Asked { request: Some("r".into()), user: Some(Id::Whole(7)), model: Some(model()) };
    let asked = Some(Arc::new(asked));
    let of_item =
        |item: &str| Provenance { asked: asked.clone(), item: Some(Id::Text(item.into())), propensity: Some(1.0) };
    assert_eq!(found, ["b", "c", "a"].map(of_item));
    let batch = arrow::ipc::reader::StreamReader::try_new(&*made[0].payload, None).unwrap().next().unwrap().unwrap();
    let names = batch.schema_ref().metadata()["tidewheel.columns"].clone();
    let names: Vec<String> = serde_json::from_str(&names).unwrap();
    assert_eq!(names, pipeline.vector.as_ref().unwrap().columns());

    let fingerprint = pipeline.vector.as_ref().unwrap().fingerprint().as_str();
    let (recorded, _) = Impressions::decode(&shown[0].payload, columns(&pipeline), fingerprint).unwrap();
    let mut after = labeller(&pipeline, vec![(3, recorded)]);
    let again = after.take(&events(&[4], Some((0, 1)), true), &[], at(3)).unwrap().examples;
    assert_eq!(pairs(&again), pairs(&made));
    // What is saved and restored says it, too.
    let mut saved = Vec::new();
    let mut waiting = labeller(&pipeline, Vec::new());
    waiting.take(&output, &ranked, at(3)).unwrap();
    waiting.view().save_part("labels", &mut saved).unwrap();
    let mut restored = Labeller::restored(&pipeline, &mut saved.as_slice()).unwrap().unwrap();
    let again = restored.take(&events(&[4], Some((0, 1)), true), &[], at(3)).unwrap().examples;
    assert_eq!(pairs(&again), pairs(&made));
}

#[test]
fn an_event_that_no_model_could_score_becomes_no_example() {
    let pipeline = pipeline();
    let mut labeller = labeller(&pipeline, Vec::new());
    let (StepOutput { mut job, keys, .. }, _) = request(&pipeline, 2);
    job.matrix.unscorable = vec![Unscorable { row: 0, reason: String::new() }];
    job.groups = vec![Group { rows: 1, ..job.groups[0].clone() }; 2];
    let output = StepOutput { job, keys, triggers: vec![0, 1], ..events(&[1, 2, 3], None, true) };
    let made = labeller.take(&output, &[], at(0)).unwrap().examples;
    let examples = decoded(&pipeline, &made);
    assert_eq!((labeller.counts().shown, examples.len(), examples[0].1.labels()), (1, 1, &[0.0][..]));
    assert!(examples[0].1.vectors().iter().all(|value| *value == 1.0));
}

/// A model failed on the first of two events: neither then nor when it is read again is it an example.
#[test]
fn an_event_that_the_model_failed_on_becomes_no_example_also_when_it_is_read_again() {
    let pipeline = pipeline();
    let (StepOutput { mut job, keys, .. }, _) = request(&pipeline, 2);
    let group = job.groups.remove(0);
    job.groups =
        ["clicks-1-0", "clicks-2-0"].map(|name| Group { request_id: name.to_owned(), rows: 1, ..group.clone() }).into();
    let output = StepOutput { job, keys, triggers: vec![0, 1], ..events(&[1, 2, 3], None, false) };
    let ranked = [Vec::new(), vec![1]].map(|order| Ranked {
        payload: Bytes::new(),
        model: model(),
        failed: 1 - order.len(),
        order,
        left_out: None,
    });
    let closing = || events(&[4], None, true);
    let mut live = labeller(&pipeline, Vec::new());
    live.take(&output, &ranked, ("clicks=0", StreamSequence(0))).unwrap();
    let mut again = labeller(&pipeline, Vec::new());
    again.leave_out(["clicks-1-0".to_owned()].into());
    again.take(&StepOutput { is_replay: true, ..output }, &[], ("clicks=0", StreamSequence(0))).unwrap();
    let made = [&mut live, &mut again]
        .map(|labeller| labeller.take(&closing(), &[], ("clicks=3", StreamSequence(3))).unwrap().examples);
    assert_eq!(pairs(&made[0]), pairs(&made[1]));
    let examples = decoded(&pipeline, &made[0]);
    assert_eq!(examples[0].1.provenances()[0].asked.as_ref().unwrap().model, None, "it is not known when read again");
    assert_eq!((live.counts().shown, examples.len(), examples[0].1.len()), (1, 1, 1));
    assert!(examples[0].1.vectors().iter().all(|value| *value == 1.0));
}

#[test]
fn while_the_state_is_rebuilt_labels_are_counted_and_nothing_comes_out() {
    let pipeline = pipeline();
    let mut labeller = labeller(&pipeline, Vec::new());
    let (output, ranked) = request(&pipeline, 3);
    labeller.take(&output, &ranked, at(0)).unwrap();
    let replayed = StepOutput { is_replay: true, ..events(&[1, 2], Some((0, 1)), true) };
    assert!(labeller.take(&replayed, &[], at(0)).unwrap().examples.is_empty());
    assert_eq!((labeller.counts().positives, labeller.counts().negatives), (1, 2));
}

#[test]
fn what_is_more_than_a_message_holds_comes_in_several_that_are_named_apart() {
    let pipeline = pipeline();
    let mut labeller = labeller(&pipeline, Vec::new());
    let rows = 2 * labeller.most_rows + 1;
    let (output, ranked) = request(&pipeline, rows);
    let shown = labeller.take(&output, &ranked, at(0)).unwrap().impressions;
    let made = labeller.take(&events(&[1], None, true), &[], at(0)).unwrap().examples;
    assert_eq!(shown.len(), 3);
    let sizes =
        shown.iter().map(|message| message.payload.len()).chain(made.iter().map(|message| message.payload.len()));
    assert!(sizes.max().unwrap() < 1_000_000);

    let examples = decoded(&pipeline, &made);
    let ids: Vec<&str> = examples.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["clicks-1-0.0", "clicks-1-0.1", "clicks-1-0.2"]);
    let places: Vec<u32> = examples.iter().flat_map(|(_, examples)| examples.places().to_vec()).collect();
    assert_eq!(places, (0..rows as u32).collect::<Vec<_>>());
}

fn saved(labeller: &Labeller) -> Vec<u8> {
    let mut bytes = Vec::new();
    let view = labeller.view();
    for part in view.parts() {
        view.save_part(&part, &mut bytes).unwrap();
    }
    bytes
}

fn pairs(messages: &[ExampleMessage]) -> Vec<(String, Bytes)> {
    messages.iter().map(|message| (message.id.clone(), message.payload.clone())).collect()
}

/// Impressions of these keys.
fn impressions(pipeline: &Pipeline, keys: &[u128]) -> Impressions {
    let mut impressions = Impressions::new(columns(pipeline));
    for key in keys {
        let vector = vec![*key as f32; columns(pipeline)];
        let (at, arrived) = (EventTime(SHOWN), EventTime(SHOWN));
        impressions
            .push(Impression { key: *key, at, arrived, place: 5, vector: &vector, provenance: Provenance::unknown() })
            .unwrap();
    }
    impressions
}

#[test]
fn one_that_is_saved_and_restored_gives_the_same_messages_under_the_same_ids() {
    let pipeline = pipeline();
    let recorded = vec![
        (2, impressions(&pipeline, &[50])),
        (6, impressions(&pipeline, &[51, 52])),
        (6, impressions(&pipeline, &[53])),
        (8, impressions(&pipeline, &[54])),
    ];
    let mut before = labeller(&pipeline, recorded);
    let (output, ranked) = request(&pipeline, 3);
    before.take(&output, &ranked, at(0)).unwrap();
    before.take(&events(&[1, 3], Some((0, 2)), false), &[], at(0)).unwrap();

    let state = saved(&before);
    let mut after = Labeller::restored(&pipeline, &mut state.as_slice()).unwrap().unwrap();
    assert_eq!((after.recorded.len(), after.counts()), (2, before.counts()), "one position is one entry");
    assert_eq!(saved(&after), state);

    // Somebody else answered requests since.
    let shown = Shown { until: 9, writer: "new".to_owned(), ordinal: 0 };
    for labeller in [&mut before, &mut after] {
        let newer = [(4, impressions(&pipeline, &[55])), (8, impressions(&pipeline, &[56]))];
        let newer = newer.map(|(position, shown)| (StreamSequence(position), Past::Shown(shown)));
        labeller.resume(newer.into(), shown.clone());
    }
    for (sequences, key, closes) in [([4, 5], 1, false), ([6, 7], 53, false), ([8, 9], 56, true)] {
        let events = events(&sequences, Some((1, key)), closes);
        let expected = before.take(&events, &[], at(3)).unwrap();
        let found = after.take(&events, &[], at(3)).unwrap();
        assert!(!expected.examples.is_empty());
        assert_eq!(pairs(&found.examples), pairs(&expected.examples));
        let (output, ranked) = request(&pipeline, 2);
        let text = format!("clicks={}", sequences[1]);
        let position = (text.as_str(), StreamSequence(sequences[1]));
        let expected = before.take(&output, &ranked, position).unwrap();
        assert_eq!(after.take(&output, &ranked, position).unwrap().impressions, expected.impressions);
    }
    assert_eq!((after.counts(), after.shown()), (before.counts(), before.shown()));
}

#[test]
fn a_state_of_another_vector_is_refused_and_without_labels_there_is_none() {
    let mut pipeline = pipeline();
    let state = saved(&labeller(&pipeline, Vec::new()));
    let restore = |pipeline: &Pipeline| Labeller::restored(pipeline, &mut state.as_slice());
    assert!(restore(&pipeline).unwrap().is_some());
    pipeline.labels.as_mut().unwrap().join.reverse();
    let error = restore(&pipeline).err().unwrap();
    assert!(matches!(error, StepError::State { source: SaveError::Foreign { .. }, .. }), "{error}");
    pipeline.labels = None;
    assert!(restore(&pipeline).unwrap().is_none());
}

#[test]
fn many_recorded_impressions_come_back_in_their_order() {
    let pipeline = pipeline();
    let keys: Vec<u128> = (0..3_000).collect();
    let recorded = (0..12).map(|position| (position / 2 + 3, impressions(&pipeline, &keys))).collect();
    let before = labeller(&pipeline, recorded);
    let after = Labeller::restored(&pipeline, &mut saved(&before).as_slice()).unwrap().unwrap();
    let rows = |labeller: &Labeller| -> Vec<(u64, u128)> {
        let entries = labeller.recorded.iter();
        let keys = |past: &Past| match past {
            Past::Shown(shown) => shown.iter().map(|shown| shown.key).collect(),
            Past::Ticked(_) => Vec::new(),
        };
        entries.flat_map(|(position, past)| keys(past).into_iter().map(|key| (position.0, key))).collect()
    };
    assert_eq!(rows(&after), rows(&before));
    assert_eq!(rows(&after).len(), 36_000);
}
