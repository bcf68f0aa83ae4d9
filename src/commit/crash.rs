//! Places at which tests have the process end as if it were killed.
//!
//! `TIDEWHEEL_CRASH_AT=commit:sent:3` in the environment ends the process, without unwinding or flushing anything, when it
//! passes the place `commit:sent` for the third time. Without the variable a place costs one comparison.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const VARIABLE: &str = "TIDEWHEEL_CRASH_AT";

/// A place, named for what has just happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The first marker of this worker has been sent.
    ClaimSent,
    /// The state has been read from a snapshot.
    Restored,
    /// Inputs up to the marker have been replayed.
    Replayed,
    /// An epoch is full, and nothing of it has been sent.
    EpochFilled,
    /// A batch has been sent, and its answer is not known.
    EpochSent,
    /// A batch is known to be stored.
    EpochAnswered,
    /// The state as it is has been taken, and no part of it is known to be stored.
    SnapshotSaved,
    /// The parts of a snapshot are stored, and nothing refers to them.
    SnapshotWritten,
    /// The snapshot can be found.
    SnapshotPublished,
    /// Older snapshots are gone.
    SnapshotPruned,
}

impl Place {
    const ALL: [Self; 10] = [
        Self::ClaimSent,
        Self::Restored,
        Self::Replayed,
        Self::EpochFilled,
        Self::EpochSent,
        Self::EpochAnswered,
        Self::SnapshotSaved,
        Self::SnapshotWritten,
        Self::SnapshotPublished,
        Self::SnapshotPruned,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::ClaimSent => "claim:sent",
            Self::Restored => "recover:restored",
            Self::Replayed => "recover:replayed",
            Self::EpochFilled => "commit:filled",
            Self::EpochSent => "commit:sent",
            Self::EpochAnswered => "commit:answered",
            Self::SnapshotSaved => "snapshot:saved",
            Self::SnapshotWritten => "snapshot:written",
            Self::SnapshotPublished => "snapshot:published",
            Self::SnapshotPruned => "snapshot:pruned",
        }
    }
}

/// Where the process is to end, and how many passages are left.
struct Crash {
    place: Place,
    left: AtomicU64,
}

/// Passes a place.
pub(crate) fn pass(place: Place) {
    static CRASH: OnceLock<Option<Crash>> = OnceLock::new();
    let crash = CRASH.get_or_init(|| std::env::var(VARIABLE).ok().and_then(|text| parse(&text)));
    if let Some(crash) = crash
        && crash.place == place
        && crash.left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        tracing::error!(place = place.name(), "ending here, as {VARIABLE} says");
        std::process::abort();
    }
}

fn parse(text: &str) -> Option<Crash> {
    let found = Place::ALL.into_iter().find_map(|place| {
        let rest = text.strip_prefix(place.name())?;
        let left = rest.strip_prefix(':').map_or(Some(1), |times| times.parse().ok().filter(|times| *times > 0))?;
        (rest.is_empty() || rest.starts_with(':')).then_some(Crash { place, left: AtomicU64::new(left) })
    });
    if found.is_none() {
        let names = Place::ALL.map(Place::name).join(", ");
        tracing::error!("{VARIABLE}={text} names no place; there are {names}, each with `:n` for the nth passage");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_with_the_passage_that_ends_the_process() {
        let parsed = |text| parse(text).map(|crash| (crash.place, crash.left.into_inner()));
        assert_eq!(parsed("commit:sent"), Some((Place::EpochSent, 1)));
        assert_eq!(parsed("snapshot:written:12"), Some((Place::SnapshotWritten, 12)));
        for wrong in ["", "commit", "commit:sent:0", "commit:sent:x", "commit:sentx"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
