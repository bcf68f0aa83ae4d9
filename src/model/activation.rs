//! What makes a score of the number that a model gives.

use super::{gradient::made_by, objective::ObjectiveError, onnx::Document};

/// A function of one output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Of a logit, its probability.
    Sigmoid,
}

/// Operators whose outputs are probabilities already.
const PROBABILITIES: [&str; 3] = ["Sigmoid", "HardSigmoid", "Softmax"];

impl Activation {
    /// Makes scores of outputs. What is not finite becomes NaN, so that it is refused as before.
    pub(super) fn apply(self, outputs: &mut [f32]) {
        let score = |output: f32| match self {
            Self::Sigmoid => logistic(f64::from(output)) as f32,
        };
        for output in outputs {
            *output = if output.is_finite() { score(*output) } else { f32::NAN };
        }
    }

    /// Refuses an output that is a probability without it.
    ///
    /// # Errors
    /// [`ObjectiveError::AlreadyProbability`].
    pub(crate) fn check(self, document: &Document, output: &str) -> Result<(), ObjectiveError> {
        match (self, made_by(&document.graph().node, output, &PROBABILITIES)) {
            (Self::Sigmoid, Some((node, _))) => {
                let operator = node.op_type().to_owned();
                Err(ObjectiveError::AlreadyProbability { output: output.to_owned(), operator })
            }
            (Self::Sigmoid, None) => Ok(()),
        }
    }
}

/// The probability of a logit, as exact at one end as at the other.
fn logistic(logit: f64) -> f64 {
    let shrunk = (-logit.abs()).exp();
    if logit < 0.0 { shrunk / (1.0 + shrunk) } else { 1.0 / (1.0 + shrunk) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::{Dimension::Named, GraphBuilder, proto::data_type::FLOAT};

    #[test]
    fn a_logit_becomes_its_probability_and_what_is_not_finite_none() {
        let mut outputs = [0.0, 2.0, -20.0, 200.0, f32::INFINITY, f32::NAN];
        Activation::Sigmoid.apply(&mut outputs);
        assert_eq!(outputs[..2], [0.5, 0.880_797_1]);
        // e^-20 / (1 + e^-20), which ONNX Runtime's Sigmoid gives as 0.
        assert!((outputs[2] / 2.061_153_6e-9 - 1.0).abs() < 1e-6);
        assert_eq!(outputs[3], 1.0);
        assert!(outputs[4].is_nan() && outputs[5].is_nan());
    }

    #[test]
    fn a_second_sigmoid_is_refused() {
        let document = |operator: &str| {
            let mut graph = GraphBuilder::new("probability");
            graph.input("x", FLOAT, &[Named("batch")]);
            graph.node(operator, &["x"], "p");
            graph.node("Identity", &["p"], "y");
            graph.output("y", FLOAT, &[Named("batch")]);
            Document::new(graph.finish())
        };
        insta::assert_snapshot!(
            Activation::Sigmoid.check(&document("Sigmoid"), "y").unwrap_err(),
            @r#"output "y" is a probability already, made by Sigmoid: remove activation from [model], or name another output"#
        );
        assert!(Activation::Sigmoid.check(&document("Tanh"), "y").is_ok());
    }
}
