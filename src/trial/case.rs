//! The format of a pipeline's test case: `tests/*.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use super::value::Value;

/// Events in, and what must come out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// What the case shows.
    pub(super) about: String,
    /// Batches of events, applied in order.
    #[serde(default)]
    pub(super) events: Vec<Events>,
    /// Whether event time goes on after the last event, until every window has closed.
    #[serde(default)]
    pub(super) end: bool,
    /// Rows that tables of windows have emitted.
    #[serde(default)]
    pub(super) emits: Vec<Emits>,
    /// What must have become of the events.
    pub(super) counts: Option<ExpectedCounts>,
    /// Rows of feature tables.
    #[serde(default)]
    pub(super) rows: Vec<Row>,
    /// Vectors.
    #[serde(default)]
    pub(super) vectors: Vec<Vector>,
    /// Rankings.
    #[serde(default)]
    pub(super) scores: Vec<Score>,
}

/// JSON lines for a stream; each line is a message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Events {
    pub(super) stream: String,
    pub(super) lines: String,
    /// The subject of the messages; one that the stream's first pattern matches unless given.
    pub(super) subject: Option<String>,
    /// When the broker received the messages; unless given, each at the least event time of its own and all later events of
    /// the case, so that nobody's clock is ahead but that of an event which is followed by earlier ones.
    pub(super) published: Option<String>,
}

/// What a table of windows has emitted, in that order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Emits {
    pub(super) table: String,
    /// Only rows of this kind: `early`, `final`, `late` or `removed`.
    pub(super) kind: Option<String>,
    /// All rows; columns that are left out are not compared.
    pub(super) expect: Vec<BTreeMap<String, Value>>,
}

/// Outcomes that are compared; those left out are not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedCounts {
    pub(super) counted: Option<u64>,
    pub(super) late: Option<u64>,
    pub(super) rejected: Option<u64>,
    pub(super) duplicate: Option<u64>,
    /// Events that are scored by themselves and whose vector can't be.
    pub(super) unscorable: Option<u64>,
    /// Events that a table left out because an expression failed on them, for each such table.
    pub(super) failed: Option<u64>,
}

/// A row of a table as of a time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) table: String,
    pub(super) key: BTreeMap<String, Json>,
    /// As of when; a table of windows is read as it is in the end.
    pub(super) at: Option<String>,
    /// Columns that are compared.
    #[serde(default)]
    pub(super) expect: BTreeMap<String, Value>,
    /// There must be no row.
    #[serde(default)]
    pub(super) missing: bool,
}

/// The vector of one thing to score.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vector {
    pub(super) request: BTreeMap<String, Json>,
    pub(super) at: String,
    pub(super) expect: BTreeMap<String, Value>,
}

/// A ranking.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Score {
    pub(super) request: BTreeMap<String, Json>,
    pub(super) at: String,
    pub(super) expect: Expected,
}

/// What holds of a ranking whatever the model's weights are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    /// How many items are ranked.
    pub(super) items: usize,
}
