use crate::model::{
    gradient::testing::{agrees, random, uniform},
    onnx::{Attribute, GraphBuilder},
};

#[test]
fn layer_normalization_has_its_gradients() {
    for (opset, axis, scale) in [(17, -1, &[4][..]), (17, 1, &[3, 4]), (18, 2, &[4]), (21, -2, &[3, 4])] {
        let mut random = random(1);
        let mut values = |elements| uniform(&mut random, elements, -1.0, 1.0);
        let width = scale.iter().product();
        let operands: [(&str, &[usize], Vec<f32>); 3] =
            [("a", &[2, 3, 4], values(24)), ("scale", scale, values(width)), ("bias", scale, values(width))];
        let attributes = [("axis", Attribute::Int(axis)), ("epsilon", Attribute::Float(1e-3))];
        let build = |graph: &mut GraphBuilder| {
            graph.node_of("LayerNormalization", &["a", "scale", "bias"], &["y"], &attributes);
        };
        agrees(opset, &operands, build);
        let without_bias = |graph: &mut GraphBuilder| {
            graph.node_of("LayerNormalization", &["a", "scale"], &["y"], &attributes);
        };
        agrees(opset, &operands[..2], without_bias);
    }
}

#[test]
fn batch_normalization_trains_scale_and_bias_but_not_its_statistics() {
    for dims in [&[5, 3][..], &[2, 3, 4], &[2, 3, 2, 2]] {
        let mut random = random(2);
        let mut values = |elements| uniform(&mut random, elements, -1.0, 1.0);
        let operands: [(&str, &[usize], Vec<f32>); 3] =
            [("a", dims, values(dims.iter().product())), ("scale", &[3], values(3)), ("bias", &[3], values(3))];
        let build = |graph: &mut GraphBuilder| {
            graph.initializer("mean", &[3], &[0.1, -0.2, 0.3]);
            graph.initializer("variance", &[3], &[0.5, 1.0, 2.0]);
            graph.node("BatchNormalization", &["a", "scale", "bias", "mean", "variance"], "y");
        };
        agrees(15, &operands, build);
    }
}
