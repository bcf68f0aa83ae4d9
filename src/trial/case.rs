//! The format of a pipeline's test case: `tests/*.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Events in, and what must come out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// What the case shows.
    pub(crate) about: String,
    /// Batches of events, applied in order.
    #[serde(default)]
    pub(crate) events: Vec<Events>,
    /// Whether event time goes on after the last event, until every window has closed.
    #[serde(default)]
    pub(crate) end: bool,
    /// Rows that tables of windows have emitted.
    #[serde(default)]
    pub(crate) emits: Vec<Emits>,
    /// What must have become of the events.
    pub(crate) counts: Option<Counts>,
    /// Rows of feature tables.
    #[serde(default)]
    pub(crate) rows: Vec<Row>,
    /// Vectors.
    #[serde(default)]
    pub(crate) vectors: Vec<Vector>,
    /// Rankings.
    #[serde(default)]
    pub(crate) scores: Vec<Score>,
}

/// JSON lines for a stream; each line is a message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Events {
    pub(crate) stream: String,
    pub(crate) lines: String,
    /// The subject of the messages; one that the stream's first pattern matches unless given.
    pub(crate) subject: Option<String>,
    /// The broker's time of the messages; after all events unless given.
    pub(crate) published: Option<String>,
}

/// What a table of windows has emitted, in that order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Emits {
    pub(crate) table: String,
    /// Only rows of this kind: `early`, `final`, `late` or `removed`.
    pub(crate) kind: Option<String>,
    /// All rows; columns that are left out are not compared.
    pub(crate) expect: Vec<BTreeMap<String, Value>>,
}

/// Outcomes that are compared; those left out are not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) counted: Option<u64>,
    pub(crate) late: Option<u64>,
    pub(crate) rejected: Option<u64>,
    pub(crate) duplicate: Option<u64>,
}

/// A row of a table as of a time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) table: String,
    pub(crate) key: BTreeMap<String, Value>,
    /// As of when; a table of windows is read as it is in the end.
    pub(crate) at: Option<String>,
    /// Columns that are compared.
    #[serde(default)]
    pub(crate) expect: BTreeMap<String, Value>,
    /// There must be no row.
    #[serde(default)]
    pub(crate) missing: bool,
}

/// The vector of one thing to score.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vector {
    pub(crate) request: BTreeMap<String, Value>,
    pub(crate) at: String,
    pub(crate) expect: BTreeMap<String, f64>,
}

/// A ranking.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Score {
    pub(crate) request: BTreeMap<String, Value>,
    pub(crate) at: String,
    pub(crate) expect: Expected,
}

/// What holds of a ranking whatever the model's weights are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    /// How many items are ranked.
    pub(crate) items: usize,
}
