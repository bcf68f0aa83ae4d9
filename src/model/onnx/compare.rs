//! How far apart the weights of two files are.

use super::Document;
use super::proto::{TensorProto, data_type::FLOAT};

/// The change of one weight tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightChange {
    /// The initializer's name.
    pub name: String,
    /// Its shape.
    pub dims: Vec<i64>,
    /// Euclidean length of the difference over that of the older values, infinite where those are all 0; `None` when only one
    /// file has the tensor, or in another shape.
    pub relative: Option<f64>,
    /// The largest difference of one number; `None` likewise.
    pub largest: Option<f32>,
}

/// Every float32 initializer of either file, in the order of the newer one.
pub fn weight_changes(old: &Document, new: &Document) -> Vec<WeightChange> {
    let weights = |document: &Document| -> Vec<TensorProto> {
        document.graph().initializer.iter().filter(|tensor| tensor.data_type() == FLOAT).cloned().collect()
    };
    let (before, after) = (weights(old), weights(new));
    let mut changes = Vec::new();
    for tensor in &after {
        let older = before.iter().find(|older| older.name() == tensor.name() && older.dims == tensor.dims);
        let difference = older.map(|older| difference(&values(older), &values(tensor)));
        changes.push(WeightChange {
            name: tensor.name().to_owned(),
            dims: tensor.dims.clone(),
            relative: difference.map(|(relative, _)| relative),
            largest: difference.map(|(_, largest)| largest),
        });
    }
    let gone = before.iter().filter(|older| !after.iter().any(|tensor| tensor.name() == older.name()));
    changes.extend(gone.map(|older| WeightChange {
        name: older.name().to_owned(),
        dims: older.dims.clone(),
        relative: None,
        largest: None,
    }));
    changes
}

fn values(tensor: &TensorProto) -> Vec<f32> {
    if tensor.raw_data().is_empty() {
        return tensor.float_data.clone();
    }
    tensor.raw_data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn difference(old: &[f32], new: &[f32]) -> (f64, f32) {
    let (mut squares, mut length, mut largest) = (0.0_f64, 0.0_f64, 0.0_f32);
    for (old, new) in old.iter().zip(new) {
        let change = new - old;
        squares += f64::from(change).powi(2);
        length += f64::from(*old).powi(2);
        largest = largest.max(change.abs());
    }
    let relative = if squares == 0.0 { 0.0 } else { squares.sqrt() / length.sqrt() };
    (relative, largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::GraphBuilder;

    fn document(weights: &[f32], bias: bool) -> Document {
        let mut graph = GraphBuilder::new("g");
        graph.initializer("w", &[weights.len()], weights);
        if bias {
            graph.initializer("b", &[1], &[1.0]);
        }
        Document::new(graph.finish())
    }

    #[test]
    fn changes_are_told_tensor_by_tensor() {
        let changes = weight_changes(&document(&[3.0, 4.0], true), &document(&[3.0, 4.5], false));
        assert_eq!((changes[0].relative, changes[0].largest), (Some(0.1), Some(0.5)));
        assert_eq!((changes[1].name.as_str(), changes[1].relative), ("b", None));
    }

    /// It was said to be 4.5e307 times as large.
    #[test]
    fn what_was_zero_has_changed_without_bounds_or_not_at_all() {
        let change = |new: [f32; 2]| weight_changes(&document(&[0.0, 0.0], false), &document(&new, false))[0].relative;
        assert_eq!((change([0.0, 0.5]), change([0.0, 0.0])), (Some(f64::INFINITY), Some(0.0)));
    }
}
