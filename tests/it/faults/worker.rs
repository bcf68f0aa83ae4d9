//! A worker: the program as a child, with its words in a file.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::taobao::root;

/// What it says when it goes on from a snapshot.
const RESTORED: &str = "state restored from its snapshot";
/// What it says before it ends at a named place.
const ENDING: &str = "ending here, as TIDEWHEEL_CRASH_AT says";

/// How a worker is started.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// The place at which it ends itself, and at the how manieth passage: `commit:sent:3`.
    pub crash_at: Option<String>,
    /// Further arguments of `tidewheel run`.
    pub arguments: Vec<String>,
    /// Further variables of the environment.
    pub variables: Vec<(String, String)>,
}

/// A running one. Dropping it kills it.
pub struct Worker {
    child: Child,
    log: PathBuf,
    spawned: Instant,
}

impl Start {
    /// One that ends itself at the `passage`th time that it comes by a place.
    pub fn crashing(place: &str, passage: u64) -> Self {
        Self { crash_at: Some(format!("{place}:{passage}")), ..Self::default() }
    }
}

impl Worker {
    pub(super) fn spawn(start: &Start, pipeline: &Path, url: &str, log: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
        command.arg("run").arg(pipeline).args(["--nats", url]).args(&start.arguments);
        command.envs(start.variables.iter().map(|(name, value)| (name, value)));
        command.env_remove("TIDEWHEEL_CRASH_AT").envs(start.crash_at.iter().map(|at| ("TIDEWHEEL_CRASH_AT", at)));
        command.current_dir(root()).kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(File::create(log).unwrap()).spawn().unwrap();
        Self { child, log: log.to_owned(), spawned: Instant::now() }
    }

    /// When it was started.
    pub fn spawned(&self) -> Instant {
        self.spawned
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(id) = self.child.id() {
            // It may have ended and not been waited for.
            kill_process(Pid::from_raw(id as i32).unwrap(), signal).ok();
        }
    }

    /// Ends it at once. It must have run until now.
    pub async fn kill(mut self) {
        self.must_run();
        self.signal(Signal::KILL);
        let ended = self.child.wait().await.unwrap();
        assert_eq!(ended.signal(), Some(9), "{ended}: {}", self.words());
    }

    /// Ends it as an operator does, and waits for its orderly end.
    pub async fn stop(mut self) {
        self.must_run();
        self.signal(Signal::TERM);
        let ended = self.ended(Duration::from_secs(30)).await;
        assert!(ended.success(), "{ended}: {}", self.words());
    }

    /// Waits until it has ended at the place where it was told to, and checks that it was there.
    pub async fn crashed(mut self) {
        let ended = self.ended(super::site::PATIENCE).await;
        assert_eq!(ended.signal(), Some(6), "{ended}: {}", self.words());
        assert!(self.log().contains(ENDING), "{}", self.words());
    }

    /// Ends it after a while, unless it has ended at the place where it was told to: what it had to do may not have led there.
    pub async fn crashed_or_killed(mut self, after: Duration) {
        if let Ok(ended) = tokio::time::timeout(after, self.child.wait()).await {
            assert_eq!(ended.unwrap().signal(), Some(6), "{}", self.words());
            assert!(self.log().contains(ENDING), "{}", self.words());
        } else {
            self.kill().await;
        }
    }

    /// Waits until it has stopped by itself because of a fault, and gives what it said.
    pub async fn gave_up(mut self) -> String {
        let ended = self.ended(super::site::PATIENCE).await;
        assert!(ended.code().is_some_and(|code| code != 0), "{ended}: {}", self.words());
        self.log()
    }

    /// Waits for its end.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        match tokio::time::timeout(within, self.child.wait()).await {
            Ok(ended) => ended.unwrap(),
            Err(_) => panic!("the worker goes on: {}", self.words()),
        }
    }

    /// Fails when it has ended.
    pub fn must_run(&mut self) {
        if let Some(ended) = self.child.try_wait().unwrap() {
            panic!("the worker ended by itself, {ended}: {}", self.words());
        }
    }

    /// All that it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it has found the broker.
    pub fn is_connected(&self) -> bool {
        self.log().contains("connected to NATS")
    }

    /// Whether it has said that it runs.
    pub fn is_running(&self) -> bool {
        self.log().contains("running; Ctrl-C stops")
    }

    /// The last that it has said.
    fn words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// How many workers went on from a snapshot, by what all have said.
pub fn restored(logs: &str) -> usize {
    logs.matches(RESTORED).count()
}
