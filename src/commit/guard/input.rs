//! The input streams of a pipeline in the broker.

use crate::bus::{Bus, FedBy, JetStreamApi, ReadLimits, Reader, StreamSequence, StreamState, Subject};
use crate::commit::CommitError;
use crate::pipeline::{Pipeline, StreamPlan, input_spec};

/// An input stream as it is now.
pub(crate) struct Input {
    /// Its name in the broker.
    pub(crate) name: String,
    /// Where it is, if it is somebody else's.
    pub(in crate::commit) source: Option<JetStreamApi>,
    /// What of it is read; everything where there is none.
    pub(in crate::commit) filters: Vec<Subject>,
    pub(in crate::commit) state: StreamState,
    /// Whether it is not what was read; possible only where losses are accepted.
    pub(in crate::commit) is_other: bool,
}

impl Input {
    /// The stream of a plan: created where it is missing, unless it is somebody else's.
    async fn open(pipeline: &Pipeline, stream: &StreamPlan, bus: &Bus) -> Result<Self, CommitError> {
        let state = match stream.source {
            Some(_) => stream.bus(bus).bind(&stream.held_in, &stream.subjects).await?,
            None => bus.ensure_stream(&input_spec(pipeline, stream)).await?,
        };
        let (name, source, filters) = (stream.held_in.clone(), stream.source.clone(), stream.filters()?);
        Ok(Self { name, source, filters, state, is_other: false })
    }

    /// The connection by which the broker is asked about it.
    pub(crate) fn bus(&self, bus: &Bus) -> Bus {
        self.source.as_ref().map_or_else(|| bus.clone(), |api| bus.at(api))
    }

    /// What is read of it, in order, if it is somebody else's.
    pub(in crate::commit) fn subjects(&self) -> Vec<String> {
        let mut subjects: Vec<_> = self.filters.iter().map(|subject| subject.as_str().to_owned()).collect();
        subjects.sort_unstable();
        subjects
    }

    /// Where it ends, if it takes messages from other streams.
    pub(crate) fn aggregate_end(&self) -> Option<StreamSequence> {
        (self.state.fed_by == FedBy::Sources).then_some(self.state.last)
    }

    /// A reader of its events from a message on.
    pub(crate) fn reader(&self, bus: &Bus, from: StreamSequence, limits: ReadLimits) -> Reader {
        self.bus(bus).reader_through(&self.name, &self.filters, from, limits)
    }
}

/// The streams of a pipeline.
pub(in crate::commit) async fn open_inputs(pipeline: &Pipeline, bus: &Bus) -> Result<Vec<Input>, CommitError> {
    let mut inputs = Vec::new();
    for stream in &pipeline.streams {
        inputs.push(Input::open(pipeline, stream, bus).await?);
    }
    Ok(inputs)
}
