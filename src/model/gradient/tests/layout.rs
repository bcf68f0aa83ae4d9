use crate::model::{
    gradient::testing::{agrees, random, uniform},
    onnx::{Attribute, GraphBuilder},
};

/// Tests nodes on one operand `a` of shape `[2, 3, 4]`.
fn check(opset: i64, build: impl Fn(&mut GraphBuilder)) {
    agrees(opset, &[("a", &[2, 3, 4], uniform(&mut random(1), 24, -1.0, 1.0))], build);
}

#[test]
fn reshaping_operators_have_their_gradients() {
    for opset in [13, 17, 21, 26] {
        check(opset, |graph| {
            graph.whole_initializer("shape", &[2], &[4, -1]);
            graph.node("Reshape", &["a", "shape"], "y");
        });
        check(opset, |graph| graph.node_with("Flatten", &["a"], "y", &[("axis", 2)]));
        check(opset, |graph| {
            graph.whole_initializer("axes", &[2], &[0, -1]);
            graph.node("Unsqueeze", &["a", "axes"], "u");
            graph.node("Squeeze", &["u"], "y");
        });
    }
}

#[test]
fn transposing_has_its_gradient() {
    check(13, |graph| graph.node("Transpose", &["a"], "y"));
    for order in [[1, 2, 0], [2, 0, 1], [0, 2, 1]] {
        check(17, |graph| {
            graph.node_of("Transpose", &["a"], &["y"], &[("perm", Attribute::Ints(order.to_vec()))]);
        });
    }
}

#[test]
fn repeating_has_its_gradient() {
    check(13, |graph| {
        graph.whole_initializer("repeats", &[3], &[2, 1, 3]);
        graph.node("Tile", &["a", "repeats"], "y");
    });
    agrees(13, &[("a", &[3, 1], uniform(&mut random(2), 3, -1.0, 1.0))], |graph| {
        graph.whole_initializer("shape", &[3], &[2, 1, 4]);
        graph.node("Expand", &["a", "shape"], "y");
    });
}

#[test]
fn joined_tensors_get_their_parts() {
    for axis in [0, 1, -1] {
        let operands: [(&str, &[usize], Vec<f32>); 2] =
            [("a", &[3, 3], uniform(&mut random(3), 9, -1.0, 1.0)), ("b", &[3, 3], vec![0.5; 9])];
        agrees(13, &operands, |graph| graph.node_with("Concat", &["a", "b", "a"], "y", &[("axis", axis)]));
    }
    // Only one of them trainable.
    check(17, |graph| {
        graph.node("Shape", &["a"], "shape");
        graph.node("ConstantOfShape", &["shape"], "zeros");
        graph.node_with("Concat", &["zeros", "a", "zeros"], "y", &[("axis", 1)]);
    });
}

#[test]
fn taking_apart_has_its_gradient_also_when_parts_are_unused() {
    for opset in [13, 18, 26] {
        check(opset, |graph| {
            graph.whole_initializer("sizes", &[3], &[1, 1, 2]);
            graph.node_of("Split", &["a", "sizes"], &["p", "q", "y"], &[("axis", Attribute::Int(-1))]);
        });
    }
    check(18, |graph| {
        let attributes = [("axis", Attribute::Int(2)), ("num_outputs", Attribute::Int(2))];
        graph.node_of("Split", &["a"], &["p", "q"], &attributes);
        graph.node("Mul", &["p", "q"], "y");
    });
    check(13, |graph| {
        graph.node_of("Split", &["a"], &["p", "q"], &[]);
        graph.node("Mul", &["p", "q"], "y");
    });
}

#[test]
fn slices_of_all_kinds_have_their_gradients() {
    for (starts, ends, axes, steps) in [
        (&[1_i64, 0][..], &[3_i64, 2][..], &[1_i64, 2][..], None),
        (&[-2], &[i64::MAX], &[-1], Some(&[1_i64][..])),
        (&[0], &[100], &[1], None),
        (&[3], &[0], &[2], Some(&[-2])),
        (&[0, -1], &[2, i64::MIN], &[0, 2], Some(&[1, -1])),
    ] {
        check(13, |graph| {
            graph.whole_initializer("starts", &[starts.len()], starts);
            graph.whole_initializer("ends", &[ends.len()], ends);
            graph.whole_initializer("axes", &[axes.len()], axes);
            match steps {
                Some(steps) => {
                    graph.whole_initializer("steps", &[steps.len()], steps);
                    graph.node("Slice", &["a", "starts", "ends", "axes", "steps"], "y");
                }
                None => graph.node("Slice", &["a", "starts", "ends", "axes"], "y"),
            }
        });
    }
}

#[test]
fn a_cast_that_changes_nothing_passes_the_gradient_on() {
    check(13, |graph| graph.node_with("Cast", &["a"], "y", &[("to", 1)]));
}
