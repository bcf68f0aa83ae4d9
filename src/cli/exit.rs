//! What the process says when it ends because of an error.

use std::error::Error;

use super::client::ClientError;
use crate::bus::{BusError, ServerError};
use crate::commit::CommitError;
use crate::config::Problems;
use crate::engine::EngineError;
use crate::event::{DecoderError, SeenIdsError, TooManyPartitions};
use crate::fault::{Fault, Judged, Judgement};
use crate::history::HistoryError;
use crate::learn::{EvaluationError, ExampleError, JoinError, LearnError};
use crate::model::ModelError;
use crate::model::import::ImportError;
use crate::query::QueryError;
use crate::reference::ReferenceError;
use crate::registry::RegistryError;
use crate::score::RequestError;
use crate::snapshot::{SaveError, SnapshotError};
use crate::sql::PlanError;
use crate::step::StepError;
use crate::window::WindowError;

/// The end of `tidewheel --help`.
pub(super) const CODES: &str = "\
Exit codes:
  0    All went well
  1    `check` or `test` found problems, `status` found nothing that runs, `sql` shows not all rows, or something failed that has
       no code of its own
  2    Whoever runs it must change something: arguments, settings, rights, a request
  3    Data is wrong, damaged or gone: a person must look
  4    Something outside failed, such as the broker or a disk: start it again later
  70   A bug: please report it
  130  Ctrl-C, for a verb that has nothing to save

At Ctrl-C or SIGTERM, `run` and `train` save everything and end with 0; a `replay` through a broker of its own ends
with 1.";

/// What whoever typed a command must change: its arguments, or the files that it names.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misuse(pub(super) String);

/// Returns with a [`Misuse`].
macro_rules! misuse {
    ($($text:tt)*) => { return Err($crate::cli::exit::Misuse(format!($($text)*)).into()) };
}

pub(super) use misuse;

/// The exit code of an error.
pub(super) fn exit_code(error: &anyhow::Error) -> u8 {
    match judgement(error).map(Judgement::fault) {
        None => 1,
        Some(Fault::Operator) => 2,
        Some(Fault::Data) => 3,
        Some(Fault::Outside) => 4,
        Some(Fault::Bug) => 70,
    }
}

/// What the outermost error says that knows whose fault it is, if any does.
pub(super) fn judgement(error: &anyhow::Error) -> Option<Judgement> {
    error.chain().find_map(judgement_of)
}

fn judgement_of(error: &(dyn Error + 'static)) -> Option<Judgement> {
    if error.is::<Problems>() || error.is::<Misuse>() {
        return Some(Judgement::OPERATOR);
    }
    if let Some(error) = error.downcast_ref() {
        return Some(Judgement::of_io(error));
    }
    [
        says::<ClientError>,
        says::<EngineError>,
        says::<CommitError>,
        says::<StepError>,
        says::<BusError>,
        says::<ServerError>,
        says::<SnapshotError>,
        says::<SaveError>,
        says::<HistoryError>,
        says::<RegistryError>,
        says::<ReferenceError>,
        says::<ModelError>,
        says::<ImportError>,
        says::<LearnError>,
        says::<ExampleError>,
        says::<EvaluationError>,
        says::<JoinError>,
        says::<WindowError>,
        says::<PlanError>,
        says::<RequestError>,
        says::<QueryError>,
        says::<DecoderError>,
        says::<SeenIdsError>,
        says::<TooManyPartitions>,
    ]
    .into_iter()
    .find_map(|says| says(error))
}

fn says<E: Error + Judged + 'static>(error: &(dyn Error + 'static)) -> Option<Judgement> {
    error.downcast_ref::<E>().map(E::judgement)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use anyhow::{Context, anyhow};

    use super::*;

    fn timed_out() -> BusError {
        BusError::TimedOut { action: "flushing".to_owned(), after: Duration::from_secs(5) }
    }

    #[test]
    fn exit_codes_follow_the_fault() {
        let lost = CommitError::OutputGone { stream: "OUT".to_owned() };
        for (error, code) in [
            (anyhow!("interrupted"), 1),
            (EngineError::NoModel.into(), 2),
            (ServerError::LeftoverStays { pid: 7 }.into(), 2),
            (PlanError::new("no such column").into(), 2),
            (io::Error::from(io::ErrorKind::NotFound).into(), 2),
            (EngineError::from(lost).into(), 3),
            (SaveError::Truncated { section: "windows".to_owned() }.into(), 3),
            (timed_out().into(), 4),
            (io::Error::from(io::ErrorKind::StorageFull).into(), 4),
            (EngineError::Thread("step").into(), 70),
        ] {
            assert_eq!(exit_code(&error), code, "{error}");
        }
    }

    #[test]
    fn what_is_said_around_an_error_changes_nothing() {
        let around = Err::<(), _>(timed_out()).context("pipeline `intent`").unwrap_err().context("sql");
        assert_eq!(judgement(&around), Some(Judgement::PASSES));
    }

    #[test]
    fn the_outermost_error_that_knows_decides() {
        let path = "broker.creds".into();
        let credentials = BusError::Credentials { path, source: io::ErrorKind::StorageFull.into() };
        assert_eq!(exit_code(&credentials.into()), 2);
    }
}
