//! What happened to the label join beside its stream before this process started, read back from the broker.

use std::collections::HashMap;
use std::time::Duration;

use super::marker::{Marker, Ticks};
use super::position::Position;
use crate::bus::{Bus, ReadLimits, StreamSequence};
use crate::commit::CommitError;
use crate::learn::Impressions;
use crate::pipeline::{Pipeline, impressions_spec, output_spec};
use crate::step::{Made, Past, Recorded, Shown, Tick};

/// Messages that are read at once.
const READ_ROWS: usize = 1_024;

/// What a state does not hold of what the marker covers.
pub(crate) struct Since<'a> {
    /// Impressions that it holds.
    pub(crate) held: &'a Shown,
    /// The message of the output stream whose marker covers it.
    pub(crate) covered: StreamSequence,
    pub(crate) marker: &'a Marker,
}

/// Impressions of answered requests, in the order of their stream.
#[derive(Debug, Default)]
struct Answered {
    /// With the message that they came in and the position of the feedback's stream that they were made at.
    shown: Vec<(u64, StreamSequence, Impressions)>,
    /// The message of each worker's impressions, by their number.
    messages: HashMap<(String, u64), u64>,
    /// The last message that was looked at.
    until: u64,
}

/// What is recorded of the label join since a state was saved, in its order; and the last message of impressions that was
/// looked at. Impressions of another vector are left out and counted: their examples could train nothing.
pub(crate) async fn recorded(
    pipeline: &Pipeline,
    bus: &Bus,
    since: Since<'_>,
) -> Result<(Recorded, StreamSequence), CommitError> {
    let Some(labels) = &pipeline.labels else { return Ok((Recorded::new(), StreamSequence(0))) };
    let answered = read_impressions(pipeline, bus, since.held).await?;
    let mut ticks = read_ticks(pipeline, bus, &since).await?;
    // Where messages of the stream were lost, one may be of a place that will not come again.
    ticks.retain(|tick| tick.after <= since.marker.progress.sequence(labels.stream));
    let until = StreamSequence(answered.until);
    Ok((answered.with(ticks), until))
}

impl Answered {
    /// Everything by the event that it follows; ticks behind what they knew to be shown. Where a worker died, the next one
    /// made impressions at positions that the dead one had passed.
    fn with(self, ticks: Vec<Tick>) -> Recorded {
        let Self { shown, messages, .. } = self;
        let mut placed: Vec<_> = shown
            .into_iter()
            .map(|(message, position, impressions)| ((position, message, false), Past::Shown(impressions)))
            .collect();
        placed.extend(ticks.into_iter().map(|tick| {
            let own = messages.get(&(tick.shown.writer.clone(), tick.shown.ordinal)).copied().unwrap_or(0);
            ((StreamSequence(tick.after), own.max(tick.shown.until), true), Past::Ticked(tick))
        }));
        placed.sort_by_key(|(place, _)| *place);
        placed.into_iter().map(|((position, ..), past)| (position, past)).collect()
    }
}

async fn read_impressions(pipeline: &Pipeline, bus: &Bus, held: &Shown) -> Result<Answered, CommitError> {
    let mut answered = Answered::default();
    let (Some(spec), Some(labels), Some(vector)) = (impressions_spec(pipeline), &pipeline.labels, &pipeline.vector)
    else {
        return Ok(answered);
    };
    let state = bus.stream_state(&spec.name).await?;
    answered.until = state.last.0;
    let first = state.first.max(StreamSequence(held.until).next());
    if state.messages == 0 || first > state.last {
        return Ok(answered);
    }
    let start = Position::start(pipeline.streams.iter().map(|stream| stream.name.as_str()));
    let limits = ReadLimits { rows: READ_ROWS, linger: Duration::ZERO };
    let mut reader = bus.reader(&spec.name, first, limits);
    let mut left_out = 0_u64;
    while reader.position() <= state.last {
        for message in reader.next_batch().await? {
            let fingerprint = vector.fingerprint().as_str();
            let decoded = Impressions::decode(&message.payload, vector.inputs(), fingerprint).ok();
            let placed = decoded.and_then(|(impressions, made)| {
                let made = Made::read(&made)?;
                let position = start.clone().resumed_from(made.position)?.of(labels.stream);
                answered.messages.insert((made.writer.to_owned(), made.ordinal), message.sequence.0);
                let is_held = made.writer == held.writer && made.ordinal <= held.ordinal;
                Some((!is_held).then_some((message.sequence.0, position, impressions)))
            });
            match placed {
                Some(placed) => answered.shown.extend(placed),
                None => left_out += 1,
            }
        }
    }
    if left_out > 0 {
        tracing::warn!(left_out, "messages of impressions are of another vector or not readable");
    }
    Ok(answered)
}

/// The ticks between a state and the marker, in their order. Those that the output stream no longer keeps are as old as it
/// keeps anything: what they closed was forgotten long ago.
async fn read_ticks(pipeline: &Pipeline, bus: &Bus, since: &Since<'_>) -> Result<Vec<Tick>, CommitError> {
    let stream = output_spec(pipeline).name;
    let (mut newest_first, mut next) = (Vec::new(), since.marker.ticked);
    while next > since.covered.0 {
        let Some(message) = bus.message_at(&stream, StreamSequence(next)).await? else { break };
        let Some(Ticks { before, ticks }) = Marker::of(&message)?.ticks else { break };
        newest_first.extend(ticks.into_iter().rev());
        next = before;
    }
    newest_first.reverse();
    Ok(newest_first)
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

    /// Two workers, the first of which died: at message 8 it had been, and nobody knew.
    #[test]
    fn ticks_come_back_behind_what_they_knew_to_be_shown_and_before_everything_else() {
        let made = [("a", 1, 5), ("a", 2, 6), ("a", 3, 6), ("a", 4, 8), ("b", 1, 6), ("b", 2, 6), ("b", 3, 7)];
        let mut answered = Answered { until: 7, ..Answered::default() };
        for ((writer, ordinal, position), message) in made.into_iter().zip(1..) {
            answered.messages.insert((writer.to_owned(), ordinal), message);
            answered.shown.push((message, StreamSequence(position), Impressions::new(1)));
        }
        let tick = |after, until, writer: &str, ordinal| {
            let shown = Shown { until, writer: writer.to_owned(), ordinal };
            Tick { after, shown, clock_micros: ordinal as i64, most: 1 }
        };
        let ticks =
            [tick(6, 0, "a", 2), tick(6, 0, "a", 2), tick(6, 4, "b", 0), tick(6, 4, "b", 1), tick(7, 4, "b", 3)];
        let found: Vec<String> = answered
            .with(ticks.to_vec())
            .iter()
            .map(|(position, past)| match past {
                Past::Shown(_) => format!("{position}"),
                Past::Ticked(tick) => format!("{position} {}{}", tick.shown.writer, tick.shown.ordinal),
            })
            .collect();
        assert_eq!(found, ["5", "6", "6 a2", "6 a2", "6", "6 b0", "6", "6 b1", "6", "7", "7 b3", "8"]);
    }
}
