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

/// Less is shorter than a weekend's stop.
const LEAST_AGE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

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
    /// As an input; it is somebody else's, with whatever limits.
    Source,
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
    let is_source = role == StreamRole::Source;
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
        (is_source || role == StreamRole::Input) && full && config.discard == DiscardPolicy::Old,
        "deletes the oldest events at its limit, also those that no pipeline has read yet".to_owned(),
        "set discard: new, so that publishers wait, or a limit that a long stop does not reach",
    );
    // A mirror takes what its origin has taken.
    let takes_from_publishers = role == StreamRole::Input || (is_source && config.mirror.is_none());
    warn(
        takes_from_publishers && config.duplicate_window < LEAST_DUPLICATE_WINDOW,
        format!(
            "forgets message ids after {:?}: a publisher that repeats later is stored twice",
            config.duplicate_window
        ),
        if is_source {
            "name the property that identifies an event as `id`, or set duplicate_window to two minutes or more"
        } else {
            "set duplicate_window to two minutes or more"
        },
    );
    warn(
        role == StreamRole::Output && !config.allow_atomic_publish,
        "does not allow atomic batches: a pipeline can't commit to it".to_owned(),
        "set allow_atomic",
    );
    if is_source {
        warn_of_source(config, warn);
        return warnings;
    }
    warn(
        deleted > 0,
        format!("lacks {deleted} messages between its first and its last: they were deleted, or a file is damaged"),
        "look for `nats stream` deletions, limits per subject, and errors in the server's log",
    );
    warnings
}

/// What is left to somebody else's taste, and matters to a pipeline. Gaps are no fault: they may be anybody's.
fn warn_of_source(config: &Config, mut warn: impl FnMut(bool, String, &str)) {
    warn(
        !config.max_age.is_zero() && config.max_age < LEAST_AGE,
        format!(
            "deletes messages after {:?}: what comes during a longer stop is lost, and a table that is made again has only \
             what is left",
            config.max_age
        ),
        "raise its max_age, or read a stream that sources it and keeps more",
    );
    warn(
        config.max_messages_per_subject > 0,
        format!(
            "keeps the last {} message(s) of each subject: an event that is replaced before it is read is never counted",
            config.max_messages_per_subject
        ),
        "read a stream without max_msgs_per_subject that sources it, where each event counts",
    );
    warn(
        config.allow_rollup,
        "takes rollups, by which a publisher deletes earlier messages: what was not read by then is never counted"
            .to_owned(),
        "read a stream that sources it, where each event counts",
    );
    let several = config.sources.as_ref().map_or(0, Vec::len) + usize::from(!config.subjects.is_empty());
    warn(
        several > 1 && !config.duplicate_window.is_zero(),
        "takes messages of several origins under one window of message ids: of two with one id the second is lost"
            .to_owned(),
        "have every origin make ids that no other makes, such as with its name in front",
    );
    warn(
        config.max_consumers > 0,
        format!("takes {} consumer(s) at most: each pipeline that reads it needs one", config.max_consumers),
        "raise its max_consumers where there are others",
    );
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::Source;

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

    #[test]
    fn what_somebody_elses_stream_lacks_is_named_and_its_gaps_are_not() {
        let source = |name: &str| Source { name: name.to_owned(), ..Source::default() };
        let kept = Config {
            name: "EVENTS".to_owned(),
            subjects: vec!["shop.>".to_owned()],
            max_bytes: 1 << 30,
            discard: DiscardPolicy::New,
            duplicate_window: LEAST_DUPLICATE_WINDOW,
            ..Config::default()
        };
        let of = |config: &Config| {
            let warnings = judge(config, StreamRole::Source, false, 99);
            warnings.into_iter().map(|warning| warning.finding).collect::<Vec<_>>()
        };
        assert_eq!(of(&kept), Vec::<String>::new());
        let short = Duration::from_secs(3_600);
        let mirror = Config {
            subjects: Vec::new(),
            mirror: Some(source("A")),
            duplicate_window: Duration::ZERO,
            ..kept.clone()
        };
        assert_eq!(of(&mirror), Vec::<String>::new());
        for (config, found) in [
            (Config { max_age: short, ..kept.clone() }, "deletes messages after 3600s"),
            (Config { max_messages_per_subject: 1, ..kept.clone() }, "keeps the last 1 message(s) of each subject"),
            (Config { allow_rollup: true, ..kept.clone() }, "takes rollups"),
            (Config { sources: Some(vec![source("A")]), ..kept.clone() }, "takes messages of several origins"),
            (Config { max_consumers: 2, ..kept.clone() }, "takes 2 consumer(s) at most"),
            (Config { duplicate_window: Duration::from_secs(1), ..kept.clone() }, "forgets message ids after 1s"),
            (Config { discard: DiscardPolicy::Old, ..kept.clone() }, "deletes the oldest events at its limit"),
        ] {
            let warnings = of(&config);
            assert!(warnings.len() == 1 && warnings[0].contains(found), "{found}: {warnings:?}");
        }
    }
}
