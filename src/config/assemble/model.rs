//! The model: that it fits the vector, and can be trained where it is to be.

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::Assembly;
use crate::config::{learning, settings};
use crate::feature::{Inputs, VectorPlan};
use crate::model::gradient::Loss;
use crate::model::onnx::{Document, FileError, read_file};
use crate::model::train::{Inventory, Trainer};
use crate::model::{
    Activation, Binding, Mixing, ModelError, ModelVersion, ObjectiveError, Scorer, Session, expect_probability,
    lay_out, metadata, try_rows,
};
use crate::pipeline::{ModelPlan, TrainPlan};

impl Assembly<'_> {
    pub(super) fn training(&mut self) {
        let (Some(train), Some(labels), Some(model), Some(vector)) =
            (&self.folder.settings.train, &self.labels, &self.model, &self.vector)
        else {
            return;
        };
        let settings = self.folder.settings.model.as_ref();
        if let Some(missing) = settings.and_then(|model| model.missing.as_ref()) {
            let message = "a model that is given NaN for missing values can't be trained: its gradients would be NaN";
            let advice = "write coalesce(...) in vector.sql in the place of missing, or remove [train]";
            self.problems.push(self.folder.source.problem_at(missing.span(), message).suggest(advice));
            return;
        }
        let plan = learning::train_plan(train, labels, model);
        let binding = model.binding(vector);
        // What cannot be trained is said now, not when the first example comes.
        match try_training(model, &binding, &plan) {
            Ok(inventory) => self.train = Some(TrainPlan { inventory, ..plan }),
            Err(error) => {
                let place = self.folder.settings.model.as_ref().map_or(0..0, |model| model.graph.span());
                let message = format!("the model can't be trained: {error}");
                let problem = self.folder.source.problem_at(place, message);
                self.problems.push(match error {
                    ModelError::Objective(ObjectiveError::NoProbability { .. }) => problem.suggest(
                        "if it is a logit, add activation = \"sigmoid\" to [model]; if it is an amount, set loss = \
                         \"mean_squared_error\" in [train]",
                    ),
                    _ => problem,
                });
            }
        }
    }

    /// The fingerprint of the vector that the folder's model says it was made for.
    pub(super) fn made_for(&self) -> Option<String> {
        let model = self.folder.settings.model.as_ref()?;
        let bytes = read_file(&self.folder.path.join(model.graph.get_ref())).ok()?;
        Document::read(&bytes).ok()?.metadata().remove(metadata::FINGERPRINT)
    }

    pub(super) fn model(&mut self) {
        let (Some(model), Some(vector)) = (&self.folder.settings.model, &self.vector) else { return };
        let path = self.folder.path.join(model.graph.get_ref());
        let bytes = match read_file(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let is_missing = matches!(error, ModelError::File(FileError::Unreadable(_)));
                let advice = format!(
                    "tidewheel model new --kind mlp --hidden 64,32 --out {} {}",
                    path.display(),
                    self.folder.path.display()
                );
                let problem = self.folder.source.problem_at(model.graph.span(), format!("{}: {error}", path.display()));
                self.problems.push(problem.suggest_some(is_missing.then_some(advice)));
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
        let activation = model.activation.as_ref().map(|activation| match activation.get_ref() {
            settings::Activation::Sigmoid => Activation::Sigmoid,
        });
        let plan = ModelPlan { bytes, output, activation, class: model.class.clone() };
        let vector = match self.laid_out(vector, &plan.bytes) {
            Ok(vector) => vector,
            Err(error) => {
                let problem = self.folder.source.problem_at(model.graph.span(), format!("{}: {error}", show(&path)));
                self.problems.push(problem);
                return;
            }
        };
        let vector = &vector;
        let mixing = self.folder.settings.score.as_ref().map(|score| score.mixing.into()).unwrap_or_default();
        match try_scoring(&plan, &plan.binding(vector), mixing) {
            Ok(scorer) => match (scorer.mixes(), &self.folder.settings.train) {
                (Some(found), Some(_)) => {
                    let message = format!(
                        "{}: a row's score depends on the rows that are scored with it: {found}: such a model can't be trained",
                        show(&path)
                    );
                    let problem = self.folder.source.problem_at(model.graph.span(), message);
                    self.problems.push(problem.suggest("leave [train] out, or export the model without that"));
                }
                _ => {
                    self.model = Some(plan);
                    self.vector = Some(Arc::clone(vector));
                    self.type_labels(vector.inputs());
                }
            },
            Err(error) => {
                let error = error.naming_changes(&plan.bytes, vector.meaning());
                let about_activation =
                    matches!(error, ModelError::Objective(ObjectiveError::AlreadyProbability { .. }));
                let activation = model.activation.as_ref().filter(|_| about_activation);
                let place = activation.map_or_else(|| model.graph.span(), Spanned::span);
                let problem = self.folder.source.problem_at(place, format!("{}: {error}", show(&path)));
                let is_of_other_vector = matches!(error, ModelError::FingerprintDiffers { .. });
                let advice = is_of_other_vector.then(|| format!("tidewheel model adopt {}", show(&self.folder.path)));
                self.problems.push(problem.suggest_some(advice));
            }
        }
    }
}

impl Assembly<'_> {
    /// The vector with its columns in the types that the inputs of a model take.
    fn laid_out(&self, vector: &Arc<VectorPlan>, model: &[u8]) -> Result<Arc<VectorPlan>, ModelError> {
        let position = self.folder.settings.feedback().and_then(|(_, labels)| labels.position.as_ref());
        let inputs = lay_out(model, vector.described(), position.map(|position| position.get_ref().as_str()))?;
        Ok(Arc::new(vector.with_inputs(inputs)))
    }

    /// Brings the label join to the types of the vector.
    fn type_labels(&mut self, inputs: &Inputs) {
        let feedback = self.folder.settings.feedback();
        let position = feedback.and_then(|(_, labels)| labels.position.as_ref()).and_then(|position| {
            let columns = self.vector.as_ref().map(|vector| vector.columns())?;
            columns.iter().position(|column| column == position.get_ref())
        });
        if let Some(labels) = &mut self.labels {
            labels.set_inputs(inputs, position);
        }
    }
}

/// Loads the model and scores a few rows, alone and together.
fn try_scoring(model: &ModelPlan, binding: &Binding<'_>, mixing: Mixing) -> Result<Scorer, ModelError> {
    let mut scorer = Session::from_bytes(&model.bytes, 1)?.bind(binding)?.with_activation(model.activation);
    if let Some(activation) = model.activation {
        activation.check(&Document::read(&model.bytes)?, scorer.output())?;
    }
    try_rows(&mut scorer)?;
    scorer.with_mixing(mixing)
}

/// Makes a trainer of the model, and says what it will train.
fn try_training(model: &ModelPlan, binding: &Binding<'_>, plan: &TrainPlan) -> Result<Inventory, ModelError> {
    let document = Document::read(&model.bytes)?;
    let trainer = Trainer::new(document.clone(), binding, &plan.settings)?;
    if plan.settings.loss == Loss::BinaryCrossEntropy {
        let mut scorer = Session::from_bytes(&model.bytes, 1)?.bind(binding)?.with_activation(model.activation);
        expect_probability(&document, &mut scorer)?;
    }
    Ok(trainer.inventory().clone())
}

fn show(path: &Path) -> String {
    path.display().to_string()
}
