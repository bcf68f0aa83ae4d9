//! Trees in the form that all libraries' trees are brought into.

use serde_json::Value;

use super::error::{Faulty, ImportError};

/// Trees whose leaves are added up per target, and what is made of the sums.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Forest {
    pub(super) features: Vec<Feature>,
    pub(super) trees: Vec<Tree>,
    /// Added to the sum of each target.
    pub(super) base: Vec<f64>,
    /// What the sums are divided by before anything is added: the number of trees of a random forest, else 1.
    pub(super) divisor: f64,
    pub(super) link: Link,
    /// Whether the library rounds the numbers that it is given to float32 before it compares them.
    pub(super) rounds_to_float32: bool,
    /// Whether the library adds up in float32, leaf by leaf from the base on.
    pub(super) sums_in_float32: bool,
}

/// What a model is given.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Feature {
    pub(super) name: String,
    /// The values that the model knows by their position in this list, where it is trained on positions.
    pub(super) coded: Option<Coded>,
}

/// Values that stand for their positions.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Coded {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

/// One tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    /// The sum that its leaf is added to.
    pub(super) target: usize,
    /// The first is the root; every other one is the child of exactly one node before it.
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Leaf(f64),
    Split(Split),
}

/// A question about one feature.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Split {
    pub(super) feature: usize,
    pub(super) reading: Reading,
    pub(super) test: Test,
    /// Whether a missing value goes where the answer yes leads.
    pub(super) missing_is_yes: bool,
    pub(super) yes: usize,
    pub(super) no: usize,
}

/// How a split takes the number that it is given. NaN is missing for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reading {
    Number,
    /// Zero is missing, too.
    ZeroIsMissing,
    /// A category from 0 on: what comes after the point is cut off, so that -0.5 is category 0.
    Category,
    /// The same, but no number below 0 is a category.
    CategoryFromZero,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    /// `<=`
    AtMost(f64),
    /// `<`
    Below(f64),
    /// `>`
    Above(f64),
    /// One of these categories.
    Among(Vec<u32>),
}

/// What makes the output of the sums.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Link {
    Identity,
    /// `1 / (1 + exp(-slope * x))`
    Logistic {
        slope: f64,
    },
    Softmax,
    Exponential,
    /// `x * |x|`
    SignedSquare,
    /// `log(1 + exp(x))`
    LogOnePlusExp,
    /// 1 above 0, else 0
    Step,
}

/// Nodes of all trees together: the file that is written has some 60 bytes for each, and 256 MiB at most.
const MOST_NODES: usize = 4_000_000;
/// Splits between a root and a leaf: ONNX Runtime goes down a tree by recursion when it loads one.
const DEEPEST: usize = 1_000;

impl Coded {
    /// From a list of numbers, of truth values, or of texts.
    pub(super) fn of(list: &[Value]) -> Result<Self, Faulty> {
        let number = |value: &Value| value.as_f64().or_else(|| value.as_bool().map(f64::from));
        let numbers: Option<Vec<f64>> = list.iter().map(number).collect();
        let texts = || list.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
        let coded = numbers.map(Self::Numbers).or_else(|| texts().map(Self::Texts));
        coded.ok_or_else(|| Faulty::new("the categories are neither all numbers nor all texts"))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Texts(texts) => texts.len(),
        }
    }
}

impl Tree {
    /// A tree from its root, by what `node` says of a node in the library's own numbers.
    ///
    /// # Errors
    /// What `node` fails with, and when a node is reached twice or the tree is too deep.
    pub(super) fn grow(
        target: usize,
        root: usize,
        size: usize,
        mut node: impl FnMut(usize) -> Result<Node, Faulty>,
    ) -> Result<Self, Faulty> {
        let (mut nodes, mut is_reached) = (Vec::new(), vec![false; size]);
        // Each with the place that points to it: the split, and whether it is its yes.
        let mut open = vec![(root, None, 0)];
        while let Some((number, parent, depth)) = open.pop() {
            let seen = is_reached
                .get_mut(number)
                .ok_or_else(|| Faulty::new(format!("there is no node {number}, the tree has {size}")))?;
            if std::mem::replace(seen, true) {
                return Err(Faulty::new(format!("node {number} is reached twice")));
            }
            if depth > DEEPEST {
                return Err(Faulty::new(format!("it is more than {DEEPEST} splits deep")));
            }
            let place = nodes.len();
            if let Some((parent, is_yes)) = parent
                && let Some(Node::Split(split)) = nodes.get_mut::<usize>(parent)
            {
                *(if is_yes { &mut split.yes } else { &mut split.no }) = place;
            }
            let node = node(number)?;
            if let Node::Split(split) = &node {
                open.push((split.no, Some((place, false)), depth + 1));
                open.push((split.yes, Some((place, true)), depth + 1));
            }
            nodes.push(node);
        }
        Ok(Self { target, nodes })
    }

    /// How many leaves it has.
    pub(super) fn leaves(&self) -> usize {
        self.nodes.iter().filter(|node| matches!(node, Node::Leaf(_))).count()
    }
}

impl Forest {
    /// The splits of all trees.
    pub(super) fn splits(&self) -> impl Iterator<Item = &Split> {
        let nodes = self.trees.iter().flat_map(|tree| &tree.nodes);
        nodes.filter_map(|node| match node {
            Node::Split(split) => Some(split),
            Node::Leaf(_) => None,
        })
    }

    /// Which features are asked for as categories.
    pub(super) fn of_categories(&self) -> Vec<bool> {
        let mut found = vec![false; self.features.len()];
        for split in self.splits().filter(|split| matches!(split.test, Test::Among(_))) {
            found.iter_mut().skip(split.feature).take(1).for_each(|found| *found = true);
        }
        found
    }

    /// Refuses what could not be written, or would score nonsense.
    pub(super) fn check(&self) -> Result<(), ImportError> {
        let nodes: usize = self.trees.iter().map(|tree| tree.nodes.len()).sum();
        if nodes > MOST_NODES {
            return Err(ImportError::TooLarge { nodes, limit: MOST_NODES });
        }
        for (number, tree) in self.trees.iter().enumerate() {
            for node in &tree.nodes {
                let fault = match node {
                    Node::Leaf(value) if !value.is_finite() => format!("a leaf is {value}, not a finite number"),
                    Node::Split(Split { test: Test::AtMost(at) | Test::Below(at) | Test::Above(at), .. })
                        if at.is_nan() =>
                    {
                        "a threshold is NaN".to_owned()
                    }
                    Node::Split(split) if split.feature >= self.features.len() => {
                        format!("a split is on feature {}, the model has {}", split.feature, self.features.len())
                    }
                    _ => continue,
                };
                return Err(ImportError::Broken { place: format!("tree {number}"), reason: fault });
            }
            if tree.target >= self.base.len() {
                let reason = format!("it is of class {}, the model has {}", tree.target, self.base.len());
                return Err(ImportError::Broken { place: format!("tree {number}"), reason });
            }
        }
        if let Some(base) = self.base.iter().find(|base| !base.is_finite()) {
            let reason = format!("it is {base}, not a finite number");
            return Err(ImportError::Broken { place: "the base score".to_owned(), reason });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(yes: usize, no: usize) -> Node {
        let (reading, test) = (Reading::Number, Test::AtMost(0.5));
        Node::Split(Split { feature: 0, reading, test, missing_is_yes: false, yes, no })
    }

    fn grow(nodes: &[Node]) -> Result<Tree, Faulty> {
        Tree::grow(0, 0, nodes.len(), |number| Ok(nodes[number].clone()))
    }

    #[test]
    fn what_no_split_leads_to_is_left_out_and_children_follow_their_parents() {
        let tree =
            grow(&[split(3, 1), Node::Leaf(1.0), Node::Leaf(9.0), split(5, 4), Node::Leaf(4.0), Node::Leaf(5.0)]);
        let expected = [split(1, 4), split(2, 3), Node::Leaf(5.0), Node::Leaf(4.0), Node::Leaf(1.0)];
        assert_eq!(tree.unwrap().nodes, expected);
    }

    #[test]
    fn circles_shared_nodes_and_nodes_that_are_not_there_are_refused() {
        for (nodes, reason) in [
            (vec![split(0, 1), Node::Leaf(1.0)], "node 0 is reached twice"),
            (vec![split(1, 1), Node::Leaf(1.0)], "node 1 is reached twice"),
            (vec![split(1, 7), Node::Leaf(1.0)], "there is no node 7, the tree has 2"),
        ] {
            assert_eq!(grow(&nodes).unwrap_err().to_string(), reason);
        }
        let chain: Vec<Node> =
            (0..3_000).flat_map(|level| [split(2 * level + 1, 2 * level + 2), Node::Leaf(0.0)]).collect();
        let chain: Vec<Node> = chain.into_iter().chain([Node::Leaf(0.0)]).collect();
        assert_eq!(grow(&chain).unwrap_err().to_string(), "it is more than 1000 splits deep");
    }

    #[test]
    fn a_forest_that_would_score_nonsense_is_refused() {
        let forest = |node: Node, target: usize, base: f64| Forest {
            features: vec![Feature { name: "a".to_owned(), coded: None }],
            trees: vec![Tree { target, nodes: vec![node] }],
            base: vec![base],
            divisor: 1.0,
            link: Link::Identity,
            rounds_to_float32: false,
            sums_in_float32: false,
        };
        let refusal = |forest: Forest| forest.check().unwrap_err().to_string();
        assert!(forest(Node::Leaf(1.0), 0, 0.0).check().is_ok());
        insta::assert_snapshot!(refusal(forest(Node::Leaf(f64::NAN), 0, 0.0)), @"tree 0: a leaf is NaN, not a finite number");
        insta::assert_snapshot!(refusal(forest(Node::Leaf(1.0), 3, 0.0)), @"tree 0: it is of class 3, the model has 1");
        insta::assert_snapshot!(refusal(forest(Node::Leaf(1.0), 0, f64::INFINITY)), @"the base score: it is inf, not a finite number");
        let Node::Split(beyond) = split(1, 2) else { unreachable!() };
        let beyond = Node::Split(Split { feature: 5, ..beyond });
        insta::assert_snapshot!(refusal(forest(beyond, 0, 0.0)), @"tree 0: a split is on feature 5, the model has 1");
    }
}
