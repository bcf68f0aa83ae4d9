//! Files that are not as a library writes them: cut off, or with bytes changed. They are refused or mean something else; nothing
//! panics, and what is written can be read.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::golden::all;
use crate::model::import::import;
use crate::model::onnx::Document;

/// Changed files of each kind.
const CHANGES: usize = 60;

#[test]
fn a_file_that_is_cut_off_is_refused() {
    for golden in all() {
        // What follows the trees of LightGBM is not needed.
        let end = golden.bytes.windows(12).position(|part| part == b"end of trees").unwrap_or(golden.bytes.len() - 2);
        for share in 1..8 {
            let part = &golden.bytes[..end * share / 8];
            assert!(import(part, &golden.options).is_err(), "{} cut at {}", golden.name, part.len());
        }
    }
}

#[test]
fn changed_bytes_are_refused_or_make_another_model_that_can_be_read() {
    let (mut refused, mut written) = (0, 0);
    for golden in all() {
        let mut random = ChaCha8Rng::seed_from_u64(golden.bytes.len() as u64);
        for _ in 0..CHANGES {
            let mut bytes = golden.bytes.clone();
            for _ in 0..random.random_range(1..4) {
                let place = random.random_range(0..bytes.len());
                // Most numbers stay numbers, of other sizes and signs.
                bytes[place] =
                    *b"0123456789-.e ,]}\"".get(random.random_range(0..24_usize)).unwrap_or(&random.random());
            }
            match import(&bytes, &golden.options) {
                Ok(imported) => {
                    assert!(Document::read(&imported.bytes).is_ok(), "{}", golden.name);
                    written += 1;
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 200 && written > 200, "{refused} {written}");
}
