//! The model: that it fits the vector, and can be trained where it is to be.

use std::path::Path;

use super::Assembly;
use crate::config::learning;
use crate::model::onnx::Document;
use crate::model::train::Trainer;
use crate::model::{Binding, ModelVersion, Session};
use crate::pipeline::ModelPlan;

impl Assembly<'_> {
    pub(super) fn training(&mut self) {
        let (Some(train), Some(labels), Some(model), Some(vector)) =
            (&self.folder.settings.train, &self.labels, &self.model, &self.vector)
        else {
            return;
        };
        let plan = learning::train_plan(train, labels, model.output.clone());
        let binding = Binding {
            columns: vector.columns(),
            fingerprint: Some(vector.fingerprint().as_str()),
            output: model.output.as_deref(),
        };
        // What cannot be trained is said now, not when the first example comes.
        let document = Document::read(&model.bytes);
        match document.and_then(|document| Trainer::new(document, &binding, &plan.settings)) {
            Ok(_) => self.train = Some(plan),
            Err(error) => {
                let place = self.folder.settings.model.as_ref().map_or(0..0, |model| model.graph.span());
                let message = format!("the model can't be trained: {error}");
                self.problems.push(self.folder.source.problem_at(place, message));
            }
        }
    }

    pub(super) fn model(&mut self) {
        let (Some(model), Some(vector)) = (&self.folder.settings.model, &self.vector) else { return };
        let path = self.folder.path.join(model.graph.get_ref());
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let advice = format!(
                    "tidewheel model new --kind mlp --hidden 64,32 --out {} {}",
                    path.display(),
                    self.folder.path.display()
                );
                let problem = self.folder.source.problem_at(model.graph.span(), format!("{}: {error}", path.display()));
                self.problems.push(problem.suggest(advice));
                return;
            }
        };
        let found = ModelVersion::of(&bytes);
        if let Some(version) = model.version.as_ref().filter(|version| *version.get_ref() != found) {
            let message = format!("{} is version {found}, not {}", show(&path), version.get_ref());
            let problem = self.folder.source.problem_at(version.span(), message);
            self.problems
                .push(problem.suggest("put the file back that this is about, or write the version of this one"));
            return;
        }
        let output = model.output.as_ref().map(|output| output.get_ref().clone());
        let binding = Binding {
            columns: vector.columns(),
            fingerprint: Some(vector.fingerprint().as_str()),
            output: output.as_deref(),
        };
        let mixing = self.folder.settings.score.as_ref().map(|score| score.mixing.into()).unwrap_or_default();
        let bound = Session::from_bytes(&bytes, 1).and_then(|session| session.bind(&binding)?.with_mixing(mixing));
        match bound {
            Ok(scorer) => match (scorer.mixes(), &self.folder.settings.train) {
                (Some(found), Some(_)) => {
                    let message = format!(
                        "{}: a row's score depends on the rows that are scored with it: {found}: such a model can't be trained",
                        show(&path)
                    );
                    let problem = self.folder.source.problem_at(model.graph.span(), message);
                    self.problems.push(problem.suggest("leave [train] out, or export the model without that"));
                }
                _ => self.model = Some(ModelPlan { bytes, output }),
            },
            Err(error) => {
                self.problems
                    .push(self.folder.source.problem_at(model.graph.span(), format!("{}: {error}", show(&path))));
            }
        }
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}
