//! What a client can see of how safely a server keeps a stream, judged against what a pipeline promises.
//!
//! How often the server writes to disk can't be seen by a client; [`SYNC_ADVICE`] says what there is to know.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, PersistenceMode, StorageType};

use super::bus::Bus;
use super::error::BusError;

/// Said wherever a server that we didn't start is looked at.
pub(crate) const SYNC_ADVICE: &str = "a nats-server acknowledges before it writes to disk, by default up to two minutes before: a \
    power cut can lose events that it has acknowledged, a crash of the process can't; set `sync_interval: always` in its \
    jetstream section, or keep streams on three servers in different places";

/// Less is shorter than a restart takes.
const LEAST_DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// One way in which a server or a stream can't keep what a pipeline promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurabilityWarning {
    /// What is so, and what follows from it.
    pub finding: String,
    /// What to do about it.
    pub fix: String,
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRole {
    /// Others publish to it, and a pipeline reads it.
    Input,
    /// A pipeline commits what it gives to it.
    Output,
    /// What was shown, of which the oldest may go.
    Shown,
}

impl Bus {
    /// What the server lacks, whatever the stream.
    #[must_use]
    pub fn server_durability(&self) -> Vec<DurabilityWarning> {
        let info = self.client().server_info();
        if self.client().is_server_compatible(2, 12, 0) {
            return Vec::new();
        }
        let finding = format!("nats-server {} has no atomic batches: a pipeline can't commit to it", info.version);
        vec![DurabilityWarning { finding, fix: "run nats-server 2.12 or newer".to_owned() }]
    }

    /// In what ways the stream is kept less safely than a pipeline wants it.
    ///
    /// # Errors
    /// [`BusError::StreamNotFound`], or [`BusError::JetStream`] when the server doesn't answer.
    pub async fn durability(&self, stream: &str, role: StreamRole) -> Result<Vec<DurabilityWarning>, BusError> {
        let info = self.stream_info(stream).await?;
        let clustered = info.cluster.is_some_and(|cluster| cluster.name.is_some());
        Ok(judge(&info.config, role, clustered, info.state.deleted_count.unwrap_or(0)))
    }
}

fn judge(config: &Config, role: StreamRole, clustered: bool, deleted: u64) -> Vec<DurabilityWarning> {
    let mut warnings = Vec::new();
    let name = &config.name;
    let mut warn = |bad: bool, finding: String, fix: &str| {
        if bad {
            let finding = format!("stream {name} {finding}");
            warnings.push(DurabilityWarning { finding, fix: fix.to_owned() });
        }
    };
    warn(
        config.storage == StorageType::Memory,
        "is kept in memory: a restart of the server loses it".to_owned(),
        "make it anew with storage: file",
    );
    warn(
        config.persist_mode == Some(PersistenceMode::Async),
        "acknowledges before it stores (persist_mode: async): a killed server loses what it acknowledged".to_owned(),
        "make it anew without persist_mode",
    );
    warn(
        config.no_ack,
        "does not acknowledge: nobody learns whether a message was stored".to_owned(),
        "set no_ack to false",
    );
    warn(
        clustered && config.num_replicas < 3,
        format!("is kept on {} of the cluster's servers: that one's disk is all there is", config.num_replicas.max(1)),
        "set its replicas to 3",
    );
    warn(
        config.max_bytes <= 0,
        "has no max_bytes: on a full disk the server stops answering, and stays so when there is room again".to_owned(),
        "set max_bytes below what the disk has",
    );
    let full = config.max_bytes > 0 || config.max_messages > 0;
    warn(
        role == StreamRole::Input && full && config.discard == DiscardPolicy::Old,
        "deletes the oldest events at its limit, also those that no pipeline has read yet".to_owned(),
        "set discard: new, so that publishers wait, or a limit that a long stop does not reach",
    );
    warn(
        role == StreamRole::Input && config.duplicate_window < LEAST_DUPLICATE_WINDOW,
        format!(
            "forgets message ids after {:?}: a publisher that repeats later is stored twice",
            config.duplicate_window
        ),
        "set duplicate_window to two minutes or more",
    );
    warn(
        role == StreamRole::Output && !config.allow_atomic_publish,
        "does not allow atomic batches: a pipeline can't commit to it".to_owned(),
        "set allow_atomic",
    );
    warn(
        deleted > 0,
        format!("lacks {deleted} messages between its first and its last: they were deleted, or a file is damaged"),
        "look for `nats stream` deletions, limits per subject, and errors in the server's log",
    );
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{StreamSpec, testing};

    #[tokio::test]
    async fn a_stream_as_we_make_it_has_nothing_to_warn_of() {
        let (server, bus) = testing::server().await;
        let spec = StreamSpec { atomic: true, max_bytes: Some(1 << 20), ..testing::spec("OUT", "out.>") };
        bus.ensure_stream(&spec).await.unwrap();
        assert_eq!(bus.server_durability(), []);
        for role in [StreamRole::Input, StreamRole::Output] {
            assert_eq!(bus.durability("OUT", role).await.unwrap(), []);
        }
        let error = bus.durability("NOWHERE", StreamRole::Input).await.unwrap_err();
        assert!(matches!(error, BusError::StreamNotFound { .. }), "{error}");
        server.stop().await.unwrap();
    }

    #[test]
    fn every_weakness_is_named_with_its_fix() {
        let weak = Config {
            name: "OUT".to_owned(),
            storage: StorageType::Memory,
            persist_mode: Some(PersistenceMode::Async),
            no_ack: true,
            num_replicas: 1,
            max_messages: 10,
            duplicate_window: Duration::from_secs(1),
            ..Config::default()
        };
        let of = |role, clustered, deleted| judge(&weak, role, clustered, deleted).len();
        assert_eq!([of(StreamRole::Input, true, 3), of(StreamRole::Output, false, 0)], [8, 5]);
        let warnings = judge(&weak, StreamRole::Output, false, 0);
        assert!(warnings.iter().all(|warning| warning.finding.starts_with("stream OUT ") && !warning.fix.is_empty()));
    }
}
