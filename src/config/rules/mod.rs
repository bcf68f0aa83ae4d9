//! What the parts of a folder say of each other: references that must lead somewhere, subjects that must not meet.
//!
//! ```text
//!  [train] ── needs ──▶ [labels] ── needs ──▶ [score] ── needs ──▶ [model]
//!                           └── stream ──┐       └── on, stream ──┐
//!  features/*.sql ◀── [tables.NAME]      ├──▶ [streams.NAME] ◀────┘
//!                                        subjects: none overlaps another, or what the pipeline publishes
//!                                        streams in the broker: each has a name of its own
//! ```
//!
//! A section that could not be read takes part only by being there. Rules are checked all, so that every broken one is
//! reported; none looks at SQL, contracts' text or the model.

mod broker;
mod learning;
mod references;
mod scoring;
mod subjects;

use std::ops::Range;
use std::path::Path;

use toml::Spanned;

use super::document::Draft;
use super::files::find_above;
use super::name::SqlName;
use super::nearest::did_you_mean;
use super::problem::Problem;
use super::source::Source;

pub(super) use broker::{OwnStream, own_streams};

/// The relation of rows to score in `vector.sql`: no stream or table may have its name.
const REQUESTS: &str = "requests";

/// What to write into a section `[model]` that is missing.
const MODEL_ADVICE: &str = "add graph = \"model/NAME.onnx\" to it; `tidewheel model new` makes such a file";

/// What the rules look at.
pub(super) struct Facts<'a> {
    pub(super) folder: &'a Path,
    pub(super) source: &'a Source,
    pub(super) draft: &'a Draft,
    /// The names of all files in `features/`, readable or not.
    pub(super) feature_names: &'a [String],
    /// Whether there is a `vector.sql`.
    pub(super) has_vector: bool,
}

impl Facts<'_> {
    /// Every rule that is broken.
    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_names(&mut problems);
        self.check_contracts(&mut problems);
        self.check_stream_subjects(&mut problems);
        self.check_own_subjects(&mut problems);
        self.check_broker_streams(&mut problems);
        self.check_references(&mut problems);
        self.check_vector(&mut problems);
        if let Some(score) = self.draft.score.sound() {
            self.check_score(score, &mut problems);
        }
        self.check_learning_needs(&mut problems);
        if let Some(labels) = self.draft.labels.sound() {
            self.check_labels(labels, &mut problems);
        }
        problems
    }

    /// A section of a table belongs to a file, and nobody takes the name of the rows to score.
    fn check_names(&self, problems: &mut Vec<Problem>) {
        let names = || self.feature_names.iter().map(String::as_str);
        for (table, (place, _)) in &self.draft.tables.sound {
            if !names().any(|name| name == table.as_str()) {
                let suggestion = did_you_mean(table.as_str(), names())
                    .unwrap_or_else(|| format!("write features/{table}.sql, or remove the section"));
                problems.push(self.at(place, format!("there is no features/{table}.sql")).suggest(suggestion));
            }
        }
        if let Some((place, _)) = self.draft.streams.sound.get(REQUESTS) {
            let message = format!("a stream can't be called `{REQUESTS}`: vector.sql calls the rows to score so");
            problems.push(self.at(place, message));
        }
    }

    fn check_contracts(&self, problems: &mut Vec<Problem>) {
        let streams = self.draft.streams.sound.values().map(|(_, stream)| &stream.contract);
        let references = self.draft.references.sound.values().filter_map(|(_, reference)| reference.contract.as_ref());
        let request = self.draft.score.sound().and_then(|score| score.get_ref().request.as_ref());
        for contract in streams.chain(references).chain(request) {
            if find_above(self.folder, contract.get_ref()).is_none() {
                let message = format!("contract \"{}\" not found", contract.get_ref().display());
                problems.push(
                    self.at(&contract.span(), message)
                        .suggest("it is looked for in the pipeline's folder and in each folder above it"),
                );
            }
        }
    }

    /// Whatever scores needs a vector.
    fn check_vector(&self, problems: &mut Vec<Problem>) {
        let needed_by = [("[score]", self.draft.score.is_absent()), ("[model]", self.draft.model.is_absent())];
        if let Some((section, _)) = needed_by.into_iter().find(|(_, is_absent)| !self.has_vector && !is_absent) {
            problems.push(
                Problem::new(&self.folder.join("vector.sql"), format!("file not found, and {section} needs it"))
                    .suggest(format!("write a SELECT from `{REQUESTS}` whose columns are the model's inputs")),
            );
        }
    }

    fn is_declared(&self, stream: &Spanned<SqlName>) -> bool {
        self.draft.streams.declared.iter().any(|name| name == stream.get_ref().as_str())
    }

    /// A stream that is named is declared; `condition` is the key, and its place, of a condition on the stream's events,
    /// which needs the name where there are several.
    fn check_stream(
        &self,
        stream: Option<&Spanned<SqlName>>,
        condition: Option<(&str, Range<usize>)>,
        problems: &mut Vec<Problem>,
    ) {
        let declared = &self.draft.streams.declared;
        let list = || declared.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match (stream, condition) {
            (Some(stream), _) if !self.is_declared(stream) => {
                let suggestion = did_you_mean(stream.get_ref().as_str(), declared.iter().map(String::as_str))
                    .unwrap_or_else(|| format!("declared are {}", list()));
                problems.push(self.at(&stream.span(), format!("stream `{stream}` not found")).suggest(suggestion));
            }
            (None, Some((key, place))) if declared.len() > 1 => problems.push(
                self.at(&place, format!("`{key}` needs `stream`, for there are several"))
                    .suggest(format!("add stream = \"NAME\", one of {}", list())),
            ),
            _ => {}
        }
    }

    fn at(&self, place: &Range<usize>, message: impl Into<String>) -> Problem {
        self.source.problem_at(place.clone(), message)
    }
}
