//! Models of one recurrent node.

use crate::model::{
    gradient::{
        Loss, differentiate,
        testing::{Fed, Trial, agrees, plain, random, uniform},
    },
    onnx::{
        Attribute,
        Dimension::{Fixed, Named},
        Document, GraphBuilder,
        proto::data_type::FLOAT,
    },
};

/// `TensorProto.DataType.INT32`, the type of lengths.
const INT32: i32 = 6;
const STEPS: usize = 4;
const BATCH: usize = 3;
const WIDTH: usize = 2;
const HIDDEN: usize = 5;

/// What an input of the node is, which says its shape.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Input,
    Weights,
    Recurrence,
    Bias,
    Nothing,
    State,
}

/// Holds the gradient of every input against finite differences, forward and reverse, with these outputs in use.
pub(crate) fn by_direction(
    operator: &str,
    gates: usize,
    inputs: &[(&str, Part)],
    used: &[bool],
    attributes: &[(&str, Attribute)],
) {
    let mut random = random(gates as u64);
    let mut operands: Vec<(&str, Vec<usize>, Vec<f32>)> = Vec::new();
    for (name, part) in inputs {
        let dims = match part {
            Part::Input => vec![STEPS, BATCH, WIDTH],
            Part::Weights => vec![1, gates * HIDDEN, WIDTH],
            Part::Recurrence => vec![1, gates * HIDDEN, HIDDEN],
            Part::Bias => vec![1, 2 * gates * HIDDEN],
            Part::State => vec![1, BATCH, HIDDEN],
            Part::Nothing => continue,
        };
        let values = uniform(&mut random, dims.iter().product(), -1.0, 1.0);
        operands.push((name, dims, values));
    }
    let operands: Vec<(&str, &[usize], Vec<f32>)> =
        operands.iter().map(|(name, dims, values)| (*name, &dims[..], values.clone())).collect();
    let names: Vec<&str> = inputs.iter().map(|(name, _)| *name).collect();
    for direction in ["forward", "reverse"] {
        let mut attributes = attributes.to_vec();
        attributes.push(("hidden_size", Attribute::Int(HIDDEN as i64)));
        attributes.push(("direction", Attribute::Text(direction)));
        agrees(17, &operands, |graph| {
            let outputs = ["Y", "Y_h", "Y_c"].into_iter().zip(used).map(|(name, used)| if *used { name } else { "" });
            let outputs: Vec<&str> = outputs.collect();
            graph.node_of(operator, &names, &outputs, &attributes);
            graph.whole_initializer("row", &[1], &[-1]);
            let mut parts = Vec::new();
            for output in outputs.iter().filter(|output| !output.is_empty()) {
                parts.push(format!("{output}.flat"));
                graph.node("Reshape", &[output, "row"], &format!("{output}.flat"));
            }
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            graph.node_with("Concat", &parts, "y", &[("axis", 0)]);
        });
    }
}

/// A model whose batch and steps are open, with the last state as its prediction.
pub(crate) fn model(operator: &str, gates: usize, more: &[&str], attributes: &[(&str, Attribute)]) -> Document {
    let mut random = random(1);
    let both = attributes.contains(&("direction", Attribute::Text("bidirectional")));
    let directions = 1 + usize::from(both);
    let mut graph = GraphBuilder::new("recurrent");
    graph.input("x", FLOAT, &[Named("steps"), Named("batch"), Fixed(WIDTH as u32)]);
    for (name, dims) in [
        ("w", vec![directions, gates * HIDDEN, WIDTH]),
        ("r", vec![directions, gates * HIDDEN, HIDDEN]),
        ("b", vec![directions, 2 * gates * HIDDEN]),
        ("head", vec![HIDDEN, 1]),
        ("peepholes", vec![directions, 3 * HIDDEN]),
    ] {
        graph.initializer(name, &dims, &uniform(&mut random, dims.iter().product(), -1.0, 1.0));
    }
    let inputs: Vec<&str> = ["x", "w", "r", "b"].into_iter().chain(more.iter().copied()).collect();
    graph.node_of("Shape", &["x"], &["batch"], &[("start", Attribute::Int(1)), ("end", Attribute::Int(2))]);
    graph.node("ConstantOfShape", &["batch"], "zeros");
    graph.node("Exp", &["zeros"], "ones");
    graph.node_with("Cast", &["ones"], "lengths", &[("to", i64::from(INT32))]);
    let mut attributes = attributes.to_vec();
    attributes.push(("hidden_size", Attribute::Int(HIDDEN as i64)));
    graph.node_of(operator, &inputs, &["", "last"], &attributes);
    graph.whole_initializer("direction", &[1], &[0]);
    graph.node_with("ReduceSum", &["last", "direction"], "state", &[("keepdims", 0)]);
    graph.node("MatMul", &["state", "head"], "prediction");
    graph.output("prediction", FLOAT, &[Named("batch"), Fixed(1)]);
    Document::new(graph.finish())
}

/// Holds the gradient of weights against finite differences for several batches and numbers of steps.
pub(crate) fn varying(operator: &str, gates: usize, attributes: &[(&str, Attribute)]) {
    let document = model(operator, gates, &[], attributes);
    for [steps, batch] in [[2, 1], [2, 4], [6, 1], [7, 3]] {
        let x = uniform(&mut random(3), steps * batch * WIDTH, -1.0, 1.0);
        let x = Fed::floats("x", &[steps, batch, WIDTH], x);
        Trial::new(&document, &plain(Loss::MeanSquaredError), vec![x], 5).agrees();
    }
}

/// What differentiating a node with these inputs after B and these attributes is refused with.
pub(crate) fn refusal(operator: &str, gates: usize, more: &[&str], attributes: &[(&str, Attribute)]) -> String {
    refusal_of(&model(operator, gates, more, attributes))
}

pub(crate) fn refusal_of(document: &Document) -> String {
    differentiate(document, &plain(Loss::MeanSquaredError)).unwrap_err().to_string()
}
