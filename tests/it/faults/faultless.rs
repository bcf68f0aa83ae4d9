//! What the same program gives without faults: the step, driven here over what the input streams hold, in one go.
//!
//! Which orders a visit had seen when it was scored depends on how the two streams interleaved. The markers say it, and here
//! they are believed; whatever else they say is compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::json::LineDelimitedWriter;
use serde_json::{Value, json};
use tidewheel::bus::{Message, StreamSequence};
use tidewheel::learn::{Examples, Impression, LabelJoin};
use tidewheel::model::{Scorer, Session};
use tidewheel::pipeline::Pipeline;
use tidewheel::pipeline::StreamIndex;
use tidewheel::step::Emitted;
use tidewheel::step::{Step, StepOutput};

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
}

/// What was shown and waits for a label.
struct Labels {
    join: LabelJoin,
    stream: String,
    columns: usize,
    examples: Examples,
}

impl Faultless {
    /// Drives the step over the inputs, in the order of `steps`: which stream, and up to which message.
    pub fn of(pipeline: &Arc<Pipeline>, inputs: &[Vec<Message>], steps: &[(usize, u64)]) -> Self {
        let mut found = Self::default();
        let mut step = Step::new(Arc::clone(pipeline)).unwrap();
        let mut scorer = scorer(pipeline);
        let mut labels = pipeline.labels.is_some().then(|| Labels::new(pipeline));
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
    fn new(pipeline: &Pipeline) -> Self {
        let (labels, columns) = (pipeline.labels.as_ref().unwrap(), pipeline.vector.as_ref().unwrap().columns().len());
        Self {
            join: LabelJoin::new(labels.settings).unwrap(),
            stream: pipeline.stream(labels.stream).name.clone(),
            columns,
            examples: Examples::new(columns),
        }
    }

    /// Event by event: feedback, what the event made be shown, and the windows that it closed.
    fn follow(&mut self, output: &StepOutput, found: &mut BTreeMap<String, Vec<String>>) {
        let Some(feedback) = &output.feedback else { return };
        let (mut last, mut ordinal) = (StreamSequence(0), 0);
        for (row, (sequence, watermark)) in feedback.sequences.iter().zip(&feedback.watermarks).enumerate() {
            ordinal = if *sequence == last { ordinal + 1 } else { 0 };
            last = *sequence;
            for positive in feedback.positives.iter().filter(|positive| positive.row == row) {
                self.join.feedback(positive.key, positive.at, &mut self.examples).unwrap();
            }
            if let Some(place) = output.triggers.iter().position(|event| *event as usize == row) {
                let vector = &output.job.matrix.values[place * self.columns..][..self.columns];
                let at = output.job.groups[place].at;
                self.join.show(Impression { key: output.keys[place].unwrap(), at, place: 0, vector }).unwrap();
            }
            self.join.advance(*watermark, &mut self.examples).unwrap();
            if !self.examples.is_empty() {
                let id = format!("example-{}-{sequence}-{ordinal}", self.stream);
                assert!(found.insert(id.clone(), in_words(&self.examples)).is_none(), "{id} is made twice");
                self.examples.clear();
            }
        }
    }
}

/// Examples with everything that is in them.
pub fn in_words(examples: &Examples) -> Vec<String> {
    (0..examples.len()).map(|row| format!("{:?}", examples.get(row).unwrap())).collect()
}

fn scorer(pipeline: &Pipeline) -> Scorer {
    let (model, vector) = (pipeline.model.as_ref().unwrap(), pipeline.vector.as_ref().unwrap());
    Session::from_bytes(&model.bytes, 1).unwrap().bind(&model.binding(vector)).unwrap()
}
