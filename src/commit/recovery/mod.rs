//! Where a worker goes on: the newest marker, the newest snapshot that it covers, and what has to be read again between
//! the two.
//!
//! ```text
//!   output stream ─▶ facts ─▶ decision: go on │ from a snapshot │ begin anew │ look again │ stop
//!                                │
//!                                └─▶ marker ─▶ are the inputs still those? ─▶ claim
//!
//!   then `engine`, for the newest snapshot first:
//!     head, marker ─▶ reachable? ── yes ─▶ can its parts be read? ── yes ─▶ state ─▶ steps since, up to the marker
//!                         └─ no ─▶ the next one ◀────── no ──┘               ▲
//!                                       └─ none is left: the empty state ────┘
//! ```
//!
//! What is decided needs no broker: [`decide`](decide::decide) takes the facts of the output stream, [`resume`] a snapshot's
//! head and the marker (reachable or not), [`Gap`] what one input stream still has of what lies between. Losses that a person
//! chose to accept are part of the decision, and are logged by whoever acts.

mod claim;
mod decide;
mod facts;
mod gap;
mod heads;
mod marks;
mod resume;
mod steps;
#[cfg(test)]
mod testing;

pub(crate) use claim::{Claimed, claim};
pub(crate) use gap::{Crossing, Gap};
pub(crate) use heads::{Usable, read_heads};
pub(crate) use resume::{from_nothing, from_snapshot};
pub(crate) use steps::{Again, Stretch, steps_between};
