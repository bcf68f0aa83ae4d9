//! `[streams.NAME]`: where events come from, what they look like, and which are refused.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::avro::Avro;
use super::clock::Clock;
use super::stream_name::{ApiPrefix, Domain, StreamName};
use super::subject::SubjectFilter;
use super::{count, duration, moment, size, zone};
use crate::bus::JetStreamApi;
use crate::event::TimeZone;

/// A stream of events.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a section such as [streams.clicks]")]
pub struct Stream {
    /// The NATS subjects that the events arrive on. `*` stands for one token, `>` at the end for all that follow.
    #[schemars(with = "Vec<SubjectFilter>", length(min = 1))]
    pub subjects: Spanned<Vec<Spanned<SubjectFilter>>>,
    /// The broker's stream that holds the events, where it is there already and somebody else's: what it has on `subjects` is
    /// read, and the stream is never made, altered or owned. Any number of pipelines may read it.
    #[schemars(with = "Option<StreamName>")]
    pub source: Option<Spanned<StreamName>>,
    /// The JetStream domain that `source` is in, where it is not that of the connection.
    #[schemars(with = "Option<Domain>")]
    pub domain: Option<Spanned<Domain>>,
    /// What the subjects begin with on which the JetStream of another account is asked for `source`, as this account imports
    /// them: `JS.shop.API`.
    #[schemars(with = "Option<ApiPrefix>")]
    pub api_prefix: Option<Spanned<ApiPrefix>>,
    /// What the stream is called that the pipeline makes in the broker for these events. Pipelines that give one name and the
    /// same `subjects` share it. The name of the pipeline and that of the section, joined by `_` in upper case, unless given.
    #[schemars(with = "Option<StreamName>")]
    pub stream: Option<Spanned<StreamName>>,
    /// The event contract: a JSON Schema file (draft-07). It is looked for in the pipeline's folder, then in each folder
    /// above it, so that pipelines can share contracts.
    #[schemars(with = "String")]
    pub contract: Spanned<PathBuf>,
    /// Events are in Avro instead of JSON, one record a message, by schema files that are looked for like the contract. The
    /// contract finds the fields by their names. Messages that say `Content-Type: application/json`, or an Arrow stream, are
    /// read as that.
    #[schemars(with = "Option<Avro>")]
    pub avro: Option<Spanned<Avro>>,
    /// The property of an event that is its time.
    #[schemars(with = "String")]
    pub time: Spanned<String>,
    /// What a time counts that is a number: seconds, milliseconds or microseconds since 1970, with or without a fraction. `ms`
    /// unless given; it has no meaning for times that are date-time texts.
    #[serde(default)]
    #[schemars(extend("default" = "ms"))]
    pub time_unit: TimeUnit,
    /// The time zone of dates, and of times that are written without an offset from UTC: `"UTC"`, or a name of the IANA database
    /// such as `"Europe/Berlin"`. Of an hour that clocks repeat it is the first one; a time that they skip is as long after the
    /// change as it is into the gap. Without it such a text is refused.
    #[serde(default, deserialize_with = "zone::optional")]
    #[schemars(with = "Option<String>")]
    pub time_zone: Option<TimeZone>,
    /// Whose clock tells when an event happened. `"event"`: that of whoever made it, the property `time` as it is.
    /// `"broker"`: the broker's; the event happens when it is received, and its own `time` may be missing. `{ sent = "sent_at" }`:
    /// that of whoever made it, corrected by the property that says when it was sent, a number in `time_unit` or a date-time:
    /// `time` + received - sent. An event without it, where the contract allows that, keeps its own time. `event` unless given.
    #[serde(default)]
    #[schemars(extend("default" = "event"))]
    pub clock: Clock,
    /// The property that says when an event was received, a number in `time_unit` or a date-time, where that was before the
    /// broker took it: at a gateway, or in the log that a `replay` reads, which arrives now. A later time than the broker's
    /// own, or none, is taken as the broker's. Without it an event is received when the broker takes it.
    #[schemars(with = "Option<String>")]
    pub received: Option<Spanned<String>>,
    /// The property by whose value the stream may be partitioned.
    #[schemars(with = "Option<String>")]
    pub key: Option<Spanned<String>>,
    /// The property that identifies an event. An event whose id was seen before is dropped and counted as a duplicate.
    #[schemars(with = "Option<String>")]
    pub id: Option<Spanned<String>>,
    /// How many ids are remembered: a repeat within so many events is found. 1,000,000 unless given.
    #[serde(default = "default::remember_ids", deserialize_with = "count::positive")]
    pub remember_ids: NonZeroUsize,
    /// How far events may be out of order, or on their way: the watermark is the newest event time minus this, and never after
    /// the time when that event was received minus this, so that a fast clock makes nobody else late. 5 seconds unless given.
    #[serde(default = "default::disorder", deserialize_with = "duration::any")]
    #[schemars(schema_with = "duration::schema", extend("default" = "5s"))]
    pub disorder: Duration,
    /// What has a watermark of its own. With `subject`, each concrete subject is a partition with its own newest event time,
    /// and the stream's watermark is that of the partition that is furthest behind; there may be 4,096 of them. Without it
    /// the whole stream is one.
    #[serde(default)]
    #[schemars(extend("default" = "stream"))]
    pub partition: Partition,
    /// How long, by the broker's clock, a partition may be silent before it stops holding the watermark back. The same
    /// goes for a whole stream where a table reads several. 30 seconds unless given.
    #[serde(default = "default::idle", deserialize_with = "duration::positive")]
    #[schemars(schema_with = "duration::schema", extend("default" = "30s"))]
    pub idle: Duration,
    /// What becomes of events that come too late for every feature. They are counted either way. `dead-letter` unless
    /// given.
    #[serde(default)]
    #[schemars(extend("default" = "dead-letter"))]
    pub late: Late,
    /// Events with an earlier time are rejected, such as those of clocks that count from 1970. 2000 unless given.
    #[serde(rename = "earliest", default = "default::earliest_micros", deserialize_with = "moment::micros")]
    #[schemars(schema_with = "moment::schema", extend("default" = "2000-01-01T00:00:00Z"))]
    pub earliest_micros: i64,
    /// Events whose time is further ahead of when they were received, by the broker's clock, than this are rejected. Those that
    /// are less far ahead count when their time has come. 1 minute unless given.
    #[serde(default = "default::ahead", deserialize_with = "duration::any")]
    #[schemars(schema_with = "duration::schema", extend("default" = "1m"))]
    pub ahead: Duration,
    /// The largest event, in bytes. 64 KiB unless given.
    #[serde(default = "default::max_event_bytes", deserialize_with = "size::bytes")]
    #[schemars(schema_with = "size::schema", extend("default" = "64 KiB"))]
    pub max_event_bytes: u64,
    /// How deep an event's objects and lists may be nested. 16 unless given.
    #[serde(default = "default::max_depth", deserialize_with = "count::positive")]
    pub max_depth: NonZeroUsize,
    /// How long the broker keeps the events: a restart rebuilds features from them. 7 days unless given. How long a `source`
    /// keeps them is not the pipeline's to say.
    #[serde(default, deserialize_with = "duration::positive_if_given")]
    #[schemars(schema_with = "duration::schema", extend("default" = "7d"))]
    pub retain: Option<Duration>,
    /// How many bytes of events the broker keeps. 2 GiB unless given; not with `source`.
    #[serde(default, deserialize_with = "size::bytes_if_given")]
    #[schemars(schema_with = "size::schema", extend("default" = "2 GiB"))]
    pub max_bytes: Option<u64>,
}

/// How long the broker keeps events that it is not told how long to keep.
const RETAIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How many bytes of them.
const MAX_BYTES: u64 = 2 << 30;

impl Stream {
    /// The subjects that its events arrive on, with their wildcards.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &str> {
        self.subjects.get_ref().iter().map(|subject| subject.get_ref().as_str())
    }

    /// How long the broker keeps the events.
    pub(super) fn retain(&self) -> Duration {
        self.retain.unwrap_or(RETAIN)
    }

    /// How many bytes of events it keeps.
    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes.unwrap_or(MAX_BYTES)
    }

    /// Where the stream is that is somebody else's, if it is.
    pub(super) fn found_in(&self) -> Option<JetStreamApi> {
        self.source.as_ref()?;
        Some(match (&self.domain, &self.api_prefix) {
            (Some(domain), _) => JetStreamApi::Domain(domain.get_ref().as_str().to_owned()),
            (None, Some(prefix)) => JetStreamApi::Prefix(prefix.get_ref().as_str().to_owned()),
            (None, None) => JetStreamApi::Own,
        })
    }

    /// What the broker's stream is called: as said, or as the pipeline would call it.
    pub(super) fn held_in(&self, made: impl FnOnce() -> String) -> String {
        let named = self.source.as_ref().or(self.stream.as_ref());
        named.map_or_else(made, |name| name.get_ref().as_str().to_owned())
    }
}

/// What an event time counts since 1970 that is a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum TimeUnit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[default]
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds.
    #[serde(rename = "us")]
    Microseconds,
}

/// What has a watermark of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Partition {
    /// The stream as a whole.
    #[default]
    Stream,
    /// Each concrete subject.
    Subject,
}

/// What becomes of an event that is too late for every feature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Late {
    /// It goes to the dead-letter subject.
    #[default]
    DeadLetter,
    /// It is only counted.
    Drop,
}

mod default {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    const REMEMBER_IDS: NonZeroUsize = NonZeroUsize::new(1_000_000).unwrap();
    const MAX_DEPTH: NonZeroUsize = NonZeroUsize::new(16).unwrap();

    pub(super) fn remember_ids() -> NonZeroUsize {
        REMEMBER_IDS
    }

    pub(super) fn disorder() -> Duration {
        Duration::from_secs(5)
    }

    pub(super) fn idle() -> Duration {
        Duration::from_secs(30)
    }

    /// 2000-01-01T00:00:00Z.
    pub(super) fn earliest_micros() -> i64 {
        946_684_800_000_000
    }

    pub(super) fn ahead() -> Duration {
        Duration::from_secs(60)
    }

    pub(super) fn max_event_bytes() -> u64 {
        64 << 10
    }

    pub(super) fn max_depth() -> NonZeroUsize {
        MAX_DEPTH
    }
}
