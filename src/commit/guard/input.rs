//! The input streams of a pipeline in the broker.

use crate::bus::{Bus, StreamState};
use crate::commit::CommitError;
use crate::pipeline::{Pipeline, input_spec};

/// An input stream as it is now.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(in crate::commit) state: StreamState,
    /// Whether it is not what was read; possible only where losses are accepted.
    pub(in crate::commit) is_other: bool,
}

/// The streams of a pipeline, created where they are missing.
pub(in crate::commit) async fn open_inputs(pipeline: &Pipeline, bus: &Bus) -> Result<Vec<Input>, CommitError> {
    let mut inputs = Vec::new();
    for stream in &pipeline.streams {
        let spec = input_spec(pipeline, stream);
        let state = bus.ensure_stream(&spec).await?;
        inputs.push(Input { name: spec.name, state, is_other: false });
    }
    Ok(inputs)
}
