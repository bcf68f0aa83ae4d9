use proptest::prelude::*;

use crate::model::{
    gradient::testing::{agrees, random, uniform},
    onnx::{Attribute, GraphBuilder},
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn gemm_of_any_form_has_its_gradients(
        [rows, inner, columns] in prop::array::uniform3(1_usize..5),
        [left, right] in any::<[bool; 2]>(),
        bias in 0_usize..5,
        seed: u64,
    ) {
        let mut random = random(seed);
        let turned = |turn: bool, [m, n]: [usize; 2]| if turn { [n, m] } else { [m, n] };
        let (a, b) = (turned(left, [rows, inner]), turned(right, [inner, columns]));
        let c = [vec![], vec![columns], vec![rows, 1], vec![1, columns], vec![rows, columns]][bias].clone();
        let mut values = |dims: &[usize]| uniform(&mut random, dims.iter().product(), -1.0, 1.0);
        let operands: [(&str, &[usize], Vec<f32>); 3] = [("a", &a, values(&a)), ("b", &b, values(&b)), ("c", &c, values(&c))];
        let attributes = [
            ("transA", Attribute::Int(i64::from(left))),
            ("transB", Attribute::Int(i64::from(right))),
            ("alpha", Attribute::Float(0.7)),
            ("beta", Attribute::Float(1.3)),
        ];
        agrees(13, &operands, |graph: &mut GraphBuilder| graph.node_of("Gemm", &["a", "b", "c"], &["y"], &attributes));
    }

    #[test]
    fn products_of_stacks_of_matrices_have_their_gradients(
        [rows, inner, columns, stack, batch] in prop::array::uniform5(1_usize..4),
        form in 0_usize..9,
        seed: u64,
    ) {
        let (a, b): (Vec<usize>, Vec<usize>) = match form {
            0 => (vec![rows, inner], vec![inner, columns]),
            1 => (vec![stack, rows, inner], vec![inner, columns]),
            2 => (vec![batch, stack, rows, inner], vec![inner, columns]),
            3 => (vec![rows, inner], vec![stack, inner, columns]),
            4 => (vec![batch, 1, rows, inner], vec![stack, inner, columns]),
            5 => (vec![inner], vec![inner]),
            6 => (vec![stack, rows, inner], vec![inner]),
            7 => (vec![inner], vec![stack, inner, columns]),
            _ => (vec![inner], vec![inner, columns]),
        };
        let mut random = random(seed);
        let mut values = |dims: &[usize]| uniform(&mut random, dims.iter().product(), -1.0, 1.0);
        let operands: [(&str, &[usize], Vec<f32>); 2] = [("a", &a, values(&a)), ("b", &b, values(&b))];
        agrees(13, &operands, |graph: &mut GraphBuilder| graph.node("MatMul", &["a", "b"], "y"));
    }
}
