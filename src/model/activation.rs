//! What makes a score of the number that a model gives.

use super::{
    Link,
    objective::ObjectiveError,
    onnx::{Document, proto::NodeProto},
};

/// A function of one output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Of a logit, its probability.
    Sigmoid,
}

/// Operators whose outputs are probabilities already.
const PROBABILITIES: [&str; 3] = ["Sigmoid", "HardSigmoid", "Softmax"];

/// Operators whose outputs are probabilities where the first input is.
const KEEPING: [&str; 13] = [
    "Cast",
    "Clip",
    "Concat",
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "Split",
    "Sqrt",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

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
        match (self, probability(&document.graph().node, output)) {
            (Self::Sigmoid, Some(node)) => {
                let operator = node.op_type().to_owned();
                Err(ObjectiveError::AlreadyProbability { output: output.to_owned(), operator })
            }
            (Self::Sigmoid, None) => Ok(()),
        }
    }
}

/// The node that made a probability of a value, where everything after it leaves it one: its complement is one, too.
fn probability<'a>(nodes: &'a [NodeProto], value: &str) -> Option<&'a NodeProto> {
    let maker = |value: &str| nodes.iter().find(|node| node.output.iter().any(|output| output == value));
    let mut node = maker(value)?;
    // A graph has no circles, but a file may.
    for _ in 0..nodes.len() {
        let operator = node.op_type();
        if PROBABILITIES.contains(&operator) {
            return Some(node);
        }
        let [first, rest @ ..] = node.input.as_slice() else { return None };
        let is_constant = |value: &str| maker(value).is_none_or(|node| node.op_type() == "Constant");
        let next = match rest {
            [subtracted, ..] if operator == "Sub" && is_constant(first) => subtracted,
            _ if KEEPING.contains(&operator) => first,
            _ => return None,
        };
        node = maker(next)?;
    }
    None
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

    #[test]
    fn what_leaves_a_probability_one_is_seen_through() {
        let is_refused = |rest: fn(&mut GraphBuilder)| {
            let mut graph = GraphBuilder::new("probability");
            graph.input("x", FLOAT, &[Named("batch")]);
            for (name, value) in [("one", 1.0), ("low", 0.01), ("high", 0.99)] {
                graph.initializer(name, &[], &[value]);
            }
            graph.node("Sigmoid", &["x"], "p");
            rest(&mut graph);
            graph.output("y", FLOAT, &[Named("batch")]);
            Activation::Sigmoid.check(&Document::new(graph.finish()), "y").is_err()
        };
        assert!(is_refused(|graph| graph.node("Clip", &["p", "low", "high"], "y")));
        assert!(is_refused(|graph| graph.node("Sub", &["one", "p"], "y")));
        assert!(is_refused(|graph| {
            graph.node("Sub", &["one", "p"], "q");
            graph.node("Concat", &["q", "p"], "y");
        }));
        assert!(!is_refused(|graph| graph.node("Sub", &["p", "one"], "y")));
        assert!(!is_refused(|graph| graph.node("Log", &["p"], "y")));
        assert!(!is_refused(|graph| graph.node("Clip", &["x", "low", "high"], "y")));
    }
}
