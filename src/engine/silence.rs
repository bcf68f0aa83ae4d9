//! The silence of the feedback's stream: while no event says how far time has come, the clock does.
//!
//! ```text
//!   broker: "the newest message is 12" ──┐
//!   committed: up to 12 ─────────────────┼─▶ silent for long enough? ─▶ Silence ─▶ step's thread ─▶ label join
//!   clock ───────────────────────────────┘                             (on its way like a step)
//! ```
//!
//! Feedback that was published before a window's end must count for it. So the broker is asked again and again where the stream
//! ends, and the clock is read before each question. Once the end has been read and committed, and nothing new has come for as
//! long as events may be out of order, a window that had ended that long ago waits for nothing any more. Any doubt begins the
//! wait anew: a broker that does not answer, a question that comes late, a message that has not been read.
//!
//! What follows from a silence is decided by the label join, committed with what it gave, and never decided again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::input::Input;
use crate::bus::{Bus, StreamSequence};
use crate::clock;
use crate::commit::Position;
use crate::pipeline::{LabelPlan, Pipeline, StreamIndex};
use crate::step::Silence;
use crate::time::EventTime;

/// Looks in one label window...
const LOOKS: u32 = 20;
/// ...but none sooner after another than this, nor later.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);
/// Looks that may be missed in one silence.
const MOST_MISSED: u32 = 4;

/// Listens to the feedback's stream.
pub(super) struct Listener {
    bus: Bus,
    pipeline: Arc<Pipeline>,
    stream: StreamIndex,
    every: Duration,
    hush: Hush,
}

/// What is known of a silence.
#[derive(Debug)]
struct Hush {
    /// How long it must last.
    patience_micros: i64,
    /// The longest time between two looks at it.
    gap_micros: i64,
    begun: Option<Begun>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    /// The stream's last message, which has been read.
    read: StreamSequence,
    /// When it was first looked at, by the clock, and when last.
    since_micros: i64,
    looked_micros: i64,
}

impl Listener {
    /// That of a pipeline with labels.
    pub(super) fn new(pipeline: &Arc<Pipeline>, labels: &LabelPlan, bus: &Bus) -> Self {
        let plan = pipeline.stream(labels.stream);
        let window = Duration::from_micros(labels.settings.window_micros.max(0).cast_unsigned());
        let every = (window / LOOKS).clamp(SHORTEST, LONGEST);
        // A silent partition holds the watermark back until its `idle` is over.
        let patience = if plan.partition_by_subject { plan.disorder.max(plan.idle) } else { plan.disorder };
        Self {
            bus: bus.clone(),
            pipeline: Arc::clone(pipeline),
            stream: labels.stream,
            every,
            hush: Hush::new(patience, every * MOST_MISSED),
        }
    }

    /// Tells of silence until told to stop. `settled` says how far streams are read and committed.
    pub(super) async fn listen(
        mut self,
        settled: watch::Receiver<Position>,
        inputs: mpsc::Sender<Input>,
        stop: CancellationToken,
    ) -> Result<(), EngineError> {
        let pipeline = Arc::clone(&self.pipeline);
        let plan = pipeline.stream(self.stream);
        let mut looks = tokio::time::interval(self.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = looks.tick() => {}
            }
            let asked = clock::unix_micros();
            let last = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                last = plan.last(&self.bus) => last,
            };
            let silence = match last {
                Ok(last) => self.hush.look(asked, last, settled.borrow().of(self.stream)),
                Err(error) => {
                    tracing::debug!(%error, stream = plan.held_in, "nobody says where the stream ends");
                    self.hush.begun = None;
                    None
                }
            };
            if let Some(silence) = silence
                && inputs.send(Input::Silence(silence)).await.is_err()
            {
                return Ok(());
            }
        }
    }
}

impl Hush {
    fn new(patience: Duration, gap: Duration) -> Self {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self { patience_micros: micros(patience), gap_micros: micros(gap), begun: None }
    }

    /// Takes an answer to a question that was asked at this time of the clock: the stream's last message, where it holds any,
    /// and the last one that has been read.
    fn look(&mut self, asked: i64, last: Option<StreamSequence>, read: StreamSequence) -> Option<Silence> {
        let is_read = last.is_none_or(|last| last == read);
        let goes_on = |begun: &&mut Begun| {
            let in_time = begun.looked_micros..=begun.looked_micros.saturating_add(self.gap_micros);
            is_read && begun.read == read && in_time.contains(&asked)
        };
        let Some(begun) = self.begun.as_mut().filter(goes_on) else {
            self.begun = is_read.then_some(Begun { read, since_micros: asked, looked_micros: asked });
            return None;
        };
        begun.looked_micros = asked;
        let clock = asked.saturating_sub(self.patience_micros);
        (begun.since_micros <= clock).then_some(Silence { after: read, clock: EventTime(clock) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// Answers in words: second asked at, last message, last read.
    fn silences(looks: &[(i64, Option<u64>, u64)]) -> Vec<Option<(u64, i64)>> {
        let mut hush = Hush::new(Duration::from_secs(5), Duration::from_secs(4));
        let look = |(asked, last, read): &(i64, Option<u64>, u64)| {
            let silence = hush.look(asked * SECOND, last.map(StreamSequence), StreamSequence(*read))?;
            Some((silence.after.0, silence.clock.micros() / SECOND))
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn a_stream_that_is_read_and_stays_as_it_is_becomes_silent() {
        let found = silences(&[(100, Some(7), 7), (104, Some(7), 7), (105, Some(7), 7), (109, Some(7), 7)]);
        assert_eq!(found, [None, None, Some((7, 100)), Some((7, 104))]);
        let empty = silences(&[(100, None, 0), (103, None, 0), (106, None, 0)]);
        assert_eq!(empty, [None, None, Some((0, 101))], "there was never an event");
        let expired = silences(&[(100, Some(7), 7), (103, None, 7), (106, None, 7)]);
        assert_eq!(expired, [None, None, Some((7, 101))], "what was read is gone by now");
    }

    #[test]
    fn any_doubt_begins_the_wait_anew() {
        let doubts = [
            ("a message is not read", (103, Some(8), 7), (106, Some(8), 8)),
            ("one came and was read", (103, Some(8), 8), (107, Some(8), 8)),
            ("the broker knows less than was read", (103, Some(6), 7), (106, Some(7), 7)),
            ("a look came late", (105, Some(7), 7), (109, Some(7), 7)),
            ("the clock was set back", (99, Some(7), 7), (103, Some(7), 7)),
        ];
        for (doubt, then, after) in doubts {
            assert_eq!(silences(&[(100, Some(7), 7), then, after]), [None, None, None], "{doubt}");
        }
    }

    #[test]
    fn without_disorder_two_looks_are_enough() {
        let mut hush = Hush::new(Duration::ZERO, Duration::from_secs(4));
        let at = StreamSequence(1);
        let first = hush.look(SECOND, Some(at), at);
        assert_eq!((first, hush.look(SECOND, Some(at), at).is_some()), (None, true));
    }
}
