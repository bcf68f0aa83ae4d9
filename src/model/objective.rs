//! Whether what a model gives is what training holds against labels.

use super::{
    ElementType, Link, ModelError, Scorer, gradient,
    onnx::Document,
    trial::{self, scores_alone},
};
use crate::fault::{Judged, Judgement};

/// How far beyond 0 and 1 rounding may put a probability.
const ROUNDING: f32 = 1e-5;

/// Why a model is not trained: what it is, or what it gives.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ObjectiveError {
    /// A model that learns otherwise.
    #[error(
        "{kind} can't be trained here (operator {operator} of node {node:?}), only scored: remove [train], train the model anew \
         outside, and bring it in with \"tidewheel model add FOLDER FILE\""
    )]
    NotByGradients {
        /// What kind of model it is, in the plural.
        kind: &'static str,
        /// The operator.
        operator: String,
        /// The node, by its name or else its first output.
        node: String,
    },
    /// Numbers of another size at an end of the model.
    #[error(
        "{what} {name:?} is {element}, and training computes in float32: export the model in float32 (PyTorch: model.float()), or \
         remove [train]"
    )]
    OtherPrecision {
        /// Whether it is an input or an output.
        what: &'static str,
        /// Its name.
        name: String,
        /// Its type.
        element: ElementType,
    },
    /// A model that takes one number of rows.
    #[error(
        "input {input:?} takes exactly {rows} row(s), and training takes as many as there are: export the model with a first \
         dimension that is free ({remedy}), or remove [train]"
    )]
    FixedBatch {
        /// The input.
        input: String,
        /// How many.
        rows: usize,
        /// How exporters are told.
        remedy: String,
    },
    /// An output that a probability is expected of.
    #[error("output {output:?} is no probability, and loss = \"binary_cross_entropy\" needs one: {why}")]
    NoProbability {
        /// The output.
        output: String,
        /// What says so.
        why: String,
    },
    /// An activation on what is a probability.
    #[error(
        "output {output:?} is a probability already, made by {operator}: remove activation from [model], or name another output"
    )]
    AlreadyProbability {
        /// The output.
        output: String,
        /// The operator that made it.
        operator: String,
    },
}

impl Judged for ObjectiveError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::NotByGradients { .. }
            | Self::OtherPrecision { .. }
            | Self::FixedBatch { .. }
            | Self::NoProbability { .. }
            | Self::AlreadyProbability { .. } => Judgement::OPERATOR,
        }
    }
}

/// Refuses a model whose scores are, or by training become, no probabilities. It is looked at, and run on a few rows.
///
/// # Errors
/// [`ObjectiveError::NoProbability`], or what the model fails with.
pub(crate) fn expect_probability(document: &Document, scorer: &mut Scorer) -> Result<(), ModelError> {
    let refuse =
        |output: &str, why: String| Err(ObjectiveError::NoProbability { output: output.to_owned(), why }.into());
    if scorer.link() == Link::Logistic {
        return Ok(());
    }
    let output = scorer.output().to_owned();
    let scores = scores_alone(scorer, &trial::wide_rows(scorer.columns().len()))?;
    let is_outside = |score: &&f32| score.is_finite() && !(-ROUNDING..=1.0 + ROUNDING).contains(*score);
    if let Some(score) = scores.iter().find(is_outside) {
        return refuse(&output, format!("a row of the trial scores {score}"));
    }
    if gradient::is_unbounded(document, &output) {
        return refuse(&output, "it is a weighted sum, which has no bounds".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Activation, Binding, Session,
        onnx::{
            Dimension::{Fixed, Named},
            GraphBuilder,
            proto::data_type::FLOAT,
        },
    };

    /// `score` is what `build` makes of `z`, the product of two columns and weights.
    fn verdict(
        weights: [f32; 2],
        activation: Option<Activation>,
        build: fn(&mut GraphBuilder),
    ) -> Result<(), ModelError> {
        let mut graph = GraphBuilder::new("objective");
        graph.input("x", FLOAT, &[Named("batch"), Fixed(2)]);
        graph.initializer("w", &[2, 1], &weights);
        graph.initializer("half", &[], &[0.5]);
        graph.node("MatMul", &["x", "w"], "z");
        build(&mut graph);
        graph.output("score", FLOAT, &[Named("batch"), Fixed(1)]);
        let document = Document::new(graph.finish());
        let columns = ["a", "b"].map(str::to_owned);
        let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
        let scorer = Session::from_bytes(&document.write(), 1).unwrap().bind(&binding).unwrap();
        expect_probability(&document, &mut scorer.with_activation(activation))
    }

    /// It was found to have no problems, and training stopped at the first batch.
    #[test]
    fn a_logit_is_no_probability_unless_an_activation_makes_one_of_it() {
        let plain = |graph: &mut GraphBuilder| graph.node("Identity", &["z"], "score");
        insta::assert_snapshot!(
            verdict([0.5, -1.5], None, plain).unwrap_err(),
            @r#"output "score" is no probability, and loss = "binary_cross_entropy" needs one: a row of the trial scores -1"#
        );
        verdict([0.5, -1.5], Some(Activation::Sigmoid), plain).unwrap();
    }

    #[test]
    fn a_sum_that_is_within_bounds_now_is_no_probability_either() {
        insta::assert_snapshot!(
            verdict([1e-6, 1e-6], None, |graph| {
                graph.node("Add", &["z", "half"], "raised");
                graph.node("Identity", &["raised"], "score");
            })
            .unwrap_err(),
            @r#"output "score" is no probability, and loss = "binary_cross_entropy" needs one: it is a weighted sum, which has no bounds"#
        );
    }

    #[test]
    fn whatever_stays_between_0_and_1_is_a_probability() {
        verdict([0.5, -1.5], None, |graph| graph.node("Sigmoid", &["z"], "score")).unwrap();
        verdict([0.5, -1.5], None, |graph| {
            graph.node("Tanh", &["z"], "bent");
            graph.node("Mul", &["bent", "half"], "narrow");
            graph.node("Add", &["narrow", "half"], "score");
        })
        .unwrap();
    }
}
