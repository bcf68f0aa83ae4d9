//! What makes a score of the number that a model gives.

use super::{Link, gradient::made_by, objective::ObjectiveError, onnx::Document};

/// A function of one output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Of a logit, its probability.
    Sigmoid,
}

/// Operators whose outputs are probabilities already.
const PROBABILITIES: [&str; 3] = ["Sigmoid", "HardSigmoid", "Softmax"];

impl Activation {
    /// How a score is made of an output.
    pub(super) fn link(self) -> Link {
        match self {
            Self::Sigmoid => Link::Logistic,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::{Dimension::Named, GraphBuilder, proto::data_type::FLOAT};

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
