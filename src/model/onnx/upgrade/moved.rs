//! Attributes that have become inputs.

use super::{Upgrade, take_attribute};
use crate::model::onnx::{
    float_tensor, int_tensor,
    proto::{AttributeProto, NodeProto, TensorProto},
};

/// An attribute of an operator that is an input from an operator set on.
struct Moved {
    operator: &'static str,
    since: i64,
    attribute: &'static str,
    /// Which input it becomes.
    position: usize,
    form: Form,
}

#[derive(Clone, Copy)]
enum Form {
    /// Whole numbers, along one axis.
    List,
    /// One whole number, along one axis.
    Count,
    /// A number without axes.
    Number,
}

const fn moved(operator: &'static str, since: i64, attribute: &'static str, position: usize, form: Form) -> Moved {
    Moved { operator, since, attribute, position, form }
}

const MOVED: [Moved; 13] = [
    moved("Slice", 10, "starts", 1, Form::List),
    moved("Slice", 10, "ends", 2, Form::List),
    moved("Slice", 10, "axes", 3, Form::List),
    moved("TopK", 10, "k", 1, Form::Count),
    moved("Clip", 11, "min", 1, Form::Number),
    moved("Clip", 11, "max", 2, Form::Number),
    moved("Pad", 11, "pads", 1, Form::List),
    moved("Pad", 11, "value", 2, Form::Number),
    moved("Dropout", 12, "ratio", 1, Form::Number),
    moved("ReduceSum", 13, "axes", 1, Form::List),
    moved("Split", 13, "split", 1, Form::List),
    moved("Squeeze", 13, "axes", 1, Form::List),
    moved("Unsqueeze", 13, "axes", 1, Form::List),
];

impl Upgrade {
    /// Gives a node as constants what it has as attributes. An attribute that is not there stays left out: as an input it has the
    /// same default.
    pub(super) fn move_attributes(&mut self, node: &mut NodeProto, written: &mut Vec<NodeProto>) {
        for moved in &MOVED {
            if moved.operator != node.op_type() || self.from >= moved.since {
                continue;
            }
            let Some(attribute) = take_attribute(node, moved.attribute) else { continue };
            let name = self.constant(node, moved.attribute, tensor(&attribute, moved.form), written);
            if node.input.len() <= moved.position {
                node.input.resize(moved.position + 1, String::new());
            }
            if let Some(input) = node.input.get_mut(moved.position) {
                *input = name;
            }
        }
    }
}

fn tensor(attribute: &AttributeProto, form: Form) -> TensorProto {
    match form {
        Form::List => int_tensor("", &[attribute.ints.len()], &attribute.ints),
        Form::Count => int_tensor("", &[1], &[attribute.i()]),
        Form::Number => float_tensor("", &[], &[attribute.f()]),
    }
}
