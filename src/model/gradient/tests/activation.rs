use crate::model::{
    gradient::testing::{agrees, apart, random, uniform},
    onnx::{Attribute, GraphBuilder},
};

#[test]
fn smooth_activations_have_their_gradients() {
    for operator in ["Sigmoid", "Tanh", "Softplus", "Erf"] {
        let values = uniform(&mut random(1), 20, -3.0, 3.0);
        agrees(13, &[("a", &[4, 5], values)], |graph| graph.node(operator, &["a"], "y"));
    }
}

#[test]
fn activations_with_a_kink_have_their_gradients_on_both_sides() {
    for operator in ["Relu", "LeakyRelu", "Elu"] {
        agrees(13, &[("a", &[4, 5], apart(&mut random(2), 20))], |graph| graph.node(operator, &["a"], "y"));
    }
    for operator in ["LeakyRelu", "Elu"] {
        let build = |graph: &mut GraphBuilder| {
            graph.node_of(operator, &["a"], &["y"], &[("alpha", Attribute::Float(0.4))]);
        };
        agrees(17, &[("a", &[20], apart(&mut random(3), 20))], build);
    }
}

#[test]
fn both_forms_of_gelu_have_their_gradients() {
    for approximate in ["none", "tanh"] {
        let build = |graph: &mut GraphBuilder| {
            graph.node_of("Gelu", &["a"], &["y"], &[("approximate", Attribute::Text(approximate))]);
        };
        agrees(20, &[("a", &[20], uniform(&mut random(4), 20, -3.0, 3.0))], build);
    }
}
