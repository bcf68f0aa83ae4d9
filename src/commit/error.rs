//! Why outputs can't be committed, or a worker can't go on.

use crate::bus::{BusError, StreamSequence};
use crate::fault::{Judged, Judgement};
use crate::learn::ExampleError;
use crate::snapshot::SnapshotError;

/// Why outputs can't be committed, or a worker can't go on.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The broker.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Somebody else does this already.
    #[error("the {role} of pipeline {pipeline} is {host}: stop that one first")]
    AlreadyRunning {
        /// `worker` or `trainer`.
        role: &'static str,
        /// The pipeline.
        pipeline: String,
        /// Machine and process of the other one.
        host: String,
    },
    /// Another worker took over.
    #[error("pipeline {pipeline} was taken over by {host}: this worker no longer commits anything")]
    Superseded {
        /// The pipeline.
        pipeline: String,
        /// Machine and process of the other worker.
        host: String,
    },
    /// Others keep writing to the output stream while we try to begin.
    #[error("pipeline {pipeline} can't be claimed: others keep writing to its output stream")]
    Contended {
        /// The pipeline.
        pipeline: String,
    },
    /// A marker of the output stream can't be read or written.
    #[error("marker at {sequence} of the output stream: {source}")]
    Marker {
        /// Where it is; 0 for one that is being written.
        sequence: u64,
        /// What happened.
        source: serde_json::Error,
    },
    /// A marker of another version of the program.
    #[error(
        "marker at {sequence} of the output stream has format {found}, expected {expected}: run the version that wrote it"
    )]
    MarkerFormat {
        /// Where it is.
        sequence: u64,
        /// What it says.
        found: u32,
        /// What this version reads.
        expected: u32,
    },
    /// An input stream is not the one that was read.
    #[error(
        "stream {stream}: {what}. Put the broker's data back, or choose: --accept-loss goes on with the features as they are, \
         --from-scratch begins anew with what the stream holds"
    )]
    InputLost {
        /// The stream in the broker.
        stream: String,
        /// What was found.
        what: String,
    },
    /// Of an input stream it can't be told whether something of it was missed.
    #[error(
        "stream {stream}: {what}. --accept-loss goes on from there with the features as they are, --from-scratch begins anew with \
         what the stream holds"
    )]
    InputDoubtful {
        /// The stream in the broker.
        stream: String,
        /// What was found.
        what: String,
    },
    /// Messages are gone before they were read.
    #[error(
        "stream {stream} no longer has {count} messages from {first} on, which were not read yet: they expired or were \
         deleted. --accept-loss goes on without them"
    )]
    InputMissing {
        /// The stream in the broker.
        stream: String,
        /// The first of them.
        first: StreamSequence,
        /// How many.
        count: u64,
    },
    /// What is read again is not what was read before.
    #[error(
        "stream {stream} up to {until} is not what it was when its events were counted: messages expired, were deleted or \
         changed, and no snapshot holds what followed from them. --accept-loss goes on with what is there, --from-scratch \
         begins anew"
    )]
    InputsDiffer {
        /// The stream in the pipeline.
        stream: String,
        /// How far it had been read.
        until: StreamSequence,
    },
    /// The output stream is behind what a snapshot knows of it.
    #[error(
        "output stream {stream} ends at {last}, but outputs up to {known} were committed: the broker lost them, was put back \
         or is another one. --accept-loss goes on without them, --from-scratch begins anew"
    )]
    OutputLost {
        /// The stream in the broker.
        stream: String,
        /// Where it ends.
        last: StreamSequence,
        /// What was committed.
        known: StreamSequence,
    },
    /// There is no output stream any more.
    #[error(
        "output stream {stream} is gone: the broker was wiped, put back or is another one. Put the broker's data back, or \
         choose: --accept-loss goes on without what was committed, --from-scratch begins anew"
    )]
    OutputGone {
        /// The stream in the broker.
        stream: String,
    },
    /// The newest marker expired.
    #[error(
        "output stream {stream} had messages up to {last}, and none is left to tell how far the inputs were done: the pipeline \
         did not run for longer than its outputs are kept. --from-scratch begins anew"
    )]
    MarkerLost {
        /// The stream in the broker.
        stream: String,
        /// Where it ends.
        last: StreamSequence,
    },
    /// Somebody else writes to the output stream.
    #[error(
        "output stream {stream} goes on to {last} after the newest marker at {marker}: somebody else writes to it, or the broker \
         has kept a part of a batch. --accept-loss goes on from the marker, and may commit again what is there; --from-scratch \
         begins anew"
    )]
    ForeignOutput {
        /// The stream in the broker.
        stream: String,
        /// The newest marker.
        marker: StreamSequence,
        /// Where the stream ends.
        last: StreamSequence,
    },
    /// A message that fitted when it was made is larger than the server takes that is there now.
    #[error(
        "message of {bytes} bytes to {subject} is larger than the {limit} that the server takes now: a start makes what is not \
         stored again, as that server takes it; raise `max_payload` where that is not wanted"
    )]
    Outgrown {
        /// Where it was going.
        subject: String,
        /// Payload and headers.
        bytes: usize,
        /// The server's `max_payload`.
        limit: usize,
    },
    /// The server takes so little in a message that markers and dead letters have no room.
    #[error(
        "the server takes {room} bytes in an output, and a pipeline needs {least} for its markers and dead letters: raise \
         `max_payload` of the server"
    )]
    LittleRoom {
        /// What a message of a batch may have.
        room: usize,
        /// What it must be allowed to have.
        least: usize,
    },
    /// Examples or impressions that are too large could not be taken apart.
    #[error(transparent)]
    Example(#[from] ExampleError),
    /// Snapshots.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl CommitError {
    /// A mirror does not follow its origin any more.
    pub(crate) fn strayed(mirror: &str, what: &str) -> Self {
        let what = format!("{what}; delete the mirror and make it anew");
        Self::InputDoubtful { stream: mirror.to_owned(), what }
    }

    /// A stream that an aggregate takes messages from is another one, and all of it is appended again.
    pub(crate) fn appended_again(aggregate: &str, source: &str, since: StreamSequence) -> Self {
        let what = format!(
            "{source}, which it takes messages from, was made anew or put back from a backup: from message {since} on all that \
             holds is appended again. With the property that identifies an event as `id` of the stream, repeats are found"
        );
        Self::InputDoubtful { stream: aggregate.to_owned(), what }
    }

    /// Why something was not published that had been made to fit.
    pub(super) fn of_publishing(error: BusError) -> Self {
        match error {
            BusError::TooLarge { subject, bytes, limit } => Self::Outgrown { subject, bytes, limit },
            other => other.into(),
        }
    }
}

impl Judged for CommitError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Bus(error) => error.judgement(),
            Self::Snapshot(error) => error.judgement(),
            Self::Example(error) => error.judgement(),
            Self::Outgrown { .. } => Judgement::OUTSIDE,
            // Two workers that start again and again would take the pipeline from each other.
            Self::AlreadyRunning { .. }
            | Self::Superseded { .. }
            | Self::Contended { .. }
            | Self::ForeignOutput { .. }
            | Self::LittleRoom { .. }
            | Self::MarkerFormat { .. } => Judgement::OPERATOR,
            Self::InputLost { .. }
            | Self::InputDoubtful { .. }
            | Self::InputMissing { .. }
            | Self::InputsDiffer { .. }
            | Self::OutputLost { .. }
            | Self::OutputGone { .. }
            | Self::MarkerLost { .. }
            | Self::Marker { sequence: 1.., .. } => Judgement::DATA,
            // A marker without a place could not be written.
            Self::Marker { sequence: 0, .. } => Judgement::DEFECT,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn marker(sequence: u64) -> CommitError {
        let source = serde_json::from_str::<u64>("{").unwrap_err();
        CommitError::Marker { sequence, source }
    }

    #[test]
    fn each_error_says_whose_it_is() {
        let name = || "intent".to_owned();
        let stream = name();
        for (error, judgement) in [
            (CommitError::AlreadyRunning { role: "worker", pipeline: name(), host: name() }, Judgement::OPERATOR),
            (CommitError::Superseded { pipeline: name(), host: name() }, Judgement::OPERATOR),
            (CommitError::MarkerFormat { sequence: 1, found: 9, expected: 1 }, Judgement::OPERATOR),
            (CommitError::LittleRoom { room: 1, least: 2 }, Judgement::OPERATOR),
            (
                CommitError::of_publishing(BusError::TooLarge { subject: name(), bytes: 2, limit: 1 }),
                Judgement::OUTSIDE,
            ),
            (CommitError::InputLost { stream: name(), what: name() }, Judgement::DATA),
            (CommitError::OutputGone { stream }, Judgement::DATA),
            (marker(7), Judgement::DATA),
            (marker(0), Judgement::DEFECT),
            (BusError::TimedOut { action: name(), after: Duration::ZERO }.into(), Judgement::PASSES),
            (SnapshotError::Stopped(name()).into(), Judgement::CRASH),
        ] {
            assert_eq!(CommitError::judgement(&error), judgement, "{error}");
        }
    }
}
