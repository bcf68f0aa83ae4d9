//! Constants of the written graph, one initializer for each value.

use super::Context;
use crate::model::onnx::{float_tensor, int_tensor, proto::TensorProto};

/// What is in a constant; two that are equal share an initializer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Constant {
    /// By its bits.
    Float(u32),
    Int(i64),
    Ints(Vec<i64>),
}

impl Context {
    /// A float32 number without dimensions.
    pub(in crate::model::gradient) fn float(&mut self, value: f32) -> String {
        self.deduplicated(Constant::Float(value.to_bits()), |name| float_tensor(name, &[], &[value]))
    }

    /// An int64 number without dimensions.
    pub(in crate::model::gradient) fn int(&mut self, value: i64) -> String {
        self.deduplicated(Constant::Int(value), |name| int_tensor(name, &[], &[value]))
    }

    /// int64 numbers, `[n]`.
    pub(in crate::model::gradient) fn ints(&mut self, values: &[i64]) -> String {
        self.deduplicated(Constant::Ints(values.to_vec()), |name| int_tensor(name, &[values.len()], values))
    }

    fn deduplicated(&mut self, constant: Constant, tensor: impl FnOnce(&str) -> TensorProto) -> String {
        if let Some(name) = self.constants.get(&constant) {
            return name.clone();
        }
        let name = self.fresh("constant");
        self.initializers.push(tensor(&name));
        self.constants.insert(constant, name.clone());
        name
    }
}
