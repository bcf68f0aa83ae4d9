//! ONNX files, read and checked as before a session is made of them. None is made: that is another test's.

use tidewheel::model::onnx::{Document, weight_changes};

use super::shipped;
use crate::fuzz::engine::{Outcome, Target};

pub const TARGET: Target = Target {
    name: "models",
    seconds: 2,
    dictionary: &[
        "Loop",
        "Scan",
        "If",
        "Gemm",
        "ai.onnx.ml",
        "com.microsoft",
        "location",
        "../weights.bin",
        "\u{8}\u{1}",
        "\u{70}\u{1}",
    ],
    inputs: || {
        let models = ["mlp", "deepfm", "embedding_lstm", "transformer"];
        models.map(|name| shipped(&format!("tests/golden/gradient/{name}.onnx"))).to_vec()
    },
    reader: || {
        let small = Document::read(&shipped("tests/golden/gradient/mlp.onnx")).unwrap();
        Box::new(move |input| {
            let document = match Document::read(input) {
                Ok(document) => document,
                Err(error) => return Outcome::Refused(error.to_string()),
            };
            let written = document.write();
            let again = Document::read(&written).expect("what was written reads");
            // Bit by bit: a NaN among the weights is not equal to itself.
            assert!(again.write() == written, "it reads back as it was written");
            assert_eq!(again.metadata(), document.metadata());
            weight_changes(&small, &document);
            Outcome::Accepted
        })
    },
};
