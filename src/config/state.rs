//! `[state]` and `[output]`: how often the state is saved and outputs are committed, and how the broker keeps them.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::{count, duration, size};
use crate::pipeline::{OutputPlan, StatePlan};
use crate::snapshot::Location;

/// Where the pipeline keeps its files, how often it saves its state, and how often it commits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a section [state]")]
pub struct State {
    /// The folder, relative to the working folder: `.state/<name>` unless given.
    pub folder: Option<PathBuf>,
    /// Where snapshots of the state are kept: a folder, or an object store as `s3://bucket/prefix`, `gs://bucket/prefix` or
    /// `az://container/prefix`, whose credentials come from the environment. The folder `snapshots` in the state's folder
    /// unless given.
    #[serde(default, deserialize_with = "location_if_given")]
    #[schemars(with = "Option<String>")]
    pub snapshots: Option<Location>,
    /// The time between two snapshots, from the end of one to the beginning of the next: a restart reads again what came
    /// after the last one. It is longer where taking one would stop a thread for more than a twentieth of the time. 10
    /// seconds unless given.
    #[serde(default = "default::checkpoint", deserialize_with = "duration::positive")]
    #[schemars(schema_with = "duration::schema", extend("default" = "10s"))]
    pub checkpoint: Duration,
    /// How long outputs wait for others, to be committed together: shorter is sooner in the broker, longer is cheaper. 990
    /// of them are committed at once. Replies to requests do not wait. 50 milliseconds unless given.
    #[serde(default = "default::epoch", deserialize_with = "duration::positive")]
    #[schemars(schema_with = "duration::schema", extend("default" = "50ms"))]
    pub epoch: Duration,
    /// What happens at an event or a row that an expression of the pipeline fails on: it becomes a dead letter and the rest
    /// goes on, or the pipeline stops, and stops there again until the expression is mended. `dead-letter` unless given.
    #[serde(default)]
    #[schemars(extend("default" = "dead-letter"))]
    pub poison: Poison,
    /// What becomes of requests while a table whose feature file has changed is made again: they wait, or are answered at once
    /// as if the table had never seen anything, which is counted, and nothing is learnt from such answers. Tables of windows
    /// are waited for in any case. `wait` unless given.
    #[serde(default)]
    #[schemars(extend("default" = "wait"))]
    pub rebuilding: Rebuilding,
}

/// What becomes of requests while a table is made again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Rebuilding {
    /// They wait.
    #[default]
    Wait,
    /// The table's columns are those of keys that were never seen.
    Empty,
}

/// What happens at an event or a row that an expression fails on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Poison {
    /// It becomes a dead letter.
    #[default]
    DeadLetter,
    /// The pipeline stops.
    Stop,
}

/// How the broker keeps what comes out of the pipeline.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a section [output]")]
pub struct Output {
    /// For how long rankings, rows, examples and dead letters are kept; longer where `labels.retain` says so. 7 days unless
    /// given.
    #[serde(default = "default::retain", deserialize_with = "duration::positive")]
    #[schemars(schema_with = "duration::schema", extend("default" = "7d"))]
    pub retain: Duration,
    /// How many bytes of them are kept. 1 GiB unless given.
    #[serde(default = "default::max_bytes", deserialize_with = "size::bytes")]
    #[schemars(schema_with = "size::schema", extend("default" = "1 GiB"))]
    pub max_bytes: u64,
    /// What happens at that many bytes: the pipeline waits until there is room again, and falls behind meanwhile, or the
    /// oldest outputs are dropped, read or not. `wait` unless given.
    #[serde(default)]
    #[schemars(extend("default" = "wait"))]
    pub full: Full,
    /// Copies that the broker keeps of each of the pipeline's streams that does not exist yet, on so many servers. 1 unless
    /// given.
    #[serde(default = "default::replicas", deserialize_with = "count::positive")]
    pub replicas: NonZeroUsize,
}

/// What happens when the outputs fill their stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Full {
    /// The pipeline waits.
    #[default]
    Wait,
    /// The oldest outputs are dropped.
    DropOldest,
}

impl Default for State {
    fn default() -> Self {
        Self {
            folder: None,
            snapshots: None,
            checkpoint: default::checkpoint(),
            epoch: default::epoch(),
            poison: Poison::default(),
            rebuilding: Rebuilding::default(),
        }
    }
}

impl Default for Output {
    fn default() -> Self {
        Self {
            retain: default::retain(),
            max_bytes: default::max_bytes(),
            full: Full::default(),
            replicas: default::replicas(),
        }
    }
}

impl State {
    /// As the engine takes it.
    pub(super) fn plan(&self) -> StatePlan {
        StatePlan {
            epoch: self.epoch,
            checkpoint: self.checkpoint,
            snapshots: self.snapshots.clone(),
            stops_at_poison: self.poison == Poison::Stop,
            answers_while_rebuilding: self.rebuilding == Rebuilding::Empty,
        }
    }
}

impl Output {
    /// As the engine takes it.
    pub(super) fn plan(&self) -> OutputPlan {
        OutputPlan { retain: self.retain, max_bytes: self.max_bytes, drops_oldest: self.full == Full::DropOldest }
    }
}

/// A place for snapshots, and may be left out.
fn location_if_given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Location>, D::Error> {
    let given = String::deserialize(deserializer)?;
    Location::parse(&given).map(Some).map_err(D::Error::custom)
}

mod default {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    pub(super) fn checkpoint() -> Duration {
        Duration::from_secs(10)
    }

    pub(super) fn epoch() -> Duration {
        Duration::from_millis(50)
    }

    pub(super) fn retain() -> Duration {
        Duration::from_secs(7 * 24 * 3_600)
    }

    pub(super) fn max_bytes() -> u64 {
        1 << 30
    }

    pub(super) fn replicas() -> NonZeroUsize {
        NonZeroUsize::MIN
    }
}
