//! A broker of its own, reached by our connection and by one of the client library's.

use std::time::Duration;

use async_nats::jetstream;
use tempfile::TempDir;
use tidewheel::bus::{Bus, ConnectSettings, EmbeddedServer, ServerBinary, StreamSpec};

pub(crate) const MESSAGE_BYTES: usize = 256;

/// A disk that is slow for a moment must not end the measurement: the library gives an unanswered message up.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

pub(crate) struct Broker {
    pub(crate) bus: Bus,
    pub(crate) jetstream: jetstream::Context,
    server: EmbeddedServer,
    _folder: TempDir,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = EmbeddedServer::start(&ServerBinary::find().unwrap(), folder.path()).await.unwrap();
        // Ours first: it also chooses the cryptography of TLS, without which the library refuses to connect.
        let bus = Bus::connect(&ConnectSettings::to_url(server.url())).await.unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        let jetstream = jetstream::ContextBuilder::new().timeout(ANSWER_WAIT).build(client);
        Self { bus, jetstream, server, _folder: folder }
    }

    /// An empty stream in files, in the place of one with the same name.
    pub(crate) async fn fresh_stream(&self, name: &str, subject: &str, atomic: bool) {
        // There is none the first time.
        self.jetstream.delete_stream(name).await.ok();
        let spec = StreamSpec {
            name: name.to_owned(),
            subjects: vec![subject.to_owned()],
            max_age: None,
            max_bytes: None,
            duplicate_window: Duration::from_secs(120),
            discard_new: true,
            max_message_bytes: None,
            atomic,
            replicas: 1,
        };
        self.bus.ensure_stream(&spec).await.unwrap();
    }

    pub(crate) async fn stop(self) {
        self.bus.close().await.unwrap();
        self.server.stop().await.unwrap();
    }
}
