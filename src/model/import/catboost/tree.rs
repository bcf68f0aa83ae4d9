//! One tree of a file, as a tree of splits for each target.

use super::features::Features;
use crate::model::import::error::{Faulty, ImportError};
use crate::model::import::json::Json;
use crate::model::import::tree::{Node, Split, Tree};

/// The deepest trees that CatBoost trains.
const DEEPEST: usize = 16;
/// Nodes inside one another; serde refuses 128.
const MOST_NESTED: usize = 120;

/// Reads a tree that asks one question at each level, of which the first is the lowest bit of the number of a leaf.
pub(super) fn oblivious(
    tree: &Json<'_>,
    features: &Features,
    targets: usize,
    scale: f64,
) -> Result<Vec<Tree>, ImportError> {
    let splits = tree.find("splits").map_or(Ok(Vec::new()), |splits| splits.items())?;
    let splits: Vec<Split> = splits.iter().map(|split| features.split(split)).collect::<Result<_, _>>()?;
    let values = tree.get("leaf_values")?.numbers()?;
    if splits.len() > DEEPEST || values.len() != targets << splits.len() {
        let reason =
            format!("leaf_values has {} entries for {} splits and {targets} targets", values.len(), splits.len());
        return Err(tree.broken(reason));
    }
    let levels = splits.len();
    let inner = (1 << levels) - 1;
    // As in a heap: the children of a node n are 2n + 1 and 2n + 2. The last level has the leaves, the bits of whose number are
    // the answers from the root down, and so those of CatBoost's number from the highest to the lowest.
    let of_target = |target: usize| {
        Tree::grow(target, 0, 2 * inner + 1, |number| {
            if let Some(leaf) = number.checked_sub(inner) {
                let place = leaf * targets + target;
                let value = values.get(place).ok_or_else(|| Faulty::new(format!("there is no leaf {leaf}")))?;
                return Ok(Node::Leaf(value * scale));
            }
            let level = (number + 1).ilog2() as usize;
            let split =
                splits.get(levels - 1 - level).ok_or_else(|| Faulty::new(format!("there is no level {level}")))?;
            Ok(Node::Split(Split { yes: 2 * number + 2, no: 2 * number + 1, ..split.clone() }))
        })
    };
    (0..targets).map(|target| of_target(target).map_err(|fault| fault.at(tree.place()))).collect()
}

/// Reads a tree whose nodes are inside one another.
pub(super) fn nested(
    tree: &Json<'_>,
    features: &Features,
    targets: usize,
    scale: f64,
) -> Result<Vec<Tree>, ImportError> {
    let mut nodes = Vec::new();
    flatten(tree, features, targets, 0, &mut nodes)?;
    let of_target = |target: usize| {
        Tree::grow(target, 0, nodes.len(), |number| match nodes.get(number) {
            Some(Flat::Leaf(values)) => Ok(Node::Leaf(values.get(target).copied().unwrap_or_default() * scale)),
            Some(Flat::Split(split)) => Ok(Node::Split(split.clone())),
            None => Err(Faulty::new(format!("there is no node {number}"))),
        })
    };
    (0..targets).map(|target| of_target(target).map_err(|fault| fault.at(tree.place()))).collect()
}

enum Flat {
    /// A value for each target.
    Leaf(Vec<f64>),
    Split(Split),
}

/// Appends a node and what is inside it; returns its number.
fn flatten(
    node: &Json<'_>,
    features: &Features,
    targets: usize,
    depth: usize,
    nodes: &mut Vec<Flat>,
) -> Result<usize, ImportError> {
    if depth > MOST_NESTED {
        return Err(node.broken(format!("nodes are nested more than {MOST_NESTED} deep")));
    }
    let number = nodes.len();
    if let Some(value) = node.find("value") {
        let values = if value.value().is_number() { vec![value.number()?] } else { value.numbers()? };
        if values.len() != targets {
            return Err(value.broken(format!("it has {} numbers for {targets} targets", values.len())));
        }
        nodes.push(Flat::Leaf(values));
        return Ok(number);
    }
    let split = features.split(&node.get("split")?)?;
    nodes.push(Flat::Split(split.clone()));
    // Where the answer is yes, CatBoost goes right.
    let no = flatten(&node.get("left")?, features, targets, depth + 1, nodes)?;
    let yes = flatten(&node.get("right")?, features, targets, depth + 1, nodes)?;
    if let Some(place) = nodes.get_mut(number) {
        *place = Flat::Split(Split { yes, no, ..split });
    }
    Ok(number)
}
