//! The order in which windows close: by their end, then by arrival.
//!
//! Impressions arrive almost in the order of time. Those that do wait in a queue; the others wait in a heap, and the
//! earlier of both fronts is next. Rows that were evicted are not taken out here; who asks finds that they are gone.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// The end of a window, microseconds, and the sequence of its row.
type End = (i64, u64);

const FEWEST: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Closing {
    in_order: VecDeque<End>,
    stragglers: BinaryHeap<Reverse<End>>,
}

impl Closing {
    /// Adds a row, whose sequence is higher than any before. Entries of rows before `oldest` may be dropped; from there on
    /// there are never more than `most` rows.
    pub(super) fn push(&mut self, end_micros: i64, sequence: u64, oldest: u64, most: usize) {
        while self.in_order.front().is_some_and(|(_, first)| *first < oldest) {
            self.in_order.pop_front();
        }
        if self.in_order.back().is_none_or(|(last, _)| *last <= end_micros) {
            let held = self.in_order.len();
            if held == self.in_order.capacity() {
                self.in_order.reserve_exact(held.max(FEWEST).min(most.saturating_sub(held).max(1)));
            }
            self.in_order.push_back((end_micros, sequence));
            return;
        }
        if self.stragglers.len() == self.stragglers.capacity() {
            self.stragglers.retain(|Reverse((_, row))| *row >= oldest);
            // Grown only while more than half is in use: then a sweep always pays for the next one.
            let (held, room) = (self.stragglers.len(), self.stragglers.capacity());
            if held >= room.div_ceil(2) {
                let wanted = (room * 2).max(FEWEST).min(most.saturating_mul(2)).max(held + 1);
                self.stragglers.reserve_exact(wanted - held);
            }
        }
        self.stragglers.push(Reverse((end_micros, sequence)));
    }

    /// Takes out the next row whose window ends at or before the watermark.
    pub(super) fn pop_due(&mut self, watermark_micros: i64) -> Option<u64> {
        let queued = self.in_order.front();
        let straggler = self.stragglers.peek().map(|Reverse(end)| end);
        let is_straggler = match (queued, straggler) {
            (Some(queued), Some(straggler)) => straggler < queued,
            (None, Some(_)) => true,
            _ => false,
        };
        let (end_micros, _) = if is_straggler { straggler? } else { queued? };
        if *end_micros > watermark_micros {
            return None;
        }
        let taken =
            if is_straggler { self.stragglers.pop().map(|Reverse(end)| end) } else { self.in_order.pop_front() };
        taken.map(|(_, sequence)| sequence)
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub(super) fn size_bytes(&self) -> usize {
        (self.in_order.capacity() + self.stragglers.capacity()) * size_of::<End>()
    }

    /// Most bytes that `rows` rows ever need.
    pub(super) fn most_bytes(rows: usize) -> usize {
        rows.saturating_mul(3).saturating_add(2 * FEWEST).saturating_mul(size_of::<End>())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_far_ahead_of_all_others_holds_nothing_back() {
        let mut closing = Closing::default();
        for (sequence, end) in [(1, 1_000_000), (2, 30), (3, 10), (4, 20), (5, 10)] {
            closing.push(end, sequence, 1, 10);
        }
        let mut due = |watermark| closing.pop_due(watermark);
        assert_eq!([due(9), due(20), due(20), due(20), due(20)], [None, Some(3), Some(5), Some(4), None]);
        assert_eq!([due(i64::MAX), due(i64::MAX), due(i64::MAX)], [Some(2), Some(1), None]);
    }

    proptest! {
        #[test]
        fn rows_come_out_by_end_then_arrival_within_the_announced_memory(
            ends in prop::collection::vec(0_i64..200, 1..600),
            most in 1_usize..80,
        ) {
            let mut closing = Closing::default();
            for (index, end) in ends.iter().enumerate() {
                let sequence = index as u64 + 1;
                closing.push(*end, sequence, (sequence + 1).saturating_sub(most as u64), most);
                prop_assert!(closing.size_bytes() <= Closing::most_bytes(most));
            }
            let oldest = ends.len().saturating_sub(most) as u64 + 1;
            let found: Vec<u64> = std::iter::from_fn(|| closing.pop_due(199)).filter(|row| *row >= oldest).collect();
            let mut expected: Vec<u64> = (oldest..=ends.len() as u64).collect();
            expected.sort_by_key(|sequence| ends[*sequence as usize - 1]);
            prop_assert_eq!(found, expected);
        }
    }
}
