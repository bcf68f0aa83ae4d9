//! `pipeline.toml` as values. The documentation of the fields is the reference manual, also in the JSON Schema.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::class;
use super::labels::Labels;
use super::missing::{self, MissingColumns};
use super::name::{PipelineName, SqlName};
use super::naming::Naming;
use super::reference::Reference;
use super::score::Score;
use super::state::{Output, State};
use super::stream::Stream;
use super::subject::overlap;
use super::table::Table;
use super::train::Train;
use crate::model::{Class, ModelVersion};
use crate::pipeline::Names;

/// A pipeline: which events it reads, which features it keeps, and what it scores with them.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields, title = "Tidewheel pipeline")]
pub struct Settings {
    /// The pipeline's name: a letter a to z, then a to z, 0 to 9, `_` and `-`, at most 40 characters.
    /// Unusable events go to the subject `<name>.dead`, and the broker's streams are named after it. `<name>.commits`,
    /// `<name>.sql` and, with `[labels]`, `<name>.impressions` and `<name>.examples` are the pipeline's own too.
    pub name: PipelineName,
    /// The streams of events, each in a section `[streams.NAME]`. The name is the relation that feature SQL selects
    /// from: a to z, 0 to 9 and `_`.
    pub streams: BTreeMap<SqlName, Stream>,
    /// Settings of single feature tables, each in a section `[tables.NAME]`, where `features/NAME.sql` is the table.
    #[schemars(default)]
    pub tables: BTreeMap<SqlName, Table>,
    /// Tables of facts that events are joined with, each in a section `[references.NAME]`. The name is the relation in
    /// feature SQL.
    #[schemars(default)]
    pub references: BTreeMap<SqlName, Reference>,
    /// The model that scores. Without it the pipeline only keeps features.
    pub model: Option<Model>,
    /// When rankings are made and where they go.
    pub score: Option<Score>,
    /// Which feedback makes what was scored into examples to learn from. Without it nothing is labelled.
    pub labels: Option<Labels>,
    /// How those examples train the model while it serves, and when what was learnt is served. Without it the model stays
    /// as it is.
    pub train: Option<Train>,
    /// Where the pipeline keeps its files, and how often it saves and commits.
    #[schemars(default)]
    pub state: State,
    /// How the broker keeps what comes out.
    #[schemars(default)]
    pub output: Output,
    /// What the pipeline's own streams, buckets and subjects are called in the broker, where others have those names.
    #[schemars(default)]
    pub names: Naming,
}

impl Settings {
    /// The settings of a feature table, whether it has a section or not.
    pub(super) fn table(&self, name: &str) -> Cow<'_, Table> {
        self.tables.get(name).map_or_else(|| Cow::Owned(Table::default()), Cow::Borrowed)
    }

    /// What the pipeline is called in the broker.
    pub(crate) fn names(&self) -> Names {
        let reads_sources = self.streams.values().any(|stream| stream.source.is_some());
        Names::choosing(self.name.as_str(), self.names.chosen(self.name.as_str(), reads_sources))
    }

    /// The folder for the pipeline's files, relative to the working folder unless it is absolute.
    pub fn state_folder(&self) -> PathBuf {
        self.state.folder.clone().unwrap_or_else(|| [".state", self.name.as_str()].iter().collect())
    }

    /// The stream whose events are scored, and the SQL condition on an event that makes it one to score.
    pub fn trigger(&self) -> Option<(&SqlName, &Spanned<String>)> {
        let score = self.score.as_ref()?;
        let condition = score.on.as_ref()?;
        Some((self.stream(score.stream.as_ref())?, condition))
    }

    /// The stream whose events are feedback, and what becomes of them.
    pub fn feedback(&self) -> Option<(&SqlName, &Labels)> {
        let labels = self.labels.as_ref()?;
        Some((self.stream(labels.stream.as_ref())?, labels))
    }

    /// The subjects of all streams.
    pub(crate) fn subjects(&self) -> Vec<&str> {
        self.streams.values().flat_map(Stream::patterns).collect()
    }

    /// The stream that reads what is sent to a subject.
    pub(crate) fn stream_reading(&self, subject: &str) -> Option<&Stream> {
        self.streams.values().find(|stream| stream.patterns().any(|pattern| overlap(pattern, subject)))
    }

    /// The stream that a section names; without a name there is only one: a rule of the folder.
    fn stream<'a>(&'a self, named: Option<&'a Spanned<SqlName>>) -> Option<&'a SqlName> {
        named.map(Spanned::get_ref).or_else(|| self.streams.keys().next())
    }
}

/// The model that turns vectors into scores.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a section [model]")]
pub struct Model {
    /// The ONNX file, relative to the pipeline's folder: yours, or one made by `tidewheel model new`.
    #[schemars(with = "String")]
    pub graph: Spanned<PathBuf>,
    /// The file's version, 12 digits, as `tidewheel model new` and every reply say it. With it a file that was changed or
    /// damaged is refused before it is run; without it any file that fits the vector is a model.
    #[schemars(with = "Option<String>")]
    pub version: Option<Spanned<ModelVersion>>,
    /// The output of the graph that is the score, one number per row. Needed only when the graph has several.
    #[schemars(with = "Option<String>")]
    pub output: Option<Spanned<String>>,
    /// What makes the score of that output: what is served, and what `[train]` holds against labels. Nothing unless given:
    /// the output is the score.
    #[schemars(with = "Option<Activation>")]
    pub activation: Option<Spanned<Activation>>,
    /// Which of the output's columns is the score: its number from 0, or the name that the model gives its class, such as
    /// "buy". Needed only when there are more than two, or two that are not the probabilities of two classes; of those it is
    /// the second unless given.
    #[serde(default, deserialize_with = "class::if_given")]
    #[schemars(schema_with = "class::schema")]
    pub class: Option<Class>,
    /// What NULL in a column of numbers becomes, for a model that takes NaN as a missing value: "nan" in every column, or
    /// { age = "nan" } in those that are named. NULL there is no problem then, and NaN none either. In other columns a row with
    /// NULL has no score.
    #[serde(default)]
    #[schemars(schema_with = "missing::schema")]
    pub missing: Option<Spanned<MissingColumns>>,
}

/// What makes the score of that output: what is served, and what `[train]` holds against labels. Nothing unless given: the
/// output is the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Activation {
    /// For an output that is a logit: the score is its probability.
    Sigmoid,
}
