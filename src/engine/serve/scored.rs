//! What comes to the scoring thread: a step's output, and silence and snapshots in between.
//!
//! Four of these wait at most (`QUEUED_STEPS` in `start/`), each with the vectors of one step, and with its messages where their
//! events are scored. Then the step waits.

use crate::bus::{Message, Outgoing, ServiceRequest};
use crate::commit::{Position, Progress, Run, Save};
use crate::step::{Silence, StepOutput};

/// What comes from the step's thread.
pub(crate) enum Scoring {
    Step(Box<Scored>),
    Silence(Silence),
    Save(Box<Save>),
}

/// A step's output on its way to the model, with the requests that wait for it.
pub(crate) struct Scored {
    pub(crate) output: StepOutput,
    pub(crate) requests: Vec<Option<ServiceRequest>>,
    /// What the step read, where its events are scored: the bytes of those that the model fails on.
    pub(crate) messages: Vec<Message>,
    /// Dead letters about emitted rows that their Delta tables can't hold.
    pub(crate) unkept: Vec<Outgoing>,
    /// Where the streams stood before the step.
    pub(crate) before: Position,
    /// The step, where it read events.
    pub(crate) run: Option<Run>,
    /// How far the streams have come with it.
    pub(crate) after: Option<Progress>,
}
