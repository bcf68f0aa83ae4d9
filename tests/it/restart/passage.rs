//! A step that messages pass through, and everything that comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tidewheel::bus::Message;
use tidewheel::pipeline::Pipeline;
use tidewheel::pipeline::StreamIndex;
use tidewheel::pipeline::TableIndex;
use tidewheel::step::StepError;
use tidewheel::step::{Counts, Events, Misfit, Resumed, Step, StepOutput, StepView};
use tidewheel::time::EventTime;
use tidewheel::window::References;

use super::shop::requests;

/// Everything that came out, in an order that does not depend on how messages were cut into steps.
#[derive(Debug, Default, PartialEq)]
pub struct Out {
    /// Per stream.
    pub counts: BTreeMap<usize, [u64; 4]>,
    pub dead: Vec<String>,
    /// How often each expression failed, by where it stands: what is counted.
    pub failed: BTreeMap<String, u64>,
    pub emissions: Vec<String>,
    /// Vectors of events and of requests, in order, bit by bit.
    pub vectors: Vec<u32>,
    /// Which of them, counted from the first, are not complete, and why.
    pub unscorable: Vec<(usize, String)>,
    pub described: Vec<String>,
    pub feedback: Vec<String>,
    pub refused: Vec<String>,
    /// Late rows, emitted rows and evicted keys of each table, at each look.
    pub tables: Vec<String>,
    /// All rows of each table at the end.
    pub rows: Vec<String>,
}

pub struct Passage {
    pub pipeline: Arc<Pipeline>,
    pub step: Step,
    pub out: Out,
    /// Vectors so far.
    pub vectors: usize,
}

/// The saved parts of a step, by name.
pub type Parts = BTreeMap<String, Vec<u8>>;

impl Passage {
    pub fn new(pipeline: &Arc<Pipeline>) -> Self {
        Self {
            pipeline: Arc::clone(pipeline),
            step: Step::new(Arc::clone(pipeline)).unwrap(),
            out: Out::default(),
            vectors: 0,
        }
    }

    /// Steps of at most `size` messages, all of one stream.
    pub fn pass(&mut self, messages: &[(usize, Message)], size: usize) -> Result<(), StepError> {
        for run in messages.chunk_by(|left, right| left.0 == right.0) {
            for part in run.chunks(size.max(1)) {
                let stream = part[0].0;
                let batch: Vec<Message> = part.iter().map(|(_, message)| message.clone()).collect();
                self.take(stream, &batch)?;
            }
        }
        Ok(())
    }

    /// One step.
    pub fn take<'e>(&mut self, stream: usize, events: impl Into<Events<'e>>) -> Result<(), StepError> {
        let output = self.step.events(StreamIndex(stream), events, true)?;
        self.note(stream, output);
        Ok(())
    }

    /// Answers requests, and notes what the counters say.
    pub fn look(&mut self, seed: u64, now: i64) {
        let output = self.step.requests(&requests(seed, now), EventTime(now * 1_000)).unwrap();
        self.note(usize::MAX, output);
        for table in 0..self.pipeline.tables.len() {
            let counters = (
                self.step.late_rows(TableIndex(table)),
                self.step.emitted_rows()[table],
                self.step.evicted_keys(TableIndex(table)),
            );
            self.out.tables.push(format!("{table}: {counters:?}"));
        }
    }

    /// Closes all windows, and notes the rows of all tables.
    pub fn end(mut self) -> Out {
        for table in self.step.tables_mut() {
            self.out.rows.push(lines(&table.scan().unwrap()).join("\n"));
        }
        let emissions = self.step.close_windows().unwrap();
        self.note(usize::MAX, StepOutput { emissions, ..StepOutput::default() });
        self.out.emissions.sort();
        self.out.dead.sort();
        self.out
    }

    fn note(&mut self, stream: usize, output: StepOutput) {
        let Counts { counted, late, rejected, duplicate } = output.counts;
        let counts = self.out.counts.entry(stream).or_default();
        for (total, part) in counts.iter_mut().zip([counted, late, rejected, duplicate]) {
            *total += part;
        }
        for letter in output.dead {
            let place = (letter.stream, letter.sequence, letter.reason);
            if let Some(failing) = letter.place {
                *self.out.failed.entry(format!("{}: {}", failing.owner, failing.expression)).or_default() += 1;
            }
            self.out.dead.push(format!("{place:?} {} {:?}", letter.detail, letter.bytes));
        }
        for emission in &output.emissions {
            let rows = lines(&emission.rows).into_iter().zip(&emission.windows);
            let (kind, at) = (emission.kind.as_str(), emission.at.micros());
            let line = |(row, window): (String, &(i64, i64))| {
                format!("{} {kind} at {at} {window:?} {} {row}", emission.table.0, emission.is_removal)
            };
            self.out.emissions.extend(rows.map(line));
        }
        let unscorable = output.job.matrix.unscorable.iter();
        self.out.unscorable.extend(unscorable.map(|bad| (self.vectors + bad.row, bad.reason.clone())));
        self.vectors += output.job.matrix.rows;
        self.out.vectors.extend(output.job.matrix.values.iter().map(|value| value.to_bits()));
        self.out.described.extend(output.origins.iter().map(|origin| format!("{origin:?}")));
        self.out.described.extend(output.keys.iter().map(|key| format!("{key:?}")));
        self.out.refused.extend(output.refused.iter().map(|refused| format!("{refused:?}")));
        if let Some(feedback) = output.feedback {
            let watermarks = feedback.watermarks.iter().map(|watermark| watermark.micros());
            let events = feedback.sequences.iter().zip(watermarks);
            self.out.feedback.extend(events.map(|event| format!("{event:?}")));
            let positives = feedback.positives.iter();
            self.out.feedback.extend(positives.map(|positive| {
                format!("{:?} {:?} {}", feedback.sequences[positive.row], positive.key, positive.at.micros())
            }));
        }
        self.out.feedback.sort();
        self.out.described.sort();
    }

    pub fn save(&mut self) -> Parts {
        saved(&self.step.view_of_parts().unwrap())
    }

    /// Goes on with a step that was restored from what this one saves.
    pub fn restart(&mut self, is_present: bool) {
        let parts = self.save();
        self.step = restore(&self.pipeline, &parts).unwrap();
        if is_present {
            self.step.reach_present();
        }
        assert!(parts == self.save(), "a restored step saves what it was restored from");
    }
}

/// The messages of the first stream through a pipeline in steps of `size`, with a restart in the middle.
pub fn pass(pipeline: &Arc<Pipeline>, messages: &[Message], size: usize) -> Out {
    let messages: Vec<(usize, Message)> = messages.iter().map(|message| (0, message.clone())).collect();
    let (first, second) = messages.split_at(messages.len() / 2);
    let mut passage = Passage::new(pipeline);
    passage.pass(first, size).unwrap();
    passage.restart(false);
    passage.pass(second, size).unwrap();
    passage.end()
}

/// All parts of a view.
pub fn saved(view: &StepView) -> Parts {
    let save = |name: &String| {
        let mut bytes = Vec::new();
        view.save_part(name, &mut bytes).unwrap();
        (name.clone(), bytes)
    };
    view.parts().iter().map(save).collect()
}

/// The step that was saved; a part of something else is an error.
pub fn restore(pipeline: &Arc<Pipeline>, parts: &Parts) -> Result<Step, StepError> {
    let Resumed { step, misfits } = resume(pipeline, parts)?;
    match misfits.into_iter().next() {
        Some(Misfit { part, why, .. }) => Err(StepError::State { part, source: why }),
        None => Ok(step),
    }
}

/// The step that was saved, without the tables that are of something else.
pub fn resume(pipeline: &Arc<Pipeline>, parts: &Parts) -> Result<Resumed, StepError> {
    Step::restore(pipeline, references(pipeline), |name| Ok(parts.get(name).map(Vec::as_slice)))
}

pub fn references(pipeline: &Pipeline) -> References {
    let mut references = References::default();
    pipeline.references.iter().for_each(|reference| references.set(Arc::clone(&reference.table)));
    references
}

/// Rows as text; floats as Rust prints them, which tells all bits but those of NaN apart.
pub fn lines(rows: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns = rows.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap());
    let columns: Vec<_> = columns.collect();
    (0..rows.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" "))
        .collect()
}
