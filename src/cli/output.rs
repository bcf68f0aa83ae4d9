//! Results, line by line, on standard output, and what people are told on standard error.

use std::fmt;
use std::io::{Error, ErrorKind, Write, stderr, stdout};
use std::sync::OnceLock;

use crate::query::QueryError;

/// Why a line could not be written, the first time.
static FAILED: OnceLock<Error> = OnceLock::new();

/// Prints a line of results. Whoever reads them through a pipe may have seen enough (`| head`): that is no fault.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::output::line(format_args!($($text)*)) };
}

/// Prints a line for people on standard error. Where nobody can read it, an exit code still says what happened.
macro_rules! tell {
    ($($text:tt)*) => { $crate::cli::output::note(format_args!($($text)*)) };
}

pub(super) use {say, tell};

/// See [`say`].
pub(super) fn line(text: fmt::Arguments<'_>) {
    if let Err(error) = writeln!(stdout().lock(), "{text}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        FAILED.get_or_init(|| error);
    }
}

/// See [`tell`].
pub(super) fn note(text: fmt::Arguments<'_>) {
    // There is nowhere left to say that it failed.
    let _written = writeln!(stderr().lock(), "{text}").is_ok();
}

/// Whether all lines were written: a disk may be full behind `> FILE`.
///
/// # Errors
/// With why not.
pub(super) fn check() -> anyhow::Result<()> {
    FAILED.get().map_or(Ok(()), |error| {
        Err(anyhow::Error::from(Error::new(error.kind(), error.to_string())).context("results can't be written"))
    })
}

/// Whether rows could not be written because whoever reads them through a pipe has seen enough (`| head`): that is no fault.
pub(super) fn has_seen_enough(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(QueryError::Write(error)) if error.kind() == ErrorKind::BrokenPipe)
}
