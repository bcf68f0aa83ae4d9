//! Exactly once: what a pipeline puts into its output stream is committed in epochs, and a restart goes on from the newest one.
//!
//! ```text
//!   start:  output stream ─▶ newest marker ─▶ are the inputs still those? ─▶ claim ─▶ snapshot ─▶ steps since
//!   run:    publication ─▶ epoch ─▶ one atomic batch of the broker: outputs, then a marker of how far the inputs are done
//!   rival:  its claim lies on top of our marker ─▶ our next batch is refused ─▶ we stop and say who took over
//! ```
//!
//! - A marker says how far each input stream has been read, with a digest of everything read before: what is read again after a
//!   restart is checked to be what was read before.
//! - Outputs carry ids; those of a step that was committed in part are left out when it is done again.
//! - Ticks, by which labels are decided while streams are silent, are in the marker of the epoch that has what they gave: a
//!   restart repeats them where they were made.
//! - What the broker does not take, and what can't be written, is an output all the same: a dead letter stands for it, known by
//!   the id of that output. How large a message may be is a fact of the server, and a restart may meet another one: of a step
//!   that is done again each output is there once, as itself, in parts or as a letter, as it was decided first.
//! - One worker writes: the fence of the output stream decides, and [`Presence`] asks politely before.
//! - Places where a process may die have names ([`Place`]), so that tests kill it exactly there.
//!
//! It runs no thread and makes no output itself. Not in epochs are replies, which leave at once and are lost with the worker
//! that owes them, and what requests were shown, which is stored in a stream of its own before the reply leaves.
//!
//! It fails with [`CommitError`], and then the worker ends: somebody else has taken over, or the broker no longer holds what was
//! read or committed, which a person can choose to accept ([`OnLoss`]).

mod committer;
mod crash;
mod emitted;
mod epoch;
mod error;
mod fit;
mod guard;
mod halves;
mod json;
mod letter;
mod marker;
mod outputs;
mod position;
mod presence;
mod progress;
mod published;
mod recorded;
mod recovery;
mod refusal;
mod save;
mod seen;
mod telemetry;
mod worker;

pub(crate) use committer::{Beginning, Committer, impressions_publisher};
pub(crate) use crash::{Place, pass};
pub(crate) use emitted::{messages, unkept};
pub(crate) use epoch::{Epoch, Stored};
pub(crate) use error::CommitError;
pub(crate) use guard::Input;
pub use guard::OnLoss;
pub(crate) use marker::Marker;
pub(crate) use outputs::Given;
pub(crate) use position::Position;
pub(crate) use presence::Presence;
pub(crate) use progress::{Progress, Run};
pub(crate) use published::{Publication, Published};
pub(crate) use recorded::{Since, recorded};
pub(crate) use recovery::{
    Again, Claimed, Crossing, Gap, Stretch, Usable, claim, from_nothing, from_snapshot, read_heads, steps_between,
};
pub(crate) use save::{Committed, FORMAT, Head, Reading, Save};
pub(crate) use seen::Seen;
pub(crate) use telemetry::{Replaced, begin_metrics, describe_metrics, record_replaced};
pub(crate) use worker::Worker;
