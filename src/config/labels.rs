//! `[labels]`: which feedback makes what was scored into an example to learn from.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::name::SqlName;
use super::text::Refusal;
use super::{count, duration, number, size};

/// Which feedback makes what was scored into examples to learn from. Each candidate that was scored waits with its exact
/// vector: feedback makes it a positive at once, and its window's end without any makes it a negative. Examples go to
/// the subject `<name>.examples`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a section [labels]")]
pub struct Labels {
    /// The stream whose events are feedback. Needed where there are several streams.
    #[schemars(with = "Option<SqlName>")]
    pub stream: Option<Spanned<SqlName>>,
    /// The columns by which feedback finds what it is about, such as `["request_id", "item_id"]`: an event of the stream
    /// and a scored row (the relation `requests` of vector.sql) both have them, and belong together when all are equal.
    #[serde(deserialize_with = "columns")]
    #[schemars(with = "Vec<String>", length(min = 1), extend("uniqueItems" = true))]
    pub join: Vec<Spanned<String>>,
    /// A condition in SQL on an event of that stream: the feedback that makes a positive.
    #[schemars(with = "String")]
    pub positive: Spanned<String>,
    /// How long a scored row waits for feedback, in event time, and by the clock while no event comes: without any for so
    /// long it becomes a negative. Feedback in as long a time again corrects the negative. 15 minutes unless given.
    #[serde(default = "default::window", deserialize_with = "duration::positive")]
    #[schemars(schema_with = "duration::schema", extend("default" = "15m"))]
    pub window: Duration,
    /// The column of vector.sql that examples replace by the place at which the row was shown, counted from 0. Serving sees
    /// what vector.sql says, a constant as a rule: so the model learns how much of a click is owed to the place, and ranks
    /// without it. Without this, examples are exactly what was served.
    #[schemars(with = "Option<String>")]
    pub position: Option<Spanned<String>>,
    /// The share of negatives that become examples, above 0 and at most 1. Which ones is decided by a hash, the same in
    /// every run, and training corrects its predictions for those left out. 1.0 (all) unless given.
    #[serde(default = "default::negatives", deserialize_with = "number::share")]
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0, "default" = 1.0))]
    pub negatives: f64,
    /// How many scored rows are remembered. Beyond that the oldest are forgotten, unlabelled, and counted. 1,000,000
    /// unless given.
    #[serde(default = "default::max_rows", deserialize_with = "count::positive")]
    pub max_rows: NonZeroUsize,
    /// How many bytes of scored rows are remembered, with their vectors; beyond that as for `max_rows`. 512 MB unless
    /// given.
    #[serde(default = "default::max_bytes", deserialize_with = "size::bytes")]
    #[schemars(schema_with = "size::schema", extend("default" = "512 MB"))]
    pub max_bytes: u64,
    /// How long the broker keeps the examples: training that was away for so long still finds them all. 7 days unless
    /// given.
    #[serde(default = "default::retain", deserialize_with = "duration::positive")]
    #[schemars(schema_with = "duration::schema", extend("default" = "7d"))]
    pub retain: Duration,
}

/// The columns of a join: at least one, none twice.
fn columns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Spanned<String>>, D::Error> {
    let columns = Vec::<Spanned<String>>::deserialize(deserializer)?;
    if columns.is_empty() {
        let suggestion = "name what feedback and scored rows share, such as [\"request_id\", \"item_id\"]";
        return Err(Refusal::new("`join` names no column", suggestion).into_serde());
    }
    let mut seen = BTreeSet::new();
    match columns.iter().find(|column| !seen.insert(column.get_ref())) {
        Some(twice) => {
            Err(Refusal::new(format!("`join` names {:?} twice", twice.get_ref()), "remove one").into_serde())
        }
        None => Ok(columns),
    }
}

mod default {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    const MAX_ROWS: NonZeroUsize = NonZeroUsize::new(1_000_000).unwrap();

    pub(super) fn window() -> Duration {
        Duration::from_secs(15 * 60)
    }

    pub(super) fn negatives() -> f64 {
        1.0
    }

    pub(super) fn max_rows() -> NonZeroUsize {
        MAX_ROWS
    }

    pub(super) fn max_bytes() -> u64 {
        512_000_000
    }

    pub(super) fn retain() -> Duration {
        Duration::from_secs(7 * 24 * 60 * 60)
    }
}
