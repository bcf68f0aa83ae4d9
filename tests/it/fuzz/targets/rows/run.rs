//! Events through the step, the models and the label join, with restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use tidewheel::bus::{Message, StreamSequence};
use tidewheel::learn::{Examples, decode};
use tidewheel::pipeline::{Pipeline, StreamIndex};
use tidewheel::score::{Arms, rank};
use tidewheel::step::{Counts, Labeller, StepOutput};

use crate::restart::passage::Passage;

/// What dead letters say of an event that a condition fails on.
pub const NOT_SCORED: &str = "the event is not scored";
pub const NO_FEEDBACK: &str = "the event is no feedback";
/// The reason of an event that is too old for every table.
pub const LATE: &str = "late";

/// How a run is cut.
#[derive(Debug, Clone, Copy)]
pub struct Cuts {
    /// Messages of a step.
    pub step: usize,
    /// Steps between two restarts.
    pub restart: usize,
    /// Rows that the model gets at once.
    pub batch: usize,
}

/// A row that was to be scored.
#[derive(Debug)]
pub struct Row {
    /// Its words: an id has two, a number one.
    pub vector: Vec<f32>,
    /// Why its vector can't be scored.
    pub unscorable: Option<String>,
    pub ranking: Bytes,
    /// Whether the model gave it a score.
    pub is_scored: bool,
    /// Whether feedback can find it.
    pub has_key: bool,
}

/// Everything that came out.
pub struct Found {
    pub counts: Counts,
    /// By the number of their message.
    pub rows: BTreeMap<u64, Row>,
    /// Messages with dead letters, each with what a condition's failure means for its event, else with its reason.
    pub dead: BTreeSet<(u64, String)>,
    pub examples: Examples,
}

/// Passes all messages through a pipeline that is restarted now and then.
pub fn run(pipeline: &Arc<Pipeline>, arms: &mut Arms, messages: &[Message], cuts: Cuts) -> Found {
    let inputs = pipeline.vector.as_ref().unwrap().inputs();
    let mut found = Found {
        counts: Counts::default(),
        rows: BTreeMap::new(),
        dead: BTreeSet::new(),
        examples: Examples::new(inputs),
    };
    let mut passage = Passage::new(pipeline);
    let mut labeller = Labeller::empty(pipeline).unwrap().unwrap();
    for (nth, part) in messages.chunks(cuts.step).enumerate() {
        if nth % cuts.restart == cuts.restart - 1 {
            passage.restart(false);
            labeller = restarted(pipeline, &labeller);
        }
        let output = passage.step.events(StreamIndex(0), part, true).unwrap();
        let ranked = rank(arms, &output.job, inputs.width(), cuts.batch).unwrap();
        let labelled = labeller.take(&output, &ranked, ("", StreamSequence(0))).unwrap();
        found.note(&output, inputs.width());
        for (ranking, group) in ranked.into_iter().zip(&output.job.groups) {
            let row = found.rows.get_mut(&number(&group.request_id)).unwrap();
            assert_eq!(ranking.left_out.is_some(), ranking.order.is_empty(), "a row is scored or its flaw is named");
            (row.is_scored, row.ranking) = (!ranking.order.is_empty(), ranking.payload);
        }
        let fingerprint = pipeline.vector.as_ref().unwrap().fingerprint().as_str();
        for message in labelled.examples {
            decode(&message.payload, inputs, fingerprint, &mut found.examples).unwrap();
        }
    }
    for table in passage.step.tables_mut() {
        table.scan().unwrap();
    }
    passage.step.close_windows().unwrap();
    found
}

impl Found {
    fn note(&mut self, output: &StepOutput, width: usize) {
        self.counts.add(&output.counts);
        let mut unscorable = output.job.matrix.unscorable.iter().peekable();
        for (place, group) in output.job.groups.iter().enumerate() {
            let row = Row {
                vector: output.job.matrix.values[place * width..(place + 1) * width].to_vec(),
                unscorable: unscorable.next_if(|bad| bad.row == place).map(|bad| bad.reason.clone()),
                ranking: Bytes::new(),
                is_scored: false,
                has_key: output.keys[place].is_some(),
            };
            self.rows.insert(number(&group.request_id), row);
        }
        for letter in &output.dead {
            let effects = [NOT_SCORED, NO_FEEDBACK];
            let effect = effects.into_iter().find(|effect| letter.detail.contains(effect)).unwrap_or(letter.reason);
            self.dead.insert((letter.sequence.0, effect.to_owned()));
        }
    }
}

/// The number of the message that a ranking is named after.
fn number(request_id: &str) -> u64 {
    request_id.split('-').nth(1).unwrap().parse().unwrap()
}

/// The join of a process that goes on where another saved its own.
fn restarted(pipeline: &Pipeline, labeller: &Labeller) -> Labeller {
    let save = |labeller: &Labeller| {
        let mut bytes = Vec::new();
        labeller.view().save_part("labels", &mut bytes).unwrap();
        bytes
    };
    let saved = save(labeller);
    let restored = Labeller::restored(pipeline, &mut saved.as_slice()).unwrap().unwrap();
    assert!(save(&restored) == saved, "a restored join saves what it was restored from");
    restored
}
