//! From what a model gives to the one score per row that a label is held against.
//!
//! ```text
//!   z ──▶ Softmax ──▶ prediction [batch, 2]      score = sigmoid(z[class] - z[other])     [batch]
//!   prediction [batch, n], made otherwise        score = prediction[class]                [batch]
//!   prediction, activation = sigmoid             score = sigmoid(prediction)              as it is
//! ```
//!
//! The nodes are added to the graph that is differentiated, so that the losses see a Sigmoid and start from its logit. The
//! model's file gets none of them.

use super::{
    kind::TensorKind,
    loss::made_by,
    spec::{GradientSpec, Loss, ScoredColumn, names},
    weights::Uses,
};
use crate::model::onnx::{
    Attribute, Document, int_tensor, node,
    proto::{AttributeProto, GraphProto, NodeProto},
};

/// Adds what makes a score of the prediction, and gives the score's name; `None` where the prediction is what is held against
/// labels.
pub(super) fn append(
    graph: &mut GraphProto,
    prediction: &str,
    kind: Option<&TensorKind>,
    spec: &GradientSpec,
) -> Option<String> {
    let columns = columns(kind).filter(|columns| *columns > 1 && spec.loss != Loss::SoftmaxCrossEntropy);
    let class = match spec.class {
        ScoredColumn::At(class) if columns.is_some() => Some(class),
        ScoredColumn::SecondOfTwo if columns == Some(2) => Some(1),
        _ => None,
    };
    let activation = spec.activation.filter(|_| spec.loss != Loss::SoftmaxCrossEntropy);
    if class.is_none() && activation.is_none() {
        return None;
    }
    let name = |part: &str| format!("{}.{part}", names::SCORE);
    let Some(class) = class else {
        graph.node.push(node("Sigmoid", &[prediction], &[names::SCORE], &[]));
        return Some(names::SCORE.to_owned());
    };
    let column = |graph: &mut GraphProto, value: &str, class: i64, part: &str| {
        let index = name(&format!("{part}.index"));
        graph.initializer.push(int_tensor(&index, &[], &[class]));
        let taken = name(part);
        graph.node.push(node("Gather", &[value, &index], &[&taken], &[("axis", Attribute::Int(1))]));
        taken
    };
    if let Some(logits) = logits(&graph.node, prediction, columns == Some(2) && activation.is_none()) {
        let (it, other) = (column(graph, &logits, class, "it"), column(graph, &logits, 1 - class, "other"));
        graph.node.push(node("Sub", &[&it, &other], &[&name("logit")], &[]));
        graph.node.push(node("Sigmoid", &[&name("logit")], &[names::SCORE], &[]));
        return Some(names::SCORE.to_owned());
    }
    let it = column(graph, prediction, class, "it");
    if activation.is_none() {
        return Some(it);
    }
    graph.node.push(node("Sigmoid", &[&it], &[names::SCORE], &[]));
    Some(names::SCORE.to_owned())
}

/// Whether an output comes straight from numbers that training moves without bounds: then it is no probability.
pub(in crate::model) fn is_unbounded(document: &Document, output: &str) -> bool {
    Uses::of(document.graph()).is_linear(output)
}

/// How many numbers each row has, where that is known.
fn columns(kind: Option<&TensorKind>) -> Option<usize> {
    match &kind?.dims[..] {
        [_, columns] => columns.size(),
        _ => None,
    }
}

/// The value that a Softmax over the columns makes the prediction of.
fn logits(nodes: &[NodeProto], prediction: &str, is_wanted: bool) -> Option<String> {
    let (softmax, is_reshaped) = made_by(nodes, prediction, &["Softmax"]).filter(|_| is_wanted)?;
    let axis = softmax.attribute.iter().find(|attribute| attribute.name() == "axis").map_or(-1, AttributeProto::i);
    (!is_reshaped && matches!(axis, -1 | 1)).then(|| softmax.input.first().cloned()).flatten()
}
