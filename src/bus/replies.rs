//! What became of a service's requests: how often it replied with which code, and how long those waited that got an answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The code of an answer that is no error.
pub(crate) const ANSWERED: u16 = 200;

/// Buckets for each doubling of the time: one is 9 % wide.
const PER_OCTAVE: u32 = 8;
/// From a microsecond to a good hour.
const BUCKETS: usize = 32 * PER_OCTAVE as usize;

/// Counts what a service replies, for whoever looks.
#[derive(Debug)]
pub(crate) struct Replies {
    codes: Mutex<BTreeMap<u16, u64>>,
    took: Vec<AtomicU64>,
}

/// Replies up to one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReplyCounts {
    /// By their codes, as in HTTP; [`ANSWERED`] for those without error.
    pub(crate) codes: BTreeMap<u16, u64>,
    /// Answers by how long their requests waited, in the buckets of [`bound`].
    took: Vec<u64>,
}

impl Default for Replies {
    fn default() -> Self {
        Self { codes: Mutex::default(), took: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Replies {
    /// Notes one reply, and how long its request waited.
    pub(super) fn note(&self, code: u16, waited: Duration) {
        *self.codes.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
        if code == ANSWERED
            && let Some(bucket) = self.took.get(bucket(waited))
        {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All replies so far.
    pub(crate) fn counts(&self) -> ReplyCounts {
        ReplyCounts {
            codes: self.codes.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            took: self.took.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
        }
    }
}

impl ReplyCounts {
    /// The time within which a share of the answers since `before` came, at most 9 % too long; none without answers.
    pub(crate) fn quantile_since(&self, before: &Self, share: f64) -> Option<Duration> {
        let earlier = before.took.iter().copied().chain(std::iter::repeat(0));
        let counts: Vec<u64> = self.took.iter().zip(earlier).map(|(now, before)| now.saturating_sub(before)).collect();
        let wanted = ((counts.iter().sum::<u64>() as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let place = counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        place.map(bound)
    }
}

/// The bucket of a time.
fn bucket(waited: Duration) -> usize {
    let micros = waited.as_micros().max(1) as f64;
    ((micros.log2() * f64::from(PER_OCTAVE)).floor() as usize).min(BUCKETS - 1)
}

/// The longest time of a bucket.
fn bound(bucket: usize) -> Duration {
    Duration::from_secs_f64(((bucket + 1) as f64 / f64::from(PER_OCTAVE)).exp2() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against sorted times.
    #[test]
    fn quantiles_are_at_most_a_bucket_too_long() {
        let replies = Replies::default();
        let mut times: Vec<u64> = (1..=2_000_u64).map(|number| number * number * 7_919 % 90_001 + 1).collect();
        times.iter().for_each(|micros| replies.note(ANSWERED, Duration::from_micros(*micros)));
        times.sort_unstable();
        let counts = replies.counts();
        for share in [0.001, 0.5, 0.9, 0.99, 1.0] {
            let exact = times[((times.len() as f64 * share).ceil() as usize).max(1) - 1] as f64;
            let found = counts.quantile_since(&ReplyCounts::default(), share).unwrap().as_secs_f64() * 1e6;
            assert!(found >= exact && found <= exact * 1.1, "{share}: {found} for {exact}");
        }
    }

    #[test]
    fn only_answers_since_a_moment_have_a_time_and_every_code_is_counted() {
        let replies = Replies::default();
        assert_eq!(replies.counts().quantile_since(&ReplyCounts::default(), 0.99), None);
        replies.note(ANSWERED, Duration::from_secs(2));
        let before = replies.counts();
        replies.note(503, Duration::from_secs(9));
        replies.note(400, Duration::ZERO);
        replies.note(400, Duration::ZERO);
        assert_eq!(replies.counts().quantile_since(&before, 0.99), None);
        replies.note(ANSWERED, Duration::from_micros(100));
        let now = replies.counts();
        assert_eq!(now.codes, BTreeMap::from([(200, 2), (400, 2), (503, 1)]));
        let recent = now.quantile_since(&before, 0.99).unwrap();
        assert!((100..=110).contains(&recent.as_micros()), "{recent:?}");
        assert!(now.quantile_since(&ReplyCounts::default(), 0.99).unwrap() >= Duration::from_secs(2));
    }

    #[test]
    fn times_of_any_length_have_a_bucket() {
        assert_eq!([Duration::ZERO, Duration::from_micros(1)].map(bucket), [0, 0]);
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }
}
