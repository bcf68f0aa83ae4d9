//! The label join at work: what was shown and what people did, in the order of the stream, become examples.
//!
//! ```text
//!   impressions of earlier runs ─┐ (while rebuilding)
//!   rankings of this step ───────┼─▶ LabelJoin ─▶ examples, one message per event that gave any
//!   events of this step ─────────┘                named after the event, so that a repeated one is dropped
//! ```
//!
//! An event that closes more windows than a message holds gives several messages.
//!
//! A ranking that answers a request is in no stream that is replayed after a restart, so its impressions are published and
//! read back; rankings that events trigger are made again by the replay.

mod recorded;
pub(super) mod saving;

use std::collections::HashSet;

use bytes::Bytes;

use super::feedback::Feedback;
use super::output::StepOutput;
use crate::bus::StreamSequence;
use crate::learn::{ExampleError, Examples, Impression, Impressions, JoinError, LabelCounts, LabelJoin, encode};
use crate::pipeline::{LabelPlan, Pipeline};
use crate::score::{Group, Ranked};

/// A message of examples or impressions has about so many bytes at most, half of what a broker takes.
const MESSAGE_BYTES: usize = 512 << 10;
/// What a row takes beside its vector: label, kind, times, key.
const ROW_BYTES: usize = 96;

/// A message of examples.
#[derive(Debug)]
pub(crate) struct ExampleMessage {
    /// Its message id.
    pub(crate) id: String,
    pub(crate) payload: Bytes,
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
pub(crate) struct Labelled {
    pub(crate) examples: Vec<ExampleMessage>,
    /// What requests were answered with, to be remembered across a restart.
    pub(crate) impressions: Vec<ImpressionMessage>,
}

/// The state of the label join, on the scoring thread.
pub(crate) struct Labeller {
    join: LabelJoin,
    stream: String,
    fingerprint: String,
    /// Tells settings apart under which a state was saved.
    settings: u64,
    columns: usize,
    /// Rows of a message.
    most_rows: usize,
    /// What was shown before this process started, with the position it was shown at.
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
    /// The join of a pipeline that has one. `recorded` are impressions of earlier runs, in their order.
    ///
    /// # Errors
    /// When the settings of the join are out of their ranges.
    pub(crate) fn new(pipeline: &Pipeline, recorded: Recorded, shown: Shown) -> Result<Option<Self>, JoinError> {
        let (Some(plan), Some(vector)) = (&pipeline.labels, &pipeline.vector) else { return Ok(None) };
        let LabelPlan { stream, settings, .. } = plan;
        let columns = vector.columns().len();
        Ok(Some(Self {
            join: LabelJoin::new(*settings)?,
            stream: pipeline.stream(*stream).name.clone(),
            settings: saving::settings_fingerprint(pipeline, vector.fingerprint().as_str()),
            fingerprint: vector.fingerprint().as_str().to_owned(),
            columns,
            most_rows: (MESSAGE_BYTES / (columns * size_of::<f32>() + ROW_BYTES)).max(1),
            recorded,
            shown,
            unscored: HashSet::new(),
            examples: Examples::new(columns),
            part: Examples::new(columns),
            impressions: Impressions::new(columns),
        }))
    }

    /// Which recorded impressions it holds.
    pub(crate) fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// Adds impressions that were recorded after the state was saved; from now on they are made by another worker.
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

    /// Takes a step and its rankings, made when the input streams stood at `position`. While the state is rebuilt there are
    /// no rankings, and nothing comes out.
    pub(crate) fn take(
        &mut self,
        output: &StepOutput,
        rankings: &[Ranked],
        position: &str,
    ) -> Result<Labelled, ExampleError> {
        if !output.is_replay && !self.unscored.is_empty() {
            self.unscored = HashSet::new();
        }
        let mut labelled = Labelled::default();
        let triggered = !output.triggers.is_empty();
        if !triggered {
            self.show_rankings(output, rankings, position, &mut labelled.impressions)?;
        }
        if let Some(feedback) = &output.feedback {
            self.follow(feedback, output, rankings, &mut labelled.examples)?;
        }
        Ok(labelled)
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
            for (place, row) in ranking.order.iter().enumerate() {
                if let Some(key) = output.keys.get(*row).copied().flatten() {
                    let vector = vector(output, *row, self.columns);
                    let impression = Impression { key, at: group.at, place: place as u32, vector };
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
        messages: &mut Vec<ExampleMessage>,
    ) -> Result<(), ExampleError> {
        let mut positives = feedback.positives.iter().peekable();
        let mut triggers = output.triggers.iter().enumerate().peekable();
        let mut unscorable = output.job.matrix.unscorable.iter().map(|bad| bad.row).peekable();
        let (mut last, mut ordinal) = (StreamSequence(0), 0_u32);
        for (row, (sequence, watermark)) in feedback.sequences.iter().zip(&feedback.watermarks).enumerate() {
            self.show_recorded(*sequence)?;
            ordinal = if *sequence == last { ordinal + 1 } else { 0 };
            last = *sequence;
            if let Some(positive) = positives.next_if(|positive| positive.row == row) {
                self.join.feedback(positive.key, positive.at, &mut self.examples)?;
            }
            if let Some((job_row, _)) = triggers.next_if(|(_, event)| **event as usize == row) {
                let has_vector = unscorable.next_if_eq(&job_row).is_none();
                let key = output.keys.get(job_row).copied().flatten().filter(|_| has_vector);
                if let (Some(key), Some(group)) = (key, output.job.groups.get(job_row))
                    && self.was_scored(rankings.get(job_row), group)
                {
                    let vector = vector(output, job_row, self.columns);
                    self.join.show(Impression { key, at: group.at, place: 0, vector })?;
                }
            }
            self.join.advance(*watermark, &mut self.examples)?;
            if self.examples.is_empty() {
                continue;
            }
            if !output.is_replay {
                self.end_examples(format!("{}-{sequence}-{ordinal}", self.stream), messages)?;
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
            messages.push(ExampleMessage { id, payload: encode(&self.examples, &self.fingerprint)?.into() });
            return Ok(());
        }
        for (part, first) in (0..self.examples.len()).step_by(self.most_rows).enumerate() {
            self.part.clear();
            for example in (first..first + self.most_rows).map_while(|row| self.examples.get(row)) {
                self.part.push(example)?;
            }
            let payload = encode(&self.part, &self.fingerprint)?.into();
            messages.push(ExampleMessage { id: format!("{id}.{part}"), payload });
        }
        Ok(())
    }

    /// Impressions of earlier runs come back before the first event after which they were made.
    fn show_recorded(&mut self, sequence: StreamSequence) -> Result<(), ExampleError> {
        while let Some((_, impressions)) = self.recorded.pop_front_if(|(position, _)| *position < sequence) {
            for impression in impressions.iter() {
                self.join.show(impression)?;
            }
        }
        Ok(())
    }
}

fn vector(output: &StepOutput, row: usize, columns: usize) -> &[f32] {
    &output.job.matrix.values[row * columns..(row + 1) * columns]
}

#[cfg(test)]
mod tests;

pub(crate) use recorded::{Made, Recorded, Shown, in_order};
