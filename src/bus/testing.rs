//! What the bus's tests share: a real server in a folder that goes away, and numbered messages.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    Bus, ConnectSettings, EmbeddedServer, Message, Outgoing, Reader, ServerBinary, ServerError, StreamSpec, Subject,
};

/// A certificate that is well formed and belongs to nobody we talk to.
pub(super) const CERTIFICATE: &str = include_str!("testing.pem");

/// A server and the folder that goes with it.
pub(super) struct TestServer {
    pub(super) server: EmbeddedServer,
    _folder: TempDir,
}

impl TestServer {
    pub(super) fn url(&self) -> String {
        self.server.url()
    }

    /// Sends the server's process a signal; a stop has taken effect when this returns.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.server.process_id().unwrap() as i32).unwrap();
        kill_process(pid, signal).unwrap();
        let state = || fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
        while signal == Signal::STOP && !state().contains(") T ") {
            thread::yield_now();
        }
    }

    pub(super) async fn stop(self) -> Result<(), ServerError> {
        self.server.stop().await
    }
}

/// The program, from the manifest's folder or wherever it is found.
pub(super) fn binary() -> ServerBinary {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime/nats-server");
    assert!(fetched.is_file() || ServerBinary::find().is_ok(), "run scripts/fetch-runtime.sh first");
    ServerBinary::find().unwrap()
}

/// A server with an empty store, and a connection to it.
pub(super) async fn server() -> (TestServer, Bus) {
    let folder = tempfile::tempdir().unwrap();
    let server = EmbeddedServer::start(&binary(), folder.path()).await.unwrap();
    let bus = Bus::connect(&ConnectSettings::to_url(server.url())).await.unwrap();
    (TestServer { server, _folder: folder }, bus)
}

/// A stream without limits that matter to tests.
pub(super) fn spec(name: &str, subjects: &str) -> StreamSpec {
    StreamSpec {
        name: name.to_owned(),
        subjects: vec![subjects.to_owned()],
        max_age: None,
        max_bytes: None,
        duplicate_window: Duration::from_secs(120),
        discard_new: true,
        max_message_bytes: None,
    }
}

/// Publishes the numbers as text, each under an id of its own, and waits until they are stored.
pub(super) async fn publish_numbers(bus: &Bus, subject: &str, numbers: Range<u64>) {
    let subject = Subject::new(subject).unwrap();
    let mut publisher = bus.publisher(1000).await.unwrap();
    for number in numbers {
        let message = Outgoing::new(subject.clone(), Bytes::from(number.to_string())).message_id(number.to_string());
        publisher.publish(message).await.unwrap();
    }
    publisher.settle().await.unwrap();
}

/// Reads until `count` messages have come, and gives their payloads as numbers.
pub(super) async fn read_numbers(reader: &mut Reader, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut batch: Vec<Message> = Vec::new();
    while numbers.len() < count {
        reader.read_into(&mut batch).await.unwrap();
        numbers.extend(batch.iter().map(|m| std::str::from_utf8(&m.payload).unwrap().parse::<u64>().unwrap()));
    }
    numbers
}
