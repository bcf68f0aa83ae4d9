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

use std::collections::VecDeque;

use bytes::Bytes;

use super::feedback::Feedback;
use super::pipeline::{LabelPlan, Pipeline};
use super::step::StepOutput;
use crate::bus::StreamSequence;
use crate::learn::{ExampleError, Examples, Impression, Impressions, JoinError, LabelCounts, LabelJoin, encode};
use crate::score::Ranked;

/// A message of examples or impressions has about so many bytes at most, half of what a broker takes.
const MESSAGE_BYTES: usize = 512 << 10;
/// What a row takes beside its vector: label, kind, times, key.
const ROW_BYTES: usize = 96;

/// A message of examples.
#[derive(Debug)]
pub(super) struct ExampleMessage {
    /// Its message id.
    pub(super) id: String,
    pub(super) payload: Bytes,
}

/// What the join of one step gives.
#[derive(Debug, Default)]
pub(super) struct Labelled {
    pub(super) examples: Vec<ExampleMessage>,
    /// What requests were answered with, to be remembered across a restart: messages.
    pub(super) impressions: Vec<Bytes>,
}

/// The state of the label join, on the scoring thread.
pub(super) struct Labeller {
    join: LabelJoin,
    stream: String,
    fingerprint: String,
    columns: usize,
    /// Rows of a message.
    most_rows: usize,
    /// What was shown before this process started, with the position it was shown at.
    recorded: VecDeque<(StreamSequence, Impressions)>,
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
    pub(super) fn new(
        pipeline: &Pipeline,
        recorded: VecDeque<(StreamSequence, Impressions)>,
    ) -> Result<Option<Self>, JoinError> {
        let (Some(plan), Some(vector)) = (&pipeline.labels, &pipeline.vector) else { return Ok(None) };
        let LabelPlan { stream, settings, .. } = plan;
        let columns = vector.columns().len();
        Ok(Some(Self {
            join: LabelJoin::new(*settings)?,
            stream: pipeline.streams[*stream].name.clone(),
            fingerprint: vector.fingerprint().as_str().to_owned(),
            columns,
            most_rows: (MESSAGE_BYTES / (columns * size_of::<f32>() + ROW_BYTES)).max(1),
            recorded,
            examples: Examples::new(columns),
            part: Examples::new(columns),
            impressions: Impressions::new(columns),
        }))
    }

    /// What became of impressions and feedback so far.
    pub(super) fn counts(&self) -> LabelCounts {
        self.join.counts()
    }

    /// Takes a step and its rankings, made when the input streams stood at `position`. While the state is rebuilt there are
    /// no rankings, and nothing comes out.
    pub(super) fn take(
        &mut self,
        output: &StepOutput,
        rankings: &[Ranked],
        position: &str,
    ) -> Result<Labelled, ExampleError> {
        let mut labelled = Labelled::default();
        let triggered = !output.triggers.is_empty();
        if !triggered {
            self.show_rankings(output, rankings, position, &mut labelled.impressions)?;
        }
        if let Some(feedback) = &output.feedback {
            self.follow(feedback, output, &mut labelled.examples)?;
        }
        Ok(labelled)
    }

    /// Remembers what requests, or events of a stream without feedback, were answered with.
    fn show_rankings(
        &mut self,
        output: &StepOutput,
        rankings: &[Ranked],
        position: &str,
        messages: &mut Vec<Bytes>,
    ) -> Result<(), ExampleError> {
        for (ranking, group) in rankings.iter().zip(&output.job.groups) {
            for (place, row) in ranking.order.iter().enumerate() {
                if let Some(key) = output.keys.get(*row).copied().flatten() {
                    let vector = vector(output, *row, self.columns);
                    let impression = Impression { key, at_micros: group.at_micros, place: place as u32, vector };
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

    fn end_impressions(&mut self, position: &str, messages: &mut Vec<Bytes>) -> Result<(), ExampleError> {
        if !self.impressions.is_empty() {
            messages.push(self.impressions.encode(&self.fingerprint, position)?.into());
            self.impressions.clear();
        }
        Ok(())
    }

    /// Event by event: feedback, what the event itself made be shown, and the windows that it closed.
    fn follow(
        &mut self,
        feedback: &Feedback,
        output: &StepOutput,
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
                self.join.feedback(positive.key, positive.at_micros, &mut self.examples)?;
            }
            if let Some((job_row, _)) = triggers.next_if(|(_, event)| **event as usize == row) {
                let is_scored = unscorable.next_if_eq(&job_row).is_none();
                let key = output.keys.get(job_row).copied().flatten().filter(|_| is_scored);
                if let (Some(key), Some(group)) = (key, output.job.groups.get(job_row)) {
                    let vector = vector(output, job_row, self.columns);
                    self.join.show(Impression { key, at_micros: group.at_micros, place: 0, vector })?;
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
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Folder;
    use crate::engine::feedback::Positive;
    use crate::feature::Matrix;
    use crate::learn::{ExampleKind, decode};
    use crate::score::{Group, Job};

    /// Microseconds of event time.
    const SHOWN: i64 = 1_000_000_000;

    fn pipeline() -> Pipeline {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        Folder::read(&root.join("pipelines/recommend")).unwrap().assemble_without_model().unwrap()
    }

    fn labeller(pipeline: &Pipeline, recorded: Vec<(u64, Impressions)>) -> Labeller {
        let recorded = recorded.into_iter().map(|(position, shown)| (StreamSequence(position), shown)).collect();
        Labeller::new(pipeline, recorded).unwrap().unwrap()
    }

    fn columns(pipeline: &Pipeline) -> usize {
        pipeline.vector.as_ref().unwrap().columns().len()
    }

    /// A request for `rows` candidates, of which row `n` has key `n` and a vector of `n`s, and its ranking: the last first.
    fn request(pipeline: &Pipeline, rows: usize) -> (StepOutput, Vec<Ranked>) {
        let values = (0..rows).flat_map(|row| vec![row as f32; columns(pipeline)]).collect();
        let group = Group { request_id: "r".to_owned(), user: None, at_micros: SHOWN, rows };
        let output = StepOutput {
            job: Job { matrix: Matrix { values, rows, unscorable: Vec::new() }, groups: vec![group], ..Job::default() },
            keys: (0..rows).map(|row| Some(row as u128)).collect(),
            ..StepOutput::default()
        };
        let ranked = Ranked { payload: Bytes::new(), order: (0..rows).rev().collect(), left_out: None };
        (output, vec![ranked])
    }

    /// Events of these messages, of which the `row`th is feedback on `key`; the last one closes the window if it is to.
    fn events(sequences: &[u64], positive: Option<(usize, u128)>, closes: bool) -> StepOutput {
        let window = 60_000_000;
        let mut watermarks = vec![SHOWN; sequences.len()];
        if closes && let Some(last) = watermarks.last_mut() {
            *last += window;
        }
        let positive = positive.map(|(row, key)| Positive { row, key: Some(key), at_micros: SHOWN + 1_000 });
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
        let shown = before.take(&output, &ranked, "clicks=3").unwrap();
        assert!(shown.examples.is_empty());
        let made = before.take(&events(&[4, 5, 5], Some((1, 2)), true), &[], "clicks=3").unwrap().examples;

        let examples = decoded(&pipeline, &made);
        let ids: Vec<&str> = examples.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["clicks-5-0", "clicks-5-1"], "two events of one message have names of their own");
        let (click, closed) = (&examples[0].1, &examples[1].1);
        assert_eq!((click.kinds(), click.places()), (&[ExampleKind::Positive][..], &[0][..]));
        assert_eq!((closed.labels(), closed.places()), (&[0.0, 0.0][..], &[1, 2][..]));
        assert!(click.vectors().iter().all(|value| *value == 2.0));

        let fingerprint = pipeline.vector.as_ref().unwrap().fingerprint().as_str();
        let read = |bytes: &Bytes| Impressions::decode(bytes, columns(&pipeline), fingerprint).unwrap();
        let recorded: Vec<(u64, Impressions)> = shown.impressions.iter().map(|bytes| (3, read(bytes).0)).collect();
        assert_eq!(read(&shown.impressions[0]).1, "clicks=3");
        let mut after = labeller(&pipeline, recorded);
        let replayed = StepOutput { is_replay: true, ..events(&[1, 2, 3], None, false) };
        assert!(after.take(&replayed, &[], "").unwrap().examples.is_empty());
        assert_eq!(after.counts().shown, 0, "they come back before the first event that followed them");
        let again = after.take(&events(&[4, 5, 5], Some((1, 2)), true), &[], "clicks=3").unwrap().examples;
        let pairs = |messages: &[ExampleMessage]| -> Vec<(String, Bytes)> {
            messages.iter().map(|message| (message.id.clone(), message.payload.clone())).collect()
        };
        assert_eq!(pairs(&again), pairs(&made));
        assert_eq!(after.counts(), before.counts());
    }

    #[test]
    fn while_the_state_is_rebuilt_labels_are_counted_and_nothing_comes_out() {
        let pipeline = pipeline();
        let mut labeller = labeller(&pipeline, Vec::new());
        let (output, ranked) = request(&pipeline, 3);
        labeller.take(&output, &ranked, "clicks=0").unwrap();
        let replayed = StepOutput { is_replay: true, ..events(&[1, 2], Some((0, 1)), true) };
        assert!(labeller.take(&replayed, &[], "clicks=0").unwrap().examples.is_empty());
        assert_eq!((labeller.counts().positives, labeller.counts().negatives), (1, 2));
    }

    #[test]
    fn what_is_more_than_a_message_holds_comes_in_several_that_are_named_apart() {
        let pipeline = pipeline();
        let mut labeller = labeller(&pipeline, Vec::new());
        let rows = 2 * labeller.most_rows + 1;
        let (output, ranked) = request(&pipeline, rows);
        let shown = labeller.take(&output, &ranked, "clicks=0").unwrap().impressions;
        let made = labeller.take(&events(&[1], None, true), &[], "clicks=0").unwrap().examples;
        assert_eq!(shown.len(), 3);
        let sizes = shown.iter().map(Bytes::len).chain(made.iter().map(|message| message.payload.len()));
        assert!(sizes.max().unwrap() < 1_000_000);

        let examples = decoded(&pipeline, &made);
        let ids: Vec<&str> = examples.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["clicks-1-0.0", "clicks-1-0.1", "clicks-1-0.2"]);
        let places: Vec<u32> = examples.iter().flat_map(|(_, examples)| examples.places().to_vec()).collect();
        assert_eq!(places, (0..rows as u32).collect::<Vec<_>>());
    }
}
