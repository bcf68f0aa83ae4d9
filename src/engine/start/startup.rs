//! What is started.

use std::sync::Arc;

use crate::bus::Bus;
use crate::commit::Seen;
use crate::engine::run::RunSettings;
use crate::pipeline::Pipeline;

/// Steps that wait between two threads.
pub(super) const QUEUED_STEPS: usize = 4;

/// A pipeline that is started, where, and how.
pub(super) struct Startup<'a> {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) bus: &'a Bus,
    pub(super) settings: &'a RunSettings,
    /// What is seen of streams that are somebody else's.
    pub(super) seen: Seen,
}
