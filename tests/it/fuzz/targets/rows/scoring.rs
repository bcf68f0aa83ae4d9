//! Vectors, a model, labels and training: the rows that are left out are those that plain DataFusion or ONNX Runtime fails on
//! alone, and everything else is as if they had never been to be scored.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type};
use serde_json::Value;
use tidewheel::bus::Message;
use tidewheel::engine::load_model;
use tidewheel::learn::{ExampleKind, Examples};
use tidewheel::model::{Scorer, Session};
use tidewheel::pipeline::Pipeline;
use tidewheel::score::Arms;
use tidewheel::step::UNSCORABLE;

use super::choices::Choices;
use super::lessons;
use super::oracle::Oracle;
use super::pipeline::{Event, Made};
use super::run::{Cuts, Found, LATE, NO_FEEDBACK, NOT_SCORED, Row, run};
use crate::fuzz::engine::Outcome;

/// Expressions of a pipeline, alone on each event.
#[derive(Debug, Default)]
struct Expected {
    /// Counted, late, repeated.
    counts: [u64; 3],
    /// Dead letters of conditions, and vectors that can't be scored.
    dead: BTreeSet<(u64, String)>,
    /// The vectors of events that are to be scored; none where it is not made of ids and finite numbers.
    vectors: BTreeMap<u64, Option<Vec<Word>>>,
}

/// A word of a vector.
#[derive(Debug, Clone, Copy)]
enum Word {
    /// A number.
    Number(f32),
    /// One half of an id.
    Half(u32),
    /// A number of a table, which the oracle does not know.
    Read,
}

impl Word {
    fn is(self, found: f32) -> bool {
        match self {
            Self::Number(number) => number == found,
            Self::Half(bits) => bits == found.to_bits(),
            Self::Read => true,
        }
    }
}

pub fn told(oracle: &Oracle, choices: &mut Choices<'_>) -> Outcome {
    let made = Made::of(choices);
    let pipeline = match made.pipeline() {
        Ok(pipeline) => pipeline,
        Err(problems) => return Outcome::Refused(problems),
    };
    let cuts = Cuts {
        step: usize::from(choices.byte() % 9) + 1,
        restart: usize::from(choices.byte() % 3) + 1,
        batch: choices.of(&[256, 3, 1]),
    };
    let batch = choices.of(&[256, 4, 1]);
    let mut events = Event::all(choices);
    let mut arms = Arms::new(load_model(&pipeline).unwrap().unwrap());
    let found = run(&pipeline, &mut arms, &messages(&events), cuts);

    let what = format!("on {}, positive {}, vector {}", made.on, made.positive, made.vector());
    let expected = Expected::of(oracle, &made, &events);
    expected.compare(&found, &what);
    let failing = failing(&pipeline, &found, &what);
    let of_events = expected
        .dead
        .iter()
        .filter(|(_, effect)| ![NO_FEEDBACK, LATE].contains(&effect.as_str()))
        .map(|(number, _)| *number);
    for number in of_events.chain(failing) {
        events[number as usize - 1].go = false;
    }
    let without = run(&pipeline, &mut arms, &messages(&events), Cuts { step: 24, restart: 2, batch: 256 });
    compare(&found, &without, &what);
    check_examples(&found, &what);
    lessons::check(&pipeline, &found.examples, batch);
    Outcome::Accepted
}

fn messages(events: &[Event]) -> Vec<Message> {
    (1..).zip(events).map(|(number, event)| event.message(number)).collect()
}

impl Expected {
    fn of(oracle: &Oracle, made: &Made, events: &[Event]) -> Self {
        let mut expected = Self::default();
        let (mut seen, mut newest) = (BTreeSet::new(), None);
        for (number, event) in (1..).zip(events) {
            let is_first = seen.insert(&event.id);
            if made.has_ids && !is_first {
                expected.counts[2] += 1;
                continue;
            }
            if event.is_late(newest) {
                expected.counts[1] += 1;
                expected.dead.insert((number, LATE.to_owned()));
                continue;
            }
            newest = newest.max(Some(event.ts));
            expected.counts[0] += 1;
            let holds = |condition: &str| {
                let rows =
                    oracle.alone("requests", event.columns(), &format!("SELECT {condition} AS v FROM requests"))?;
                let column = rows.first()?.column(0).as_boolean().clone();
                Some(column.is_valid(0) && column.value(0))
            };
            if holds(&made.positive).is_none() {
                expected.dead.insert((number, NO_FEEDBACK.to_owned()));
            }
            match holds(&made.on) {
                Some(false) => {}
                Some(true) => {
                    let vector = vector(oracle, made, event);
                    if vector.is_none() {
                        expected.dead.insert((number, UNSCORABLE.to_owned()));
                    }
                    expected.vectors.insert(number, vector);
                }
                None => {
                    expected.dead.insert((number, NOT_SCORED.to_owned()));
                }
            }
        }
        expected
    }

    fn compare(&self, found: &Found, what: &str) {
        let counts = &found.counts;
        assert_eq!(counts.rejected, 0, "{what}");
        assert_eq!([counts.counted, counts.late, counts.duplicate], self.counts, "{what}");
        assert_eq!(found.dead, self.dead, "{what}");
        let (to_score, expected) = (found.rows.keys(), self.vectors.keys());
        assert!(
            to_score.eq(expected),
            "{what}: {:?} are to be scored, not {:?}",
            self.vectors.keys(),
            found.rows.keys()
        );
        for ((number, row), expected) in found.rows.iter().zip(self.vectors.values()) {
            let Row { vector, unscorable, .. } = row;
            assert_eq!(unscorable.is_some(), expected.is_none(), "{what}: {number} is {vector:?}, {unscorable:?}");
            let Some(expected) = expected else { continue };
            let is_expected =
                vector.len() == expected.len() && expected.iter().zip(vector).all(|(word, found)| word.is(*found));
            assert!(is_expected, "{what}: {number} has {vector:?}, not {expected:?}");
        }
    }
}

/// The vector of an event alone, if it is made of ids and finite numbers.
fn vector(oracle: &Oracle, made: &Made, event: &Event) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    for column in &made.columns {
        if !column.is_of_event {
            words.push(Word::Read);
            continue;
        }
        let select = format!("SELECT {} AS v FROM requests", column.expression);
        let rows = oracle.alone("requests", event.columns(), &select)?;
        let value = rows.first()?.column(0);
        if column.is_id {
            let id = id(value)?.cast_unsigned();
            words.extend([Word::Half(id as u32), Word::Half((id >> 32) as u32)]);
        } else {
            words.push(Word::Number(number(value).filter(|value| value.is_finite())?));
        }
    }
    Some(words)
}

fn id(column: &ArrayRef) -> Option<i64> {
    let value = match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().value(0),
        DataType::Int32 => i64::from(column.as_primitive::<Int32Type>().value(0)),
        other => panic!("an id of {other}"),
    };
    column.is_valid(0).then_some(value)
}

fn number(column: &ArrayRef) -> Option<f32> {
    let value = match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().value(0) as f32,
        DataType::Int32 => column.as_primitive::<Int32Type>().value(0) as f32,
        DataType::Float64 => column.as_primitive::<Float64Type>().value(0) as f32,
        DataType::Float32 => column.as_primitive::<Float32Type>().value(0),
        DataType::Boolean => f32::from(u8::from(column.as_boolean().value(0))),
        other => panic!("a column of {other}"),
    };
    column.is_valid(0).then_some(value)
}

/// The rows that the model fails on, which are those that it fails on alone.
fn failing(pipeline: &Pipeline, found: &Found, what: &str) -> Vec<u64> {
    let (model, plan) = (pipeline.model.as_ref().unwrap(), pipeline.vector.as_ref().unwrap());
    let bound = Session::from_bytes(&model.bytes, 1).unwrap().bind(&model.binding(plan));
    let mut alone: Scorer = bound.unwrap();
    let mut failing = Vec::new();
    let mut scores = Vec::new();
    for (number, row) in found.rows.iter().filter(|(_, row)| row.unscorable.is_none()) {
        let outcome = alone.score(&row.vector, 1, &mut scores);
        assert_eq!(row.is_scored, outcome.is_ok(), "{what}: {number} is {:?}, alone {outcome:?}", row.vector);
        if outcome.is_err() {
            failing.push(*number);
        }
    }
    failing
}

/// Everything but the rows that fail is as it is without them.
fn compare(found: &Found, without: &Found, what: &str) {
    assert_eq!(found.counts, without.counts, "{what}");
    let is_same = |(_, effect): &&(u64, String)| [NO_FEEDBACK, LATE].contains(&effect.as_str());
    assert!(without.dead.iter().eq(found.dead.iter().filter(is_same)), "{what}: {:?}", without.dead);
    for (number, row) in &without.rows {
        let with = &found.rows[number];
        assert!(row.is_scored, "{what}: {number} fails only without others");
        assert_eq!(bits(&with.vector), bits(&row.vector), "{what}: {number}");
        assert!(is_same_ranking(&with.ranking, &row.ranking), "{what}: {number}: {with:?} and {row:?}");
    }
    let scored = found.rows.iter().filter(|(_, row)| row.is_scored).map(|(number, _)| number);
    assert!(scored.eq(without.rows.keys()), "{what}: {:?}", without.rows.keys());
    assert_eq!(in_words(&found.examples), in_words(&without.examples), "{what}");
}

/// Whether rankings are the same but for the last bits of scores: ONNX Runtime multiplies matrices of other heights in another
/// order, and the last bit of a logit of -80 is the sixth digit of its probability.
fn is_same_ranking(left: &[u8], right: &[u8]) -> bool {
    let without_scores = |ranking: &[u8]| {
        let mut ranking: Value = serde_json::from_slice(ranking).unwrap();
        let items = ranking["items"].as_array_mut().unwrap();
        let scores: Vec<f64> = items.iter_mut().map(|item| item["score"].take().as_f64().unwrap()).collect();
        (ranking, scores)
    };
    let ((left, scores), (right, others)) = (without_scores(left), without_scores(right));
    let is_near = |(one, other): (&f64, &f64)| (one - other).abs() <= 1e-4 * one.abs().max(other.abs());
    left == right && scores.len() == others.len() && scores.iter().zip(&others).all(is_near)
}

/// The words of a vector. Those of an id are no numbers, and may not even be equal to themselves as such.
fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|word| word.to_bits()).collect()
}

fn in_words(examples: &Examples) -> Vec<String> {
    (0..examples.len()).map(|row| format!("{:?}", examples.get(row).unwrap())).collect()
}

/// Each row that was scored becomes an example once, and no other does.
fn check_examples(found: &Found, what: &str) {
    let mut learnt: Vec<Vec<u32>> = Vec::new();
    for example in (0..found.examples.len()).map(|row| found.examples.get(row).unwrap()) {
        // A correction is of an example that was a negative.
        if example.kind != ExampleKind::Correction {
            learnt.push(bits(example.vector));
        }
    }
    let shown = found.rows.values().filter(|row| row.is_scored && row.has_key);
    let mut shown: Vec<Vec<u32>> = shown.map(|row| bits(&row.vector)).collect();
    learnt.sort();
    shown.sort();
    assert_eq!(learnt, shown, "{what}");
}
