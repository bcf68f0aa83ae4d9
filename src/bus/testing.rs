//! What the bus's tests share: a real server in a folder that goes away, and numbered messages.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::key_value::KeyValueSpec;
use super::object_store::ObjectStore;
use super::{
    Bus, ConnectSettings, EmbeddedServer, Message, Outgoing, Reader, ServerBinary, ServerError, StreamSpec, Subject,
};

/// A certificate that is well formed and belongs to nobody we talk to.
pub(crate) const CERTIFICATE: &str = include_str!("testing.pem");

/// A server and the folder that goes with it.
pub(crate) struct TestServer {
    pub(crate) server: EmbeddedServer,
    folder: TempDir,
}

impl TestServer {
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Sends the server's process a signal; a stop has taken effect when this returns.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.server.process_id().unwrap() as i32).unwrap();
        kill_process(pid, signal).unwrap();
        let state = || fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
        while signal == Signal::STOP && !state().contains(") T ") {
            thread::yield_now();
        }
    }

    /// Where the server keeps its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until a server that was killed is gone.
    pub(crate) fn ended(&self) {
        let stat = format!("/proc/{}/stat", self.server.process_id().unwrap());
        while fs::read_to_string(&stat).is_ok_and(|state| !state.contains(") Z ")) {
            thread::yield_now();
        }
    }

    pub(crate) async fn stop(self) -> Result<(), ServerError> {
        self.server.stop().await
    }
}

/// The program, from the manifest's folder or wherever it is found.
pub(crate) fn binary() -> ServerBinary {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime/nats-server");
    assert!(fetched.is_file() || ServerBinary::find().is_ok(), "run scripts/fetch-runtime.sh first");
    ServerBinary::find().unwrap()
}

/// A server with an empty store, and a connection to it.
pub(crate) async fn server() -> (TestServer, Bus) {
    let folder = tempfile::tempdir().unwrap();
    let server = EmbeddedServer::start(&binary(), folder.path()).await.unwrap();
    let bus = Bus::connect(&ConnectSettings::to_url(server.url())).await.unwrap();
    (TestServer { server, folder }, bus)
}

/// A server of which more is set than a pipeline's own: JetStream in a folder, on a free port.
pub(crate) struct SetServer {
    child: Child,
    _folder: TempDir,
}

/// A server with an empty store and these settings, and a connection to it.
pub(crate) async fn server_with(settings: &str) -> (SetServer, Bus) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let configuration = format!(
        "listen: \"127.0.0.1:-1\"\nports_file_dir: {path:?}\njetstream {{ store_dir: {path:?} }}\n{settings}\n"
    );
    fs::write(path.join("server.conf"), configuration).unwrap();
    let mut command = Command::new(binary().path());
    let child =
        command.arg("-c").arg(path.join("server.conf")).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let ports = path.join(format!("nats-server_{}.ports", child.id().unwrap()));
    let url = loop {
        let text = fs::read_to_string(&ports).unwrap_or_default();
        let written: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(url) = written["nats"][0].as_str() {
            break url.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let bus = Bus::connect(&ConnectSettings::to_url(url)).await.unwrap();
    (SetServer { child, _folder: folder }, bus)
}

impl SetServer {
    pub(crate) async fn stop(mut self) -> std::io::Result<()> {
        self.child.kill().await
    }
}

/// A stream without limits that matter to tests.
pub(crate) fn spec(name: &str, subjects: &str) -> StreamSpec {
    StreamSpec {
        name: name.to_owned(),
        subjects: vec![subjects.to_owned()],
        max_age: None,
        max_bytes: None,
        duplicate_window: Duration::from_secs(120),
        discard_new: true,
        max_message_bytes: None,
        atomic: false,
        replicas: 1,
    }
}

/// A bucket without limits that matter to tests.
pub(crate) fn key_value_spec(bucket: &str) -> KeyValueSpec {
    KeyValueSpec { bucket: bucket.to_owned(), history: 1, max_bytes: None, replicas: 1 }
}

/// Publishes the numbers as text, each under an id of its own, and waits until they are stored.
pub(crate) async fn publish_numbers(bus: &Bus, subject: &str, numbers: Range<u64>) {
    let subject = Subject::new(subject).unwrap();
    let mut publisher = bus.publisher(1000).await.unwrap();
    for number in numbers {
        let message = Outgoing::new(subject.clone(), Bytes::from(number.to_string())).message_id(number.to_string());
        publisher.publish(message).await.unwrap();
    }
    publisher.settle().await.unwrap();
}

/// Reads until `count` messages have come, and gives their payloads as numbers.
pub(crate) async fn read_numbers(reader: &mut Reader, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut batch: Vec<Message> = Vec::new();
    while numbers.len() < count {
        reader.read_into(&mut batch).await.unwrap();
        numbers.extend(batch.iter().map(|m| std::str::from_utf8(&m.payload).unwrap().parse::<u64>().unwrap()));
    }
    numbers
}

/// Puts another last chunk of the same size in place of an object's last one.
pub(crate) async fn alter_object(store: &ObjectStore, name: &str) {
    let info = store.info(name).await.unwrap().unwrap();
    let subject = Subject::new(format!("$O.{}.C.{}", store.bucket, info.id)).unwrap();
    let last = store.bus.last_message(&store.stream, &subject).await.unwrap().unwrap();
    let stream = store.bus.jetstream().get_stream(&store.stream).await.unwrap();
    stream.delete_message(last.sequence.0).await.unwrap();
    let other: Vec<u8> = last.payload.iter().map(|byte| !byte).collect();
    let mut publisher = store.bus.publisher(1).await.unwrap();
    publisher.publish(Outgoing::new(subject, other.into())).await.unwrap();
    publisher.settle().await.unwrap();
}
