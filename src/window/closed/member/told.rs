//! Keys whose rows of an open window were emitted, and whether they still are as they were told: a byte per key, in pages that
//! views share. There are few such windows at a time: the one that closes next, and those that were followed before it.

use crate::window::paged::Paged;

/// What was told of a key.
const NOTHING: u8 = 0;
const CHANGED: u8 = 1;
const CURRENT: u8 = 2;

/// See the module.
pub(in crate::window::closed) struct Told {
    states: Paged<u8>,
    /// Keys of which something was told.
    len: usize,
}

impl Default for Told {
    fn default() -> Self {
        Self { states: Paged::new(1), len: 0 }
    }
}

impl Told {
    /// Whether the row of a key is as it was told; `None` if none was.
    pub(super) fn get(&self, slot: u32) -> Option<bool> {
        let slot = slot as usize;
        let state = if slot < self.states.len() { *self.states.get(slot) } else { NOTHING };
        (state != NOTHING).then_some(state == CURRENT)
    }

    /// The row of a key was told.
    pub(in crate::window::closed) fn insert(&mut self, slot: u32, is_current: bool) {
        self.states.resize((slot as usize + 1).max(self.states.len()), &[NOTHING]);
        let state = self.states.get_mut(slot as usize);
        self.len += usize::from(*state == NOTHING);
        *state = if is_current { CURRENT } else { CHANGED };
    }

    /// Nothing that was told of a key holds.
    pub(super) fn remove(&mut self, slot: u32) {
        if self.get(slot).is_some() {
            *self.states.get_mut(slot as usize) = NOTHING;
            self.len -= 1;
        }
    }

    /// The row of a key is not what was told any more, if something was.
    pub(super) fn change(&mut self, slot: u32) {
        if self.get(slot) == Some(true) {
            *self.states.get_mut(slot as usize) = CHANGED;
        }
    }

    /// The keys of which something was told, in order, and whether it holds.
    pub(in crate::window::closed) fn iter(&self) -> impl Iterator<Item = (u32, bool)> {
        let states = self.states.iter().zip(0..);
        states.filter(|(state, _)| **state != NOTHING).map(|(state, slot)| (slot, *state == CURRENT))
    }

    /// Puts what was told of the keys under new slots in the place of this.
    pub(super) fn replace(&mut self, told: Self) {
        self.states.replace(told.states);
        self.len = told.len;
    }

    /// A view: what was told until now.
    pub(super) fn share(&mut self) -> Self {
        Self { states: self.states.share(), len: self.len }
    }

    /// Bytes that were copied because a view held them, since this was last asked.
    pub(super) fn take_copied(&mut self) -> usize {
        self.states.take_copied()
    }

    /// How many keys there are of which something was told.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}
