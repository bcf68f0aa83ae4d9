use crate::model::{
    gradient::testing::{agrees, apart, random},
    onnx::{Attribute, GraphBuilder},
};

/// The operator set in which the axes of a reduction became an input.
fn axes_are_inputs(operator: &str, opset: i64) -> bool {
    operator == "ReduceSum" || opset >= 18
}

#[test]
fn reductions_over_any_axes_have_their_gradients_in_old_and_new_forms() {
    for operator in ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare"] {
        for (opset, keep) in [(13, 0), (13, 1), (18, 0), (20, 1), (26, 0)] {
            for axes in [&[][..], &[1], &[-1], &[0, 2], &[-3, 1, 2]] {
                let build = |graph: &mut GraphBuilder| {
                    let keep = ("keepdims", Attribute::Int(keep));
                    if axes.is_empty() {
                        graph.node_of(operator, &["a"], &["y"], &[keep]);
                    } else if axes_are_inputs(operator, opset) {
                        graph.whole_initializer("axes", &[axes.len()], axes);
                        graph.node_of(operator, &["a", "axes"], &["y"], &[keep]);
                    } else {
                        graph.node_of(operator, &["a"], &["y"], &[keep, ("axes", Attribute::Ints(axes.to_vec()))]);
                    }
                };
                agrees(opset, &[("a", &[2, 3, 4], apart(&mut random(1), 24))], build);
            }
        }
    }
}

#[test]
fn a_reduction_that_may_do_nothing_passes_the_gradient_on() {
    let build = |graph: &mut GraphBuilder| {
        graph.node_of("ReduceSum", &["a"], &["y"], &[("noop_with_empty_axes", Attribute::Int(1))]);
    };
    agrees(13, &[("a", &[2, 3], apart(&mut random(2), 6))], build);
}

#[test]
fn softmax_and_its_logarithm_have_their_gradients_along_any_axis() {
    for operator in ["Softmax", "LogSoftmax"] {
        for axis in [0, 1, -1] {
            let build = |graph: &mut GraphBuilder| graph.node_with(operator, &["a"], "y", &[("axis", axis)]);
            agrees(13, &[("a", &[2, 3, 4], apart(&mut random(3), 24))], build);
        }
    }
}
