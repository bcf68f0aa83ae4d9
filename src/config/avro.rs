//! `[streams.NAME] avro`: events in Avro instead of JSON, by schemas of the folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// How messages say which schema they are of. Exactly one of its settings is given.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table such as { record = \"click.avsc\" }")]
#[schemars(inline)]
pub struct Avro {
    /// The schema of messages that are one record each and nothing else.
    #[schemars(with = "Option<String>")]
    pub record: Option<Spanned<PathBuf>>,
    /// The schemas of messages in single-object encoding, each of which names its schema by a fingerprint.
    #[schemars(with = "Option<Vec<String>>")]
    pub single_object: Option<Vec<Spanned<PathBuf>>>,
    /// The schemas of messages as Confluent's serializers write them, each by its number in the registry: `{ 7 = "click.avsc" }`.
    /// The registry itself is not asked.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub confluent: Option<BTreeMap<String, Spanned<PathBuf>>>,
}
