//! What the same program gives without faults: the step, driven here over what the input streams hold, in one go.
//!
//! Which orders a visit had seen when it was scored depends on how the two streams interleaved. The markers say it, and here
//! they are believed, and so is how long the silence was in which labels were decided; whatever else they say is compared.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::json::LineDelimitedWriter;
use serde_json::{Value, json};
use tidewheel::bus::{Message, StreamSequence};
use tidewheel::learn::{Example, Examples, Impression, LabelJoin, Provenance};
use tidewheel::model::{Scorer, Session};
use tidewheel::pipeline::Pipeline;
use tidewheel::pipeline::StreamIndex;
use tidewheel::step::Emitted;
use tidewheel::step::{Step, StepOutput};
use tidewheel::time::EventTime;

use super::outputs::Tick;

/// Messages of one step: not what the program takes, so that nothing may depend on it.
const STEP_ROWS: usize = 300;

/// Outputs by their names.
#[derive(Debug, Default)]
pub struct Faultless {
    /// Rows as JSON.
    pub rows: BTreeMap<String, Value>,
    /// Scores of the one item that each ranking has.
    pub rankings: BTreeMap<String, f64>,
    /// The examples of each message, in words.
    pub examples: BTreeMap<String, Vec<String>>,
    /// Rankings that nothing is learnt from, because they saw events later than themselves.
    pub forgotten: usize,
}

/// What was shown and waits for a label.
struct Labels {
    join: LabelJoin,
    stream: String,
    columns: usize,
    examples: Examples,
    /// Those that are still to come.
    ticks: VecDeque<Tick>,
    /// The last one, and how many there were at that moment.
    ticked: (u64, i64, usize),
}

impl Faultless {
    /// Drives the step over the inputs, in the order of `steps`: which stream, and up to which message. Silence is where `ticks`
    /// say it was.
    pub fn of(pipeline: &Arc<Pipeline>, inputs: &[Vec<Message>], steps: &[(usize, u64)], ticks: &[Tick]) -> Self {
        let mut found = Self::default();
        let mut step = Step::new(Arc::clone(pipeline)).unwrap();
        let mut scorer = scorer(pipeline);
        let mut labels = pipeline.labels.is_some().then(|| Labels::new(pipeline, ticks));
        let mut done = vec![0; inputs.len()];
        for (stream, until) in steps {
            let rest = &inputs[*stream][done[*stream]..];
            let run = &rest[..rest.partition_point(|message| message.sequence.0 <= *until)];
            done[*stream] += run.len();
            for messages in run.chunks(STEP_ROWS) {
                let output = step.events(StreamIndex(*stream), messages, true).unwrap();
                found.take(pipeline, &output, &mut scorer);
                if let Some(labels) = &mut labels {
                    labels.follow(&output, &mut found.examples);
                }
            }
        }
        if let Some(labels) = &mut labels {
            labels.tick(u64::MAX, &mut found.examples);
        }
        found
    }

    fn take(&mut self, pipeline: &Pipeline, output: &StepOutput, scorer: &mut Scorer) {
        for emission in &output.emissions {
            let table = pipeline.table(emission.table);
            if table.publish.is_some() {
                self.take_rows(table.plan.name(), emission);
            }
        }
        let mut scores = Vec::new();
        scorer.score(&output.job.matrix.values, output.job.matrix.rows, &mut scores).unwrap();
        self.forgotten += output.keys.iter().filter(|key| key.is_none()).count();
        for (group, score) in output.job.groups.iter().zip(scores) {
            let twice = self.rankings.insert(format!("ranking-{}", group.request_id), f64::from(score));
            assert!(twice.is_none(), "{} is made twice", group.request_id);
        }
    }

    fn take_rows(&mut self, table: &str, emission: &Emitted) {
        let mut writer = LineDelimitedWriter::new(Vec::new());
        writer.write(&emission.rows).unwrap();
        writer.finish().unwrap();
        let lines = String::from_utf8(writer.into_inner()).unwrap();
        let keys = emission.keys[0].as_primitive::<Int64Type>();
        let kind = if emission.is_removal { "removed" } else { emission.kind.as_str() };
        for ((line, key), (start, end)) in lines.lines().zip(keys.values()).zip(&emission.windows) {
            let id = format!("row-{table}-{kind}-{}-{start}-{end}-[{key}]", emission.at.micros());
            let row = if emission.is_removal { json!(null) } else { serde_json::from_str(line).unwrap() };
            assert!(self.rows.insert(id.clone(), row).is_none(), "{id} is made twice");
        }
    }
}

impl Labels {
    fn new(pipeline: &Pipeline, ticks: &[Tick]) -> Self {
        let (labels, columns) = (pipeline.labels.as_ref().unwrap(), pipeline.vector.as_ref().unwrap().columns().len());
        Self {
            join: LabelJoin::new(labels.settings).unwrap(),
            stream: pipeline.stream(labels.stream).name.clone(),
            columns,
            examples: Examples::new(columns),
            ticks: ticks.iter().cloned().collect(),
            ticked: (0, 0, 0),
        }
    }

    /// Event by event: feedback, what the event made be shown, and the windows that it closed.
    fn follow(&mut self, output: &StepOutput, found: &mut BTreeMap<String, Vec<String>>) {
        let Some(feedback) = &output.feedback else { return };
        let (mut last, mut ordinal) = (StreamSequence(0), 0);
        for (row, (sequence, watermark)) in feedback.sequences.iter().zip(&feedback.watermarks).enumerate() {
            self.tick(sequence.0, found);
            ordinal = if *sequence == last { ordinal + 1 } else { 0 };
            last = *sequence;
            for positive in feedback.positives.iter().filter(|positive| positive.row == row) {
                self.join.feedback(positive.key, positive.at, &mut self.examples).unwrap();
            }
            let place = output.triggers.iter().position(|event| *event as usize == row);
            // What was scored as of a later moment than its own has no key, and nothing finds it.
            if let Some((place, key)) = place.and_then(|place| Some((place, output.keys[place]?))) {
                let vector = &output.job.matrix.values[place * self.columns..][..self.columns];
                let group = &output.job.groups[place];
                let (at, arrived) = (group.shown, group.arrived);
                self.join
                    .show(Impression { key, at, arrived, place: 0, vector, provenance: Provenance::unknown() })
                    .unwrap();
            }
            self.join.advance(*watermark, &mut self.examples).unwrap();
            self.end(format!("example-{}-{sequence}-{ordinal}", self.stream), found);
        }
    }

    /// The ticks before a message.
    fn tick(&mut self, sequence: u64, found: &mut BTreeMap<String, Vec<String>>) {
        while let Some(Tick { after, clock_micros, most }) = self.ticks.pop_front_if(|tick| tick.after < sequence) {
            let (last_after, last_clock, part) = self.ticked;
            let part = if (last_after, last_clock) == (after, clock_micros) { part + 1 } else { 0 };
            self.ticked = (after, clock_micros, part);
            let closed = self.join.tick(EventTime(clock_micros), most, &mut self.examples).unwrap();
            assert!(closed > 0, "a tick that closes nothing is not recorded");
            self.end(format!("example-{}-{after}-tick-{clock_micros}-{part}", self.stream), found);
        }
    }

    fn end(&mut self, id: String, found: &mut BTreeMap<String, Vec<String>>) {
        if !self.examples.is_empty() {
            assert!(found.insert(id.clone(), in_words(&self.examples)).is_none(), "{id} is made twice");
            self.examples.clear();
        }
    }
}

/// Examples with everything that is learnt from.
pub fn in_words(examples: &Examples) -> Vec<String> {
    let learnt = |example| Example { provenance: Provenance::unknown(), ..example };
    (0..examples.len()).map(|row| format!("{:?}", learnt(examples.get(row).unwrap()))).collect()
}

fn scorer(pipeline: &Pipeline) -> Scorer {
    let (model, vector) = (pipeline.model.as_ref().unwrap(), pipeline.vector.as_ref().unwrap());
    Session::from_bytes(&model.bytes, 1).unwrap().bind(&model.binding(vector)).unwrap()
}
