//! What comes to the committing task: what is to be published for a step or a tick, and snapshots in between.
//!
//! Whoever makes the queue bounds it, by a few steps each with its rankings, examples and emitted rows. While a broker is slow
//! or an output stream full, the committing task takes nothing, and the scoring thread waits.

use bytes::Bytes;

use crate::bus::{ServiceError, ServiceRequest};
use crate::commit::{Given, Progress, Run, Save};
use crate::step::ImpressionMessage;

/// What goes to the committing task.
pub(crate) enum Publication {
    Step(Box<Published>),
    Save(Box<Save>),
}

/// What is to be published for one step, or for a tick.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) replies: Vec<(ServiceRequest, Result<Bytes, ServiceError>)>,
    /// What requests were answered with.
    pub(crate) impressions: Vec<ImpressionMessage>,
    /// Absent while the state is rebuilt.
    pub(crate) given: Option<Given>,
    /// The model that made the rankings, if there are any.
    pub(crate) model: Option<String>,
    pub(crate) run: Option<Run>,
    pub(crate) after: Option<Progress>,
}
