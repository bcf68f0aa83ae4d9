//! What an operator is told of a running pipeline: warnings at once, a line each minute, and an answer to whoever asks.
//!
//! ```text
//!   Stats, the broker's streams, training's report ─▶ observer ─▶ Status ─┬─▶ alarms   at once, each kind once a minute
//!                                                                         ├─▶ period   a line of what has happened since
//!                                                                         └─▶ watch    `tidewheel.status.<pipeline>`, as JSON
//! ```
//!
//! One task does it all, beside the threads that compute: it reads what they count, and asks the step's thread for the sizes of
//! tables when that has room for a question. A broker that does not answer leaves it with what it knew. It decides nothing
//! about the pipeline, and the pipeline goes on without it.

mod alarms;
mod observer;
mod period;
mod status;
mod watch;

pub(crate) use status::{Status, TrainingState};
pub use watch::{StatusDoor, serve_status};
