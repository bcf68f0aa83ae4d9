//! The job that benchmarks of whole runs share: `pipelines/intent` and a broker of its own.

use std::path::{Path, PathBuf};

use tidewheel::bus::{Bus, ConnectSettings, EmbeddedServer, ServerBinary};
use tidewheel::config::Folder;
use tidewheel::pipeline::Pipeline;

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/intent")
}

pub(crate) fn pipeline() -> Pipeline {
    Folder::read(&folder()).unwrap().assemble().unwrap()
}

/// A broker that keeps its streams in `folder`, and a connection to it.
pub(crate) async fn broker(folder: &Path) -> (EmbeddedServer, Bus) {
    let server = EmbeddedServer::start(&ServerBinary::find().unwrap(), folder).await.unwrap();
    let bus = Bus::connect(&ConnectSettings::to_url(server.url())).await.unwrap();
    (server, bus)
}
