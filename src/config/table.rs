//! `[tables.NAME]`: what a feature table keeps, when its rows are emitted, and where they go.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::emit::Emit;
use super::history::History;
use super::subject::Subject;
use super::{duration, size};
use crate::window::{Budget, WindowSettings};

/// Settings of one feature table.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a section such as [tables.user_activity]")]
pub struct Table {
    /// How far back aggregates without `within(...)` look. For a table with a window in GROUP BY: how long after its end a
    /// row can be looked up in `vector.sql` and with `tidewheel sql`. 30 days unless given.
    #[serde(default = "default::retention", deserialize_with = "duration::positive")]
    #[schemars(schema_with = "duration::schema", extend("default" = "30 days"))]
    pub retention: Duration,
    /// When rows of a table with a window in GROUP BY are emitted. `"on close"`: once, when the watermark passes the end of
    /// the window. `"on update"`: whenever a row has changed, at most once per second of event time; `{ update = "10s" }`
    /// sets another interval. `{ early = "10s" }`: what has changed, so often, and the final row at the close. `on close`
    /// unless given.
    #[schemars(with = "Option<Emit>")]
    pub emit: Option<Spanned<Emit>>,
    /// How long after its close a window still takes events; each change is emitted again. Nothing unless given.
    #[serde(default, deserialize_with = "duration::placed_if_given")]
    #[schemars(schema_with = "duration::schema")]
    pub lateness: Option<Spanned<Duration>>,
    /// The NATS subject on which emitted rows are published, one JSON object each.
    #[schemars(with = "Option<Subject>")]
    pub publish: Option<Spanned<Subject>>,
    /// Whether emitted rows are appended to a Delta table in the pipeline's state folder. `true`: for ever.
    /// `{ retain = "90 days" }`: rows of a date (of their `date`, else of their `window_start`, in UTC) are dropped once it
    /// is so long ago by the machine's clock. False unless given.
    #[schemars(with = "Option<History>")]
    pub history: Option<Spanned<History>>,
    /// How much memory the table may take. No limit unless given.
    #[serde(default, deserialize_with = "size::bytes_if_given")]
    #[schemars(schema_with = "size::schema")]
    pub memory: Option<u64>,
    /// What happens when that is reached: `stop` ends the pipeline with an error that names the table, `evict` drops the
    /// keys that have been silent for longest, and counts them. `stop` unless given.
    #[serde(default)]
    #[schemars(extend("default" = "stop"))]
    pub at_limit: AtLimit,
}

/// What happens at a table's memory limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum AtLimit {
    /// The pipeline ends with an error.
    #[default]
    Stop,
    /// The keys that have been silent for longest are dropped.
    Evict,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            retention: default::retention(),
            emit: None,
            lateness: None,
            publish: None,
            history: None,
            memory: None,
            at_limit: AtLimit::default(),
        }
    }
}

impl Table {
    /// When rows of a table of windows are emitted, and how late events may be.
    pub(super) fn window_settings(&self) -> WindowSettings {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        WindowSettings {
            emit: self.emit.as_ref().map_or_else(Default::default, |emit| emit.get_ref().rule()),
            lateness: self.lateness.as_ref().map_or(0, |lateness| micros(*lateness.get_ref())),
            budget: self.budget(),
        }
    }

    /// How much memory the table may take.
    pub(super) fn budget(&self) -> Budget {
        let bytes = self.memory.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        match (bytes, self.at_limit) {
            (None, _) => Budget::UNLIMITED,
            (Some(bytes), AtLimit::Stop) => Budget::stop(bytes),
            (Some(bytes), AtLimit::Evict) => Budget::evict(bytes),
        }
    }

    /// The settings, with their places, that only a table of windows can follow.
    pub(super) fn only_for_windows(&self) -> impl Iterator<Item = (&'static str, std::ops::Range<usize>)> {
        let emit = self.emit.as_ref().map(|emit| ("emit", emit.span()));
        let lateness = self.lateness.as_ref().map(|lateness| ("lateness", lateness.span()));
        let publish = self.publish.as_ref().map(|publish| ("publish", publish.span()));
        let history = self.history.as_ref().filter(|history| *history.get_ref() != History::No);
        let history = history.map(|history| ("history", history.span()));
        [emit, lateness, publish, history].into_iter().flatten()
    }
}

mod default {
    use std::time::Duration;

    pub(super) fn retention() -> Duration {
        Duration::from_secs(30 * 24 * 60 * 60)
    }
}
