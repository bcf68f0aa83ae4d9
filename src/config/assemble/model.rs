//! The model: that it fits the vector, and can be trained where it is to be.

use std::path::Path;

use super::Assembly;
use crate::config::learning;
use crate::model::onnx::Document;
use crate::model::train::Trainer;
use crate::model::{ModelError, ModelVersion, Session};
use crate::pipeline::ModelPlan;

impl Assembly<'_> {
    pub(super) fn training(&mut self) {
        let (Some(train), Some(labels), Some(model), Some(vector)) =
            (&self.folder.settings.train, &self.labels, &self.model, &self.vector)
        else {
            return;
        };
        let plan = learning::train_plan(train, labels, model.output.clone());
        // What cannot be trained is said now, not when the first example comes.
        let document = Document::read(&model.bytes);
        match document.and_then(|document| Trainer::new(document, &model.binding(vector), &plan.settings)) {
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
        let plan = ModelPlan { bytes, output, class: model.class };
        match Session::from_bytes(&plan.bytes, 1).and_then(|session| session.bind(&plan.binding(vector))) {
            Ok(_) => self.model = Some(plan),
            Err(error) => {
                let problem = self.folder.source.problem_at(model.graph.span(), format!("{}: {error}", show(&path)));
                let is_of_other_vector = matches!(error, ModelError::FingerprintDiffers { .. });
                let advice = is_of_other_vector.then(|| format!("tidewheel model adopt {}", show(&self.folder.path)));
                self.problems.push(problem.suggest_some(advice));
            }
        }
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}
