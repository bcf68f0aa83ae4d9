//! Publishing in atomic batches: all messages of a batch are stored, next to each other, or none.
//!
//! ```text
//!   send ──▶ [ oldest ... newest ]  the window: batches in order; each expects the stream to end where the one before ends
//!              │  stored: leaves, and `committed` gives its last sequence
//!              └─ anything else: refused, no answer in time, the connection was lost
//!                   ▼
//!                 look: where does the stream end, and whose is the message where the batch should end?
//!                   ├─ ours ───────────────────────────▶ stored
//!                   ├─ the stream ends before the batch ▶ send it and all later ones again
//!                   ├─ it ends inside the batch ────────▶ send the rest
//!                   └─ somebody else's ─────────────────▶ Fenced
//! ```
//!
//! What it promises: every batch is stored once, whole and in order, or an error says why it can't be. What makes sending
//! again safe is the fence: of all copies of a batch, sent under whatever ids, at most one finds the stream where it
//! expects it. That holds only because what is expected is known to be ours: the last message of a batch, which commits
//! it, is held back until the batch before is stored; the others are on their way meanwhile. (If both were committed at
//! once, another writer's batch of the same length in place of the first would let the second one pass.) A copy that
//! arrives after we looked makes the later copies fail, and the next look finds it. An answer decides only when it says
//! "stored"; everything else is settled by looking.
//!
//! How it fails: while the connection is down, a leader is missing or the stream is full, it waits and tries again, with
//! a warning now and then; that is the back-pressure. Errors are for what waiting does not cure: another writer
//! ([`Fenced`](super::BusError::Fenced)), a batch that the stream never takes
//! ([`BatchRefused`](super::BusError::BatchRefused)), a stream that is gone.
//!
//! The protocol is ADR-50 of NATS ("JetStream batch publishing"): headers number the messages of a batch, the first one
//! carries the expectation, the last one commits and is answered.

mod answer;
mod judge;
mod publisher;
mod settle;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use publisher::AtomicPublisher;
