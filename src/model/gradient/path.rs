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

use super::{
    prune, rules,
    spec::{GradientSpec, Kept},
    weights::{Role, Uses},
};
use crate::model::{
    ElementType, ModelError,
    onnx::proto::{
        GraphProto, NodeProto, TensorProto,
        data_type::{FLOAT, INT64},
    },
};

/// The trainable initializers in the file's order, and every value on the way from them to the prediction, which they
/// are part of.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) trainable: Vec<String>,
    pub(super) values: HashSet<String>,
    /// The other initializers that hold numbers, in the file's order.
    pub(super) kept: Vec<Kept>,
}

/// Finds the path in a graph from what is trained: what the settings unfreeze, and the weights by the
/// [rule](super::weights), without what the settings freeze. `carries` says whether a value has elements that can have a
/// derivative.
///
/// # Errors
/// [`ModelError::FreezeUnknown`], or [`ModelError::NothingToTrain`] when the path is empty.
pub(super) fn find(
    graph: &GraphProto,
    prediction: &str,
    spec: &GradientSpec,
    carries: impl Fn(&str) -> bool,
) -> Result<Path, ModelError> {
    check_names(graph, spec)?;
    let uses = Uses::of(graph);
    let mut kept = Vec::new();
    let mut behind = HashSet::new();
    for (tensor, role) in uses.roles() {
        match why_kept(tensor.name(), role, spec) {
            Some(why) => kept.push(Kept::new(tensor, why)),
            None => drop(behind.insert(tensor.name())),
        }
    }
    let constants = kept.iter().filter(|kept| !matches(&kept.name, &spec.freeze)).map(|kept| kept.name.clone());
    let constants: Vec<String> = constants.collect();
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
        return Err(ModelError::NothingToTrain {
            prediction: prediction.to_owned(),
            freeze: some(&spec.freeze),
            constants: some(&constants),
        });
    }
    kept.extend(unreached(graph, &trainable, &kept));
    Ok(Path { trainable, values, kept })
}

/// Names in the settings are names in the graph.
fn check_names(graph: &GraphProto, spec: &GradientSpec) -> Result<(), ModelError> {
    let floats = graph.initializer.iter().filter(|tensor| tensor.data_type() == FLOAT);
    let names: Vec<String> = floats.map(|tensor| tensor.name().to_owned()).collect();
    let known = |name: &String| graph.initializer.iter().any(|tensor| tensor.name() == name);
    for (setting, named) in [("freeze", &spec.freeze), ("unfreeze", &spec.unfreeze)] {
        if let Some(unknown) = named.iter().find(|name| !name.ends_with('*') && !known(name)) {
            return Err(ModelError::FreezeUnknown { setting, name: unknown.clone(), initializers: some(&names) });
        }
    }
    Ok(())
}

/// Why an initializer is not trained; `None` for one that is, where a gradient reaches it.
fn why_kept(name: &str, role: Role, spec: &GradientSpec) -> Option<String> {
    match role {
        _ if matches(name, &spec.freeze) => Some("frozen by the settings".to_owned()),
        Role::Constant(what) if !matches(name, &spec.unfreeze) => Some(what.to_owned()),
        Role::Constant(_) | Role::Weight => None,
    }
}

/// The initializers that no gradient reaches, and those of types that are not trained. Whole numbers of 64 bits are shapes,
/// axes and ids: nobody expects them to be trained.
fn unreached(graph: &GraphProto, trainable: &[String], kept: &[Kept]) -> Vec<Kept> {
    let is_told = |name: &str| trainable.iter().any(|one| one == name) || kept.iter().any(|one| one.name == name);
    let others = graph.initializer.iter().filter(|tensor| tensor.data_type() != INT64 && !is_told(tensor.name()));
    let why = |tensor: &TensorProto| match ElementType::of(tensor.data_type()) {
        Ok(ElementType::Float32) => Some("no gradient reaches it".to_owned()),
        Ok(ElementType::Bool | ElementType::Text) => None,
        Ok(element) => Some(format!("{element}: only float32 is trained")),
        Err(_) => Some("of a type that is not trained".to_owned()),
    };
    others.filter_map(|tensor| Some(Kept::new(tensor, why(tensor)?))).collect()
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

/// The first few names.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 if names.is_empty() => "none".to_owned(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn matches(name: &str, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    })
}
