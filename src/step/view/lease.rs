//! Views that are out, and what they make the state hold.
//!
//! ```text
//!   Ledger, the step's                                   Lease, whoever's the view is
//!     oldest ◀─ what was copied ─▶ newest                   with: one access
//!       └─ over the limit: the oldest is ended ───────────▶ the next access finds nothing
//! ```
//!
//! What is copied while views are out is counted for the newest of them, which holds it for certain; when that one is given
//! back, for the one before it, which may. So what is counted is there at most, and ending the oldest view frees what is counted
//! for it. Pages are counted, and what stood in the place of those that a rewrite of all keys made anew; tiles and batches of
//! rows that were rolled up since are not, which a view holds until it is read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// What views may make the state hold whatever the tables do, bytes.
pub(super) const LEAST_LIMIT: usize = 64 << 20;

/// The limit is the as-of tables' own bytes divided by this, and those of tables of windows.
const SHARE: usize = 2;

/// What views may make the state hold beside as-of tables and tables of windows of so many bytes: half of the former, all of
/// the latter, because a window that closes changes every key, and 64 MiB at least.
pub(super) fn limit(as_of_bytes: usize, window_bytes: usize) -> usize {
    LEAST_LIMIT.max(as_of_bytes / SHARE + window_bytes)
}

/// A view that is out, as whoever reads it has it.
pub(super) struct Lease<T>(Arc<Shared<T>>);

struct Shared<T> {
    view: Mutex<Option<T>>,
    /// The limit that was exceeded, bytes.
    ended: OnceLock<usize>,
}

/// Views that are out. `T` is a view.
pub(in crate::step) struct Ledger<T> {
    /// Oldest first.
    out: VecDeque<Out<T>>,
    /// Found when it is first needed, for each newest view anew.
    limit: Option<usize>,
}

struct Out<T> {
    shared: Weak<Shared<T>>,
    /// What was written into memory while the view was taken, bytes.
    own: usize,
    /// What was copied since because of it, bytes.
    copied: usize,
}

/// What views that are out hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeldViews {
    /// How many they are.
    pub views: usize,
    /// What is in memory because of them, bytes.
    pub bytes: usize,
}

impl<T> Lease<T> {
    /// One access; the limit that was exceeded once the view is ended. What an access finds ended meanwhile is given up after
    /// it, and what it gives is whole.
    pub(super) fn with<R>(&self, access: impl FnOnce(&mut T) -> R) -> Result<R, usize> {
        let mut view = self.0.lock();
        let given = match (&mut *view, self.0.ended.get()) {
            (Some(view), None) => Ok(access(view)),
            (_, ended) => Err(ended.copied().unwrap_or_default()),
        };
        let gone = if self.ended().is_some() { view.take() } else { None };
        drop(view);
        drop(gone);
        given
    }

    /// The limit that was exceeded, once the view is ended.
    pub(super) fn ended(&self) -> Option<usize> {
        self.0.ended.get().copied()
    }

    #[cfg(test)]
    pub(super) fn end(&self, limit: usize) {
        drop(self.0.end(limit));
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        // An access that panics leaves the view what it was: nothing is written to it.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the view. It is given unless somebody reads it right now, who drops it then.
    fn end(&self, limit: usize) -> Option<T> {
        let _first = self.ended.set(limit).is_ok();
        match self.view.try_lock() {
            Ok(mut view) => view.take(),
            Err(_) => None,
        }
    }
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self { out: VecDeque::new(), limit: None }
    }
}

impl<T> Ledger<T> {
    /// Hands a view out, in which `own` bytes were written.
    pub(super) fn lend(&mut self, view: T, own: usize) -> Lease<T> {
        let shared = Arc::new(Shared { view: Mutex::new(Some(view)), ended: OnceLock::new() });
        self.out.push_back(Out { shared: Arc::downgrade(&shared), own, copied: 0 });
        self.limit = None;
        Lease(shared)
    }

    /// Forgets the views that have been given back, and counts for the others what was copied since this was last done.
    pub(super) fn note(&mut self, copied: usize) {
        if let Some(newest) = self.out.back_mut() {
            newest.copied += copied;
        }
        while let Some(gone) = self.out.iter().rposition(|out| out.shared.strong_count() == 0) {
            let passed = self.out.remove(gone).map_or(0, |gone| gone.copied);
            if let Some(before) = gone.checked_sub(1).and_then(|before| self.out.get_mut(before)) {
                before.copied += passed;
            }
        }
    }

    /// What the views hold.
    pub(super) fn held(&self) -> HeldViews {
        HeldViews { views: self.out.len(), bytes: self.out.iter().map(|out| out.own + out.copied).sum() }
    }

    /// Ends the oldest views until what was copied for the others is within the limit. Gives how many, and those that nobody
    /// reads right now.
    pub(super) fn end_oldest(&mut self, limit_now: impl FnOnce() -> usize) -> (usize, Vec<T>) {
        let mut copied: usize = self.out.iter().map(|out| out.copied).sum();
        let (mut ended, mut views) = (0, Vec::new());
        if copied <= LEAST_LIMIT {
            return (ended, views);
        }
        let limit = *self.limit.get_or_insert_with(limit_now);
        while copied > limit
            && let Some(oldest) = self.out.pop_front()
        {
            copied -= oldest.copied;
            ended += 1;
            views.extend(oldest.shared.upgrade().and_then(|shared| shared.end(limit)));
        }
        (ended, views)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 2 * LEAST_LIMIT;

    fn lend(ledger: &mut Ledger<&'static str>, view: &'static str) -> Lease<&'static str> {
        ledger.note(0);
        ledger.lend(view, 0)
    }

    fn read(lease: &Lease<&'static str>) -> Result<&'static str, usize> {
        lease.with(|view| *view)
    }

    #[test]
    fn over_the_limit_the_oldest_view_ends_and_the_others_go_on() {
        let mut ledger = Ledger::default();
        let oldest = lend(&mut ledger, "oldest");
        ledger.note(LIMIT);
        let newest = lend(&mut ledger, "newest");
        assert_eq!(ledger.end_oldest(|| LIMIT), (0, Vec::new()));
        assert_eq!(read(&oldest), Ok("oldest"));
        ledger.note(1);
        assert_eq!(ledger.held(), HeldViews { views: 2, bytes: LIMIT + 1 });
        assert_eq!(ledger.end_oldest(|| LIMIT), (1, vec!["oldest"]));
        assert_eq!((read(&oldest), read(&newest)), (Err(LIMIT), Ok("newest")));
        assert_eq!(ledger.held(), HeldViews { views: 1, bytes: 1 });
    }

    #[test]
    fn what_was_copied_for_a_view_that_is_given_back_counts_for_the_one_before() {
        let mut ledger = Ledger::default();
        let oldest = lend(&mut ledger, "oldest");
        let between = lend(&mut ledger, "between");
        ledger.note(LIMIT);
        drop(between);
        ledger.note(1);
        assert_eq!(ledger.held(), HeldViews { views: 1, bytes: LIMIT + 1 });
        let newest = lend(&mut ledger, "newest");
        drop(oldest);
        ledger.note(0);
        assert_eq!(ledger.held(), HeldViews { views: 1, bytes: 0 }, "nothing has been copied since it was taken");
        drop(newest);
        ledger.note(LIMIT);
        assert_eq!(ledger.held(), HeldViews::default());
    }

    #[test]
    fn what_a_view_has_of_its_own_is_held_and_ends_no_view() {
        let mut ledger = Ledger::default();
        let view = ledger.lend("view", 2 * LIMIT);
        ledger.note(1);
        assert_eq!(ledger.held(), HeldViews { views: 1, bytes: 2 * LIMIT + 1 });
        assert_eq!(ledger.end_oldest(|| LIMIT), (0, Vec::new()));
        assert_eq!(read(&view), Ok("view"));
    }

    #[test]
    fn a_view_that_is_read_as_it_ends_is_given_up_by_its_reader() {
        let mut ledger = Ledger::default();
        let view = ledger.lend("view", 0);
        let ended = view.with(|view| {
            ledger.note(LIMIT + 1);
            (*view, ledger.end_oldest(|| LIMIT))
        });
        assert_eq!(ended, Ok(("view", (1, Vec::new()))));
        assert_eq!((read(&view), view.ended()), (Err(LIMIT), Some(LIMIT)));
        assert!(view.0.lock().is_none(), "its memory is free");
    }

    #[test]
    fn half_of_what_the_tables_hold_may_be_held_and_some_in_any_case() {
        assert_eq!((limit(0, 0), limit(1 << 30, 0), limit(1 << 30, 1 << 30)), (64 << 20, 1 << 29, 3 << 29));
    }
}
