//! A model that ends in a Sigmoid, made to give what goes into it.
//!
//! ```text
//!   … ─▶ z ─▶ Sigmoid ─▶ Squeeze ─▶ probability        the file
//!   … ─▶ z ─▶ Identity ─▶ Squeeze ─▶ probability       what is run: under the name of the probability stands its logit
//! ```
//!
//! A Sigmoid of doubles that is cast to float32 then is one, too: its logit is. Nothing else reads the Sigmoid there: what the output does not need is left out, and where another node of what it needs
//! does read it, the model stays as it is.

use super::{
    gradient::prune,
    link::Link,
    onnx::{
        Document,
        proto::{GraphProto, NodeProto, data_type::FLOAT},
    },
};

/// Replaces the Sigmoid that `output` ends in, up to its shape, and says what is then to be done with the output.
pub(super) fn expose(document: &mut Document, output: &str) -> Link {
    let graph = document.graph_mut();
    let nodes = prune::needed_for(graph.node.clone(), [output]);
    let Some(place) = last_sigmoid(&nodes, output) else { return Link::Identity };
    graph.node = nodes;
    if let Some(sigmoid) = graph.node.get_mut(place) {
        sigmoid.op_type = Some("Identity".to_owned());
        sigmoid.domain = None;
    }
    graph.output.retain(|declared| declared.name() == output);
    leave_unused_out(graph);
    Link::Logistic
}

/// The place of the Sigmoid, where nobody reads it and what is made of its shape but the way to the output.
fn last_sigmoid(nodes: &[NodeProto], output: &str) -> Option<usize> {
    let mut value = output;
    loop {
        let place = nodes.iter().position(|node| node.output.first().is_some_and(|first| first == value))?;
        let node = nodes.get(place)?;
        if node.op_type() == "Sigmoid" {
            return Some(place);
        }
        if !keeps_values(node) {
            return None;
        }
        value = node.input.first()?;
        let readers = nodes.iter().filter(|node| prune::reads(node).contains(&value));
        // A shape is the same with and without a Sigmoid.
        if readers.filter(|reader| reader.op_type() != "Shape").count() > 1 {
            return None;
        }
    }
}

/// Whether what a node gives is what it is given, in another shape or as float32.
fn keeps_values(node: &NodeProto) -> bool {
    let is_to_float32 = || node.attribute.iter().any(|one| one.name() == "to" && one.i() == i64::from(FLOAT));
    match node.op_type() {
        "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => true,
        "Cast" => is_to_float32(),
        _ => false,
    }
}

/// Weights that no node reads any more; ONNX Runtime would warn of each.
fn leave_unused_out(graph: &mut GraphProto) {
    let GraphProto { node, initializer, input, .. } = graph;
    let read: std::collections::HashSet<&str> = node.iter().flat_map(prune::reads).collect();
    let is_listed = |name: &str| input.iter().any(|input| input.name() == name);
    initializer.retain(|tensor| read.contains(tensor.name()) || is_listed(tensor.name()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ScoreOutput;
    use crate::model::{
        Binding, Scorer, Session,
        link::logistic,
        onnx::{
            Dimension::{Fixed, Named},
            GraphBuilder,
            proto::data_type::{DOUBLE, FLOAT, INT64},
        },
    };

    /// `x` goes into a Sigmoid, whose value `p` the rest makes `score` of.
    fn ending_in(rest: impl Fn(&mut GraphBuilder)) -> Document {
        let mut graph = GraphBuilder::new("sigmoid");
        graph.input("x", FLOAT, &[Named("batch"), Fixed(1)]);
        graph.initializer("one", &[1], &[1.0]);
        graph.node("Mul", &["x", "one"], "z");
        graph.node("Sigmoid", &["z"], "p");
        rest(&mut graph);
        graph.output("score", FLOAT, &[Named("batch"), Named("columns")]);
        Document::new(graph.finish())
    }

    fn link(document: &Document) -> Link {
        expose(&mut document.clone(), "score")
    }

    fn scorer(document: &Document) -> Scorer {
        let binding = Binding {
            inputs: None,
            columns: &["a".to_owned()],
            fingerprint: None,
            output: Some(ScoreOutput { name: Some("score"), class: None }),
        };
        Session::from_bytes(&document.write(), 1).unwrap().bind(&binding).unwrap()
    }

    /// 1.0000001 was answered above a logit of 15.84, 0 below -15.84, and between -20 and -8 a quarter of the steps went down.
    #[test]
    fn rows_are_ordered_by_the_logit_and_scores_are_probabilities_of_it_in_double() {
        let mut scorer = scorer(&ending_in(|graph| graph.node("Identity", &["p"], "score")));
        let logits: Vec<f32> = (14 * 64..=40 * 64).flat_map(|step| [step as f32 / 64.0, step as f32 / -64.0]).collect();
        let (mut outputs, mut scores) = (Vec::new(), Vec::new());
        scorer.evaluate(&logits, logits.len(), &mut outputs).unwrap();
        assert_eq!((scorer.link(), &outputs), (Link::Logistic, &logits));
        scorer.score(&logits, logits.len(), &mut scores).unwrap();
        for (logit, score) in logits.iter().zip(&scores) {
            let expected = logistic(f64::from(*logit));
            assert!((f64::from(*score) / expected - 1.0).abs() < 1e-7 && *score <= 1.0, "{logit}: {score}");
        }
    }

    #[test]
    fn a_sigmoid_is_found_behind_what_only_shapes() {
        let squeezed = ending_in(|graph| {
            graph.whole_initializer("axis", &[1], &[1]);
            graph.node("Squeeze", &["p", "axis"], "flat");
            graph.node("Shape", &["flat"], "rows");
            graph.node("Reshape", &["flat", "rows"], "score");
        });
        assert_eq!(link(&squeezed), Link::Logistic);
        assert_eq!(link(&ending_in(|graph| graph.node("Flatten", &["p"], "score"))), Link::Logistic);
    }

    /// Trees of other libraries are computed in double.
    #[test]
    fn a_sigmoid_of_doubles_is_found_behind_its_cast() {
        let cast = |to| {
            let mut graph = GraphBuilder::new("sigmoid of doubles");
            graph.input("x", FLOAT, &[Named("batch"), Fixed(1)]);
            graph.node_with("Cast", &["x"], "z", &[("to", i64::from(DOUBLE))]);
            graph.node("Sigmoid", &["z"], "p");
            graph.node_with("Cast", &["p"], "as_asked", &[("to", i64::from(to))]);
            graph.node_with("Cast", &["as_asked"], "score", &[("to", i64::from(FLOAT))]);
            graph.output("score", FLOAT, &[Named("batch"), Named("columns")]);
            Document::new(graph.finish())
        };
        let mut scores = Vec::new();
        let mut scorer = scorer(&cast(FLOAT));
        scorer.score(&[-30.0, 40.0], 2, &mut scores).unwrap();
        assert_eq!(scorer.link(), Link::Logistic);
        assert_eq!(scores, [logistic(-30.0) as f32, 1.0]);
        // Of whole numbers nothing of the logit is left.
        assert_eq!(link(&cast(INT64)), Link::Identity);
    }

    #[test]
    fn a_score_that_is_more_than_a_sigmoid_stays_what_it_is() {
        let doubled = ending_in(|graph| graph.node("Add", &["p", "p"], "score"));
        assert_eq!(link(&doubled), Link::Identity);
        assert_eq!(link(&ending_in(|graph| graph.node("Relu", &["z"], "score"))), Link::Identity);
        // Its shape is made of what the Sigmoid gives.
        let shaped = ending_in(|graph| {
            graph.node_with("Cast", &["p"], "whole", &[("to", 7)]);
            graph.node("Shape", &["whole"], "rows");
            graph.node("Reshape", &["p", "rows"], "score");
        });
        assert_eq!(link(&shaped), Link::Identity);
    }

    #[test]
    fn what_else_the_file_gives_is_computed_from_no_logit() {
        let bucketed = ending_in(|graph| {
            graph.node("Identity", &["p"], "score");
            // In range for probabilities only.
            graph.initializer("buckets", &[2], &[0.0, 1.0]);
            graph.node_with("Cast", &["p"], "bucket", &[("to", 7)]);
            graph.node("Gather", &["buckets", "bucket"], "side");
            graph.output("side", FLOAT, &[Named("batch"), Named("width")]);
        });
        let mut scores = Vec::new();
        scorer(&bucketed).score(&[9.0], 1, &mut scores).unwrap();
        assert!((f64::from(scores[0]) - logistic(9.0)).abs() < 1e-7);
    }
}
