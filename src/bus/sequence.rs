//! Where a message is in its stream.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A position in a stream: the server numbers its messages from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamSequence(pub u64);

impl StreamSequence {
    /// The first position of any stream.
    pub const FIRST: Self = Self(1);

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position of the last of `messages` that follow this one.
    pub(super) fn after(self, messages: usize) -> Self {
        Self(self.0.saturating_add(messages as u64))
    }
}

impl fmt::Display for StreamSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
