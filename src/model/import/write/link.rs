//! From the sums of the leaves to what the library predicts, in double.

use crate::model::import::tree::{Forest, Link};
use crate::model::onnx::GraphBuilder;

/// Adds the mean of a random forest and the base scores; returns the name.
pub(super) fn shift(graph: &mut GraphBuilder, forest: &Forest, sums: &str) -> String {
    let mut value = sums.to_owned();
    if forest.divisor != 1.0 {
        graph.double_initializer("trees.rounds", &[], &[forest.divisor]);
        graph.node("Div", &[&value, "trees.rounds"], "trees.mean");
        "trees.mean".clone_into(&mut value);
    }
    if !forest.sums_in_float32 && forest.base.iter().any(|base| *base != 0.0) {
        graph.double_initializer("trees.base", &[1, forest.base.len()], &forest.base);
        graph.node("Add", &[&value, "trees.base"], "trees.shifted");
        "trees.shifted".clone_into(&mut value);
    }
    value
}

/// Adds `output`, made of `sums`.
pub(super) fn add(graph: &mut GraphBuilder, link: Link, sums: &str, output: &str) {
    match link {
        Link::Identity => graph.node("Identity", &[sums], output),
        Link::Logistic { slope: 1.0 } => graph.node("Sigmoid", &[sums], output),
        Link::Logistic { slope } => {
            graph.double_initializer("trees.slope", &[], &[slope]);
            graph.node("Mul", &[sums, "trees.slope"], "trees.logit");
            graph.node("Sigmoid", &["trees.logit"], output);
        }
        Link::Softmax => graph.node_with("Softmax", &[sums], output, &[("axis", 1)]),
        Link::Exponential => graph.node("Exp", &[sums], output),
        Link::SignedSquare => {
            graph.node("Abs", &[sums], "trees.size");
            graph.node("Mul", &[sums, "trees.size"], output);
        }
        Link::LogOnePlusExp => log_one_plus_exp(graph, sums, output),
        Link::Step => {
            for (name, value) in [("trees.nought", 0.0), ("trees.unit", 1.0)] {
                graph.double_initializer(name, &[], &[value]);
            }
            graph.node("Greater", &[sums, "trees.nought"], "trees.is_above");
            graph.node("Where", &["trees.is_above", "trees.unit", "trees.nought"], output);
        }
    }
}

/// `log(1 + exp(x)) = max(x, 0) + log(1 + e)`, where `e = exp(-|x|)` is at most 1. A small `e` is lost in `1 + e`: then it is the
/// logarithm itself, and before that `log(u) * e / (u - 1)` with `u = 1 + e` takes the rounding of the sum out again (Higham,
/// "Accuracy and Stability of Numerical Algorithms", 2002, section 1.14.1).
fn log_one_plus_exp(graph: &mut GraphBuilder, x: &str, output: &str) {
    let name = |step: &str| format!("trees.{step}");
    for (constant, value) in [("nought", 0.0), ("unit", 1.0)] {
        graph.double_initializer(&name(constant), &[], &[value]);
    }
    graph.node("Abs", &[x], &name("size"));
    graph.node("Neg", &[&name("size")], &name("below"));
    graph.node("Exp", &[&name("below")], &name("e"));
    graph.node("Add", &[&name("e"), &name("unit")], &name("u"));
    graph.node("Sub", &[&name("u"), &name("unit")], &name("difference"));
    graph.node("Equal", &[&name("difference"), &name("nought")], &name("is_lost"));
    graph.node("Where", &[&name("is_lost"), &name("unit"), &name("difference")], &name("divisor"));
    graph.node("Div", &[&name("e"), &name("divisor")], &name("ratio"));
    graph.node("Log", &[&name("u")], &name("log"));
    graph.node("Mul", &[&name("log"), &name("ratio")], &name("corrected"));
    graph.node("Where", &[&name("is_lost"), &name("e"), &name("corrected")], &name("tail"));
    graph.node("Max", &[x, &name("nought")], &name("head"));
    graph.node("Add", &[&name("head"), &name("tail")], output);
}
