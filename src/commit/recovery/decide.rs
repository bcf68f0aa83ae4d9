//! Where a worker goes on, decided from facts.
//!
//! ```text
//!   from scratch ────────────────────────────────▶ begin anew
//!   no message was ever stored ── no snapshot ───▶ begin anew
//!                              └─ a snapshot ────▶ outputs lost: stop, or go on from the newest snapshot
//!   messages, no marker ── a snapshot of the end ▶ go on from it: the marker expired with everything else
//!                       └─ none ─────────────────▶ marker lost: stop
//!   a marker ── after the end that was seen ─────▶ look again
//!            ├─ before the end ──────────────────▶ foreign outputs: stop, or go on from the marker
//!            ├─ a snapshot of a later epoch ─────▶ outputs lost: stop, or go on from that snapshot
//!            └─ at the end ──────────────────────▶ go on
//! ```

use super::facts::Facts;
use crate::bus::{StoredMessage, StreamSequence};
use crate::commit::marker::Marker;
use crate::commit::{CommitError, Head, OnLoss};

/// Where to go on.
#[derive(Debug)]
pub(super) enum Recovery {
    /// From the newest marker.
    GoOn(Marker),
    /// From the marker that covered a snapshot.
    GoOnFromSnapshot(Marker),
    /// In a new lineage, with nothing read.
    BeginAnew,
    /// What a worker that is gone had sent was stored since we looked where the stream ends.
    LookAgain,
    /// A person must choose.
    Stop(CommitError),
}

/// Where to go on, and what is accepted with it.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) recovery: Recovery,
    /// Losses that were accepted, for the log, in their order.
    pub(super) accepted: Vec<Accepted>,
}

/// A loss that a person chose to go on with.
#[derive(Debug)]
pub(super) enum Accepted {
    /// Outputs are gone: a snapshot says how far they went.
    Lost(CommitError),
    /// There are outputs after the newest marker.
    Foreign(CommitError),
}

/// See the module.
pub(super) fn decide(facts: &Facts<'_>, on_loss: OnLoss, is_fresh: bool) -> Decision {
    let mut accepted = Vec::new();
    let recovery = match (&facts.newest, facts.heads.first()) {
        _ if is_fresh => Recovery::BeginAnew,
        (_, None) if facts.last.0 == 0 => Recovery::BeginAnew,
        (_, Some(head)) if facts.last.0 == 0 => behind_snapshot(facts, head, on_loss, &mut accepted),
        (None, _) => without_marker(facts),
        (Some(newest), _) => with_marker(facts, newest, on_loss, &mut accepted),
    };
    Decision { recovery, accepted }
}

/// The state knows of outputs that the broker does not: it is another one, was wiped, or was put back.
fn behind_snapshot(facts: &Facts<'_>, head: &Head, on_loss: OnLoss, accepted: &mut Vec<Accepted>) -> Recovery {
    let lost =
        CommitError::OutputLost { stream: facts.stream.clone(), last: facts.last, known: StreamSequence(head.output) };
    if on_loss == OnLoss::Stop {
        return Recovery::Stop(lost);
    }
    accepted.push(Accepted::Lost(lost));
    Recovery::GoOnFromSnapshot(covering(head))
}

/// The marker expired with everything else, while nobody ran the pipeline. A snapshot of that very moment says as much.
fn without_marker(facts: &Facts<'_>) -> Recovery {
    match facts.heads.iter().find(|head| head.output == facts.last.0) {
        Some(head) => Recovery::GoOnFromSnapshot(covering(head)),
        None => Recovery::Stop(CommitError::MarkerLost { stream: facts.stream.clone(), last: facts.last }),
    }
}

fn with_marker(facts: &Facts<'_>, newest: &StoredMessage, on_loss: OnLoss, accepted: &mut Vec<Accepted>) -> Recovery {
    if newest.sequence > facts.last {
        return Recovery::LookAgain;
    }
    if newest.sequence < facts.last {
        let (stream, marker, last) = (facts.stream.clone(), newest.sequence, facts.last);
        let foreign = CommitError::ForeignOutput { stream, marker, last };
        if on_loss == OnLoss::Stop {
            return Recovery::Stop(foreign);
        }
        accepted.push(Accepted::Foreign(foreign));
    }
    let marker = match Marker::of(newest) {
        Ok(marker) => marker,
        Err(error) => return Recovery::Stop(error),
    };
    match facts.heads.iter().find(|head| head.lineage == marker.lineage && head.epoch > marker.epoch) {
        Some(head) => behind_snapshot(facts, head, on_loss, accepted),
        None => Recovery::GoOn(marker),
    }
}

/// The marker that a snapshot was covered by.
fn covering(head: &Head) -> Marker {
    Marker { epoch: head.epoch, ..Marker::first(head.lineage.clone(), head.progress.clone()) }
}

#[cfg(test)]
mod tests;
