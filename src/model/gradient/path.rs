//! Which values the gradient passes through: those that depend on something trainable and that the prediction depends
//! on, both through inputs that have a derivative.
//!
//! ```text
//!   trainable ──▶ a ──▶ b ──▶ prediction        a and b are on the path
//!                 │                             the shape of a is not: Shape has no derivative
//!                 └──▶ Shape ──▶ …              c is not: nothing trainable is behind it
//!   input ──▶ c ──────▶ b
//! ```

use std::collections::HashSet;

use super::{prune, rules, spec::GradientSpec};
use crate::model::{
    ModelError,
    onnx::proto::{GraphProto, NodeProto, TensorProto, data_type::FLOAT},
};

/// The trainable initializers in the file's order, and every value on the way from them to the prediction, which they
/// are part of.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) trainable: Vec<String>,
    pub(super) values: HashSet<String>,
}

/// Finds the path in a graph. `carries` says whether a value has elements that can have a derivative.
///
/// # Errors
/// [`ModelError::FreezeUnknown`], or [`ModelError::NothingToTrain`] when the path is empty.
pub(super) fn find(
    graph: &GraphProto,
    prediction: &str,
    spec: &GradientSpec,
    carries: impl Fn(&str) -> bool,
) -> Result<Path, ModelError> {
    let known = |name: &String| graph.initializer.iter().any(|tensor| tensor.name() == name);
    if let Some(unknown) = spec.freeze.iter().find(|name| !name.ends_with('*') && !known(name)) {
        return Err(ModelError::FreezeUnknown { name: unknown.clone(), initializers: some(&candidates(graph)) });
    }
    let candidates = candidates(graph).into_iter().filter(|name| !frozen(name, &spec.freeze));
    let mut behind: HashSet<&str> = candidates.collect();
    for node in &graph.node {
        if differentiable_inputs(node).iter().any(|input| behind.contains(input)) {
            behind.extend(node.output.iter().map(String::as_str).filter(|name| carries(name)));
        }
    }
    let mut values = HashSet::new();
    if behind.contains(prediction) {
        values.insert(prediction.to_owned());
    }
    for node in graph.node.iter().rev() {
        if node.output.iter().any(|output| values.contains(output)) {
            let inputs = differentiable_inputs(node).into_iter().filter(|input| behind.contains(input));
            values.extend(inputs.map(str::to_owned));
        }
    }
    let names = graph.initializer.iter().map(TensorProto::name);
    let trainable: Vec<_> = names.filter(|name| values.contains(*name)).map(str::to_owned).collect();
    if trainable.is_empty() {
        return Err(ModelError::NothingToTrain { prediction: prediction.to_owned(), freeze: spec.freeze.join(", ") });
    }
    Ok(Path { trainable, values })
}

/// The trainable initializers that a node depends on: what to freeze so that no gradient goes through it.
pub(super) fn behind(nodes: &[NodeProto], node: &NodeProto, path: &Path) -> Vec<String> {
    let mut needed: HashSet<&str> = differentiable_inputs(node).into_iter().collect();
    for earlier in nodes.iter().rev() {
        if earlier.output.iter().any(|output| needed.contains(output.as_str())) {
            needed.extend(differentiable_inputs(earlier));
        }
    }
    path.trainable.iter().filter(|name| needed.contains(name.as_str())).cloned().collect()
}

/// The inputs with respect to which an operator has a derivative. Without a rule, all of them might.
fn differentiable_inputs(node: &NodeProto) -> Vec<&str> {
    let Some(rule) = rules::find(node) else { return prune::reads(node) };
    let inputs = node.input.iter().enumerate().filter(|(position, _)| rule.inputs.contain(*position));
    inputs.map(|(_, name)| name.as_str()).filter(|name| !name.is_empty()).collect()
}

fn candidates(graph: &GraphProto) -> Vec<&str> {
    graph.initializer.iter().filter(|tensor| tensor.data_type() == FLOAT).map(TensorProto::name).collect()
}

/// The first few names.
fn some(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn frozen(name: &str, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    })
}
