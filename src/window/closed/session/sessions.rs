//! The sessions that are kept, and those of each key from the newest to the oldest.

use super::cells::Cells;
use super::evaluated::Chain;
use crate::window::closed::aggregate::Aggregates;
use crate::window::keys::{NO_SLOT, doubled};
use crate::window::paged::Paged;

/// No session.
pub(super) const NONE: u32 = u32::MAX;

/// The number of a session that is not one.
const FREE: u64 = u64::MAX;

/// A session of a key. Times are microseconds.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) slot: u32,
    /// The next older session of the key.
    pub(super) older: u32,
    pub(super) start: i64,
    /// Time of the last event.
    pub(super) last: i64,
    /// Counts sessions: tells one from another that takes its place, and orders those of one moment.
    pub(super) born: u64,
    /// When it is looked at again: not after the moment at which something happens.
    pub(super) scheduled: i64,
    pub(super) rows: Chain,
    pub(super) phase: Phase,
    pub(super) shown: Shown,
    /// Whether it has changed since its row was emitted, and a row is owed for that.
    pub(super) is_changed: bool,
    /// Whether it has closed and its row is yet to be made.
    pub(super) is_pending: bool,
}

/// How far the watermark has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before the end.
    Open,
    /// Past the end, within the lateness.
    Closed,
    /// Past both: nothing reaches it any more, but a row is owed.
    Final,
}

/// Whether a row with the bounds that the session has now was emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Never,
    Early,
    Closed,
}

/// A row that was emitted for bounds that no session has any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Removal {
    pub(super) slot: u32,
    pub(super) window: (i64, i64),
    pub(super) shown: Shown,
}

/// A session at a time: the place may hold another later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Handle {
    pub(super) born: u64,
    pub(super) id: u32,
}

/// See the module.
pub(super) struct Sessions {
    gap: i64,
    all: Paged<Session>,
    free: Vec<u32>,
    /// Per key, its newest session. Not in pages that views share: a save has no use for it.
    newest: Vec<u32>,
    /// Per key, the time before which its sessions are final.
    barriers: Paged<i64>,
    pub(super) cells: Cells,
    pub(super) next_born: u64,
}

/// Where an event stands among the sessions of its key. At most two are less than the gap away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Neighbours {
    /// The nearest that is a gap or more after the event.
    pub(super) newer: u32,
    /// The newest that the event belongs to.
    pub(super) touched: u32,
    /// Another that it belongs to, before the first.
    pub(super) also_touched: u32,
    /// The nearest that is a gap or more before the event.
    pub(super) older: u32,
}

impl Sessions {
    pub(super) fn new(gap: i64, aggregates: &Aggregates) -> Self {
        Self {
            gap,
            all: Paged::new(1),
            free: Vec::new(),
            newest: Vec::new(),
            barriers: Paged::new(1),
            cells: Cells::new(aggregates),
            next_born: 0,
        }
    }

    /// A view to be saved: these sessions, whatever comes after. It finds none by its key and has no place for another.
    pub(super) fn share(&mut self) -> Self {
        Self {
            gap: self.gap,
            all: self.all.share(),
            free: Vec::new(),
            newest: Vec::new(),
            barriers: self.barriers.share(),
            cells: self.cells.share(),
            next_born: self.next_born,
        }
    }

    /// Bytes that were copied because a view held them, since this was last asked.
    pub(super) fn take_copied(&mut self) -> usize {
        self.all.take_copied() + self.barriers.take_copied() + self.cells.take_copied()
    }

    /// Room for so many keys.
    pub(super) fn resize_keys(&mut self, slots: usize) {
        self.newest.resize(slots, NONE);
        self.barriers.resize(slots, &[i64::MIN]);
    }

    pub(super) fn get(&self, id: u32) -> &Session {
        self.all.get(id as usize)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> &mut Session {
        self.all.get_mut(id as usize)
    }

    /// The session, unless it is no more.
    pub(super) fn find(&self, handle: Handle) -> Option<&Session> {
        let session = ((handle.id as usize) < self.all.len()).then(|| self.get(handle.id));
        session.filter(|session| session.born == handle.born)
    }

    pub(super) fn handle(&self, id: u32) -> Handle {
        Handle { born: self.get(id).born, id }
    }

    /// Exclusive end of a session, microseconds.
    pub(super) fn end(&self, id: u32) -> i64 {
        self.get(id).last.saturating_add(self.gap)
    }

    /// The time before which all sessions of a key are final.
    pub(super) fn barrier(&self, slot: u32) -> i64 {
        *self.barriers.get(slot as usize)
    }

    pub(super) fn raise_barrier(&mut self, slot: u32, to: i64) {
        // A page that a view holds is not copied for nothing.
        if to > self.barrier(slot) {
            *self.barriers.get_mut(slot as usize) = to;
        }
    }

    pub(super) fn has_sessions(&self, slot: u32) -> bool {
        self.newest[slot as usize] != NONE
    }

    pub(super) fn neighbours(&self, slot: u32, ts: i64) -> Neighbours {
        let mut found = Neighbours { newer: NONE, touched: NONE, also_touched: NONE, older: NONE };
        let mut id = self.newest[slot as usize];
        while id != NONE {
            let session = self.get(id);
            if ts < session.start && session.start.saturating_sub(ts) >= self.gap {
                found.newer = id;
            } else if ts >= self.end(id) {
                found.older = id;
                break;
            } else if found.touched == NONE {
                found.touched = id;
            } else {
                found.also_touched = id;
            }
            id = session.older;
        }
        found
    }

    /// A session of one event between its neighbours, with nothing in it yet.
    pub(super) fn insert(&mut self, slot: u32, ts: i64, between: Neighbours) -> u32 {
        let session = Session {
            slot,
            older: between.older,
            start: ts,
            last: ts,
            born: self.next_born,
            scheduled: i64::MAX,
            rows: Chain::default(),
            phase: Phase::Open,
            shown: Shown::Never,
            is_changed: false,
            is_pending: false,
        };
        self.next_born += 1;
        let id = self.place(session);
        match between.newer {
            NONE => self.newest[slot as usize] = id,
            newer => self.get_mut(newer).older = id,
        }
        id
    }

    /// Puts a session anywhere and leaves the list of its key to the caller.
    fn place(&mut self, session: Session) -> u32 {
        match self.free.pop() {
            Some(id) => {
                *self.get_mut(id) = session;
                id
            }
            None => {
                self.all.push(&[session]);
                self.cells.resize(self.all.len());
                self.all.len() as u32 - 1
            }
        }
    }

    /// Takes a session out of the list of its key.
    pub(super) fn unlink(&mut self, id: u32) {
        let Session { slot, older, .. } = *self.get(id);
        let mut at = self.newest[slot as usize];
        if at == id {
            self.newest[slot as usize] = older;
            return;
        }
        while at != NONE {
            let next = self.get(at).older;
            if next == id {
                self.get_mut(at).older = older;
                return;
            }
            at = next;
        }
    }

    /// Gives the place of a session up.
    pub(super) fn release(&mut self, id: u32) {
        self.get_mut(id).born = FREE;
        self.cells.clear(id);
        self.free.push(id);
    }

    /// All sessions that are kept, by number.
    pub(super) fn handles(&self) -> Vec<Handle> {
        let kept = self.all.iter().zip(0..).filter(|(session, _)| session.born != FREE);
        let mut handles: Vec<_> = kept.map(|(session, id)| Handle { born: session.born, id }).collect();
        handles.sort_unstable();
        handles
    }

    /// The chains of rows of all sessions.
    pub(super) fn chains(&mut self) -> impl Iterator<Item = &mut Chain> {
        self.all.iter_mut().filter(|session| session.born != FREE).map(|session| &mut session.rows)
    }

    /// Sessions that were saved, oldest number first, into an empty list with room for their keys. Each key's are told
    /// apart by their start.
    pub(super) fn restore(&mut self, mut sessions: Vec<Session>) {
        let count = sessions.len();
        let mut order: Vec<u32> = (0..count as u32).collect();
        order.sort_unstable_by_key(|id| (sessions[*id as usize].slot, sessions[*id as usize].start));
        for id in order {
            let session = &mut sessions[id as usize];
            if session.phase != Phase::Final {
                session.older = std::mem::replace(&mut self.newest[session.slot as usize], id);
            }
        }
        self.all.fill(sessions);
        self.cells.resize(count);
    }

    /// Puts some sessions in the first places, in their order, and forgets the others, which may stand nowhere between
    /// them in the list of a key.
    pub(super) fn keep(&mut self, handles: &[Handle]) {
        let mut moved = vec![NONE; self.all.len()];
        for (handle, to) in handles.iter().zip(0..) {
            moved[handle.id as usize] = to;
        }
        let to = |id: u32| moved.get(id as usize).copied().unwrap_or(NONE);
        let kept = handles.iter().map(|handle| self.get(handle.id).clone());
        let kept: Vec<Session> = kept.map(|session| Session { older: to(session.older), ..session }).collect();
        self.all.fill(kept);
        self.newest.iter_mut().for_each(|newest| *newest = to(*newest));
        let ids: Vec<u32> = handles.iter().map(|handle| handle.id).collect();
        self.cells.keep(&ids);
        self.free = Vec::new();
    }

    /// Per key, the time before which its sessions are final.
    pub(super) fn barriers(&self) -> impl Iterator<Item = i64> {
        self.barriers.iter().copied()
    }

    /// Marks the keys that have a session, or whose barrier keeps an event out that nothing else would.
    pub(super) fn mark_alive(&self, keep: i64, alive: &mut [bool]) {
        for (alive, (newest, barrier)) in alive.iter_mut().zip(self.newest.iter().zip(self.barriers())) {
            *alive |= *newest != NONE || barrier > keep;
        }
        for session in self.all.iter().filter(|session| session.born != FREE) {
            alive[session.slot as usize] = true;
        }
    }

    /// Gives every key its new slot.
    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        let (mut newest, mut barriers) = (vec![NONE; slots], vec![i64::MIN; slots]);
        for (slot, to) in moved.iter().enumerate().filter(|(_, to)| **to != NO_SLOT) {
            newest[*to as usize] = self.newest[slot];
            barriers[*to as usize] = *self.barriers.get(slot);
        }
        self.newest = newest;
        self.barriers.fill(barriers);
        for session in self.all.iter_mut().filter(|session| session.born != FREE) {
            session.slot = moved[session.slot as usize];
        }
    }

    /// Memory held, bytes: by the sessions that there are, whatever was there before.
    pub(super) fn size(&self) -> usize {
        // With its places in the schedule and among those that have changed.
        let session = size_of::<Session>() + self.cells.session_size() + 40;
        session * doubled(self.all.len() - self.free.len()) + 12 * doubled(self.barriers.len())
    }
}
