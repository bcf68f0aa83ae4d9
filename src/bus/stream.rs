//! Streams: created when missing, extended when they keep less than is asked for, refused when they exist with another shape.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamByNameErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use futures::TryStreamExt;

use tracing::info;

use super::bus::Bus;
use super::difference::{Difference, differences, extended};
use super::error::{BusError, refused_by_server};
use super::sequence::StreamSequence;
use super::subject::Subject;

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
    /// Whether a message may go because another one came: one of its subject, or one that says so.
    pub replaces: bool,
    /// Whom it has its messages from.
    pub fed_by: FedBy,
    /// For how long a consumer of it may be idle at most, where it says so.
    pub consumers_kept_for: Option<Duration>,
}

/// Whom a stream has its messages from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FedBy {
    /// Whoever publishes to its subjects.
    Publishers,
    /// One other stream, whose numbers it keeps.
    Origin,
    /// Other streams, and perhaps publishers.
    Sources,
}

impl FedBy {
    fn of(config: &Config) -> Self {
        let has_sources = config.sources.as_ref().is_some_and(|sources| !sources.is_empty());
        match (config.mirror.is_some(), has_sources) {
            (true, _) => Self::Origin,
            (false, true) => Self::Sources,
            (false, false) => Self::Publishers,
        }
    }
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
    /// [`BusError::StreamDiffers`] with every difference, [`BusError::SubjectsOverlap`] when another stream takes one of the
    /// subjects, [`BusError::JetStream`] when the server doesn't answer.
    pub(crate) async fn stream_fit(&self, spec: &StreamSpec) -> Result<StreamFit, BusError> {
        let Some(found) = self.find_stream(&spec.name).await? else {
            self.check_subjects(spec, &spec.subjects).await?;
            return Ok(StreamFit::Missing);
        };
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
            let added: Vec<String> = grown.subjects.iter().filter(|subject| !held.contains(subject)).cloned().collect();
            self.check_subjects(spec, &added).await?;
            Ok(StreamFit::Extends(Box::new(grown), lacks))
        } else {
            accept(&spec.to_config(), &found).map(StreamFit::Fits)
        }
    }

    /// Refuses subjects that another stream takes.
    async fn check_subjects(&self, spec: &StreamSpec, subjects: &[String]) -> Result<(), BusError> {
        for subject in subjects {
            if let Some(other) =
                self.stream_of(&Subject::new(subject.as_str())?).await?.filter(|name| *name != spec.name)
            {
                let (stream, subjects) = (spec.name.clone(), spec.subjects.clone());
                return Err(BusError::SubjectsOverlap { stream, subjects, other });
            }
        }
        Ok(())
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
                let reserved = self.reserved().await;
                Err(BusError::NoRoom { bytes: config.max_bytes.max(0).cast_unsigned(), stream: config.name, reserved })
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

    /// For which streams the server has set how many bytes aside, the largest first; as far as it says, for an error message.
    async fn reserved(&self) -> Vec<(String, u64)> {
        let mut streams = self.jetstream().streams();
        let mut reserved = Vec::new();
        while let Ok(Some(info)) = streams.try_next().await {
            let config = info.config;
            if config.max_bytes > 0 && config.storage == StorageType::File {
                reserved.push((config.name, config.max_bytes.unsigned_abs()));
            }
        }
        reserved.sort_by(|(one_name, one), (name, other)| other.cmp(one).then_with(|| one_name.cmp(name)));
        reserved
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

    pub(super) async fn find_stream(&self, name: &str) -> Result<Option<Info>, BusError> {
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

    /// The name of a stream that takes what is sent to a subject, or to one that it matches; `None` when there is none.
    ///
    /// # Errors
    /// [`BusError::JetStream`] when the server doesn't answer.
    pub(crate) async fn stream_of(&self, subject: &Subject) -> Result<Option<String>, BusError> {
        match self.jetstream().stream_by_subject(subject.as_str()).await {
            Ok(name) => Ok(Some(name)),
            Err(error) if matches!(error.kind(), GetStreamByNameErrorKind::NotFound) => Ok(None),
            Err(error) => Err(refused_by_server("look for", subject.as_str(), &error)),
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
    pub(super) fn of(info: &Info) -> Self {
        Self {
            first: StreamSequence(info.state.first_sequence),
            last: StreamSequence(info.state.last_sequence),
            messages: info.state.messages,
            deleted: info.state.deleted_count.unwrap_or(0),
            created_micros: micros(info.created),
            replicas: info.config.num_replicas.max(1),
            discard_new: info.config.discard == DiscardPolicy::New,
            max_bytes: u64::try_from(info.config.max_bytes).ok().filter(|bytes| *bytes > 0),
            replaces: info.config.max_messages_per_subject > 0 || info.config.allow_rollup,
            fed_by: FedBy::of(&info.config),
            consumers_kept_for: (info.config.consumer_limits.as_ref())
                .map(|limits| limits.inactive_threshold)
                .filter(|most| !most.is_zero()),
        }
    }
}

/// Microseconds since 1970.
pub(super) fn micros(time: async_nats::datetime::DateTime) -> i64 {
    time.unix_timestamp_nanos().div_euclid(1000) as i64
}

#[cfg(test)]
mod tests;
