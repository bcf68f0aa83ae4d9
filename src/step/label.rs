//! The label join at work: what was shown and what people did, in the order of the stream, become examples.
//!
//! ```text
//!   impressions, ticks of earlier runs ─┐ (while rebuilding)
//!   rankings of this step ──────────────┤
//!   events of this step ────────────────┼─▶ LabelJoin ─▶ examples, one message per event that gave any,
//!   silence ────────────────────────────┘                named after the event, so that a repeated one is dropped
//! ```
//!
//! An event that closes more windows than a message holds gives several messages.
//!
//! A ranking that answers a request is in no stream that is replayed after a restart, so its impressions are published and
//! read back; rankings that events trigger are made again by the replay.
//!
//! Silence closes windows by ticks. A tick closes no more than one batch of outputs can hold, and is committed in that batch
//! together with its examples: so it has happened or it has not, and what has happened is done again at the same place.

mod recorded;
pub(super) mod saving;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::feedback::Feedback;
use super::output::StepOutput;
use crate::bus::StreamSequence;
use crate::learn::{
    Asked, ExampleError, Examples, Impression, Impressions, JoinError, LabelCounts, LabelJoin, Provenance, VectorName,
    encode, is_short,
};
use crate::pipeline::{LabelPlan, Pipeline};
use crate::score::{Group, Ranked};
use crate::time::EventTime;

use self::recorded::in_order;
pub(crate) use self::recorded::{Made, Past, Recorded, Shown, Tick};
pub use self::saving::LabelsView;

/// A message of examples or impressions has about so many bytes at most, half of what a broker takes.
const MESSAGE_BYTES: usize = 512 << 10;
/// What a row takes beside its vector: label, kind, times, key, and who was shown what.
const ROW_BYTES: usize = 256;
/// The probability with which a candidate is shown at its place: the best always are.
const PROPENSITY: f32 = 1.0;
/// Messages of examples that a tick gives at most: an epoch has room for them in one batch.
const TICK_MESSAGES: usize = 7;

/// A message of examples.
#[derive(Debug)]
pub struct ExampleMessage {
    /// Its message id.
    pub(crate) id: String,
    /// The examples, as [`decode`](crate::learn::decode) reads them.
    pub payload: Bytes,
}

/// A message of impressions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ImpressionMessage {
    /// Counts those of this worker.
    pub(crate) ordinal: u64,
    pub(crate) payload: Bytes,
}

/// What the join of one step gives.
#[derive(Debug, Default)]
pub struct Labelled {
    /// In the order of the events that gave them.
    pub examples: Vec<ExampleMessage>,
    /// What requests were answered with, to be remembered across a restart.
    pub(crate) impressions: Vec<ImpressionMessage>,
    /// The tick that gave the examples, if it was one.
    pub(crate) tick: Option<Tick>,
    /// The last message of feedback that belonged to nothing shown, if any did not.
    pub(crate) unmatched: Option<u64>,
}

/// That the feedback's stream is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence {
    /// Its last message, which has been read.
    pub(crate) after: StreamSequence,
    /// Windows that have ended here by the clock have been given all their feedback.
    pub(crate) clock: EventTime,
}

/// The state of the label join, on the scoring thread.
pub struct Labeller {
    join: LabelJoin,
    stream: String,
    fingerprint: String,
    /// The vector's columns.
    names: Vec<String>,
    /// Tells settings apart under which a state was saved.
    settings: u64,
    /// Words of a vector.
    columns: usize,
    /// Rows of a message.
    most_rows: usize,
    /// What was shown and ticked before this process started, with the position it happened at.
    recorded: Recorded,
    /// Which recorded impressions are in the join or wait for their position.
    shown: Shown,
    /// Rankings of events that are read again, which a model failed to make.
    unscored: HashSet<String>,
    examples: Examples,
    /// The rows of one message.
    part: Examples,
    impressions: Impressions,
}

impl Labeller {
    /// The join of a pipeline that has one. `recorded` is what happened in earlier runs, in its order.
    ///
    /// # Errors
    /// When the settings of the join are out of their ranges.
    pub(crate) fn new(pipeline: &Pipeline, recorded: Recorded, shown: Shown) -> Result<Option<Self>, JoinError> {
        let (Some(plan), Some(vector)) = (&pipeline.labels, &pipeline.vector) else { return Ok(None) };
        let LabelPlan { stream, settings, .. } = plan;
        let inputs = vector.inputs();
        let columns = inputs.width();
        Ok(Some(Self {
            join: LabelJoin::new(*settings)?,
            stream: pipeline.stream(*stream).name.clone(),
            settings: saving::settings_fingerprint(pipeline, &vector.examples_fingerprint()),
            fingerprint: vector.fingerprint().as_str().to_owned(),
            names: vector.columns().to_vec(),
            columns,
            most_rows: (MESSAGE_BYTES / (columns * size_of::<f32>() + ROW_BYTES)).max(1),
            recorded,
            shown,
            unscored: HashSet::new(),
            examples: Examples::new(inputs),
            part: Examples::new(inputs),
            impressions: Impressions::new(inputs),
        }))
    }

    /// The join of a pipeline that has one, before anything has happened.
    ///
    /// # Errors
    /// When the settings of the join are out of their ranges.
    pub fn empty(pipeline: &Pipeline) -> Result<Option<Self>, JoinError> {
        Self::new(pipeline, Recorded::new(), Shown::default())
    }

    /// Which recorded impressions it holds.
    pub(crate) fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// Adds what was recorded after the state was saved; from now on impressions are made by another worker.
    pub(crate) fn resume(&mut self, recorded: Recorded, shown: Shown) {
        self.recorded.extend(recorded);
        in_order(&mut self.recorded);
        self.shown = shown;
    }

    /// Names rankings that a model failed to make when the events that come first were scored.
    pub(crate) fn leave_out(&mut self, unscored: HashSet<String>) {
        self.unscored = unscored;
    }

    /// What became of impressions and feedback so far.
    pub(crate) fn counts(&self) -> LabelCounts {
        self.join.counts()
    }

    /// Takes a step and its rankings, made when the input streams stood at `position`, the feedback's at `read`. While the
    /// state is rebuilt there are no rankings, and nothing comes out.
    ///
    /// # Errors
    /// None that input can reach.
    pub fn take(
        &mut self,
        output: &StepOutput,
        rankings: &[Ranked],
        (position, read): (&str, StreamSequence),
    ) -> Result<Labelled, ExampleError> {
        if !output.is_replay && !self.unscored.is_empty() {
            self.unscored = HashSet::new();
        }
        let mut labelled = Labelled::default();
        if !output.is_replay {
            self.catch_up(read)?;
        }
        let triggered = !output.triggers.is_empty();
        if !triggered {
            self.show_rankings(output, rankings, position, &mut labelled.impressions)?;
        }
        if let Some(feedback) = &output.feedback {
            self.follow(feedback, output, rankings, &mut labelled)?;
        }
        Ok(labelled)
    }

    /// Brings in what is recorded of earlier runs up to a message of the feedback's stream, which has been read.
    pub(crate) fn catch_up(&mut self, read: StreamSequence) -> Result<(), ExampleError> {
        self.bring_in(read.next())
    }

    /// Closes windows that have ended by the clock while the feedback's stream is silent: as many as one batch of outputs
    /// holds. Nothing where there is none; `part` tells those of one silence apart.
    pub(crate) fn tick(&mut self, silence: Silence, part: usize) -> Result<Option<Labelled>, ExampleError> {
        let Silence { after, clock } = silence;
        self.catch_up(after)?;
        let most = TICK_MESSAGES * self.most_rows;
        if self.join.tick(clock, most, &mut self.examples)? == 0 {
            return Ok(None);
        }
        let mut labelled = Labelled::default();
        if !self.examples.is_empty() {
            let id = format!("{}-{after}-tick-{}-{part}", self.stream, clock.micros());
            self.end_examples(id, &mut labelled.examples)?;
            self.examples.clear();
        }
        labelled.tick = Some(Tick { after: after.0, shown: self.shown(), clock_micros: clock.micros(), most });
        Ok(Some(labelled))
    }

    /// Remembers what requests, or events of a stream without feedback, were answered with.
    fn show_rankings(
        &mut self,
        output: &StepOutput,
        rankings: &[Ranked],
        position: &str,
        messages: &mut Vec<ImpressionMessage>,
    ) -> Result<(), ExampleError> {
        for (ranking, group) in rankings.iter().zip(&output.job.groups) {
            let asked = asked(group, Some(ranking));
            for (place, row) in ranking.order.iter().enumerate() {
                if let Some(key) = output.keys.get(*row).copied().flatten() {
                    let vector = vector(output, *row, self.columns);
                    let Group { shown, arrived, .. } = *group;
                    let provenance = &provenance(&asked, output, *row);
                    let place = place as u32;
                    let impression = Impression { key, at: shown, arrived, place, vector, provenance };
                    self.join.show(impression)?;
                    self.impressions.push(impression)?;
                }
                if self.impressions.len() >= self.most_rows {
                    self.end_impressions(position, messages)?;
                }
            }
        }
        self.end_impressions(position, messages)
    }

    fn end_impressions(&mut self, position: &str, messages: &mut Vec<ImpressionMessage>) -> Result<(), ExampleError> {
        if !self.impressions.is_empty() {
            self.shown.ordinal += 1;
            let ordinal = self.shown.ordinal;
            let made = Made { position, writer: &self.shown.writer, ordinal };
            let payload = self.impressions.encode(&self.fingerprint, &made.to_string())?.into();
            messages.push(ImpressionMessage { ordinal, payload });
            self.impressions.clear();
        }
        Ok(())
    }

    /// Event by event: feedback, what the event itself made be shown, and the windows that it closed.
    fn follow(
        &mut self,
        feedback: &Feedback,
        output: &StepOutput,
        rankings: &[Ranked],
        labelled: &mut Labelled,
    ) -> Result<(), ExampleError> {
        let mut positives = feedback.positives.iter().peekable();
        let mut triggers = output.triggers.iter().enumerate().peekable();
        let mut unscorable = output.job.matrix.unscorable.iter().map(|bad| bad.row).peekable();
        let (mut last, mut ordinal) = (StreamSequence(0), 0_u32);
        for (row, (sequence, watermark)) in feedback.sequences.iter().zip(&feedback.watermarks).enumerate() {
            self.bring_in(*sequence)?;
            ordinal = if *sequence == last { ordinal + 1 } else { 0 };
            last = *sequence;
            if let Some(positive) = positives.next_if(|positive| positive.row == row) {
                let before = self.join.counts().unmatched;
                self.join.feedback(positive.key, positive.at, &mut self.examples)?;
                if self.join.counts().unmatched > before {
                    labelled.unmatched = Some(sequence.0);
                }
            }
            if let Some((job_row, _)) = triggers.next_if(|(_, event)| **event as usize == row) {
                let has_vector = unscorable.next_if_eq(&job_row).is_none();
                let key = output.keys.get(job_row).copied().flatten().filter(|_| has_vector);
                if let (Some(key), Some(group)) = (key, output.job.groups.get(job_row))
                    && self.was_scored(rankings.get(job_row), group)
                {
                    let vector = vector(output, job_row, self.columns);
                    let Group { shown, arrived, .. } = *group;
                    let provenance = &provenance(&asked(group, None), output, job_row);
                    self.join.show(Impression { key, at: shown, arrived, place: 0, vector, provenance })?;
                }
            }
            self.join.advance(*watermark, &mut self.examples)?;
            if self.examples.is_empty() {
                continue;
            }
            if !output.is_replay {
                self.end_examples(format!("{}-{sequence}-{ordinal}", self.stream), &mut labelled.examples)?;
            }
            self.examples.clear();
        }
        Ok(())
    }

    /// Whether the model scored an event: by its ranking, or while there is none by what is known of it.
    fn was_scored(&self, ranking: Option<&Ranked>, group: &Group) -> bool {
        match ranking {
            Some(ranking) => !ranking.order.is_empty(),
            None => self.unscored.is_empty() || !self.unscored.contains(&group.request_id),
        }
    }

    /// The messages of what one event gave, named after it.
    fn end_examples(&mut self, id: String, messages: &mut Vec<ExampleMessage>) -> Result<(), ExampleError> {
        if self.examples.len() <= self.most_rows {
            messages.push(ExampleMessage { id, payload: encode(&self.examples, self.name())?.into() });
            return Ok(());
        }
        for (part, first) in (0..self.examples.len()).step_by(self.most_rows).enumerate() {
            self.part.clear();
            for example in (first..first + self.most_rows).map_while(|row| self.examples.get(row)) {
                self.part.push(example)?;
            }
            let payload = encode(&self.part, self.name())?.into();
            messages.push(ExampleMessage { id: format!("{id}.{part}"), payload });
        }
        Ok(())
    }

    /// What messages of examples say of the vector.
    fn name(&self) -> VectorName<'_> {
        VectorName { fingerprint: &self.fingerprint, columns: &self.names }
    }

    /// What happened in earlier runs comes back before the first event that followed it. What a tick gave is committed.
    fn bring_in(&mut self, sequence: StreamSequence) -> Result<(), ExampleError> {
        while let Some((_, past)) = self.recorded.pop_front_if(|(position, _)| *position < sequence) {
            match past {
                Past::Shown(impressions) => impressions.iter().try_for_each(|shown| self.join.show(shown))?,
                Past::Ticked(tick) => {
                    self.join.tick(EventTime(tick.clock_micros), tick.most, &mut self.examples)?;
                    self.examples.clear();
                }
            }
        }
        Ok(())
    }
}

fn vector(output: &StepOutput, row: usize, columns: usize) -> &[f32] {
    &output.job.matrix.values[row * columns..(row + 1) * columns]
}

/// What is known of a ranking. Of an event that is scored by itself, not which model did it: that is kept nowhere, and an event
/// that is read again gives the same example.
fn asked(group: &Group, ranking: Option<&Ranked>) -> Arc<Asked> {
    let model = ranking.map(|ranking| &ranking.model);
    Arc::new(Asked::new(&group.request_id, group.user.as_deref(), model))
}

/// Where a row of a ranking is from.
fn provenance(asked: &Arc<Asked>, output: &StepOutput, row: usize) -> Provenance {
    let item = output.job.items.id(row).filter(is_short);
    Provenance { asked: Some(Arc::clone(asked)), item, propensity: Some(PROPENSITY) }
}

#[cfg(test)]
mod tests;
