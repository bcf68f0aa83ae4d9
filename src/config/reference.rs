//! `[references.NAME]`: a table of facts that events are joined with.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::duration;

/// A reference table: rows by key, read from a file or a NATS key-value bucket, and read again when they change. Exactly
/// one of `file` and `bucket` is needed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a section such as [references.items]")]
pub struct Reference {
    /// The file: `.csv` with a header, `.jsonl` or `.ndjson`, or `.parquet`. It is looked for in the pipeline's folder,
    /// then in each folder above it.
    #[schemars(with = "Option<String>")]
    pub file: Option<Spanned<PathBuf>>,
    /// The NATS key-value bucket: each value is a JSON object, a row of the table.
    #[schemars(with = "Option<String>")]
    pub bucket: Option<Spanned<String>>,
    /// The columns that a row is found by: `LEFT JOIN items ON clicks.item_id = items.item_id`.
    #[schemars(with = "Vec<String>", length(min = 1))]
    pub key: Spanned<Vec<Spanned<String>>>,
    /// The column with the time from which a row holds, included. With it, or `valid_to`, an event is joined with the row
    /// that held at its own time, and a key may have several rows.
    #[schemars(with = "Option<String>")]
    pub valid_from: Option<Spanned<String>>,
    /// The column with the time until which a row holds, excluded.
    #[schemars(with = "Option<String>")]
    pub valid_to: Option<Spanned<String>>,
    /// The rows' contract: a JSON Schema file, looked for like those of streams. Without it the types are taken from the
    /// file; a bucket needs one.
    #[schemars(with = "Option<String>")]
    pub contract: Option<Spanned<PathBuf>>,
    /// How often a file is looked at for changes. 10 seconds unless given.
    #[serde(default = "default::refresh", deserialize_with = "duration::positive")]
    #[schemars(schema_with = "duration::schema", extend("default" = "10s"))]
    pub refresh: Duration,
}

mod default {
    use std::time::Duration;

    pub(super) fn refresh() -> Duration {
        Duration::from_secs(10)
    }
}
