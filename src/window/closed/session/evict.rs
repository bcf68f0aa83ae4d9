//! Giving up keys: those that have no session, and at the limit of memory those that were quiet for longest.

use super::sessions::Handle;
use super::table::SessionTable;
use crate::window::WindowError;
use crate::window::budget::AtLimit;
use crate::window::keys::NO_SLOT;

/// Keys are not compacted below this many.
const COMPACT_KEYS: usize = 1 << 16;

/// Of the limit, what is held after keys were evicted.
const KEPT_SHARE: f64 = 0.9;

impl SessionTable {
    /// Gives up the slots of keys that have no session and could be new as well, once half of the slots may be such.
    pub(super) fn compact_keys(&mut self) {
        if self.keys.len() < COMPACT_KEYS.max(2 * self.compacted) {
            return;
        }
        let mut alive = vec![false; self.keys.len()];
        let keep = self.watermark.saturating_sub(self.plan.spec.size()).saturating_sub(self.lateness());
        self.sessions.mark_alive(keep, &mut alive);
        self.removals.iter().for_each(|removal| alive[removal.slot as usize] = true);
        self.keep_keys(&alive);
    }

    /// Keeps to the limit, after a step: evicts, or fails.
    pub(super) fn keep_to_budget(&mut self) -> Result<(), WindowError> {
        let budget = self.plan.settings.budget;
        if budget.bytes == usize::MAX {
            return Ok(());
        }
        let bytes = self.size();
        if bytes <= budget.bytes {
            return Ok(());
        }
        match budget.at_limit {
            AtLimit::Evict => self.evict(budget.bytes),
            AtLimit::Stop => {
                Err(WindowError::MemoryLimit { table: self.plan.name().to_owned(), bytes, limit: budget.bytes })
            }
        }
    }

    /// Forgets the keys whose newest event is oldest until there is room again.
    fn evict(&mut self, limit: usize) -> Result<(), WindowError> {
        let target = limit as f64 * KEPT_SHARE;
        while self.size() as f64 > target && self.keys.len() > 0 {
            let handles = self.sessions.handles();
            let mut newest = vec![i64::MIN; self.keys.len()];
            for handle in &handles {
                let session = self.sessions.get(handle.id);
                let newest = &mut newest[session.slot as usize];
                *newest = session.last.max(*newest);
            }
            let mut coldest: Vec<usize> = (0..newest.len()).collect();
            coldest.sort_by_key(|slot| (newest[*slot], *slot));
            let surplus = 1.0 - target / self.size() as f64;
            // At least one key goes each time, so that this ends.
            let leaving = ((coldest.len() as f64 * surplus).ceil() as usize).clamp(1, coldest.len());
            let mut alive = vec![true; newest.len()];
            coldest[..leaving].iter().for_each(|slot| alive[*slot] = false);
            self.evicted_keys += leaving as u64;
            let (kept, lost): (Vec<Handle>, Vec<Handle>) =
                handles.into_iter().partition(|handle| alive[self.sessions.get(handle.id).slot as usize]);
            for handle in lost {
                self.evaluated.release(self.sessions.get(handle.id).rows);
            }
            self.keep_sessions(&kept);
            self.evaluated.compact(self.sessions.chains())?;
            self.removals.retain(|removal| alive[removal.slot as usize]);
            self.keep_keys(&alive);
        }
        Ok(())
    }

    /// Puts the sessions of `handles`, which are in order, in the first places and gives the others up.
    fn keep_sessions(&mut self, handles: &[Handle]) {
        self.sessions.keep(handles);
        let renamed = |handle: &Handle| {
            let place = handles.binary_search(handle).ok()?;
            Some(Handle { id: place as u32, ..*handle })
        };
        self.changed = self.changed.iter().filter_map(renamed).collect();
        self.schedule_all();
        self.schedule.shrink_to_fit();
    }

    /// Keeps only the keys for which `alive` holds, under new slots; all that have a session are among them.
    fn keep_keys(&mut self, alive: &[bool]) {
        let moved = self.keys.retain(alive);
        debug_assert!(moved.iter().zip(alive).all(|(to, alive)| (*to != NO_SLOT) == *alive));
        self.sessions.rename(&moved, self.keys.len());
        self.removals.iter_mut().for_each(|removal| removal.slot = moved[removal.slot as usize]);
        self.compacted = self.keys.len();
    }
}
