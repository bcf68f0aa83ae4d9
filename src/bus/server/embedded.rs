//! A nats-server as a child process.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::leftover::stop_leftover;
use super::{ServerBinary, ServerError};
use crate::clock;

/// A large store takes a while to open.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long the server may take to write down what it holds.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Between two looks at whether the server is ready.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How much of the log an error shows.
const LAST_LINES: usize = 10;

/// How often the server writes to disk what it has acknowledged. Its default of two minutes loses that much in a power cut;
/// writing before each answer (`always`) costs most of the throughput. A killed server loses nothing either way.
const SYNC_INTERVAL: &str = "1s";

/// A running nats-server of our own. Dropping it kills the server; [`stop`](Self::stop) ends it in order.
pub struct EmbeddedServer {
    binary: ServerBinary,
    files: Files,
    child: Child,
    port: u16,
    _lock: FolderLock,
}

/// Holds a state folder until it is dropped, or the process ends in whatever way.
struct FolderLock(File);

/// The files of a state folder that have to do with the server.
struct Files {
    folder: PathBuf,
    config: PathBuf,
    pid: PathBuf,
    log: PathBuf,
}

/// What the server writes when it listens.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

impl EmbeddedServer {
    /// Starts a server with JetStream on the loopback address, on a free port, with its store in `state_folder`, which is
    /// created when missing. A server that an earlier run left behind there is stopped first.
    ///
    /// # Errors
    /// [`ServerError::InUse`] when another process runs one there; [`ServerError::EndedAtStart`] and
    /// [`ServerError::NotReady`] with the server's last words.
    pub async fn start(binary: &ServerBinary, state_folder: &Path) -> Result<Self, ServerError> {
        fs::create_dir_all(state_folder).map_err(|source| io(state_folder, source))?;
        let folder = fs::canonicalize(state_folder).map_err(|source| io(state_folder, source))?;
        let lock = FolderLock::take(&folder)?;
        let files = Files::in_folder(folder);
        stop_leftover(&files.pid, &files.config).await?;
        let (child, port) = launch(binary, &files, None).await?;
        info!(port, folder = %files.folder.display(), version = %binary.version(), "started nats-server");
        Ok(Self { binary: binary.clone(), files, child, port, _lock: lock })
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The server's process, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Stops the server if it still runs and starts it again on the same port, so that clients find it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.end().await?;
        (self.child, self.port) = launch(&self.binary, &self.files, Some(self.port)).await?;
        info!(port = self.port, "started nats-server again");
        Ok(())
    }

    /// Stops the server and waits until it has ended.
    ///
    /// # Errors
    /// [`ServerError::Io`] when its end can't be waited for.
    pub async fn stop(mut self) -> Result<(), ServerError> {
        self.end().await?;
        info!(folder = %self.files.folder.display(), "stopped nats-server");
        Ok(())
    }

    /// Asks the server to end, waits, and kills it when it doesn't.
    async fn end(&mut self) -> Result<(), ServerError> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id as i32));
        if let Some(pid) = pid {
            // An error means that it has ended, which is waited for next.
            kill_process(pid, Signal::TERM).ok();
        }
        match timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(ended) => ended.map(drop).map_err(|source| io(self.binary.path(), source))?,
            Err(_) => {
                warn!(seconds = STOP_LIMIT.as_secs(), "nats-server does not stop: killing it");
                self.child.kill().await.map_err(|source| io(self.binary.path(), source))?;
            }
        }
        // Only a convenience for the next start, which checks what the file says anyway.
        fs::remove_file(&self.files.pid).ok();
        Ok(())
    }
}

impl FolderLock {
    fn take(folder: &Path) -> Result<Self, ServerError> {
        let path = folder.join("nats-server.lock");
        let file = File::create(&path).map_err(|source| io(&path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(ServerError::InUse { folder: folder.to_owned() }),
            Err(TryLockError::Error(source)) => Err(io(&path, source)),
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that another thread is just starting has a copy of it until it runs its
        // own program, and would go on holding the lock.
        self.0.unlock().ok();
    }
}

impl Files {
    fn in_folder(folder: PathBuf) -> Self {
        Self {
            config: folder.join("nats-server.conf"),
            pid: folder.join("nats-server.pid"),
            log: folder.join("nats-server.log"),
            folder,
        }
    }

    /// The server's configuration. Without a port it chooses a free one.
    fn configuration(&self, port: Option<u16>) -> String {
        let port = port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
        format!(
            "# Written by tidewheel at each start: changes are lost.\n\
             listen: \"127.0.0.1:{port}\"\n\
             pid_file: {pid}\n\
             ports_file_dir: {folder}\n\
             log_file: {log}\n\
             logfile_size_limit: 16777216\n\
             logfile_max_num: 3\n\
             jetstream {{ store_dir: {folder}, sync_interval: \"{SYNC_INTERVAL}\" }}\n",
            pid = quoted(&self.pid),
            folder = quoted(&self.folder),
            log = quoted(&self.log),
        )
    }

    /// The server puts its ports into a file named by its process.
    fn ports(&self, process: u32) -> PathBuf {
        self.folder.join(format!("nats-server_{process}.ports"))
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(LAST_LINES);
        lines.get(from..).unwrap_or_default().join("\n")
    }
}

async fn launch(binary: &ServerBinary, files: &Files, port: Option<u16>) -> Result<(Child, u16), ServerError> {
    fs::write(&files.config, files.configuration(port)).map_err(|source| io(&files.config, source))?;
    // A log of this start only, so that an error shows its own words.
    if files.log.exists() {
        let earlier = files.log.with_extension("log.earlier");
        fs::rename(&files.log, &earlier).map_err(|source| io(&files.log, source))?;
    }
    let mut child = Command::new(binary.path())
        .arg("-c")
        .arg(&files.config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C in a terminal goes to the whole group; the server must outlive our own orderly end.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| io(binary.path(), source))?;
    let ports = files.ports(child.id().unwrap_or_default());
    let deadline = clock::task_now() + START_LIMIT;
    loop {
        if let Some(port) = read_port(&ports) {
            fs::remove_file(&ports).map_err(|source| io(&ports, source))?;
            return Ok((child, port));
        }
        if let Some(status) = child.try_wait().map_err(|source| io(binary.path(), source))? {
            return Err(ServerError::EndedAtStart { status: status.to_string(), log: files.last_words() });
        }
        if clock::task_now() > deadline {
            return Err(ServerError::NotReady { seconds: START_LIMIT.as_secs(), log: files.last_words() });
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// The port that clients use, once the server has written all of its file.
fn read_port(ports: &Path) -> Option<u16> {
    let ports: Ports = serde_json::from_str(&fs::read_to_string(ports).ok()?).ok()?;
    ports.nats.first()?.rsplit(':').next()?.parse().ok()
}

/// A path as a string of the server's configuration language.
fn quoted(path: &Path) -> String {
    let escaped = path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

fn io(path: &Path, source: std::io::Error) -> ServerError {
    ServerError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Bus, ConnectSettings, StreamSequence, testing};

    impl EmbeddedServer {
        /// Behaves as if our process had been killed: the lock is free, the server still runs.
        fn abandon(self) -> u32 {
            let pid = self.process_id().unwrap();
            let Self { child, .. } = self;
            std::mem::forget(child);
            pid
        }
    }

    #[tokio::test]
    async fn a_state_folder_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let binary = testing::binary();
        let server = EmbeddedServer::start(&binary, folder.path()).await.unwrap();
        let error = EmbeddedServer::start(&binary, folder.path()).await.err().unwrap();
        assert!(matches!(error, ServerError::InUse { .. }), "{error}");
        server.stop().await.unwrap();
        EmbeddedServer::start(&binary, folder.path()).await.unwrap().stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_server_left_behind_by_a_crash_is_stopped_and_its_store_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let binary = testing::binary();
        let server = EmbeddedServer::start(&binary, folder.path()).await.unwrap();
        let bus = Bus::connect(&ConnectSettings::to_url(server.url())).await.unwrap();
        bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
        testing::publish_numbers(&bus, "clicks.a", 0..5).await;
        bus.close().await.unwrap();
        let old = server.abandon();

        let server = EmbeddedServer::start(&binary, folder.path()).await.unwrap();
        assert_ne!(server.process_id(), Some(old));
        let command = fs::read(format!("/proc/{old}/cmdline")).unwrap_or_default();
        assert!(command.is_empty(), "the old server still runs");
        let bus = Bus::connect(&ConnectSettings::to_url(server.url())).await.unwrap();
        assert_eq!(bus.stream_state("CLICKS").await.unwrap().last, StreamSequence(5));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_cannot_start_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        // The store can't be a folder here.
        fs::write(folder.path().join("jetstream"), "in the way").unwrap();
        let error = EmbeddedServer::start(&testing::binary(), folder.path()).await.err().unwrap();
        assert!(
            matches!(&error, ServerError::EndedAtStart { log, .. } if log.contains("storage directory")),
            "{error}"
        );
    }

    #[tokio::test]
    async fn dropping_a_server_ends_it_and_frees_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let server = EmbeddedServer::start(&testing::binary(), folder.path()).await.unwrap();
        let pid = server.process_id().unwrap();
        drop(server);
        // Killed, not waited for. Only its end makes this loop end.
        while fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()) {
            tokio::task::yield_now().await;
        }
        let server = EmbeddedServer::start(&testing::binary(), folder.path()).await.unwrap();
        server.stop().await.unwrap();
    }
}
