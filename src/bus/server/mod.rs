//! The nats-server that we run ourselves when no other is named.
//!
//! ```text
//!   NATS_SERVER │ .runtime/nats-server │ PATH ──▶ ServerBinary (2.12.0 or newer)
//!                                                     │
//!   state folder/                                     ▼
//!     nats-server.lock   held while we run it ◀── EmbeddedServer ──▶ url()
//!     nats-server.conf   written at each start
//!     nats-server.pid    who runs, for the next start after a crash
//!     nats-server.log    its words
//!     jetstream/         its store
//! ```
//!
//! It listens on the loopback address only, on a port that it chooses. One process at a time owns a state folder. A server
//! that outlived its owner (killed before it could stop it) is stopped by the next start, and by nothing else.

mod binary;
mod embedded;
mod leftover;

use std::path::PathBuf;

pub use binary::ServerBinary;
pub(crate) use binary::{BinaryOrigin, ServerVersion};
pub use embedded::EmbeddedServer;

use crate::fault::{Judged, Judgement};

/// What can go wrong with a server of our own.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// There is no nats-server.
    #[error(
        "nats-server not found: run `scripts/fetch-runtime.sh` (or `make demo`), or set NATS_SERVER to one of version \
         {least} or newer"
    )]
    NotFound {
        /// The oldest version that will do.
        least: ServerVersion,
    },
    /// There is one, but it is too old.
    #[error(
        "nats-server at {} is version {found}, but {least} or newer is needed: run `scripts/fetch-runtime.sh` (or `make \
         demo`), or set NATS_SERVER", path.display()
    )]
    TooOld {
        /// The program.
        path: PathBuf,
        /// Its version.
        found: ServerVersion,
        /// The oldest version that will do.
        least: ServerVersion,
    },
    /// It does not say its version as nats-server does.
    #[error(
        "{} does not run as nats-server ({reason}): run `scripts/fetch-runtime.sh` (or `make demo`), or set NATS_SERVER",
        path.display()
    )]
    NotRunnable {
        /// The program.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// Another process uses the state folder.
    #[error("state folder {} is in use by another process; stop it, or use another folder", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// A file or folder can't be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The server ended while starting.
    #[error("nats-server ended while starting ({status}); its last words:\n{log}")]
    EndedAtStart {
        /// How it ended.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// The server does not get ready.
    #[error("nats-server is not ready after {seconds} s; its last words:\n{log}")]
    NotReady {
        /// How long we waited.
        seconds: u64,
        /// The last lines of its log.
        log: String,
    },
    /// A server left behind by a crash will not stop.
    #[error("nats-server of an earlier run (process {pid}) does not stop; stop it by hand")]
    LeftoverStays {
        /// Its process.
        pid: i32,
    },
}

impl Judged for ServerError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::NotFound { .. }
            | Self::TooOld { .. }
            | Self::NotRunnable { .. }
            | Self::InUse { .. }
            | Self::LeftoverStays { .. } => Judgement::OPERATOR,
            Self::Io { source, .. } => Judgement::of_io(source),
            Self::EndedAtStart { .. } | Self::NotReady { .. } => Judgement::OUTSIDE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_in_use_or_missing_is_the_operators_and_one_that_is_slow_is_not() {
        let io = |kind: std::io::ErrorKind| ServerError::Io { path: "state".into(), source: kind.into() };
        for (error, judgement) in [
            (ServerError::InUse { folder: "state".into() }, Judgement::OPERATOR),
            (ServerError::LeftoverStays { pid: 7 }, Judgement::OPERATOR),
            (io(std::io::ErrorKind::PermissionDenied), Judgement::OPERATOR),
            (io(std::io::ErrorKind::StorageFull), Judgement::OUTSIDE),
            (ServerError::NotReady { seconds: 10, log: String::new() }, Judgement::OUTSIDE),
        ] {
            assert_eq!(error.judgement(), judgement, "{error}");
        }
    }
}
