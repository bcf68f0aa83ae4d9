//! What a table holds, and how it stays within its budget.
//!
//! Memory is counted as a function of the state alone (lengths, not capacities), so that a table that was saved and restored
//! gives up the same keys at the same event as one that ran through.

use super::table::FeatureTable;
use crate::window::keys::NO_SLOT;
use crate::window::{AtLimit, WindowError};

/// Evicting stops below this many tenths of the limit: each round rewrites the state, so it must make room for a while.
const TENTHS_KEPT: usize = 9;

/// A new key, before it has any row: slot, hash, heads of chains.
const NEW_KEY_BYTES: usize = 64;

impl FeatureTable {
    /// Memory held, bytes: a function of the events so far, the same on every run, and within 15 % of what the allocator
    /// holds for a table of more than a few megabytes.
    pub fn size(&self) -> usize {
        self.levels.size()
            + self.keys.size()
            + self.cells.size()
            + self.distinct.size()
            + self.last.size()
            + self.recent.size(self.recent_row_bytes())
            + self.waiting.size(self.recent_row_bytes())
            + 8 * self.keys.len()
    }

    /// One recent row: time, slot, link, and what it adds to each aggregate.
    fn recent_row_bytes(&self) -> usize {
        let plan = &self.plan;
        let arguments: usize = plan.merged.iter().map(|merged| 1 + 16 * merged.argument_types.len()).sum();
        8 + 4 + 8 + 8 * plan.running.len() + 16 * plan.distinct.len() + 24 * plan.last.len() + arguments
    }

    /// Makes room before `rows` more events are taken in, as the policy says.
    pub(super) fn stay_within_budget(&mut self, rows: usize) -> Result<(), WindowError> {
        if self.budget.bytes == usize::MAX {
            return Ok(());
        }
        let growth = rows * (self.recent_row_bytes() + NEW_KEY_BYTES + 8 * self.cells.record_words());
        let bytes = self.size().saturating_add(growth);
        if bytes <= self.budget.bytes {
            return Ok(());
        }
        let kept = self.budget.bytes / 10 * TENTHS_KEPT;
        if self.budget.at_limit == AtLimit::Evict {
            while self.size().saturating_add(growth) > kept && self.keys.len() > 0 {
                self.evict(self.size().saturating_add(growth) - kept)?;
            }
            if self.size().saturating_add(growth) <= self.budget.bytes {
                return Ok(());
            }
        }
        Err(WindowError::MemoryLimit {
            table: self.plan.name().to_owned(),
            bytes: self.size().saturating_add(growth),
            limit: self.budget.bytes,
        })
    }

    /// Forgets the coldest keys until about `surplus` bytes are free; at least one.
    fn evict(&mut self, surplus: usize) -> Result<(), WindowError> {
        let slots = self.keys.len();
        let fixed = (self.size() - self.levels.size()).saturating_sub(self.distinct.size() + self.last.size());
        let fixed = fixed.saturating_sub(self.recent.rows() * self.recent_row_bytes());
        let fixed = fixed.saturating_sub(self.waiting.size(self.recent_row_bytes())) / slots.max(1);
        let mut weights = vec![fixed as u64; slots];
        self.distinct.weigh(&mut weights);
        self.last.weigh(&mut weights);
        self.waiting.weigh(&mut weights, self.recent_row_bytes());
        for run in self.levels.all().iter().flat_map(super::level::Level::runs) {
            let row = (run.size() / run.slots.len().max(1)) as u64;
            for slot in run.slots.iter() {
                weights[*slot as usize] += row;
            }
        }
        let mut coldest: Vec<(i64, u32)> = (0..slots as u32).map(|slot| (self.cells.newest(slot), slot)).collect();
        coldest.sort_unstable();
        let (mut alive, mut freed) = (vec![true; slots], 0);
        for (_, slot) in coldest {
            if freed >= surplus as u64 {
                break;
            }
            freed += weights[slot as usize];
            alive[slot as usize] = false;
            self.evicted += 1;
        }
        debug_assert!(slots as u32 != NO_SLOT, "slots are below the one that is none");
        self.keep(&alive)
    }
}
