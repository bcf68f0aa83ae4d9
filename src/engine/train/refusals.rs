//! When the log tells of a version that the gate refuses: it decides every few seconds, and says the same for as long as the
//! cause lasts.

use std::time::{Duration, Instant};

use crate::learn::Refusal;

/// Between two lines about one cause.
const PAUSE: Duration = Duration::from_secs(600);

/// Counts refusals of one kind of version.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// What was refused last, with when that was told, and how many of the kind came since.
    last: Option<(Refusal, Instant, u64)>,
}

impl Refusals {
    /// Notes one. Gives how many there were since the last line, this one included, where another line is due: for a new cause
    /// at once, for the same one every ten minutes.
    pub(super) fn note(&mut self, because: Refusal, now: Instant) -> Option<u64> {
        match &mut self.last {
            Some((known, told, count)) if *known == because => {
                *count += 1;
                if now.duration_since(*told) < PAUSE {
                    return None;
                }
                *told = now;
                Some(std::mem::take(count))
            }
            _ => {
                self.last = Some((because, now, 0));
                Some(1)
            }
        }
    }

    /// Something passed: what is refused from now on is news.
    pub(super) fn end(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_at_once_and_then_every_ten_minutes_with_how_many_there_were() {
        let start = Instant::now();
        let mut refusals = Refusals::default();
        let mut note = |because, seconds| refusals.note(because, start + Duration::from_secs(seconds));
        assert_eq!(note(Refusal::Worse, 0), Some(1));
        let told: Vec<(u64, u64)> =
            (1..=300).filter_map(|number| Some((number * 5, note(Refusal::Worse, number * 5)?))).collect();
        assert_eq!(told, [(600, 120), (1_200, 120)]);
        assert_eq!(note(Refusal::Weights, 1_505), Some(1), "another cause");
        assert_eq!(note(Refusal::Worse, 1_510), Some(1));
    }

    #[test]
    fn after_a_promotion_the_same_cause_is_news() {
        let now = Instant::now();
        let mut refusals = Refusals::default();
        assert_eq!(refusals.note(Refusal::Worse, now), Some(1));
        refusals.end();
        assert_eq!(refusals.note(Refusal::Worse, now), Some(1));
    }
}
