use proptest::prelude::*;

use super::broadcast;
use crate::model::{
    gradient::testing::{agrees, apart, random},
    onnx::GraphBuilder,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_chosen_operand_gets_the_gradient(
        (left, right) in broadcast(),
        operator in prop::sample::select(vec!["Max", "Min", "Where"]),
        seed: u64,
    ) {
        let (elements, more): (usize, usize) = (left.iter().product(), right.iter().product());
        let mut a = apart(&mut random(seed), elements + more);
        let b = a.split_off(elements);
        let build = |graph: &mut GraphBuilder| {
            graph.initializer("zero", &[], &[0.0]);
            graph.node("Greater", &["b", "zero"], "condition");
            if operator == "Where" {
                graph.node("Where", &["condition", "a", "b"], "chosen");
            } else {
                graph.node(operator, &["a", "b"], "chosen");
            }
            // So that both have some gradient whatever is chosen.
            graph.node("Sum", &["chosen", "a", "b"], "y");
        };
        agrees(16, &[("a", &left, a), ("b", &right, b)], build);
    }
}

#[test]
fn the_largest_of_three_gets_the_gradient() {
    let mut a = apart(&mut random(5), 24);
    let (c, b) = (a.split_off(16), a.split_off(8));
    for operator in ["Max", "Min"] {
        let operands: [(&str, &[usize], Vec<f32>); 3] =
            [("a", &[2, 4], a.clone()), ("b", &[8], b.clone()), ("c", &[2, 4], c.clone())];
        let build = |graph: &mut GraphBuilder| {
            graph.whole_initializer("shape", &[2], &[2, 4]);
            graph.node("Reshape", &["b", "shape"], "b2");
            graph.node(operator, &["a", "b2", "c"], "y");
        };
        agrees(13, &operands, build);
    }
}

#[test]
fn clipped_elements_get_no_gradient() {
    let build = |graph: &mut GraphBuilder| {
        graph.initializer("low", &[], &[-0.3]);
        graph.initializer("high", &[], &[0.4]);
        graph.node("Clip", &["a", "low", "high"], "y");
    };
    agrees(13, &[("a", &[20], apart(&mut random(6), 20))], build);
    let open = |graph: &mut GraphBuilder| {
        graph.initializer("high", &[], &[0.4]);
        graph.node("Clip", &["a", "", "high"], "y");
    };
    agrees(17, &[("a", &[20], apart(&mut random(7), 20))], open);
}
