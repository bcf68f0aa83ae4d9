//! A document in a newer operator set, for training.
//!
//! ```text
//!   7 ─ 15 ──▶ 17     Squeeze(x, axes = [1])   becomes   Squeeze(x, [1]), and so on
//!   16 ─ 26           as it is
//! ```
//!
//! Training writes operators in the model's own operator set, and knows their forms from 16 on. A document of an older set
//! is written anew for it: attributes that became inputs move there (`moved`), the softmax of a flattened tensor becomes one
//! along an axis (`softmax`), and an operator that can't be written anew is refused by name. The model's file stays in its
//! own operator set, with its weights under their names: what is made here only says how they are trained.
//!
//! Operators that are only accepted in more types, or have a new attribute whose default is what was before, stay as they
//! are; `operator_sets` lists the other ones.

mod error;
mod moved;
mod softmax;

use std::collections::HashSet;
use std::ops::RangeInclusive;

pub(crate) use error::UpgradeError;

use super::{
    Document, all_names,
    names::graphs_mut,
    operator_sets::domain,
    proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type},
};
use softmax::Ranks;

/// The operator sets of the standard domain that can be trained.
const TRAINED_SETS: RangeInclusive<i64> = 7..=26;

/// The oldest operator set whose forms training knows.
const OLDEST_KNOWN: i64 = 16;
/// The one that older documents are brought to: its attributes are those of before.
const TARGET: i64 = 17;
/// The format of a file that has this operator set.
const IR_VERSION: i64 = 8;

/// Brings a document to an operator set whose forms training knows, and says which; one of such a set stays as it is.
///
/// # Errors
/// [`UpgradeError::OperatorSet`] where that set can't be trained, [`UpgradeError::Node`] for a node that can't be written anew.
pub(crate) fn upgrade(document: &mut Document) -> Result<i64, UpgradeError> {
    let from = document.opset("").or_else(|| document.opset("ai.onnx")).unwrap_or(0);
    if !TRAINED_SETS.contains(&from) {
        return Err(UpgradeError::OperatorSet { found: from });
    }
    if from >= OLDEST_KNOWN {
        return Ok(from);
    }
    let mut names = HashSet::new();
    all_names(document.graph(), &mut names);
    let ranks = Ranks::of(document.graph());
    Upgrade { from, names, ranks }.graph(document.graph_mut())?;
    let model = &mut document.model;
    for set in model.opset_import.iter_mut().filter(|set| domain(set.domain()).is_empty()) {
        set.version = Some(TARGET);
    }
    model.ir_version = Some(model.ir_version().max(IR_VERSION));
    Ok(TARGET)
}

struct Upgrade {
    from: i64,
    /// Every name of the graph, and those that were given.
    names: HashSet<String>,
    ranks: Ranks,
}

impl Upgrade {
    fn graph(&mut self, graph: &mut GraphProto) -> Result<(), UpgradeError> {
        let nodes = std::mem::take(&mut graph.node);
        graph.node.reserve(nodes.len());
        for mut node in nodes {
            for inner in node.attribute.iter_mut().flat_map(graphs_mut) {
                self.graph(inner)?;
            }
            if domain(node.domain()).is_empty() {
                self.node(node, &mut graph.node)?;
            } else {
                graph.node.push(node);
            }
        }
        Ok(())
    }

    /// Writes a node anew, after the constants that it needs.
    fn node(&mut self, mut node: NodeProto, written: &mut Vec<NodeProto>) -> Result<(), UpgradeError> {
        match node.op_type() {
            "Softmax" | "LogSoftmax" | "Hardmax" if self.from < 13 => return self.softmax(node, written),
            "Scatter" if self.from < 11 => node.op_type = Some("ScatterElements".to_owned()),
            "BatchNormalization" if self.from < 14 => self.batch_normalization(&mut node)?,
            "Dropout" if self.from < 10 && has_output(&node, 1) => {
                return Err(self.refuse(&node, "its mask has become one of truth values"));
            }
            "Upsample" => return Err(self.refuse(&node, "it is no operator any more")),
            "Resize" if self.from < 11 => return Err(self.refuse(&node, "it has become another operator")),
            "RoiAlign" => return Err(self.refuse(&node, "it takes coordinates otherwise now")),
            "Scan" if self.from < 9 => return Err(self.refuse(&node, "it has lost its batch dimension")),
            _ => {}
        }
        self.move_attributes(&mut node, written);
        written.push(node);
        Ok(())
    }

    fn batch_normalization(&self, node: &mut NodeProto) -> Result<(), UpgradeError> {
        if take_attribute(node, "spatial").is_some_and(|spatial| spatial.i() == 0) {
            return Err(self.refuse(node, "it normalises each position by itself (spatial = 0)"));
        }
        if (1..node.output.len()).any(|nth| has_output(node, nth)) {
            return Err(self.refuse(node, "it is in training mode: export the model for inference"));
        }
        node.output.truncate(1);
        Ok(())
    }

    /// Adds a constant, and gives its name.
    fn constant(
        &mut self,
        node: &NodeProto,
        part: &str,
        mut tensor: TensorProto,
        written: &mut Vec<NodeProto>,
    ) -> String {
        let name = self.fresh(node, part);
        tensor.name = None;
        let value = AttributeProto {
            name: Some("value".to_owned()),
            t: Some(Box::new(tensor)),
            r#type: Some(attribute_type::TENSOR),
            ..Default::default()
        };
        let constant = super::node("Constant", &[], &[&name], &[]);
        written.push(NodeProto { attribute: vec![value], ..constant });
        name
    }

    /// A name that nothing has, made of a node's and what it is for.
    fn fresh(&mut self, node: &NodeProto, part: &str) -> String {
        let mut name = format!("{}.{part}", said(node));
        while !self.names.insert(name.clone()) {
            name.push('\'');
        }
        name
    }

    fn refuse(&self, node: &NodeProto, reason: &'static str) -> UpgradeError {
        let (operator, node) = (node.op_type().to_owned(), said(node).to_owned());
        UpgradeError::Node { operator, node, from: self.from, reason }
    }
}

/// What a node is called: its name or else its first output.
fn said(node: &NodeProto) -> &str {
    if node.name().is_empty() { node.output.first().map_or("", String::as_str) } else { node.name() }
}

fn has_output(node: &NodeProto, nth: usize) -> bool {
    node.output.get(nth).is_some_and(|output| !output.is_empty())
}

fn take_attribute(node: &mut NodeProto, name: &str) -> Option<AttributeProto> {
    let place = node.attribute.iter().position(|attribute| attribute.name() == name)?;
    Some(node.attribute.remove(place))
}

#[cfg(test)]
mod tests;
