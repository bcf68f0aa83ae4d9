//! Scoring: vectors in micro-batches through the model, rankings out.
//!
//! ```text
//!  requests (JSON) ─▶ RequestDecoder ─▶ rows of `requests` ─▶ vectors ─┐
//!  events that trigger ────────────────────────────────────▶ vectors ─┴▶ Job ─▶ model ─▶ Ranking (JSON)
//! ```
//!
//! Two models can serve side by side: [`Arms`] gives a share of the people, always the same ones, the control model.
//!
//! A job is a matrix and the groups of rows that are ranked together. It does not know where jobs come from or where
//! rankings go, and makes no vectors.
//!
//! A row whose vector is not finite, or that the model fails on (an id that its table does not have, a score that is no
//! number), is left out of its ranking and named; the rest of its batch is scored. It fails with [`RequestError`] for a request
//! that cannot be read, which is refused alone, and with the model's error for a defect of this program.

mod arms;
mod each;
mod id;
mod isolate;
mod job;
mod ranking;
mod request;
mod request_time;
mod scored;

pub(crate) use arms::Arm;
pub use arms::Arms;
pub(crate) use each::score_each;
pub use id::Id;
pub(crate) use job::write_json_value;
pub(crate) use job::{Group, ItemIds, Job};
pub(crate) use ranking::Ranked;
pub use ranking::rank;
pub use request::RequestDecoder;
pub(crate) use request::RequestError;
pub use request_time::RequestTime;
