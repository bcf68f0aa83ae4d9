//! Nodes in the forms of old operator sets, which are written anew before they are differentiated.

use crate::model::{
    gradient::testing::{agrees, apart, random, uniform},
    onnx::{Attribute, GraphBuilder},
};

/// Tests nodes on one operand `a` of shape `[2, 3, 4]`, whose numbers lie between -1.2 and 1.2 and apart from each other.
fn check(opset: i64, build: impl Fn(&mut GraphBuilder)) {
    agrees(opset, &[("a", &[2, 3, 4], apart(&mut random(1), 24))], build);
}

fn axes(axes: &[i64]) -> (&'static str, Attribute) {
    ("axes", Attribute::Ints(axes.to_vec()))
}

#[test]
fn attributes_that_became_inputs_have_the_gradients_of_both() {
    for opset in [8, 12] {
        check(opset, |graph| {
            graph.node_of("Unsqueeze", &["a"], &["wide"], &[axes(&[0, 2])]);
            graph.node_of("Squeeze", &["wide"], &["y"], &[axes(&[0])]);
        });
        check(opset, |graph| {
            graph.node_of("ReduceSum", &["a"], &["y"], &[axes(&[1]), ("keepdims", Attribute::Int(0))]);
        });
        check(opset, |graph| {
            let split = ("split", Attribute::Ints(vec![1, 3]));
            graph.node_of("Split", &["a"], &["one", "y"], &[("axis", Attribute::Int(2)), split]);
        });
    }
    check(9, |graph| {
        let ends = ("ends", Attribute::Ints(vec![3, 3]));
        graph.node_of("Slice", &["a"], &["y"], &[axes(&[2, 1]), ("starts", Attribute::Ints(vec![1, 1])), ends]);
    });
    check(10, |graph| graph.node_of("Clip", &["a"], &["y"], &[("max", Attribute::Float(0.3))]));
    check(11, |graph| graph.node_of("Dropout", &["a"], &["y"], &[("ratio", Attribute::Float(0.9))]));
}

#[test]
fn a_softmax_over_several_axes_has_its_gradient() {
    let smooth = || uniform(&mut random(2), 24, -1.0, 1.0);
    for operator in ["Softmax", "LogSoftmax"] {
        for axis in [0, 1, 2] {
            let build =
                |graph: &mut GraphBuilder| graph.node_of(operator, &["a"], &["y"], &[("axis", Attribute::Int(axis))]);
            agrees(9, &[("a", &[2, 3, 4], smooth())], build);
        }
    }
}

#[test]
fn look_ups_that_overlap_are_added_up_also_where_the_model_could_not() {
    check(14, |graph| {
        graph.whole_initializer("pick", &[4], &[0, 1, 1, 3]);
        graph.node("Tanh", &["a"], "t");
        graph.node_with("Gather", &["t", "pick"], "y", &[("axis", 2)]);
    });
}
