//! One tree of a file.

use super::sections::Section;
use crate::model::import::error::{Faulty, ImportError};
use crate::model::import::tree::{Node, Reading, Split, Test, Tree};

/// Bits of `decision_type`: whether the split is on categories, and where what is missing goes.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

/// The splits of a tree, entry by entry, and its leaves.
struct Columns {
    features: Vec<usize>,
    thresholds: Vec<f64>,
    decisions: Vec<u8>,
    left: Vec<i64>,
    right: Vec<i64>,
    leaves: Vec<f64>,
    /// Where in `bits` the categories of each categorical split begin and end.
    boundaries: Vec<usize>,
    /// A bit for each category.
    bits: Vec<u32>,
}

/// Reads a tree whose leaves are added to the sum of `target`.
pub(super) fn read(section: &Section<'_>, target: usize) -> Result<Tree, ImportError> {
    if section.optional("is_linear").is_some_and(|word| word != "0") {
        return Err(ImportError::Refused {
            what: format!("{}, which has linear models in its leaves (linear_tree=true),", section.place),
            advice: "ONNX has no such trees; train with linear_tree=false",
        });
    }
    let leaves: usize = section.number("num_leaves")?;
    let values: Vec<f64> = section.exactly("leaf_value", leaves)?;
    if let [value] = values.as_slice() {
        return Ok(Tree { target, nodes: vec![Node::Leaf(*value)] });
    }
    let splits =
        leaves.checked_sub(1).ok_or_else(|| section.broken("num_leaves=0: a tree has one at least".to_owned()))?;
    let categorical: usize = section.number("num_cat")?;
    let columns = Columns {
        features: section.exactly("split_feature", splits)?,
        thresholds: section.exactly("threshold", splits)?,
        decisions: section.exactly("decision_type", splits)?,
        left: section.exactly("left_child", splits)?,
        right: section.exactly("right_child", splits)?,
        leaves: values,
        boundaries: if categorical > 0 { section.exactly("cat_boundaries", categorical + 1)? } else { Vec::new() },
        bits: if categorical > 0 { section.list("cat_threshold")? } else { Vec::new() },
    };
    // Splits first, then leaves.
    let tree = Tree::grow(target, 0, splits + leaves, |number| {
        match number.checked_sub(splits) {
            Some(leaf) => columns.leaves.get(leaf).map(|value| Node::Leaf(*value)),
            None => Some(Node::Split(columns.split(number)?)),
        }
        .ok_or_else(|| Faulty::new(format!("there is no node {number}")))
    });
    tree.map_err(|fault| fault.at(&section.place))
}

impl Columns {
    fn split(&self, number: usize) -> Result<Split, Faulty> {
        let short = || Faulty::new(format!("split {number} is not there"));
        let threshold = *self.thresholds.get(number).ok_or_else(short)?;
        let decision = *self.decisions.get(number).ok_or_else(short)?;
        let child = |children: &[i64]| {
            let child = *children.get(number).ok_or_else(short)?;
            // A leaf is the complement of its number.
            let place = if child < 0 {
                usize::try_from(!child).map(|leaf| self.features.len() + leaf)
            } else {
                usize::try_from(child)
            };
            place.map_err(|_| Faulty::new(format!("split {number} leads to {child}")))
        };
        let feature = *self.features.get(number).ok_or_else(short)?;
        let (yes, no) = (child(&self.left)?, child(&self.right)?);
        if decision & CATEGORICAL != 0 {
            let test = Test::Among(self.categories(threshold)?);
            // What is missing is in no set, whatever default_left says.
            return Ok(Split { feature, reading: Reading::Category, test, missing_is_yes: false, yes, no });
        }
        let default_left = decision & DEFAULT_LEFT != 0;
        let (reading, missing_is_yes) = match decision >> 2 {
            // Nothing was missing in training: NaN counts as 0.
            0 => (Reading::Number, 0.0 <= threshold),
            1 => (Reading::ZeroIsMissing, default_left),
            2 => (Reading::Number, default_left),
            _ => return Err(Faulty::new(format!("split {number} has decision_type {decision}, which is not known"))),
        };
        Ok(Split { feature, reading, test: Test::AtMost(threshold), missing_is_yes, yes, no })
    }

    /// The categories of the categorical split of this number.
    fn categories(&self, number: f64) -> Result<Vec<u32>, Faulty> {
        let unknown = || Faulty::new(format!("there is no set of categories {number}"));
        let first = if number.fract() == 0.0 && number >= 0.0 { number as usize } else { return Err(unknown()) };
        let range = (self.boundaries.get(first), self.boundaries.get(first.saturating_add(1)));
        let (Some(start), Some(end)) = range else { return Err(unknown()) };
        let words = self.bits.get(*start..*end).ok_or_else(unknown)?;
        Ok(members(words))
    }
}

/// The numbers of the bits that are set.
fn members(words: &[u32]) -> Vec<u32> {
    let bits = words
        .iter()
        .zip(0..)
        .flat_map(|(word, place)| (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| place * 32 + bit));
    bits.collect()
}
