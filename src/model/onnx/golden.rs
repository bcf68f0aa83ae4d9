//! Documents held against what ONNX Runtime computes from the files that they were made of; `tests/golden/onnx/make.py` wrote
//! both.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Document;
use crate::model::session::{Computation, Feed, Output, Values};

/// Kernels may add up in another order on another machine.
const TOLERANCE: f64 = 1e-5;

pub(super) fn folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/onnx")).to_owned()
}

/// Holds every output of a document against those of the file of this name.
pub(super) fn agrees(document: &Document, name: &str) {
    let golden: Value = serde_json::from_slice(&std::fs::read(folder().join("outputs.json")).unwrap()).unwrap();
    let golden = &golden[name];
    let inputs = golden["inputs"].as_object().unwrap();
    let inputs: Vec<(&String, Vec<usize>, Vec<f32>)> =
        inputs.iter().map(|(input, tensor)| (input, dims(tensor), floats(tensor))).collect();
    let feeds = inputs.iter().map(|(input, dims, values)| Feed { input, dims, values: Values::Float32(values) });
    let feeds: Vec<Feed<'_>> = feeds.collect();
    let expected: Vec<(&String, &Value)> = golden["outputs"].as_object().unwrap().iter().collect();
    let outputs: Vec<String> = expected.iter().map(|(output, _)| (*output).clone()).collect();
    let mut computation = Computation::open(document, 1, &outputs).unwrap();
    let compare = |nth: usize, output: Output<'_>| {
        let (name, tensor) = expected[nth];
        assert_eq!(output.dims, dims(tensor), "{name}");
        let made: Vec<f64> = match output.values.unwrap() {
            Values::Float32(values) => values.iter().map(|value| f64::from(*value)).collect(),
            Values::Int64(values) => values.iter().map(|value| *value as f64).collect(),
            other => panic!("{name}: {other:?}"),
        };
        for (made, expected) in made.iter().zip(numbers(tensor)) {
            assert!(
                (made - expected).abs() <= TOLERANCE * (1.0 + expected.abs()),
                "{name}: {made}, expected {expected}"
            );
        }
        Ok(())
    };
    computation.run(&feeds, compare).unwrap();
}

fn dims(tensor: &Value) -> Vec<usize> {
    tensor["dims"].as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap() as usize).collect()
}

fn numbers(tensor: &Value) -> Vec<f64> {
    let values = tensor.get("float32").or_else(|| tensor.get("int64")).and_then(Value::as_array).unwrap();
    values.iter().map(|value| value.as_f64().unwrap()).collect()
}

fn floats(tensor: &Value) -> Vec<f32> {
    numbers(tensor).iter().map(|value| *value as f32).collect()
}
