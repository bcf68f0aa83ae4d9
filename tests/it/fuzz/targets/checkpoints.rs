//! Checkpoints of training: the head, and the trainer's part behind it, also with a digest that is right again.

use sha2::{Digest, Sha256};
use tidewheel::learn::{CHECKPOINT_FORMAT, CheckpointHead, read_head};
use tidewheel::model::gradient::Loss;
use tidewheel::model::onnx::Document;
use tidewheel::model::optimiser::OptimizerSpec;
use tidewheel::model::train::{GraphTrainer, TrainSettings};
use tidewheel::model::{MlpSpec, build_mlp};

use crate::fuzz::engine::{Outcome, Target};

/// Mark and digest before the body of a trainer's state.
const MARK_BYTES: usize = 8;
const DIGEST_BYTES: usize = 32;

pub const TARGET: Target = Target {
    name: "checkpoints",
    seconds: 2,
    dictionary: &[
        "\"format\"",
        "\"fingerprint\"",
        "\"root\"",
        "\"parent\"",
        "\"position\"",
        "\"examples\"",
        "\"trainer_bytes\"",
        "adamw",
        "sgd",
        "dense_0.weight",
        "logit.bias",
        "{",
        "}",
        ":",
        ",",
        "18446744073709551616",
    ],
    inputs: || {
        let saved = trainer().save();
        let head = CheckpointHead {
            format: CHECKPOINT_FORMAT,
            fingerprint: "f00d".to_owned(),
            root: "aaaa".to_owned(),
            parent: "bbbb".to_owned(),
            position: 7,
            examples: 150,
            trainer_bytes: saved.len() as u64,
        };
        let head = serde_json::to_vec(&head).unwrap();
        vec![[&(head.len() as u32).to_le_bytes()[..], &head, &saved].concat()]
    },
    reader: || {
        let mut trainer = trainer();
        Box::new(move |input| {
            let (head, parts) = match read_head(input) {
                Ok(read) => read,
                Err(error) => return Outcome::Refused(error.to_string()),
            };
            let written = serde_json::to_vec(&head).unwrap();
            let again = [&(written.len() as u32).to_le_bytes()[..], &written, parts].concat();
            assert_eq!(read_head(&again).unwrap(), (head, parts));
            let mut outcome = Outcome::Accepted;
            for bytes in [parts.to_vec(), sealed(parts)] {
                let before = trainer.save();
                let restored = trainer.restore(&bytes);
                match restored {
                    Ok(()) => {
                        let saved = trainer.save();
                        trainer.restore(&saved).expect("what was saved can be restored");
                        assert!(trainer.save() == saved, "and is the same");
                    }
                    Err(error) => {
                        assert!(trainer.save() == before, "all of it or nothing");
                        outcome = Outcome::Refused(error.to_string());
                    }
                }
            }
            outcome
        })
    },
};

fn trainer() -> GraphTrainer {
    let columns = vec!["a".to_owned(), "b".to_owned()];
    let fingerprint = "f00d".to_owned();
    let model = build_mlp(&MlpSpec { columns, hidden: vec![3], dropout: 0.0, seed: 1, fingerprint }).unwrap();
    let settings = TrainSettings {
        loss: Loss::BinaryCrossEntropy,
        optimizer: OptimizerSpec::Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: false },
        clip_norm: None,
        freeze: Vec::new(),
        unfreeze: Vec::new(),
        dropout: false,
        threads: 1,
        output: None,
        activation: None,
    };
    GraphTrainer::new(Document::read(&model).unwrap(), &settings).unwrap()
}

/// The same body behind its own digest.
fn sealed(saved: &[u8]) -> Vec<u8> {
    let Some((mark, rest)) = saved.split_at_checked(MARK_BYTES) else { return saved.to_vec() };
    let Some((_, body)) = rest.split_at_checked(DIGEST_BYTES) else { return saved.to_vec() };
    [mark, &Sha256::digest(body), body].concat()
}
