//! Why a document can't be brought to an operator set that can be trained.

use super::{TARGET, TRAINED_SETS};
use crate::fault::{Judged, Judgement};

/// Why a document can't be trained in its operator set. Whoever exports the model can mend it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UpgradeError {
    /// Older or newer than what is known.
    #[error(
        "the model is written for operator set {found}, training knows {} to {}: export it with one of those, with opset_version \
         or target_opset = {TARGET}",
        TRAINED_SETS.start(),
        TRAINED_SETS.end()
    )]
    OperatorSet {
        /// The model's.
        found: i64,
    },
    /// A node that has no equal.
    #[error(
        "operator {operator} of node {node:?} can't be trained in operator set {from}, and can't be written in {TARGET}: {reason}; \
         export the model with opset_version or target_opset = {TARGET}"
    )]
    Node {
        /// The operator.
        operator: String,
        /// The node, by its name or else its first output.
        node: String,
        /// The model's operator set.
        from: i64,
        /// What is in the way.
        reason: &'static str,
    },
}

impl Judged for UpgradeError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::OperatorSet { .. } | Self::Node { .. } => Judgement::OPERATOR,
        }
    }
}
