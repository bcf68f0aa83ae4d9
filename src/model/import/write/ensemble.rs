//! The trees as one node: `TreeEnsemble` of ai.onnx.ml 5.

use super::columns::{Columns, MISSING_CATEGORY};
use crate::model::import::tree::{Forest, Node, Reading, Split, Test};
use crate::model::onnx::proto::data_type::{DOUBLE, FLOAT};
use crate::model::onnx::{Attribute, GraphBuilder, byte_tensor, double_tensor, float_tensor};

/// Numbers of the attribute `nodes_modes`.
const AT_MOST: u8 = 0;
const BELOW: u8 = 1;
const ABOVE: u8 = 3;
const MEMBER: u8 = 6;

/// The attributes, an entry for each split and each leaf.
#[derive(Default)]
struct Lists {
    roots: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<u8>,
    thresholds: Vec<f64>,
    /// The sets of the splits on sets, in the order of these, each ended by NaN.
    members: Vec<f64>,
    missing_is_yes: Vec<i64>,
    yes: Vec<i64>,
    yes_is_leaf: Vec<i64>,
    no: Vec<i64>,
    no_is_leaf: Vec<i64>,
    weights: Vec<f64>,
    targets: Vec<i64>,
}

/// Adds the node that gives the sums of all leaves, `[batch, targets]`.
pub(super) fn add(graph: &mut GraphBuilder, forest: &Forest, columns: &Columns, output: &str) {
    let mut lists = Lists::default();
    if forest.sums_in_float32 {
        // A tree of one leaf for each sum to begin with.
        for (target, base) in forest.base.iter().enumerate() {
            lists.tree(&[Node::Leaf(*base)], target as i64, columns);
        }
    }
    for tree in &forest.trees {
        lists.tree(&tree.nodes, tree.target as i64, columns);
    }
    let numbers = |name: &str, values: &[f64]| {
        Attribute::Tensor(Box::new(if forest.sums_in_float32 {
            let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
            float_tensor(name, &[values.len()], &values)
        } else {
            double_tensor(name, &[values.len()], values)
        }))
    };
    let mut attributes = vec![
        ("aggregate_function", Attribute::Int(1)),
        ("post_transform", Attribute::Int(0)),
        ("n_targets", Attribute::Int(forest.base.len() as i64)),
        ("nodes_modes", Attribute::Tensor(Box::new(byte_tensor("modes", &lists.modes)))),
        ("nodes_splits", numbers("splits", &lists.thresholds)),
        ("leaf_weights", numbers("weights", &lists.weights)),
        ("tree_roots", Attribute::Ints(lists.roots)),
        ("nodes_featureids", Attribute::Ints(lists.features)),
        ("nodes_missing_value_tracks_true", Attribute::Ints(lists.missing_is_yes)),
        ("nodes_truenodeids", Attribute::Ints(lists.yes)),
        ("nodes_trueleafs", Attribute::Ints(lists.yes_is_leaf)),
        ("nodes_falsenodeids", Attribute::Ints(lists.no)),
        ("nodes_falseleafs", Attribute::Ints(lists.no_is_leaf)),
        ("leaf_targetids", Attribute::Ints(lists.targets)),
    ];
    if !lists.members.is_empty() {
        attributes.push(("membership_values", numbers("members", &lists.members)));
    }
    if !forest.sums_in_float32 {
        return graph.node_in("ai.onnx.ml", "TreeEnsemble", &[&columns.matrix], &[output], &attributes);
    }
    graph.node_with("Cast", &[&columns.matrix], "trees.matrix", &[("to", i64::from(FLOAT))]);
    graph.node_in("ai.onnx.ml", "TreeEnsemble", &["trees.matrix"], &["trees.float32_sums"], &attributes);
    graph.node_with("Cast", &["trees.float32_sums"], output, &[("to", i64::from(DOUBLE))]);
}

impl Lists {
    fn tree(&mut self, nodes: &[Node], target: i64, columns: &Columns) {
        let (first_split, first_leaf) = (self.features.len() as i64, self.weights.len() as i64);
        self.roots.push(first_split);
        // The number of each node among the splits, or among the leaves, of all trees.
        let (mut splits, mut leaves) = (first_split, first_leaf);
        let numbers: Vec<(i64, i64)> = nodes
            .iter()
            .map(|node| {
                let (next, is_leaf) = match node {
                    Node::Split(_) => (&mut splits, 0),
                    Node::Leaf(_) => (&mut leaves, 1),
                };
                *next += 1;
                (*next - 1, is_leaf)
            })
            .collect();
        if let [Node::Leaf(_)] = nodes {
            // A tree without a split is a split that leads to one leaf either way.
            self.split(0, (AT_MOST, 0.0), false, [(first_leaf, 1); 2]);
        }
        for node in nodes {
            match node {
                Node::Leaf(value) => {
                    self.weights.push(*value);
                    self.targets.push(target);
                }
                Node::Split(split) => {
                    let child = |place: usize| numbers.get(place).copied().unwrap_or_default();
                    let place = columns.place(split.feature, split.reading) as i64;
                    let (mode, missing_is_yes) = self.mode(split);
                    self.split(place, mode, missing_is_yes, [child(split.yes), child(split.no)]);
                }
            }
        }
    }

    /// The mode and threshold of a split, and where NaN goes.
    fn mode(&mut self, split: &Split) -> ((u8, f64), bool) {
        match &split.test {
            Test::AtMost(threshold) => ((AT_MOST, *threshold), split.missing_is_yes),
            Test::Below(threshold) => ((BELOW, *threshold), split.missing_is_yes),
            Test::Above(threshold) => ((ABOVE, *threshold), split.missing_is_yes),
            Test::Among(categories) => {
                debug_assert!(matches!(split.reading, Reading::Category | Reading::CategoryFromZero));
                self.members.extend(categories.iter().map(|category| f64::from(*category)));
                // What is missing is a number of its own here, and no NaN.
                self.members.extend(split.missing_is_yes.then_some(MISSING_CATEGORY));
                self.members.push(f64::NAN);
                ((MEMBER, 0.0), false)
            }
        }
    }

    fn split(&mut self, place: i64, (mode, threshold): (u8, f64), missing_is_yes: bool, [yes, no]: [(i64, i64); 2]) {
        self.features.push(place);
        self.modes.push(mode);
        self.thresholds.push(threshold);
        self.missing_is_yes.push(i64::from(missing_is_yes));
        self.yes.push(yes.0);
        self.yes_is_leaf.push(yes.1);
        self.no.push(no.0);
        self.no_is_leaf.push(no.1);
    }
}
