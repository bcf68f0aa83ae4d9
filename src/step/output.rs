//! What one step gives.

use super::counts::Counts;
use super::deadletter::DeadLetter;
use super::feedback::Feedback;
use crate::bus::StreamSequence;
use crate::learn::JoinKey;
use crate::pipeline::TableIndex;
use crate::score::Job;
use crate::time::EventTime;
use crate::window::Emission;

/// Rows that a table of the pipeline gives at one moment.
pub type Emitted = Emission<TableIndex>;

/// What one step gives.
#[derive(Default)]
pub struct StepOutput {
    /// What to score.
    pub job: Job,
    /// For each group of the job: the message of its event, or which request it answers.
    pub origins: Vec<Origin>,
    /// Rows of tables of windows, in the order in which they were emitted. They are there also when the state is only being
    /// rebuilt.
    pub emissions: Vec<Emitted>,
    /// What could not be used.
    pub dead: Vec<DeadLetter>,
    /// Requests that could not be read: which one, and why.
    pub refused: Vec<(usize, String)>,
    /// What became of the events.
    pub counts: Counts,
    /// The newest event time of the stream so far; none before its first event, and of requests.
    pub newest: Option<EventTime>,
    /// Whether the state is only being rebuilt: nothing of this step is to be scored or published.
    pub is_replay: bool,
    /// For each row of the job, what feedback on it joins on; empty without a label join.
    pub keys: Vec<Option<JoinKey>>,
    /// Rows of the job that feedback does not find, because they were scored with events later than themselves.
    pub behind: u64,
    /// For each row of a job that events triggered, which of the events of [`feedback`](Self::feedback) it was; empty
    /// where those are of another stream.
    pub triggers: Vec<u32>,
    /// What the label join has to know of the events; absent where they are of another stream than feedback.
    pub feedback: Option<Feedback>,
}

/// Where a ranking comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An event that triggers scoring: its message.
    Event(StreamSequence),
    /// A request, by its index in the call.
    Request(usize),
}
