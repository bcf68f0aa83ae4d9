//! What a pipeline has committed: the only place that knows how outputs and markers are written.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream;
use bytes::Bytes;
use futures::StreamExt;
use serde::Deserialize;
use tidewheel::bus::{Bus, BusError, Message, ReadLimits, StreamSequence, Subject};
use tidewheel::pipeline::{Pipeline, input_spec, output_spec};

use super::site::{PATIENCE, Site, patiently};

const ID: &str = "Tidewheel-Id";
const TABLE: &str = "Tidewheel-Table";
const STREAM: &str = "Tidewheel-Stream";
const SEQUENCE: &str = "Tidewheel-Sequence";
const REASON: &str = "Tidewheel-Reason";

/// What the program says of how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Marker {
    pub lineage: String,
    pub epoch: u64,
    pub writer: String,
    /// The machine and process of the writer.
    pub host: String,
    pub complete: bool,
    pub inputs: Vec<Input>,
    pub counts: Counts,
    /// The stream and the last message of each run of steps, in their order.
    #[serde(default)]
    pub steps: Vec<(usize, u64, bool)>,
    /// How labels went on while no event came, if they did.
    pub ticks: Option<Ticks>,
}

/// The ticks of a marker.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ticks {
    pub ticks: Vec<Tick>,
}

/// That so many windows at most were closed by the clock, after a message of the feedback's stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Tick {
    pub after: u64,
    pub clock_micros: i64,
    pub most: usize,
}

/// How far an input stream is done.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Input {
    pub stream: String,
    pub sequence: u64,
}

/// What became of the events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Counts {
    pub counted: u64,
    pub late: u64,
    pub rejected: u64,
    pub duplicate: u64,
}

impl Counts {
    /// All events.
    pub fn published(&self) -> u64 {
        self.counted + self.late + self.rejected + self.duplicate
    }
}

/// A message of the output stream.
#[derive(Debug, Clone)]
pub struct Output {
    /// Where it is.
    pub sequence: u64,
    /// What identifies it.
    pub id: String,
    pub what: What,
    pub payload: Bytes,
}

/// What an output is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A row of this table.
    Row(String),
    Ranking,
    /// A ranking that somebody asked for. No truth knows it: which events it has seen is a matter of time.
    Answer,
    Dead {
        stream: String,
        sequence: u64,
        reason: String,
    },
    Example,
}

/// Everything in the output stream.
#[derive(Default)]
pub struct Outputs {
    pub outputs: Vec<Output>,
    /// With their places.
    pub markers: Vec<(u64, Marker)>,
}

impl Marker {
    /// Whether this process wrote it after a step: what a worker begins with is a marker, too.
    pub fn is_step_of(&self, process: u32) -> bool {
        self.host.ends_with(&format!(", process {process}")) && !self.steps.is_empty()
    }
}

/// The newest marker, if there is one and the broker says so.
pub async fn newest_marker(bus: &Bus, pipeline: &Pipeline) -> Option<Marker> {
    ask_for_marker(bus, pipeline).await.ok()?
}

/// The newest marker, if there is one.
pub async fn ask_for_marker(bus: &Bus, pipeline: &Pipeline) -> Result<Option<Marker>, BusError> {
    let subject = Subject::new(format!("{}.commits", pipeline.name)).unwrap();
    let newest = bus.last_message(&output_spec(pipeline).name, &subject).await?;
    Ok(newest.map(|newest| serde_json::from_slice(&newest.payload).unwrap()))
}

/// Reads everything that is in the output stream.
pub async fn read(site: &Site) -> Outputs {
    let name = output_spec(&site.pipeline).name;
    let mut outputs = Outputs::default();
    // With a client of its own: the program never reads headers of its outputs in bulk.
    let client = async_nats::connect(&site.url).await.unwrap();
    let stream = jetstream::new(client).get_stream(&name).await.unwrap();
    let last = stream.cached_info().state.last_sequence;
    if stream.cached_info().state.messages == 0 {
        return outputs;
    }
    let consumer = stream.create_consumer(jetstream::consumer::pull::OrderedConfig::default()).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    loop {
        let message = tokio::time::timeout(PATIENCE, messages.next()).await.unwrap().unwrap().unwrap();
        let sequence = message.info().unwrap().stream_sequence;
        outputs.take(&site.pipeline.name, sequence, &message);
        if sequence >= last {
            return outputs;
        }
    }
}

impl Outputs {
    fn take(&mut self, pipeline: &str, sequence: u64, message: &async_nats::Message) {
        let header = |name: &str| {
            let value = message.headers.as_ref().and_then(|headers| headers.get(name));
            value.map(|value| value.as_str().to_owned())
        };
        assert_eq!(header("Nats-Msg-Id"), None, "outputs do not lean on what the broker remembers for a while");
        let subject = message.subject.as_str().strip_prefix(pipeline).unwrap();
        let what = match subject {
            ".commits" => {
                self.markers.push((sequence, serde_json::from_slice(&message.payload).unwrap()));
                return;
            }
            ".ranked" if header(ID).is_some_and(|id| id.starts_with("request-")) => What::Answer,
            ".ranked" => What::Ranking,
            ".examples" => What::Example,
            ".dead" => What::Dead {
                stream: header(STREAM).unwrap(),
                sequence: header(SEQUENCE).unwrap().parse().unwrap(),
                reason: header(REASON).unwrap(),
            },
            _ => What::Row(header(TABLE).unwrap()),
        };
        self.outputs.push(Output { sequence, id: header(ID).unwrap(), what, payload: message.payload.clone() });
    }

    /// The steps in the order in which they were made: which stream, and up to where.
    pub fn steps(&self) -> Vec<(usize, u64)> {
        self.markers.iter().flat_map(|(_, marker)| marker.steps.iter().map(|step| (step.0, step.1))).collect()
    }

    /// The ticks in the order in which they were made.
    pub fn ticks(&self) -> Vec<Tick> {
        self.markers
            .iter()
            .filter_map(|(_, marker)| marker.ticks.as_ref())
            .flat_map(|ticks| ticks.ticks.clone())
            .collect()
    }

    /// How markers contradict each other, or what they cover.
    pub fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for pair in self.markers.windows(2) {
            let ((_, before), (place, after)) = (&pair[0], &pair[1]);
            if before.lineage != after.lineage || before.epoch + 1 != after.epoch {
                found.push(format!("marker at {place}: epoch {} follows {}", after.epoch, before.epoch));
            }
            let goes_back = before.inputs.iter().zip(&after.inputs).any(|(a, b)| a.sequence > b.sequence);
            if goes_back || before.counts.published() > after.counts.published() {
                found.push(format!("marker at {place}: it goes back: {after:?} after {before:?}"));
            }
        }
        // An output that names its message lies between the marker before that message and the one that covers it.
        let mut markers = self.markers.iter().peekable();
        let mut done: BTreeMap<&str, u64> = BTreeMap::new();
        for output in &self.outputs {
            while let Some((_, marker)) = markers.next_if(|(place, _)| *place < output.sequence) {
                let inputs = marker.inputs.iter().map(|input| (input.stream.as_str(), input.sequence));
                done.extend(inputs);
            }
            let Some((stream, sequence)) = output.origin() else { continue };
            let from = done.get(stream).copied().unwrap_or(0);
            let covering = markers.clone().find(|(_, marker)| marker.complete);
            let covered = covering.is_some_and(|(_, marker)| {
                marker.inputs.iter().any(|input| input.stream == stream && input.sequence >= sequence)
            });
            if sequence <= from || !covered {
                found.push(format!("{} at {}: its marker covers something else", output.id, output.sequence));
            }
        }
        if let (Some(output), last) = (self.outputs.last(), self.markers.last().map_or(0, |(place, _)| *place))
            && output.sequence > last
        {
            found.push(format!("{} comes after the last marker", output.id));
        }
        found
    }
}

impl Output {
    /// The input message that it is named after.
    fn origin(&self) -> Option<(&str, u64)> {
        match &self.what {
            What::Dead { stream, sequence, .. } => Some((stream, *sequence)),
            // `ranking-visits-17-0`
            What::Ranking => {
                let (rest, _ordinal) = self.id.strip_prefix("ranking-")?.rsplit_once('-')?;
                let (stream, sequence) = rest.rsplit_once('-')?;
                Some((stream, sequence.parse().ok()?))
            }
            What::Row(_) | What::Answer | What::Example => None,
        }
    }
}

/// Everything that is in an input stream, by the index of the stream.
pub async fn read_input(site: &Site, stream: usize) -> Vec<Message> {
    let name = input_spec(&site.pipeline, &site.pipeline.streams[stream]).name;
    let count = patiently("the state of a stream", async || site.bus.stream_state(&name).await.ok()).await.messages;
    let mut reader = site.bus.reader(&name, StreamSequence::FIRST, ReadLimits { rows: 4_096, linger: Duration::ZERO });
    let mut found = Vec::new();
    while (found.len() as u64) < count {
        found.extend(tokio::time::timeout(PATIENCE, reader.next_batch()).await.unwrap().unwrap());
    }
    found
}
