//! Learning from what people do: impressions and feedback become labelled examples, models are judged on them, and a better
//! one is let through.
//!
//! ```text
//!  shown ────┐              codec
//!            ├─▶ LabelJoin ─▶ Examples ─▶ message ─▶ Examples ─┬─▶ scored first ─▶ Prequential ─▶ report
//!  feedback ─┘                                                 ├─▶ trained on                     │ label rate
//!                                                              ├─▶ held out ─▶ Metrics ─▶ decide ◀┘
//!                                                              └─▶ Reservoir ─▶ mixed into later batches
//! ```
//!
//! - [`join`]: an impression waits with its exact vector until feedback or the end of its window labels it.
//! - [`Examples`]: labelled vectors, column by column; [`encode`] and [`decode`] carry them as messages that say by
//!   themselves what they are and are refused when they belong to another vector.
//! - [`ExampleTable`]: the same with a column per column of the vector, for other programs.
//! - [`Reservoir`]: a uniform sample of older examples, because a model that sees only the newest forgets.
//! - [`Prequential`]: what the learning model and a frozen reference predicted before they were told the label.
//! - [`Learner`]: examples in, a model that has learnt from them and knows how well it does; its [`CheckpointHead`] says
//!   where in the examples it stands.
//! - An example that the model can't learn from even alone is found by halving its batch, and left out of the step.
//! - [`decide`]: promote, refuse, wait, or stop training.
//!
//! The same calls in the same order give the same results, on any machine: nothing in here reads a clock, opens a file,
//! starts a thread or draws without a seed. Times are microseconds of event time. It does not
//! know where impressions, feedback and examples come from or go to.
//!
//! [`JoinError`] is the operator's to mend, an [`ExampleError`] of [`decode`] concerns one message, which is then left out
//! whole; the other errors are a caller's mistake, and what they refuse changes nothing.

mod answers;
mod checkpoint;
mod codec;
mod error;
mod evaluate;
mod example;
mod gate;
mod holdout;
mod impressions;
mod isolate;
pub mod join;
mod key;
mod label_rate;
mod learner;
mod provenance;
mod reservoir;
mod table;
#[cfg(test)]
mod testing;

pub use checkpoint::{CHECKPOINT_FORMAT, CheckpointHead, read_head};
pub use codec::{VectorName, decode, decode_complete, encode};
pub(crate) use error::{ExampleError, LearnError};
pub(crate) use evaluate::{
    EvaluationError, EvaluationReport, HorizonReport, Interval, Metrics, Prediction, Prequential,
};
pub use example::{Example, ExampleKind, Examples};
pub(crate) use gate::{GateDecision, GateFacts, GateMetric, GateSettings, LabelRate, Refusal, decide};
pub use impressions::Impressions;
pub use join::{Impression, LabelJoin};
pub(crate) use join::{JoinError, JoinSettings, LabelCounts};
pub(crate) use key::{JoinKey, can_join, join_keys};
pub use learner::Learner;
pub(crate) use learner::{LearnerSettings, Learnt, LeftOut, Lesson, MOST_SKIPPED};
pub(crate) use provenance::is_short;
pub use provenance::{Asked, Provenance};
pub use reservoir::Reservoir;
pub(crate) use table::ExampleTable;
