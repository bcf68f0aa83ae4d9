//! How much memory a table may hold, and what happens when it would hold more.

/// The memory that one table may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The limit, bytes as the table counts them.
    pub bytes: usize,
    /// What happens at the limit.
    pub at_limit: AtLimit,
}

/// What a table does when it reaches its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtLimit {
    /// The keys whose newest event is oldest are forgotten, and counted, until a tenth of the limit is free. Such a key
    /// reads as missing and starts anew with its next event.
    Evict,
    /// The step fails with [`WindowError::MemoryLimit`](super::WindowError::MemoryLimit).
    Stop,
}

impl Budget {
    /// No limit.
    pub const UNLIMITED: Self = Self { bytes: usize::MAX, at_limit: AtLimit::Stop };

    /// At most `bytes`, kept by evicting.
    pub fn evict(bytes: usize) -> Self {
        Self { bytes, at_limit: AtLimit::Evict }
    }

    /// At most `bytes`, or the step fails.
    pub fn stop(bytes: usize) -> Self {
        Self { bytes, at_limit: AtLimit::Stop }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::UNLIMITED
    }
}
