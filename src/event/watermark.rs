//! The watermark: how far event time has come, and what is too late for it.
//!
//! ```text
//!   event time ──▶ ····· 10 ·· 12 · 11 ······ 15 ··
//!                              │              │ newest
//!                              └── disorder ──┘
//!                              watermark: no event before here is waited for
//! ```

use std::time::Duration;

use crate::time::EventTime;

/// Follows one partition's event times: newest seen minus the disorder that is tolerated. It never moves back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watermark {
    disorder: Duration,
    newest: Option<EventTime>,
}

impl Watermark {
    /// A watermark that nothing has moved yet.
    #[must_use]
    pub(crate) fn new(disorder: Duration) -> Self {
        Self { disorder, newest: None }
    }

    /// Takes note of an event's time.
    pub(crate) fn observe(&mut self, time: EventTime) {
        self.newest = self.newest.max(Some(time));
    }

    /// The newest event time so far; `None` before the first event.
    #[must_use]
    pub(crate) fn newest(&self) -> Option<EventTime> {
        self.newest
    }

    /// The time before which no event is waited for; `None` before the first event.
    #[must_use]
    pub(crate) fn value(&self) -> Option<EventTime> {
        self.newest.map(|newest| newest.minus(self.disorder))
    }
}

/// Whether an event is too late to be counted anywhere.
///
/// `span` is the length of the widest window over the stream: an event at `time` belongs to windows that end up to
/// `time + span`, and is late only when the watermark has passed the last of them. One that is merely behind the watermark
/// still counts in the wider windows.
#[must_use]
pub(crate) fn is_late(time: EventTime, watermark: EventTime, span: Duration) -> bool {
    time < watermark.minus(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_watermark_trails_the_newest_event_and_never_moves_back() {
        let mut watermark = Watermark::new(5 * SECOND);
        assert_eq!((watermark.value(), watermark.newest()), (None, None));
        watermark.observe(EventTime(20_000_000));
        watermark.observe(EventTime(3_000_000));
        assert_eq!(watermark.newest(), Some(EventTime(20_000_000)));
        assert_eq!(watermark.value(), Some(EventTime(15_000_000)));
    }

    #[test]
    fn an_event_is_late_only_when_its_last_window_has_closed() {
        let watermark = EventTime(100_000_000);
        assert!(!is_late(EventTime(40_000_000), watermark, 60 * SECOND));
        assert!(is_late(EventTime(39_999_999), watermark, 60 * SECOND));
        assert!(!is_late(EventTime(i64::MIN), EventTime(i64::MIN), Duration::MAX));
    }
}
