//! What was shown before this process started, read back from the broker.

use std::collections::VecDeque;
use std::time::Duration;

use super::position::Position;
use crate::bus::{Bus, ReadLimits, StreamSequence};
use crate::commit::CommitError;
use crate::learn::Impressions;
use crate::pipeline::{Pipeline, impressions_spec};
use crate::step::{Made, Recorded, Shown, in_order};

/// Messages that are read at once.
const READ_ROWS: usize = 1_024;

/// Impressions of answered requests that a state does not hold, in their order, each with the position of the feedback's
/// stream that it was made at; and the last message that was looked at. Those of another vector are left out and counted:
/// their examples could train nothing.
pub(crate) async fn recorded_impressions(
    pipeline: &Pipeline,
    bus: &Bus,
    held: &Shown,
) -> Result<(Recorded, StreamSequence), CommitError> {
    let mut recorded = VecDeque::new();
    let (Some(spec), Some(labels), Some(vector)) = (impressions_spec(pipeline), &pipeline.labels, &pipeline.vector)
    else {
        return Ok((recorded, StreamSequence(0)));
    };
    let state = bus.stream_state(&spec.name).await?;
    let first = state.first.max(StreamSequence(held.until).next());
    if state.messages == 0 || first > state.last {
        return Ok((recorded, state.last));
    }
    let start = Position::start(pipeline.streams.iter().map(|stream| stream.name.as_str()));
    let limits = ReadLimits { rows: READ_ROWS, linger: Duration::ZERO };
    let mut reader = bus.reader(&spec.name, first, limits);
    let mut left_out = 0_u64;
    while reader.position() <= state.last {
        for message in reader.next_batch().await? {
            let (columns, fingerprint) = (vector.columns().len(), vector.fingerprint().as_str());
            let decoded = Impressions::decode(&message.payload, columns, fingerprint).ok();
            let placed = decoded.and_then(|(impressions, made)| {
                let made = Made::read(&made)?;
                let position = start.clone().resumed_from(made.position)?;
                let is_held = made.writer == held.writer && made.ordinal <= held.ordinal;
                Some((!is_held).then_some((position.of(labels.stream), impressions)))
            });
            match placed {
                Some(placed) => recorded.extend(placed),
                None => left_out += 1,
            }
        }
    }
    if left_out > 0 {
        tracing::warn!(left_out, "messages of impressions are of another vector or not readable");
    }
    in_order(&mut recorded);
    Ok((recorded, state.last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_and_by_whom_comes_back() {
        let made = Made { position: "clicks=12,orders=3", writer: "00ff", ordinal: 7 };
        assert_eq!(Made::read(&made.to_string()), Some(made));
        assert_eq!(Made::read("clicks=12"), None);
    }
}
