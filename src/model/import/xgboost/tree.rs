//! One tree of a file.

use std::collections::HashMap;

use crate::model::import::error::{Faulty, ImportError};
use crate::model::import::json::Json;
use crate::model::import::tree::{Node, Reading, Split, Test, Tree};

/// The properties of the nodes, each in a list of its own.
struct Columns {
    left: Vec<i64>,
    right: Vec<i64>,
    features: Vec<i64>,
    /// Of a split its threshold, of a leaf its value; of a split on categories anything.
    conditions: Vec<f32>,
    default_left: Vec<bool>,
    /// The categories of the splits that have some: those that go right.
    categories: HashMap<usize, Vec<u32>>,
    /// What the leaves are multiplied by.
    weight: f32,
}

/// Reads a tree whose leaves, times `weight`, are added to the sum of `target`.
pub(super) fn read(tree: &Json<'_>, target: usize, weight: f64) -> Result<Tree, ImportError> {
    if tree.get("tree_param")?.find("size_leaf_vector").is_some_and(|size| size.count().is_ok_and(|size| size > 1)) {
        return Err(ImportError::Refused {
            what: format!(
                "{}, whose leaves hold several numbers (multi_strategy=\"multi_output_tree\"),",
                tree.place()
            ),
            advice: "train with multi_strategy=\"one_output_per_tree\"",
        });
    }
    let nodes = tree.get("tree_param")?.get("num_nodes")?.count()?;
    let wholes = |key: &str| exactly(tree, key, nodes, Json::wholes);
    let columns = Columns {
        left: wholes("left_children")?,
        right: wholes("right_children")?,
        features: wholes("split_indices")?,
        conditions: exactly(tree, "split_conditions", nodes, Json::measures)?
            .into_iter()
            .map(|number| number as f32)
            .collect(),
        default_left: exactly(tree, "default_left", nodes, Json::switches)?,
        categories: categories(tree, nodes)?,
        weight: weight as f32,
    };
    Tree::grow(target, 0, nodes, |number| columns.node(number)).map_err(|fault| fault.at(tree.place()))
}

/// A list with an entry for each node.
fn exactly<'a, T>(
    tree: &Json<'a>,
    key: &str,
    nodes: usize,
    read: impl Fn(&Json<'a>) -> Result<Vec<T>, ImportError>,
) -> Result<Vec<T>, ImportError> {
    let list = read(&tree.get(key)?)?;
    if list.len() == nodes {
        Ok(list)
    } else {
        Err(tree.broken(format!("{key} has {} entries for {nodes} nodes", list.len())))
    }
}

/// The categories of each split that has some.
fn categories(tree: &Json<'_>, nodes: usize) -> Result<HashMap<usize, Vec<u32>>, ImportError> {
    // Versions before 1.3 know no categories.
    let types = tree.find("split_type").map_or(Ok(Vec::new()), |types| types.wholes())?;
    if types.iter().all(|one| *one == 0) {
        return Ok(HashMap::new());
    }
    let wholes = |key: &str| tree.get(key)?.wholes();
    let all: Vec<u32> = {
        let all = wholes("categories")?.into_iter().map(u32::try_from).collect::<Result<_, _>>();
        all.map_err(|_| tree.broken("categories has a number below 0"))?
    };
    let (of, starts, sizes) =
        (wholes("categories_nodes")?, wholes("categories_segments")?, wholes("categories_sizes")?);
    if of.len() != starts.len() || of.len() != sizes.len() {
        return Err(tree.broken("categories_nodes, categories_segments and categories_sizes have not as many entries"));
    }
    let mut found = HashMap::new();
    for ((node, start), size) in of.iter().zip(&starts).zip(&sizes) {
        let range = usize::try_from(*start).ok().zip(usize::try_from(*size).ok());
        let part = range.and_then(|(start, size)| all.get(start..start.checked_add(size)?));
        let (Some(part), Some(node)) = (part, usize::try_from(*node).ok()) else {
            return Err(tree.broken(format!("the categories of node {node} are not there")));
        };
        found.insert(node, part.to_vec());
    }
    let is_categorical = |node: usize| types.get(node).is_some_and(|one| *one == 1);
    match (0..nodes).find(|node| is_categorical(*node) != found.contains_key(node)) {
        Some(node) => Err(tree.broken(format!("split_type and categories_nodes differ on node {node}"))),
        None => Ok(found),
    }
}

impl Columns {
    fn node(&self, number: usize) -> Result<Node, Faulty> {
        let none = || Faulty::new(format!("there is no node {number}"));
        let condition = *self.conditions.get(number).ok_or_else(none)?;
        let child = |children: &[i64]| children.get(number).copied().ok_or_else(none);
        let (left, right) = (child(&self.left)?, child(&self.right)?);
        if left == -1 {
            return Ok(Node::Leaf(f64::from(condition * self.weight)));
        }
        let place =
            |number: i64| usize::try_from(number).map_err(|_| Faulty::new(format!("there is no node {number}")));
        let (left, right) = (place(left)?, place(right)?);
        let feature = place(*self.features.get(number).ok_or_else(none)?)?;
        let default_left = *self.default_left.get(number).ok_or_else(none)?;
        Ok(Node::Split(match self.categories.get(&number) {
            Some(categories) => Split {
                feature,
                reading: Reading::CategoryFromZero,
                test: Test::Among(categories.clone()),
                missing_is_yes: !default_left,
                yes: right,
                no: left,
            },
            None => Split {
                feature,
                reading: Reading::Number,
                test: Test::Below(f64::from(condition)),
                missing_is_yes: default_left,
                yes: left,
                no: right,
            },
        }))
    }
}
