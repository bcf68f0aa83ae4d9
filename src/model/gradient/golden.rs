//! Whole graphs held against the gradients of TensorFlow and PyTorch; `tests/golden/gradient/make.py` and
//! `tests/golden/onnx/make.py` wrote both.

use std::{fs, path::Path};

use serde_json::Value;

use super::{
    GradientSpec, Loss,
    testing::{Data, Fed, Trial, by_rule},
};
use crate::model::onnx::Document;

/// Of the largest entry of a tensor; float32 kernels add up in another order than float64 ones.
const TOLERANCE: f64 = 1e-4;
/// Of the largest entry of all gradients: some are zero but for rounding, such as that of a key's bias, which softmax
/// does not see.
const FLOOR: f64 = 1e-6;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

fn numbers(tensor: &Value) -> Vec<f64> {
    let values = tensor.get("float32").or_else(|| tensor.get("int64")).and_then(Value::as_array).unwrap();
    values.iter().map(|value| value.as_f64().unwrap()).collect()
}

fn data(tensor: &Value) -> Data {
    match tensor.get("int64") {
        Some(_) => Data::Int(numbers(tensor).iter().map(|value| *value as i64).collect()),
        None => Data::Float(floats(tensor)),
    }
}

fn floats(tensor: &Value) -> Vec<f32> {
    numbers(tensor).iter().map(|value| *value as f32).collect()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

fn close(what: &str, got: &[f64], expected: &[f64], allowed: f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= allowed, "{what}: {got}, expected {expected}, allowed {allowed}");
    }
}

fn agrees_with_tensorflow(name: &str) {
    agrees(&format!("gradient/{name}"));
}

fn agrees(name: &str) {
    let document = Document::read(&fs::read(folder().join(format!("{name}.onnx"))).unwrap()).unwrap();
    let golden: Value = serde_json::from_slice(&fs::read(folder().join(format!("{name}.json"))).unwrap()).unwrap();
    let loss = match golden["loss_kind"].as_str().unwrap() {
        "binary_cross_entropy" => Loss::BinaryCrossEntropy,
        "softmax_cross_entropy" => Loss::SoftmaxCrossEntropy,
        _ => Loss::MeanSquaredError,
    };
    // The rule finds what TensorFlow trains, but for learnt positions that are added and what standardises the inputs.
    let expected = golden["gradients"].as_object().unwrap();
    let standards = ["mean", "scale"].into_iter().filter(|name| expected.contains_key(*name));
    let unfreeze = standards.chain(["position.*"]).map(str::to_owned).collect();
    let spec = GradientSpec { unfreeze, ..by_rule(loss) };

    let inputs = golden["inputs"].as_object().unwrap().iter();
    let inputs = inputs.map(|(name, tensor)| {
        let dims = tensor["dims"].as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap() as usize);
        Fed { name: name.clone(), dims: dims.collect(), values: data(tensor) }
    });
    let mut trial = Trial::new(&document, &spec, inputs.collect(), 1);
    trial.label = data(&golden["label"]);
    (trial.weight, trial.offset) = (floats(&golden["weight"]), floats(&golden["offset"]));
    let step = trial.step();

    let loss = golden["loss"].as_f64().unwrap();
    close("loss", &[step.loss], &[loss], TOLERANCE * loss);
    let prediction: Vec<f64> = step.prediction.iter().map(|value| f64::from(*value)).collect();
    close("prediction", &prediction, &numbers(&golden["prediction"]), TOLERANCE);
    let names: Vec<&str> = trial.graph.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(names.len(), expected.len(), "{names:?}");
    let overall = expected.values().map(|tensor| largest(&numbers(tensor))).fold(0.0, f64::max);
    for (name, gradient) in names.into_iter().zip(&step.gradients) {
        let expected = numbers(&expected[name]);
        close(name, gradient, &expected, TOLERANCE * largest(&expected) + FLOOR * overall);
    }
}

#[test]
fn a_perceptron_with_standardised_inputs_has_the_gradients_of_tensorflow() {
    agrees_with_tensorflow("mlp");
}

#[test]
fn a_factorisation_machine_with_a_deep_part_has_the_gradients_of_tensorflow() {
    agrees_with_tensorflow("deepfm");
}

#[test]
fn a_transformer_encoder_has_the_gradients_of_tensorflow() {
    agrees_with_tensorflow("transformer");
}

#[test]
fn embeddings_into_an_lstm_have_the_gradients_of_tensorflow() {
    agrees_with_tensorflow("embedding_lstm");
}

/// They were refused; both exports are by PyTorch's older exporter.
#[test]
fn networks_of_old_operator_sets_have_the_gradients_of_pytorch() {
    agrees("onnx/trained_9");
    agrees("onnx/trained_12");
}
