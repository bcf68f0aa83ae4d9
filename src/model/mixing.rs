//! Does a row's score depend on the rows that are scored with it?
//!
//! ```text
//!   by operator   DynamicQuantizeLinear and its kind scale by the largest value of the whole batch;
//!                 BatchNormalization in training mode takes the mean of the batch
//!   by trial      rows alone ─▶ outputs ─┐
//!                 rows together ─────────┴▶ the same?      finds means, sums and softmaxes over the batch, whatever makes them
//! ```
//!
//! Such a model answers one question differently from one moment to the next, so it is refused, or scores every request by
//! itself. A trial shows that rows depend on one another, never that they do not.

use std::collections::HashSet;

use super::{
    Scorer,
    gradient::prune,
    onnx::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto},
};

/// What is done with a model whose scores depend on who shares a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mixing {
    /// It is no model for this pipeline.
    #[default]
    Refuse,
    /// The candidates of a request are scored together and with nobody else.
    PerRequest,
}

/// Operators whose result for one row follows from all rows of their input.
const QUANTISERS: [&str; 3] = ["DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"];

/// Rows of a trial.
const ROWS: usize = 12;
/// How far apart two ways of adding up float32 numbers may be, of the larger one and in all.
const RELATIVE: f32 = 1e-3;
const ABSOLUTE: f32 = 1e-4;

/// The node on the way from an input to an output that mixes rows by what it is.
pub(super) fn by_operator(graph: &GraphProto, output: &str) -> Option<String> {
    let nodes = prune::needed_for(graph.node.clone(), [output]);
    let weights: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
    let mut varying: HashSet<&str> = graph.input.iter().map(ValueInfoProto::name).collect();
    varying.retain(|name| !weights.contains(name));
    for node in &nodes {
        if prune::reads(node).iter().any(|name| varying.contains(name)) {
            if let Some(mixing) = mixing_node(node) {
                let name = if mixing.name().is_empty() {
                    mixing.output.first().map_or("", String::as_str)
                } else {
                    mixing.name()
                };
                return Some(format!("operator {} of node {name:?}", mixing.op_type()));
            }
            varying.extend(node.output.iter().map(String::as_str));
        }
    }
    None
}

/// The node itself or one in a graph inside it.
fn mixing_node(node: &NodeProto) -> Option<&NodeProto> {
    let is_on = |name: &str| node.attribute.iter().any(|attribute| attribute.name() == name && attribute.i() != 0);
    let mixes =
        QUANTISERS.contains(&node.op_type()) || node.op_type() == "BatchNormalization" && is_on("training_mode");
    let inside = |attribute: &'_ AttributeProto| attribute.g.is_some() || !attribute.graphs.is_empty();
    if mixes {
        return Some(node);
    }
    let graphs = node.attribute.iter().filter(|attribute| inside(attribute));
    let graphs = graphs.flat_map(|attribute| attribute.g.as_deref().into_iter().chain(&attribute.graphs));
    graphs.flat_map(|graph| &graph.node).find_map(mixing_node)
}

/// A row that scores otherwise alone than with others. Rows that the model fails on alone are of no use for it.
pub(super) fn by_trial(scorer: &mut Scorer) -> Option<String> {
    let columns = scorer.columns().len();
    let (mut together, mut alone, mut output) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..ROWS {
        let numbers: Vec<f32> = (0..columns).map(|column| value(row, column)).collect();
        let mut vector = Vec::new();
        scorer.inputs().append_row(&numbers, &mut vector);
        if scorer.evaluate(&vector, 1, &mut output).is_ok() && output.iter().all(|output| output.is_finite()) {
            together.extend(vector);
            alone.append(&mut output);
        }
    }
    // Whether the model can take them together is not the question here.
    scorer.evaluate(&together, alone.len(), &mut output).ok()?;
    let differs = |(alone, together): &(&f32, &f32)| {
        let allowed = ABSOLUTE + RELATIVE * alone.abs().max(together.abs());
        together.is_nan() || (*alone - *together).abs() > allowed
    };
    let (alone, together) = alone.iter().zip(&output).find(differs)?;
    Some(format!("a trial gave one row {alone} alone and {together} with others"))
}

/// Whole numbers in the first half, which may be ids; in the second any, of which the last row's are large.
fn value(row: usize, column: usize) -> f32 {
    let mixed = (row * 31 + column * 17 + row * column * 7) % 23;
    match row {
        _ if row < ROWS / 2 => (mixed % (row + 1)) as f32,
        _ if row + 1 < ROWS => mixed as f32 / 8.0 - 1.25,
        _ => mixed as f32 * 4.0 - 30.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Binding, MlpSpec, ModelError, Session, build_mlp,
        onnx::{
            Dimension::{Fixed, Named},
            Document, GraphBuilder,
            proto::data_type::FLOAT,
        },
    };

    fn columns() -> Vec<String> {
        ["a", "b"].map(str::to_owned).to_vec()
    }

    fn scorer(bytes: &[u8]) -> Scorer {
        let binding = Binding { inputs: None, columns: &columns(), fingerprint: None, output: None };
        Session::from_bytes(bytes, 1).unwrap().bind(&binding).unwrap()
    }

    /// `score` of the sum `s` of two columns, and of `x` itself.
    fn model(rest: impl Fn(&mut GraphBuilder)) -> Vec<u8> {
        let mut graph = GraphBuilder::new("model");
        graph.input("x", FLOAT, &[Named("batch"), Fixed(2)]);
        graph.initializer("w", &[2, 1], &[0.5, 0.25]);
        graph.whole_initializer("rows", &[1], &[0]);
        graph.node("MatMul", &["x", "w"], "s");
        rest(&mut graph);
        graph.output("score", FLOAT, &[Named("batch"), Fixed(1)]);
        Document::new(graph.finish()).write()
    }

    fn quantised(input: &str) -> Vec<u8> {
        model(|graph| {
            graph.node_of("DynamicQuantizeLinear", &[input], &["q", "scale", "zero"], &[]);
            graph.node("DequantizeLinear", &["q", "scale", "zero"], "back");
            graph.node(
                if input == "w" { "MatMul" } else { "Identity" },
                if input == "w" { &["x", "back"] } else { &["back"] },
                "score",
            );
        })
    }

    /// The same row of a dynamically quantised model scored 0.46 apart in two batches.
    #[test]
    fn scales_of_the_whole_batch_are_found_by_their_operator_and_those_of_weights_are_none() {
        let refused = scorer(&quantised("s")).with_mixing(Mixing::Refuse).unwrap_err();
        insta::assert_snapshot!(refused, @r#"a row's score depends on the rows that are scored with it: operator DynamicQuantizeLinear of node "q": export the model without that (static scales, no statistics over the batch), or set mixing = "per-request" under [score], which scores every request and every event by itself"#);
        let per_request = scorer(&quantised("s")).with_mixing(Mixing::PerRequest).unwrap();
        assert_eq!(per_request.mixes(), Some(r#"operator DynamicQuantizeLinear of node "q""#));
        assert!(scorer(&quantised("w")).with_mixing(Mixing::Refuse).is_ok());
    }

    #[test]
    fn what_is_taken_over_the_batch_is_found_by_trial() {
        let found = [
            model(|graph| {
                graph.node("ReduceMean", &["s"], "mean");
                graph.node("Sub", &["s", "mean"], "score");
            }),
            model(|graph| graph.node_with("Softmax", &["s"], "score", &[("axis", 0)])),
            model(|graph| graph.node("CumSum", &["s", "rows"], "score")),
        ];
        for bytes in found {
            let refused = scorer(&bytes).with_mixing(Mixing::Refuse).unwrap_err();
            assert!(matches!(&refused, ModelError::Mixes { found } if found.contains("alone and")), "{refused}");
        }
    }

    #[test]
    fn a_model_that_scores_each_row_by_itself_is_taken_as_it_is() {
        let spec =
            MlpSpec { columns: columns(), hidden: vec![64, 32], dropout: 0.0, seed: 3, fingerprint: "8a21".to_owned() };
        assert_eq!(scorer(&build_mlp(&spec).unwrap()).with_mixing(Mixing::Refuse).unwrap().mixes(), None);
        let along = model(|graph| {
            graph.node_with("Softmax", &["x"], "shares", &[("axis", 1)]);
            graph.node("MatMul", &["shares", "w"], "score");
        });
        assert!(scorer(&along).with_mixing(Mixing::Refuse).is_ok());
    }
}
