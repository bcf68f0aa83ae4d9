//! What became of a worker whose batch the broker refused: a decision, without the broker.

use super::marker::Marker;
use crate::bus::BusError;
use crate::commit::CommitError;

/// What is known where a batch was refused.
#[derive(Debug)]
pub(super) struct Refusal<'a> {
    pub(super) pipeline: &'a str,
    /// The output stream.
    pub(super) stream: String,
    /// The worker that was refused.
    pub(super) worker: &'a str,
    pub(super) error: BusError,
    /// The newest marker, where it tells more than the error does and can be read.
    pub(super) newest: Option<Marker>,
}

/// Whether the newest marker tells who it was. Where the stream lost messages, whoever wrote the newest marker that is left
/// did so before us.
pub(super) fn is_told_by_marker(error: &BusError) -> bool {
    matches!(error, BusError::Fenced { expected, found, .. } if found >= expected)
}

impl Refusal<'_> {
    /// The output stream lost what was stored, or somebody else wrote to it.
    pub(super) fn explain(self) -> CommitError {
        match (self.error, self.newest) {
            (BusError::Fenced { expected, found, .. }, _) if found < expected => {
                CommitError::OutputLost { stream: self.stream, last: found, known: expected }
            }
            (BusError::Fenced { .. }, Some(marker)) if marker.writer != self.worker => {
                CommitError::Superseded { pipeline: self.pipeline.to_owned(), host: marker.host }
            }
            (BusError::StreamNotFound { .. }, _) => CommitError::OutputGone { stream: self.stream },
            (error, _) => CommitError::of_publishing(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::StreamSequence;
    use crate::commit::Progress;

    fn fenced(expected: u64, found: u64) -> BusError {
        let (expected, found) = (StreamSequence(expected), StreamSequence(found));
        BusError::Fenced { stream: "SHOP_OUT".to_owned(), expected, found }
    }

    fn gone() -> BusError {
        BusError::StreamNotFound { stream: "SHOP_OUT".to_owned() }
    }

    fn written_by(writer: &str) -> Marker {
        let marker = Marker::first("l".to_owned(), Progress::default());
        Marker { writer: writer.to_owned(), host: format!("host of {writer}"), ..marker }
    }

    fn explained(error: BusError, newest: Option<Marker>) -> String {
        let stream = "SHOP_OUT".to_owned();
        let error = Refusal { pipeline: "shop", stream, worker: "us", error, newest }.explain();
        match error {
            CommitError::OutputLost { last, known, .. } => format!("lost: {last} of {known}"),
            CommitError::Superseded { pipeline, host } => format!("{pipeline} taken over by {host}"),
            CommitError::OutputGone { stream } => format!("{stream} gone"),
            CommitError::Bus(BusError::Fenced { expected, found, .. }) => format!("fenced: {found} after {expected}"),
            other => other.to_string(),
        }
    }

    #[test]
    fn a_refused_worker_is_told_what_became_of_it() {
        let cases = [
            ("a stream that ends before us lost messages", fenced(9, 8), None, "lost: 8 of 9"),
            (
                "whoever wrote its newest marker did so before us",
                fenced(9, 8),
                Some(written_by("them")),
                "lost: 8 of 9",
            ),
            ("another marker is newer", fenced(9, 10), Some(written_by("them")), "shop taken over by host of them"),
            (
                "another marker took our place",
                fenced(9, 9),
                Some(written_by("them")),
                "shop taken over by host of them",
            ),
            ("ours is the newest: it was no worker", fenced(9, 10), Some(written_by("us")), "fenced: 10 after 9"),
            ("no marker is left or can be read", fenced(9, 10), None, "fenced: 10 after 9"),
            ("the stream is gone", gone(), None, "SHOP_OUT gone"),
            ("the stream is gone, whatever a marker said", gone(), Some(written_by("them")), "SHOP_OUT gone"),
        ];
        for (case, error, newest, expected) in cases {
            assert_eq!(explained(error, newest), expected, "{case}");
        }
        let slow = BusError::TimedOut { action: "the batch".to_owned(), after: std::time::Duration::from_secs(5) };
        let itself = slow.to_string();
        assert_eq!(explained(slow, Some(written_by("them"))), itself, "every other error speaks for itself");
    }

    #[test]
    fn the_newest_marker_is_looked_for_only_where_the_stream_goes_on_after_us() {
        for (error, expected) in [(fenced(9, 8), false), (fenced(9, 9), true), (fenced(9, 10), true), (gone(), false)] {
            assert_eq!(is_told_by_marker(&error), expected, "{error}");
        }
    }
}
