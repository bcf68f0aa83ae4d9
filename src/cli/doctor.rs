//! `tidewheel doctor`: what this machine has, what it lacks, and what to do about it.
//!
//! Each look gathers facts and leaves the verdict to a function without I/O. A finding that is missing keeps pipelines
//! from running; a warning does not.

use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::{Access, access, statvfs};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::finding::{Finding, State};
use super::output::say;
use super::{BrokerArguments, Format, durability, observe};
use crate::bus::{BinaryOrigin, ServerBinary, ServerError};
use crate::model::{RuntimeError, RuntimeOrigin, find_runtime, runtime_version};

const GIB: u64 = 1 << 30;

/// With less, a busy stream fills the disk before anybody looks.
const LEAST_FREE_BYTES: u64 = 2 * GIB;

/// The broker's store, its clients and the pipeline's own files.
const LEAST_OPEN_FILES: u64 = 1024;

/// 2024-01-01T00:00:00Z: no machine that runs this program has lived before.
const EARLIEST_SECONDS: i64 = 1_704_067_200;

/// 2100-01-01T00:00:00Z.
const LATEST_SECONDS: i64 = 4_102_444_800;

/// Arguments of `doctor`.
#[derive(Args)]
pub(super) struct Arguments {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The folder whose disk is looked at; it need not exist yet.
    #[arg(long, default_value = ".")]
    state: PathBuf,
    /// A pipeline's folder: its streams are looked at too, in the server of --nats or of the running pipeline.
    #[arg(long, value_name = "FOLDER")]
    pipeline: Option<PathBuf>,
    #[command(flatten)]
    broker: BrokerArguments,
}

/// Looks at this machine, and at a server if there is one to look at, and prints what it finds, as text or as one JSON
/// array. Returns whether everything that is required is there.
///
/// # Errors
/// When the findings can't be printed, or the pipeline's folder can't be read.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let json = arguments.format == Format::Json;
    let mut findings = vec![nats_server(), onnx_runtime(), folder_space(&arguments.state), clock(), open_files()];
    findings.extend(durability::findings(&arguments.broker, arguments.pipeline.as_deref())?);
    let missing = findings.iter().filter(|finding| finding.state == State::Missing).count();
    if json {
        observe::print_json(&findings)?;
    } else {
        findings.iter().for_each(|finding| say!("{finding}"));
        say!("\n{}", conclusion(missing));
    }
    Ok(missing == 0)
}

fn conclusion(missing: usize) -> String {
    match missing {
        0 => "Everything that is needed is here.".to_owned(),
        1 => "One thing that is needed is missing.".to_owned(),
        many => format!("{many} things that are needed are missing."),
    }
}

fn nats_server() -> Finding {
    const NAME: &str = "nats-server";
    match ServerBinary::find() {
        Ok(binary) => {
            let origin = match binary.origin() {
                BinaryOrigin::Environment => "named by NATS_SERVER",
                BinaryOrigin::Runtime => "fetched",
                BinaryOrigin::Path => "on the PATH",
            };
            Finding::ok(NAME, format!("{} at {}, {origin}", binary.version(), binary.path().display()))
        }
        Err(error) => Finding::missing(NAME, server_fault(&error), server_fix(&error)),
    }
}

/// The error without its advice, which is the fix.
fn server_fault(error: &ServerError) -> String {
    match error {
        ServerError::NotFound { .. } => "not found".to_owned(),
        ServerError::TooOld { path, found, least } => {
            format!("{found} at {} is too old, {least} or newer is needed", path.display())
        }
        ServerError::NotRunnable { path, reason } => {
            format!("{} does not run as nats-server: {reason}", path.display())
        }
        other => other.to_string(),
    }
}

fn server_fix(error: &ServerError) -> &'static str {
    match error {
        ServerError::NotFound { .. } => "run scripts/fetch-runtime.sh, or set NATS_SERVER to a nats-server of your own",
        _ => "run scripts/fetch-runtime.sh and unset NATS_SERVER, or set it to a newer nats-server",
    }
}

fn onnx_runtime() -> Finding {
    const NAME: &str = "ONNX Runtime";
    let library = match find_runtime() {
        Ok(library) => library,
        Err(error) => return Finding::missing(NAME, runtime_fault(&error), runtime_fix(&error)),
    };
    let origin = match library.origin {
        RuntimeOrigin::Variable => "named by ORT_DYLIB_PATH",
        RuntimeOrigin::Program => "fetched, above the program",
        RuntimeOrigin::WorkingFolder => "fetched, above the working folder",
    };
    match runtime_version() {
        Ok(version) => Finding::ok(NAME, format!("{version} at {}, {origin}", library.path.display())),
        Err(error) => Finding::missing(NAME, runtime_fault(&error), runtime_fix(&error)),
    }
}

/// The error without its advice, which is the fix.
fn runtime_fault(error: &RuntimeError) -> String {
    match error {
        RuntimeError::Missing { file } => format!("{file} not found"),
        RuntimeError::Variable { path } => format!("ORT_DYLIB_PATH is {}, which is not a file", path.display()),
        RuntimeError::TooOld { path, found, needed } => {
            format!("{found} at {} is too old, 1.{needed} or newer is needed", path.display())
        }
        RuntimeError::Unusable { path, reason } => format!("{} can't be used: {reason}", path.display()),
    }
}

fn runtime_fix(error: &RuntimeError) -> &'static str {
    match error {
        RuntimeError::Missing { .. } => "run scripts/fetch-runtime.sh, or set ORT_DYLIB_PATH to a library of your own",
        _ => "run scripts/fetch-runtime.sh and unset ORT_DYLIB_PATH, or set it to a newer library",
    }
}

fn folder_space(folder: &Path) -> Finding {
    let place = nearest_existing(folder);
    let unusable = |reason: String| judge_space(folder, Err(reason));
    if !place.is_dir() {
        return unusable(format!("{} is not a folder", place.display()));
    }
    if let Err(error) = access(&place, Access::WRITE_OK | Access::EXEC_OK) {
        return unusable(format!("{} can't be written to: {error}", place.display()));
    }
    match statvfs(&place) {
        Ok(disk) => judge_space(folder, Ok(disk.f_bavail.saturating_mul(disk.f_frsize))),
        Err(error) => unusable(format!("the disk of {} can't be looked at: {error}", place.display())),
    }
}

/// The folder, or the first above it that exists: where it would be created.
fn nearest_existing(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// The verdict on the bytes that are free for the state folder, or on the reason why it can't be used.
fn judge_space(folder: &Path, free_bytes: Result<u64, String>) -> Finding {
    const NAME: &str = "state folder";
    let free_bytes = match free_bytes {
        Ok(free_bytes) => free_bytes,
        Err(reason) => return Finding::missing(NAME, reason, "choose another folder, or mend this one"),
    };
    let detail = format!("{:.1} GiB free for {}", free_bytes as f64 / GIB as f64, folder.display());
    if free_bytes < LEAST_FREE_BYTES {
        return Finding::warn(
            NAME,
            detail,
            "free some space, or lower max_bytes of the streams: on a full disk the broker stops taking events",
        );
    }
    Finding::ok(NAME, detail)
}

fn clock() -> Finding {
    judge_clock(clock_gettime(ClockId::Realtime).tv_sec)
}

/// The verdict on the seconds since 1970 that the clock shows.
fn judge_clock(seconds: i64) -> Finding {
    const NAME: &str = "clock";
    let shown = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|moment| moment.format(&Rfc3339).ok());
    let detail = shown.unwrap_or_else(|| format!("{seconds} seconds since 1970"));
    if (EARLIEST_SECONDS..LATEST_SECONDS).contains(&seconds) {
        return Finding::ok(NAME, detail);
    }
    Finding::warn(NAME, detail, "set the clock: events are rejected when their time is ahead of the broker's")
}

fn open_files() -> Finding {
    judge_open_files(getrlimit(Resource::Nofile).current)
}

/// The verdict on how many files a process may have open; `None` is no limit.
fn judge_open_files(limit: Option<u64>) -> Finding {
    const NAME: &str = "open files";
    match limit {
        None => Finding::ok(NAME, "no limit"),
        Some(limit) if limit < LEAST_OPEN_FILES => {
            Finding::warn(NAME, format!("at most {limit}"), format!("run `ulimit -n {LEAST_OPEN_FILES}` or more first"))
        }
        Some(limit) => Finding::ok(NAME, format!("at most {limit}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_space_is_a_warning_and_an_unusable_folder_is_missing() {
        let folder = Path::new(".state/x");
        assert_eq!(judge_space(folder, Ok(LEAST_FREE_BYTES)), Finding::ok("state folder", "2.0 GiB free for .state/x"));
        assert_eq!(judge_space(folder, Ok(LEAST_FREE_BYTES - 1)).state, State::Warn);
        assert_eq!(judge_space(folder, Err("it is a file".to_owned())).state, State::Missing);
    }

    #[test]
    fn a_state_folder_that_does_not_exist_yet_is_judged_by_the_one_above_it() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(nearest_existing(&root.path().join("a/b/c")), root.path());
        assert_ne!(folder_space(&root.path().join("a/b/c")).state, State::Missing);

        let file = root.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let finding = folder_space(&file.join("state"));
        assert_eq!(finding.state, State::Missing);
        assert!(finding.detail.ends_with("is not a folder"), "{}", finding.detail);
    }

    #[test]
    fn a_clock_before_2024_is_a_warning() {
        assert_eq!(judge_clock(EARLIEST_SECONDS), Finding::ok("clock", "2024-01-01T00:00:00Z"));
        assert_eq!(judge_clock(EARLIEST_SECONDS - 1).state, State::Warn);
        assert_eq!(judge_clock(i64::MAX).state, State::Warn);
    }

    #[test]
    fn few_open_files_are_a_warning_and_no_limit_is_none() {
        assert_eq!(judge_open_files(Some(256)).state, State::Warn);
        assert_eq!(judge_open_files(Some(LEAST_OPEN_FILES)).state, State::Ok);
        assert_eq!(judge_open_files(None).state, State::Ok);
    }
}
