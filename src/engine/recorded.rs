//! What was shown before this process started, read back from the broker.

use std::collections::VecDeque;
use std::time::Duration;

use super::EngineError;
use super::pipeline::Pipeline;
use super::position::Position;
use super::streams::impressions_spec;
use crate::bus::{Bus, ReadLimits, StreamSequence};
use crate::learn::Impressions;

/// Messages that are read at once.
const READ_ROWS: usize = 1_024;

/// Impressions of answered requests in their order, each with the position of the feedback's stream that it was made at.
/// Those of another vector are left out and counted: their examples could train nothing.
pub(super) async fn recorded_impressions(
    pipeline: &Pipeline,
    bus: &Bus,
) -> Result<VecDeque<(StreamSequence, Impressions)>, EngineError> {
    let mut recorded = VecDeque::new();
    let (Some(spec), Some(labels), Some(vector)) = (impressions_spec(pipeline), &pipeline.labels, &pipeline.vector)
    else {
        return Ok(recorded);
    };
    let state = bus.stream_state(&spec.name).await?;
    if state.messages == 0 {
        return Ok(recorded);
    }
    let start = Position::start(pipeline.streams.iter().map(|stream| stream.name.as_str()));
    let limits = ReadLimits { rows: READ_ROWS, linger: Duration::ZERO };
    let mut reader = bus.reader(&spec.name, state.first, limits);
    let mut left_out = 0_u64;
    while reader.position() <= state.last {
        for message in reader.next_batch().await? {
            let (columns, fingerprint) = (vector.columns().len(), vector.fingerprint().as_str());
            let decoded = Impressions::decode(&message.payload, columns, fingerprint).ok();
            let placed = decoded.and_then(|(impressions, position)| {
                let position = start.clone().resumed_from(&position)?;
                Some((position.of(labels.stream), impressions))
            });
            match placed {
                Some(placed) => recorded.push_back(placed),
                None => left_out += 1,
            }
        }
    }
    if left_out > 0 {
        tracing::warn!(left_out, "messages of impressions are of another vector or not readable");
    }
    Ok(recorded)
}
