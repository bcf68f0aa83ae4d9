//! A folder → a pipeline that can run: contracts parsed, selects planned, the model tried.
//!
//! ```text
//!  streams, references ─▶ tables ─▶ vector, scoring, labels ─▶ model ─▶ training
//! ```
//!
//! Every part is looked at, so that all problems are reported together. Of one that depends on a faulty part only that is said
//! which can be told without it.

mod avro;
mod model;
mod scoring;
mod streams;
mod tables;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use toml::Spanned;

use super::folder::Folder;
use super::nearest::did_you_mean;
use super::problem::{Place, Problem, Problems};
use super::source::Source;
use super::subject::Subject;
use crate::bus;
use crate::feature::{TableText, VectorPlan};
use crate::pipeline::{LabelPlan, ModelPlan, Pipeline, ReferencePlan, ScorePlan, StreamPlan, TablePlan, TrainPlan};
use crate::sql::{PlanError, Planner, Unknown, only_place_of, place_of};

impl Folder {
    /// The executable pipeline.
    ///
    /// # Errors
    /// With everything that is wrong with contracts, SQL and model.
    pub fn assemble(&self) -> Result<Pipeline, Problems> {
        let mut assembly = Assembly::new(self);
        assembly.plan();
        assembly.model();
        assembly.training();
        assembly.finish()
    }

    /// The pipeline without its model: what is needed to make one.
    ///
    /// # Errors
    /// As [`Self::assemble`].
    pub fn assemble_without_model(&self) -> Result<Pipeline, Problems> {
        let mut assembly = Assembly::new(self);
        assembly.plan();
        assembly.finish()
    }
}

struct Assembly<'a> {
    folder: &'a Folder,
    problems: Vec<Problem>,
    /// Relations that there are and whose columns are not known.
    unsound: BTreeSet<String>,
    planner: Planner,
    streams: Vec<StreamPlan>,
    schemas: Vec<SchemaRef>,
    references: Vec<ReferencePlan>,
    tables: Vec<TablePlan>,
    /// Canonical text of each table's select.
    sources: Vec<TableText>,
    vector: Option<Arc<VectorPlan>>,
    score: Option<ScorePlan>,
    model: Option<ModelPlan>,
    labels: Option<LabelPlan>,
    train: Option<TrainPlan>,
}

impl<'a> Assembly<'a> {
    fn new(folder: &'a Folder) -> Self {
        Self {
            folder,
            problems: Vec::new(),
            unsound: folder.unsound.clone(),
            planner: crate::window::planner(),
            streams: Vec::new(),
            schemas: Vec::new(),
            references: Vec::new(),
            tables: Vec::new(),
            sources: Vec::new(),
            vector: None,
            score: None,
            model: None,
            labels: None,
            train: None,
        }
    }

    /// A subject as messages are sent to it, or a problem at its place.
    fn subject(&mut self, subject: &Spanned<Subject>) -> Option<bus::Subject> {
        let on_bus = subject.get_ref().on_bus();
        on_bus.map_err(|refusal| self.problems.push(refusal.into_problem(&self.folder.source, subject.span()))).ok()
    }

    fn plan(&mut self) {
        for (name, stream) in &self.folder.settings.streams {
            if self.stream(name.as_str(), stream).is_none() {
                self.unsound.insert(name.as_str().to_owned());
            }
        }
        for (name, reference) in &self.folder.settings.references {
            if self.reference(name.as_str(), reference).is_none() {
                self.unsound.insert(name.as_str().to_owned());
            }
        }
        self.features();
        self.scoring();
        self.labels();
    }

    /// Whether all relations that a select reads are known, or it is no select.
    fn is_readable(&self, sql: &str) -> bool {
        let relations = self.planner.relations(sql).unwrap_or_default();
        !relations.iter().any(|relation| self.unsound.contains(&relation.to_lowercase()))
    }

    fn finish(self) -> Result<Pipeline, Problems> {
        Problems::check(self.problems)?;
        Ok(Pipeline {
            name: self.folder.settings.name.as_str().to_owned(),
            names: self.folder.settings.names(),
            streams: self.streams,
            tables: self.tables,
            references: self.references,
            vector: self.vector,
            model: self.model,
            score: self.score,
            labels: self.labels,
            train: self.train,
            output: self.folder.settings.output.plan(),
            replicas: self.folder.settings.output.replicas.get(),
            state: self.folder.settings.state.plan(),
        })
    }
}

fn in_sql(source: &Source, error: PlanError) -> Problem {
    let near = || error.near.as_ref().and_then(|text| place_of(&source.text, text));
    // What a message quotes is what it is about.
    let quoted = || error.message.split('`').skip(1).step_by(2).find_map(|text| only_place_of(&source.text, text));
    let place = error.place.or_else(near).or_else(quoted);
    let suggestion = error.suggestion.or_else(|| error.unknown.map(known_words));
    let problem = match place {
        Some((line, column)) => source.problem_in(Place { line, column }, error.message),
        None => source.problem(error.message),
    };
    problem.suggest_some(suggestion)
}

/// What could have been meant by a word that is not known.
fn known_words(unknown: Unknown) -> String {
    let Unknown { word, known } = unknown;
    let listed =
        || format!("known are {}", known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "));
    did_you_mean(&word, known.iter().map(String::as_str)).unwrap_or_else(listed)
}
