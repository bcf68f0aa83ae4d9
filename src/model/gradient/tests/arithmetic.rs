use proptest::prelude::*;

use super::broadcast;
use crate::model::{
    gradient::testing::{agrees, apart, random, uniform},
    onnx::GraphBuilder,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn two_operands_of_any_shapes_have_their_gradients(
        (left, right) in broadcast(),
        operator in prop::sample::select(vec!["Add", "Sub", "Mul", "Div", "Pow", "Sum", "Mean"]),
        opset in prop::sample::select(vec![13_i64, 17, 21]),
        seed: u64,
    ) {
        let mut random = random(seed);
        let a = uniform(&mut random, left.iter().product(), 0.5, 2.0);
        let b = uniform(&mut random, right.iter().product(), 0.5, 2.0);
        agrees(opset, &[("a", &left, a), ("b", &right, b)], |graph| graph.node(operator, &["a", "b"], "y"));
    }
}

#[test]
fn functions_of_one_operand_have_their_gradients() {
    for (operator, low, high) in [
        ("Neg", -2.0, 2.0),
        ("Sqrt", 0.5, 3.0),
        ("Exp", -1.0, 1.0),
        ("Log", 0.5, 3.0),
        ("Reciprocal", 0.5, 2.0),
        ("Identity", -1.0, 1.0),
    ] {
        let values = uniform(&mut random(1), 12, low, high);
        agrees(17, &[("a", &[3, 4], values)], |graph| graph.node(operator, &["a"], "y"));
    }
    agrees(17, &[("a", &[12], apart(&mut random(2), 12))], |graph| graph.node("Abs", &["a"], "y"));
}

#[test]
fn an_operand_used_twice_gets_the_sum_of_its_gradients() {
    let a = || uniform(&mut random(3), 6, 0.5, 2.0);
    agrees(17, &[("a", &[6], a())], |graph| graph.node("Mul", &["a", "a"], "y"));
    agrees(17, &[("a", &[6], a())], |graph| {
        graph.node("Exp", &["a"], "e");
        graph.node("Div", &["e", "a"], "y");
    });
}

#[test]
fn many_operands_are_summed_and_averaged() {
    let values = |seed, elements| uniform(&mut random(seed), elements, -1.0, 1.0);
    for operator in ["Sum", "Mean"] {
        let operands: [(&str, &[usize], Vec<f32>); 3] =
            [("a", &[2, 3], values(1, 6)), ("b", &[3], values(2, 3)), ("c", &[2, 1], values(3, 2))];
        agrees(13, &operands, |graph| graph.node(operator, &["a", "b", "c"], "y"));
    }
}

#[test]
fn a_whole_exponent_needs_no_gradient_and_negative_bases_are_fine() {
    let cube = |graph: &mut GraphBuilder| {
        graph.whole_initializer("three", &[], &[3]);
        graph.node("Pow", &["a", "three"], "y");
    };
    agrees(17, &[("a", &[8], apart(&mut random(4), 8))], cube);
}
