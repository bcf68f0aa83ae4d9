//! Streams: created when missing, extended when they keep less than is asked for, refused when they exist with another shape.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};

use tracing::info;

use super::bus::Bus;
use super::difference::{Difference, differences, extended};
use super::error::{BusError, refused_by_server};
use super::sequence::StreamSequence;

/// How often a stream that looks shorter than it was is looked at again, and after which pause each.
const SECOND_LOOKS: usize = 6;
const SECOND_LOOK: Duration = Duration::from_millis(500);

/// The shape a stream must have: kept in files, until a limit is reached, whoever reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSpec {
    /// The stream's name: no dots, no white space.
    pub name: String,
    /// Subjects whose messages the stream keeps; wildcards allowed.
    pub subjects: Vec<String>,
    /// Messages older than this are deleted; `None`: never.
    pub max_age: Option<Duration>,
    /// Payloads, headers and subjects together; `None`: no limit but the disk's.
    pub max_bytes: Option<u64>,
    /// For how long a message id is remembered. Longer than the longest replay, not longer than `max_age`.
    pub duplicate_window: Duration,
    /// At the limit: refuse new messages (`true`), or delete the oldest.
    pub discard_new: bool,
    /// The largest message, payload and headers; `None`: the server's own limit.
    pub max_message_bytes: Option<u32>,
    /// Whether atomic batches must be allowed.
    pub atomic: bool,
    /// On how many servers of a cluster a stream that we create is kept (1, 3 or 5). That of an existing one is left to
    /// whoever runs the cluster.
    pub replicas: usize,
}

/// What a stream holds at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// The oldest message's position; one past `last` when the stream is empty.
    pub first: StreamSequence,
    /// The newest position ever given out, 0 when there was none.
    pub last: StreamSequence,
    /// How many messages it holds.
    pub messages: u64,
    /// How many between `first` and `last` are gone.
    pub deleted: u64,
    /// When the stream was created, in microseconds since 1970 in UTC: another stream of the same name has another time.
    pub created_micros: i64,
    /// On how many servers it is kept.
    pub replicas: usize,
    /// Whether it refuses new messages at its limit, rather than deleting the oldest.
    pub discard_new: bool,
    /// The limit of payloads, headers and subjects together.
    pub max_bytes: Option<u64>,
}

/// What becomes of a stream that is asked for.
pub(crate) enum StreamFit {
    /// It is created.
    Missing,
    /// It is as asked for, or keeps more.
    Fits(StreamState),
    /// It is given what it lacks.
    Extends(Box<Config>, Vec<Difference>),
}

impl Bus {
    /// Creates the stream if there is none of its name; otherwise makes sure that it has the shape asked for. Limits that are
    /// lower are raised, higher ones stay, and subjects that it lacks are added, which the log says. One of atomic batches
    /// keeps the subjects that it has beyond those: nobody else writes there, and what it holds stays. Any other with such
    /// subjects is somebody else's, and left as it is.
    ///
    /// # Errors
    /// [`BusError::StreamDiffers`] with every difference, [`BusError::SubjectsOverlap`] when another stream takes one of
    /// the subjects, [`BusError::JetStream`] when the server refuses or doesn't answer.
    pub async fn ensure_stream(&self, spec: &StreamSpec) -> Result<StreamState, BusError> {
        match self.stream_fit(spec).await? {
            StreamFit::Missing => self.ensure_config(spec.to_config()).await,
            StreamFit::Fits(state) => Ok(state),
            StreamFit::Extends(grown, lacks) => {
                let state = self.update(&grown).await?;
                for Difference { field, expected, found } in lacks {
                    info!(stream = spec.name, setting = field, from = found, to = expected, "extended a stream");
                }
                Ok(state)
            }
        }
    }

    /// What [`ensure_stream`](Self::ensure_stream) would do; nothing is changed.
    ///
    /// # Errors
    /// [`BusError::StreamDiffers`] with every difference, [`BusError::JetStream`] when the server doesn't answer.
    pub(crate) async fn stream_fit(&self, spec: &StreamSpec) -> Result<StreamFit, BusError> {
        let Some(found) = self.find_stream(&spec.name).await? else { return Ok(StreamFit::Missing) };
        let mut config = spec.to_config();
        let held = &found.config.subjects;
        let is_asked_for = |subject: &String| spec.subjects.contains(subject);
        // Another pipeline's, whose name and stream make the same name, has none of the subjects.
        let is_own = held.iter().any(is_asked_for) && (spec.atomic || held.iter().all(is_asked_for));
        if is_own {
            let lacking = spec.subjects.iter().filter(|subject| !held.contains(subject));
            config.subjects = held.iter().chain(lacking).cloned().collect();
        }
        let lacks = differences(&config, &found.config);
        let grown = Config { subjects: config.subjects.clone(), ..extended(&config, &found.config) };
        if lacks.is_empty() {
            Ok(StreamFit::Fits(StreamState::of(&found)))
        } else if is_own && differences(&config, &grown).is_empty() {
            Ok(StreamFit::Extends(Box::new(grown), lacks))
        } else {
            accept(&spec.to_config(), &found).map(StreamFit::Fits)
        }
    }

    async fn update(&self, config: &Config) -> Result<StreamState, BusError> {
        let updated = self.jetstream().update_stream(config).await;
        updated.map(|info| StreamState::of(&info)).map_err(|error| refused_by_server("update", &config.name, &error))
    }

    /// Creates the stream if there is none of its name; otherwise makes sure that it has the shape asked for.
    pub(super) async fn ensure_config(&self, config: Config) -> Result<StreamState, BusError> {
        if let Some(info) = self.find_stream(&config.name).await? {
            return accept(&config, &info);
        }
        let error = match self.jetstream().create_stream(&config).await {
            Ok(stream) => return Ok(StreamState::of(stream.cached_info())),
            Err(error) => error,
        };
        match error.kind() {
            CreateStreamErrorKind::JetStream(refused) if refused.error_code() == ErrorCode::STREAM_SUBJECT_OVERLAP => {
                Err(BusError::SubjectsOverlap {
                    other: self.owner_of(&config.subjects).await,
                    stream: config.name,
                    subjects: config.subjects,
                })
            }
            CreateStreamErrorKind::JetStream(refused)
                if refused.error_code() == ErrorCode::STORAGE_RESOURCES_EXCEEDED =>
            {
                Err(BusError::NoRoom { bytes: config.max_bytes.max(0).cast_unsigned(), stream: config.name })
            }
            // Somebody else created it since we looked.
            CreateStreamErrorKind::JetStream(refused) if refused.error_code() == ErrorCode::STREAM_NAME_EXIST => {
                match self.find_stream(&config.name).await? {
                    Some(info) => accept(&config, &info),
                    None => Err(refused_by_server("create", &config.name, &error)),
                }
            }
            _ => Err(refused_by_server("create", &config.name, &error)),
        }
    }

    /// What the stream holds now.
    ///
    /// # Errors
    /// [`BusError::StreamNotFound`], or [`BusError::JetStream`] when the server doesn't answer.
    pub async fn stream_state(&self, name: &str) -> Result<StreamState, BusError> {
        self.stream_info(name).await.map(|info| StreamState::of(&info))
    }

    /// What the stream holds now, of which it is known that it has reached a position. A server that led a stream, was paused
    /// and wakes up says for a moment what it knew, though the others have gone on: so a stream of several replicas that looks
    /// shorter is looked at again before anybody believes it.
    ///
    /// # Errors
    /// As [`stream_state`](Self::stream_state).
    pub async fn stream_state_past(&self, name: &str, known: StreamSequence) -> Result<StreamState, BusError> {
        for _ in 0..SECOND_LOOKS {
            let state = self.stream_state(name).await?;
            if state.last >= known || state.replicas < 2 {
                return Ok(state);
            }
            tokio::time::sleep(SECOND_LOOK).await;
        }
        self.stream_state(name).await
    }

    pub(super) async fn stream_info(&self, name: &str) -> Result<Info, BusError> {
        let found = self.find_stream(name).await?;
        found.ok_or_else(|| BusError::StreamNotFound { stream: name.to_owned() })
    }

    /// The subjects of a stream that takes atomic batches.
    pub(super) async fn atomic_subjects(&self, name: &str) -> Result<Vec<String>, BusError> {
        let config = self.stream_info(name).await?.config;
        if config.allow_atomic_publish {
            return Ok(config.subjects);
        }
        let reason = "it does not allow atomic batches; set allow_atomic".to_owned();
        Err(BusError::BatchRefused { stream: name.to_owned(), reason })
    }

    async fn find_stream(&self, name: &str) -> Result<Option<Info>, BusError> {
        match self.jetstream().get_stream(name).await {
            Ok(stream) => Ok(Some(stream.cached_info().clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(refused) if refused.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    Ok(None)
                }
                _ => Err(refused_by_server("look up", name, &error)),
            },
        }
    }

    /// The name of a stream that takes one of the subjects, for an error message.
    async fn owner_of(&self, subjects: &[String]) -> String {
        for subject in subjects {
            if let Ok(name) = self.jetstream().stream_by_subject(subject.clone()).await {
                return name;
            }
        }
        "unknown".to_owned()
    }
}

impl StreamSpec {
    fn to_config(&self) -> Config {
        Config {
            name: self.name.clone(),
            subjects: self.subjects.clone(),
            max_age: self.max_age.unwrap_or_default(),
            max_bytes: self.max_bytes.map_or(-1, |bytes| bytes as i64),
            max_messages: -1,
            max_messages_per_subject: -1,
            max_message_size: self.max_message_bytes.map_or(-1, |bytes| bytes as i32),
            duplicate_window: self.duplicate_window,
            discard: if self.discard_new { DiscardPolicy::New } else { DiscardPolicy::Old },
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            num_replicas: self.replicas.max(1),
            allow_atomic_publish: self.atomic,
            ..Config::default()
        }
    }
}

fn accept(config: &Config, info: &Info) -> Result<StreamState, BusError> {
    let differences = differences(config, &info.config);
    if differences.is_empty() {
        Ok(StreamState::of(info))
    } else {
        Err(BusError::StreamDiffers { stream: config.name.clone(), differences })
    }
}

impl StreamState {
    fn of(info: &Info) -> Self {
        Self {
            first: StreamSequence(info.state.first_sequence),
            last: StreamSequence(info.state.last_sequence),
            messages: info.state.messages,
            deleted: info.state.deleted_count.unwrap_or(0),
            created_micros: micros(info.created),
            replicas: info.config.num_replicas.max(1),
            discard_new: info.config.discard == DiscardPolicy::New,
            max_bytes: u64::try_from(info.config.max_bytes).ok().filter(|bytes| *bytes > 0),
        }
    }
}

/// Microseconds since 1970.
pub(super) fn micros(time: async_nats::datetime::DateTime) -> i64 {
    time.unix_timestamp_nanos().div_euclid(1000) as i64
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::PersistenceMode;

    use super::*;
    use crate::bus::testing;

    #[tokio::test]
    async fn a_stream_is_created_once_and_then_found_as_it_is() {
        let (server, bus) = testing::server().await;
        let spec = testing::spec("CLICKS", "clicks.>");
        let created = bus.ensure_stream(&spec).await.unwrap();
        assert_eq!((created.last, created.messages), (StreamSequence(0), 0));
        testing::publish_numbers(&bus, "clicks.a", 0..3).await;
        let found = bus.ensure_stream(&spec).await.unwrap();
        assert_eq!((found.first, found.last, found.messages), (StreamSequence(1), StreamSequence(3), 3));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_stream_of_another_shape_is_refused_with_every_difference() {
        let (server, bus) = testing::server().await;
        let spec = testing::spec("CLICKS", "clicks.>");
        bus.ensure_stream(&spec).await.unwrap();
        let other = StreamSpec {
            subjects: vec!["views.>".to_owned()],
            max_age: Some(Duration::from_secs(7200)),
            max_bytes: Some(1 << 20),
            discard_new: false,
            ..spec
        };
        let error = bus.ensure_stream(&other).await.unwrap_err();
        insta::assert_snapshot!(
            error,
            @r#"stream "CLICKS" exists with another shape: subjects is ["clicks.>"] (expected ["views.>"]), discard is New (expected Old); if another pipeline made it, whose name and stream make the same name, rename one of them; otherwise change it, or use another name"#
        );
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_stream_of_atomic_batches_gets_the_subjects_that_it_lacks_and_keeps_its_others_and_all_it_holds() {
        let (server, bus) = testing::server().await;
        let spec = |subjects: &[&str]| {
            let subjects = subjects.iter().map(|&subject| subject.to_owned()).collect();
            StreamSpec { atomic: true, subjects, ..testing::spec("OUT", "out.>") }
        };
        bus.ensure_stream(&spec(&["out.a", "out.b"])).await.unwrap();
        testing::publish_numbers(&bus, "out.b", 0..3).await;
        let grown = bus.ensure_stream(&spec(&["out.a", "out.c"])).await.unwrap();
        assert_eq!(grown.messages, 3);
        assert_eq!(bus.atomic_subjects("OUT").await.unwrap(), ["out.a", "out.b", "out.c"]);
        bus.ensure_stream(&spec(&["out.a"])).await.unwrap();
        let other = StreamSpec { discard_new: false, ..spec(&["out.a", "out.d"]) };
        let error = bus.ensure_stream(&other).await.unwrap_err();
        assert!(matches!(&error, BusError::StreamDiffers { .. }), "{error}");
        assert_eq!(bus.atomic_subjects("OUT").await.unwrap(), ["out.a", "out.b", "out.c"]);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn limits_are_raised_and_never_lowered_and_subjects_are_added() {
        let (server, bus) = testing::server().await;
        let limited = |hours: u64, megabytes: u64| StreamSpec {
            max_age: Some(Duration::from_secs(3_600 * hours)),
            max_bytes: Some(megabytes << 20),
            ..testing::spec("CLICKS", "clicks.a")
        };
        let limits = async |bus: &Bus| {
            let config = bus.stream_info("CLICKS").await.unwrap().config;
            (
                config.max_age.as_secs() / 3_600,
                config.max_bytes >> 20,
                config.duplicate_window.as_secs(),
                config.subjects,
            )
        };
        bus.ensure_stream(&limited(2, 8)).await.unwrap();
        testing::publish_numbers(&bus, "clicks.a", 0..3).await;
        let grown = bus.ensure_stream(&limited(1, 16)).await.unwrap();
        assert_eq!((grown.messages, grown.max_bytes), (3, Some(16 << 20)));
        assert_eq!(limits(&bus).await, (2, 16, 120, vec!["clicks.a".to_owned()]));
        let more = StreamSpec {
            subjects: vec!["clicks.a".to_owned(), "clicks.b".to_owned()],
            duplicate_window: Duration::from_secs(600),
            ..limited(3, 1)
        };
        bus.ensure_stream(&more).await.unwrap();
        assert_eq!(limits(&bus).await, (3, 16, 600, vec!["clicks.a".to_owned(), "clicks.b".to_owned()]));
        // Events of a subject that is not asked for any more would still be read.
        let error = bus.ensure_stream(&limited(9, 9)).await.unwrap_err();
        assert!(
            error.to_string().contains(r#"subjects is ["clicks.a", "clicks.b"] (expected ["clicks.a"])"#),
            "{error}"
        );
        let another = StreamSpec { subjects: vec!["views.a".to_owned()], ..limited(9, 9) };
        assert!(bus.ensure_stream(&another).await.is_err());
        assert_eq!(limits(&bus).await.0, 3);
        let unlimited = StreamSpec { max_age: None, ..more };
        bus.ensure_stream(&unlimited).await.unwrap();
        assert_eq!(limits(&bus).await.0, 0);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn overlapping_subjects_name_the_stream_that_has_them() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
        let error = bus.ensure_stream(&testing::spec("OTHER", "clicks.a")).await.unwrap_err();
        insta::assert_snapshot!(
            error,
            @r#"stream "OTHER" cannot take subjects ["clicks.a"]: stream "CLICKS" has overlapping ones"#
        );
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_stream_larger_than_the_server_s_disk_is_refused_with_what_to_change() {
        let (server, bus) = testing::server().await;
        let spec = StreamSpec { max_bytes: Some(1 << 60), ..testing::spec("CLICKS", "clicks.>") };
        let error = bus.ensure_stream(&spec).await.unwrap_err();
        assert!(matches!(error, BusError::NoRoom { bytes: 0x1000_0000_0000_0000, .. }), "{error}");
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_missing_stream_is_said_to_be_missing() {
        let (server, bus) = testing::server().await;
        let error = bus.stream_state("NOWHERE").await.unwrap_err();
        assert!(matches!(error, BusError::StreamNotFound { .. }), "{error}");
        server.stop().await.unwrap();
    }

    #[test]
    fn a_stream_that_acknowledges_before_storing_is_another_shape() {
        let expected = testing::spec("CLICKS", "clicks.>").to_config();
        let found = Config { persist_mode: Some(PersistenceMode::Async), ..expected.clone() };
        let fields: Vec<_> = differences(&expected, &found).into_iter().map(|d| d.field).collect();
        assert_eq!(fields, ["persist_mode"]);
    }
}
