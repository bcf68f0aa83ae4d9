//! The watermark of a stream of several partitions: that of the partition which is furthest behind.
//!
//! ```text
//!   shop.clicks.eu ───●──●────●──▶ 12:00:07 ─┐
//!   shop.clicks.us ──●────●──▶ 12:00:03 ─────┼─▶ least newest time, minus the disorder
//!   shop.clicks.au ─●   silent for `idle` ───┘ takes no part until it speaks again
//! ```
//!
//! An event counts for no more than the time at which the broker had its message: a producer whose clock is fast moves the
//! watermark as far as an honest one would. Its event waits until its time has come, and makes nobody late.
//!
//! Silence is told by the broker's time of the stream's own messages, so that a replay decides the same. The watermark
//! never moves back, whatever a partition says when it wakes up or when it is first heard of.

use std::time::Duration;

use hashbrown::HashMap;

use super::watermark::Watermark;
use crate::fault::{Judged, Judgement};
use crate::time::EventTime;

/// How many partitions a stream may have.
pub(crate) const MOST_PARTITIONS: usize = 4_096;

/// Follows the event times of a stream's partitions.
#[derive(Debug)]
pub(crate) struct PartitionedWatermark {
    disorder: Duration,
    idle_micros: i64,
    numbers: HashMap<String, u32>,
    partitions: Vec<Partition>,
    /// The broker's newest time.
    published: i64,
    /// No partition that takes part falls silent before the broker's time is past this.
    silent_after: i64,
    /// The partition that is furthest behind, of those that take part.
    least: Option<u32>,
    newest: Option<EventTime>,
    value: Option<EventTime>,
}

#[derive(Debug)]
struct Partition {
    watermark: Watermark,
    /// The broker's time of its last message.
    published: i64,
    takes_part: bool,
}

/// All that later watermarks follow from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SavedWatermark {
    /// By number.
    pub partitions: Vec<SavedPartition>,
    /// The broker's newest time, microseconds since 1970.
    pub published: i64,
    /// No partition that takes part falls silent before the broker's time is past this.
    pub silent_after: i64,
    /// The watermark.
    pub value: Option<EventTime>,
    /// The newest event time, as far as the broker's had come.
    pub newest: Option<EventTime>,
}

/// What is remembered of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SavedPartition {
    /// Its subject.
    pub name: String,
    /// Its newest event time, as far as the broker's had come.
    pub newest: Option<EventTime>,
    /// The broker's time of its last message, microseconds since 1970.
    pub published: i64,
    /// Whether it holds the watermark back.
    pub takes_part: bool,
}

/// A stream has more partitions than [`MOST_PARTITIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "more than {MOST_PARTITIONS} subjects, each a partition of its own: leave `partition` out, or publish on fewer"
)]
pub struct TooManyPartitions;

impl Judged for TooManyPartitions {
    fn judgement(&self) -> Judgement {
        Judgement::OPERATOR
    }
}

impl PartitionedWatermark {
    /// A watermark that nothing has moved yet. A partition that is silent for longer than `idle` holds nothing back.
    #[must_use]
    pub(crate) fn new(disorder: Duration, idle: Duration) -> Self {
        Self {
            disorder,
            idle_micros: i64::try_from(idle.as_micros()).unwrap_or(i64::MAX),
            numbers: HashMap::new(),
            partitions: Vec::new(),
            published: i64::MIN,
            silent_after: i64::MAX,
            least: None,
            newest: None,
            value: None,
        }
    }

    /// All that later watermarks follow from.
    #[must_use]
    pub(crate) fn save(&self) -> SavedWatermark {
        let mut names = vec![""; self.partitions.len()];
        for (name, number) in &self.numbers {
            names[*number as usize] = name;
        }
        let partitions = names.into_iter().zip(&self.partitions).map(|(name, partition)| SavedPartition {
            name: name.to_owned(),
            newest: partition.watermark.newest(),
            published: partition.published,
            takes_part: partition.takes_part,
        });
        SavedWatermark {
            partitions: partitions.collect(),
            published: self.published,
            silent_after: self.silent_after,
            value: self.value,
            newest: self.newest,
        }
    }

    /// Goes on from what [`save`](Self::save) gave.
    ///
    /// # Errors
    /// When there are too many partitions.
    pub(crate) fn restored(mut self, saved: &SavedWatermark) -> Result<Self, TooManyPartitions> {
        for partition in &saved.partitions {
            let number = self.number(&partition.name)?;
            if let Some(state) = self.partitions.get_mut(number as usize) {
                partition.newest.into_iter().for_each(|newest| state.watermark.observe(newest));
                state.published = partition.published;
                state.takes_part = partition.takes_part;
            }
        }
        self.find_least();
        (self.published, self.silent_after) = (saved.published, saved.silent_after);
        (self.value, self.newest) = (saved.value, saved.newest);
        Ok(self)
    }

    /// The number of a partition, new ones included.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn number(&mut self, partition: &str) -> Result<u32, TooManyPartitions> {
        if let Some(number) = self.numbers.get(partition) {
            return Ok(*number);
        }
        if self.partitions.len() >= MOST_PARTITIONS {
            return Err(TooManyPartitions);
        }
        let number = self.partitions.len() as u32;
        self.numbers.insert(partition.to_owned(), number);
        self.partitions.push(Partition {
            watermark: Watermark::new(self.disorder),
            published: i64::MIN,
            takes_part: false,
        });
        Ok(number)
    }

    /// Takes note of an event of a partition, in a message that the broker took at `published` (microseconds since 1970); of a
    /// time after that it takes note as if it were then.
    pub(crate) fn observe(&mut self, partition: u32, time: EventTime, published: i64) {
        let time = time.min(EventTime(published));
        self.published = self.published.max(published);
        self.newest = self.newest.max(Some(time));
        let Some(state) = self.partitions.get_mut(partition as usize) else { return };
        state.published = self.published;
        let has_moved = state.watermark.newest() < Some(time);
        state.watermark.observe(time);
        let is_back = !std::mem::replace(&mut state.takes_part, true);
        if is_back {
            self.silent_after = self.silent_after.min(self.published.saturating_add(self.idle_micros));
        }
        let has_silent = self.published > self.silent_after;
        if has_silent {
            self.leave_silent_out();
        }
        if has_silent || is_back || (has_moved && self.least == Some(partition)) {
            self.find_least();
        }
    }

    fn leave_silent_out(&mut self) {
        let (published, idle) = (self.published, self.idle_micros);
        self.silent_after = i64::MAX;
        for partition in self.partitions.iter_mut().filter(|partition| partition.takes_part) {
            let silent_after = partition.published.saturating_add(idle);
            partition.takes_part = published <= silent_after;
            if partition.takes_part {
                self.silent_after = self.silent_after.min(silent_after);
            }
        }
    }

    fn find_least(&mut self) {
        let taking_part = self.partitions.iter().enumerate().filter(|(_, partition)| partition.takes_part);
        let least = taking_part.min_by_key(|(_, partition)| partition.watermark.newest());
        self.least = least.map(|(number, _)| number as u32);
        self.value = self.value.max(least.and_then(|(_, partition)| partition.watermark.value()));
    }

    /// The newest event time of all partitions, as far as the broker's had come with its message; `None` before the first
    /// event.
    #[must_use]
    pub(crate) fn newest(&self) -> Option<EventTime> {
        self.newest
    }

    /// The time before which no event is waited for, never after the broker's newest time less the disorder; `None` before the
    /// first event.
    #[must_use]
    pub(crate) fn value(&self) -> Option<EventTime> {
        self.value
    }

    /// The broker's time of the newest message with an event; `i64::MIN` before the first.
    #[must_use]
    pub(crate) fn published(&self) -> i64 {
        self.published
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000;
    /// The broker's time in most of these tests: after all events.
    const NOW: i64 = 1_000 * SECOND;

    fn watermark() -> PartitionedWatermark {
        PartitionedWatermark::new(Duration::from_secs(5), Duration::from_secs(30))
    }

    fn seconds(watermark: &PartitionedWatermark) -> Option<i64> {
        watermark.value().map(|value| value.micros() / SECOND)
    }

    #[test]
    fn a_single_fast_partition_does_not_carry_the_others_along() {
        let mut watermark = watermark();
        let (slow, fast) = (watermark.number("a").unwrap(), watermark.number("b").unwrap());
        watermark.observe(slow, EventTime(100 * SECOND), NOW);
        watermark.observe(fast, EventTime(500 * SECOND), NOW);
        assert_eq!(seconds(&watermark), Some(95));
        watermark.observe(slow, EventTime(200 * SECOND), NOW);
        assert_eq!(seconds(&watermark), Some(195));
        assert_eq!(watermark.newest(), Some(EventTime(500 * SECOND)));
    }

    #[test]
    fn a_silent_partition_takes_no_part_and_its_return_moves_nothing_back() {
        let mut watermark = watermark();
        let (one, two) = (watermark.number("a").unwrap(), watermark.number("b").unwrap());
        watermark.observe(one, EventTime(100 * SECOND), NOW);
        watermark.observe(two, EventTime(300 * SECOND), NOW + 30 * SECOND);
        assert_eq!(seconds(&watermark), Some(95), "silent for just as long is not idle");
        watermark.observe(two, EventTime(301 * SECOND), NOW + 30 * SECOND + 1);
        assert_eq!(seconds(&watermark), Some(296));
        watermark.observe(one, EventTime(110 * SECOND), NOW + 31 * SECOND);
        assert_eq!(seconds(&watermark), Some(296), "it never goes back");
        watermark.observe(two, EventTime(400 * SECOND), NOW + 32 * SECOND);
        assert_eq!(seconds(&watermark), Some(296), "and waits for whoever woke up");
        watermark.observe(one, EventTime(390 * SECOND), NOW + 33 * SECOND);
        assert_eq!(seconds(&watermark), Some(385));
    }

    #[test]
    fn there_are_at_most_so_many_partitions() {
        let mut watermark = watermark();
        for number in 0..MOST_PARTITIONS {
            assert_eq!(watermark.number(&format!("shop.{number}")), Ok(number as u32));
        }
        assert_eq!(watermark.number("shop.7"), Ok(7));
        assert_eq!(watermark.number("shop.more"), Err(TooManyPartitions));
    }

    #[test]
    fn an_event_of_a_later_time_than_its_message_counts_as_if_it_were_of_then() {
        let mut watermark = watermark();
        let only = watermark.number("").unwrap();
        watermark.observe(only, EventTime(99 * SECOND), 100 * SECOND);
        watermark.observe(only, EventTime(1_000_000 * SECOND), 101 * SECOND);
        assert_eq!((seconds(&watermark), watermark.newest()), (Some(96), Some(EventTime(101 * SECOND))));
        watermark.observe(only, EventTime(100 * SECOND), 102 * SECOND);
        assert_eq!(seconds(&watermark), Some(96));
    }

    proptest! {
        /// One of fifty producers with a clock 50 s fast made 294 of 300 events of the others late.
        #[test]
        fn no_honest_event_is_behind_the_watermark_however_fast_others_are(
            events in prop::collection::vec((0_u32..3, 0_i64..4_000, 0_i64..=5_000, 0_i64..10_000_000, 0_u8..4), 1..300),
        ) {
            let mut watermark = watermark();
            (0..3).for_each(|number| { watermark.number(&number.to_string()).unwrap(); });
            // Milliseconds: when each is published, how long it was on its way, how far ahead a fast clock is.
            let mut published = 1_000_000_i64;
            for (partition, gap, delay, ahead, producer) in events {
                published += gap;
                let time = if producer == 0 { published + ahead } else { published - delay };
                if let (true, Some(value)) = (producer != 0, watermark.value()) {
                    prop_assert!(value <= EventTime(time * 1_000), "{value} and an event of {time}");
                }
                watermark.observe(partition, EventTime(time * 1_000), published * 1_000);
                let bound = EventTime((published - 5_000) * 1_000);
                prop_assert!(watermark.value() <= Some(bound));
                prop_assert!(watermark.newest() <= Some(EventTime(published * 1_000)));
            }
        }

        #[test]
        fn it_agrees_with_looking_at_every_partition_each_time_also_when_restored(
            events in prop::collection::vec((0_u32..5, 0_i64..200, 0_i64..20), 1..200),
            restored_at in 0_usize..7,
        ) {
            let mut watermark = watermark();
            (0..5).for_each(|number| { watermark.number(&number.to_string()).unwrap(); });
            let (mut naive, mut now, mut value) = (BTreeMap::<u32, (i64, i64)>::new(), 0, i64::MIN);
            for (index, (partition, time, gap)) in events.into_iter().enumerate() {
                if index % 7 == restored_at {
                    let saved = watermark.save();
                    watermark = self::watermark().restored(&saved).unwrap();
                    prop_assert_eq!(watermark.save(), saved);
                }
                now += gap * SECOND;
                watermark.observe(partition, EventTime(time * SECOND), now);
                let newest = naive.get(&partition).map_or(i64::MIN, |(newest, _)| *newest);
                naive.insert(partition, (newest.max((time * SECOND).min(now)), now));
                let active = naive.values().filter(|(_, published)| now - published <= 30 * SECOND);
                value = value.max(active.map(|(newest, _)| newest - 5 * SECOND).min().unwrap());
                prop_assert_eq!(watermark.value(), Some(EventTime(value)));
            }
        }
    }
}
