//! Stopping a server that an earlier run left behind.
//!
//! A process id alone proves nothing: the system gives it to somebody else one day. So a process is only touched when its
//! command line says that it is a nats-server with the configuration file of this very folder.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;
use tracing::warn;

use super::ServerError;
use crate::clock;

/// How long each of asking and killing may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at whether the process is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Stops the server that runs with the configuration file `config`, if the process named in `pid_file` is one.
pub(super) async fn stop_leftover(pid_file: &Path, config: &Path) -> Result<(), ServerError> {
    let Some(pid) = read_pid(pid_file) else { return Ok(()) };
    if !runs(pid, config) {
        return Ok(());
    }
    warn!(pid = pid.as_raw_nonzero().get(), "stopping the nats-server that an earlier run left behind");
    for signal in [Signal::TERM, Signal::KILL] {
        // An error means that it is gone, which is looked at next.
        kill_process(pid, signal).ok();
        if gone(pid, config).await {
            return Ok(());
        }
    }
    Err(ServerError::LeftoverStays { pid: pid.as_raw_nonzero().get() })
}

fn read_pid(pid_file: &Path) -> Option<Pid> {
    Pid::from_raw(fs::read_to_string(pid_file).ok()?.trim().parse().ok()?)
}

async fn gone(pid: Pid, config: &Path) -> bool {
    let deadline = clock::task_now() + PATIENCE;
    while runs(pid, config) {
        if clock::task_now() > deadline {
            return false;
        }
        sleep(LOOK_AGAIN).await;
    }
    true
}

/// Whether the process is a nats-server with this configuration file.
fn runs(pid: Pid, config: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())) else { return false };
    let mut arguments = line.split(|byte| *byte == 0);
    let program = arguments.next().unwrap_or_default();
    let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.starts_with(b"nats-server") && arguments.any(|argument| argument == config.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_that_is_not_our_server_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (pid_file, config) = (folder.path().join("pid"), folder.path().join("conf"));
        fs::write(&pid_file, std::process::id().to_string()).unwrap();
        // Were it not for the check, this would end the test run itself.
        stop_leftover(&pid_file, &config).await.unwrap();
    }

    #[tokio::test]
    async fn a_pid_file_that_makes_no_sense_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let (pid_file, config) = (folder.path().join("pid"), folder.path().join("conf"));
        for text in ["", "0", "-5", "x", "99999999999"] {
            fs::write(&pid_file, text).unwrap();
            stop_leftover(&pid_file, &config).await.unwrap();
        }
    }
}
