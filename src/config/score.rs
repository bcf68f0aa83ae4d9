//! `[score]`: when rankings are made, and where they go.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::name::SqlName;
use super::subject::Subject;
use super::{count, duration};
use crate::model::Mixing as ModelMixing;

/// When rankings are made, and where they go. At least one of `service` and `on` is needed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a section [score]")]
pub struct Score {
    /// The NATS subject on which requests are answered: candidates in, ranking out.
    #[schemars(with = "Option<Subject>")]
    pub service: Option<Spanned<Subject>>,
    /// The contract of requests: a JSON Schema file, looked for like those of streams. Needed for `service`, unless `on`
    /// is given: then a request without a contract has the columns of the stream.
    #[schemars(with = "Option<String>")]
    pub request: Option<Spanned<PathBuf>>,
    /// The column of `requests` that holds one candidate item per row. `item_id` unless given.
    #[serde(default = "default::item")]
    #[schemars(with = "String", extend("default" = "item_id"))]
    pub item: Spanned<String>,
    /// The stream whose events are scored by themselves. Needed with `on` where there are several streams.
    #[schemars(with = "Option<SqlName>")]
    pub stream: Option<Spanned<SqlName>>,
    /// A condition in SQL on an event of that stream: the events that are scored by themselves.
    #[schemars(with = "Option<String>")]
    pub on: Option<Spanned<String>>,
    /// The NATS subject on which every ranking is published.
    #[schemars(with = "Option<Subject>")]
    pub publish: Option<Spanned<Subject>>,
    /// How many rows are scored together, and how long the first of them waits for others.
    #[serde(default)]
    pub batch: Batch,
    /// What happens with a model whose score of one row depends on the rows that are scored with it, as that of dynamically
    /// quantised models does. `refuse` unless given.
    #[serde(default)]
    #[schemars(extend("default" = "refuse"))]
    pub mixing: Mixing,
    /// How many requests may wait; those beyond are answered "busy" at once. 1024 unless given.
    #[serde(default = "default::queue", deserialize_with = "count::positive")]
    pub queue: NonZeroUsize,
    /// How many candidates one request may have. 1000 unless given.
    #[serde(default = "default::max_items", deserialize_with = "count::positive")]
    pub max_items: NonZeroUsize,
}

/// A micro-batch of rows to score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table such as { rows = 256, linger = \"2ms\" }")]
#[schemars(inline)]
pub struct Batch {
    /// The most rows. 256 unless given.
    #[serde(deserialize_with = "count::positive")]
    #[schemars(extend("default" = 256))]
    pub rows: NonZeroUsize,
    /// The longest wait of the first row. 2 milliseconds unless given.
    #[serde(deserialize_with = "duration::any")]
    #[schemars(schema_with = "duration::schema", extend("default" = "2ms"))]
    pub linger: Duration,
}

/// What happens with a model whose score of one row depends on others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Mixing {
    /// It is refused.
    #[default]
    Refuse,
    /// The candidates of a request are scored together and with nobody else's, an event by itself.
    PerRequest,
}

impl From<Mixing> for ModelMixing {
    fn from(mixing: Mixing) -> Self {
        match mixing {
            Mixing::Refuse => Self::Refuse,
            Mixing::PerRequest => Self::PerRequest,
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self { rows: default::BATCH_ROWS, linger: Duration::from_millis(2) }
    }
}

mod default {
    use std::num::NonZeroUsize;

    use toml::Spanned;

    pub(super) const BATCH_ROWS: NonZeroUsize = NonZeroUsize::new(256).unwrap();
    const QUEUE: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
    const MAX_ITEMS: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

    /// A default stands nowhere in the file: problems with it point at the beginning.
    pub(super) fn item() -> Spanned<String> {
        Spanned::new(0..0, "item_id".to_owned())
    }

    pub(super) fn queue() -> NonZeroUsize {
        QUEUE
    }

    pub(super) fn max_items() -> NonZeroUsize {
        MAX_ITEMS
    }
}
