//! Where training stands, as bytes: weights with optimiser state, the reservoir, and the position in the examples that
//! both belong to. One cannot be newer than the others, so no example is learnt twice and none is left out.

use serde::{Deserialize, Serialize};

use super::{LearnError, Learner, Reservoir};

/// What precedes the two parts of a checkpoint: its length as four bytes, little endian, then itself as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointHead {
    /// Format of the checkpoint.
    pub format: u32,
    /// The vector that the model is made for.
    pub fingerprint: String,
    /// The version that the lineage began with.
    pub root: String,
    /// The version that was promoted last from this lineage.
    pub parent: String,
    /// The last message of examples that was learnt from.
    pub position: u64,
    /// Examples learnt from.
    pub examples: u64,
    /// Length of the trainer's part, bytes; the reservoir's follows.
    pub trainer_bytes: u64,
}

/// The format that is written.
pub const CHECKPOINT_FORMAT: u32 = 1;

impl Learner {
    /// The checkpoint of this learner; the head's lengths are filled in.
    ///
    /// # Errors
    /// When the reservoir cannot be written.
    pub fn save(&self, mut head: CheckpointHead) -> Result<Vec<u8>, LearnError> {
        let trainer = self.trainer.save();
        let reservoir = self.reservoir.save(&head.fingerprint)?;
        head.trainer_bytes = trainer.len() as u64;
        let head = serde_json::to_vec(&head).map_err(|error| refuse(&error))?;
        let length = u32::try_from(head.len()).map_err(|error| refuse(&error))?;
        let mut bytes = Vec::with_capacity(4 + head.len() + trainer.len() + reservoir.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        for part in [&head, &trainer, &reservoir] {
            bytes.extend_from_slice(part);
        }
        Ok(bytes)
    }

    /// Takes over the weights, optimiser state and reservoir of a checkpoint of the same vector and graph.
    ///
    /// # Errors
    /// [`LearnError::Checkpoint`], [`LearnError::Model`] or [`LearnError::Example`] when it is of another vector or graph, or
    /// not whole; the learner must not be used then.
    pub fn restore(&mut self, bytes: &[u8], fingerprint: &str) -> Result<CheckpointHead, LearnError> {
        let (head, parts) = read_head(bytes)?;
        if head.fingerprint != fingerprint {
            return Err(refuse(&format!("it is of vector {:?}, the pipeline's is {fingerprint:?}", head.fingerprint)));
        }
        let split: Option<(&[u8], &[u8])> =
            usize::try_from(head.trainer_bytes).ok().and_then(|length| parts.split_at_checked(length));
        let (trainer, reservoir) = split.ok_or_else(|| refuse(&"it ends in the middle"))?;
        self.trainer.restore(trainer)?;
        let (inputs, capacity) = (self.reservoir.held().inputs(), self.reservoir.capacity());
        self.reservoir = Reservoir::load(reservoir, inputs, capacity, fingerprint)?;
        Ok(head)
    }
}

/// Reads the head of a checkpoint; the rest are its parts.
pub fn read_head(bytes: &[u8]) -> Result<(CheckpointHead, &[u8]), LearnError> {
    let short = || refuse(&"it ends in the middle");
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
    let (head, parts) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(short)?;
    let head: CheckpointHead = serde_json::from_slice(head).map_err(|error| refuse(&error))?;
    if head.format != CHECKPOINT_FORMAT {
        return Err(refuse(&format!("it is in format {}, this program reads {CHECKPOINT_FORMAT}", head.format)));
    }
    Ok((head, parts))
}

fn refuse(reason: &impl ToString) -> LearnError {
    LearnError::Checkpoint { reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::testing::{FINGERPRINT, batch, learner, weights};

    fn head() -> CheckpointHead {
        CheckpointHead {
            format: CHECKPOINT_FORMAT,
            fingerprint: FINGERPRINT.to_owned(),
            root: "aaaa".to_owned(),
            parent: "bbbb".to_owned(),
            position: 7,
            examples: 150,
            trainer_bytes: 0,
        }
    }

    #[test]
    fn a_restored_learner_goes_on_as_if_nothing_had_happened() {
        let mut straight = learner();
        for number in 0..3 {
            straight.learn(&mut batch(number * 50..(number + 1) * 50)).unwrap();
        }
        let saved = straight.save(head()).unwrap();
        let mut restored = learner();
        assert_ne!(weights(&restored), weights(&straight));
        let read = restored.restore(&saved, FINGERPRINT).unwrap();
        assert_eq!(CheckpointHead { trainer_bytes: 0, ..read }, head());
        assert_eq!(weights(&restored), weights(&straight));
        for number in 3..6 {
            let mut batches = [batch(number * 50..(number + 1) * 50), batch(number * 50..(number + 1) * 50)];
            let [one, other] = &mut batches;
            straight.learn(one).unwrap();
            restored.learn(other).unwrap();
            assert_eq!(batches[0], batches[1], "the same older examples are drawn");
        }
        assert_eq!(weights(&restored), weights(&straight));
        assert_eq!(restored.save(head()).unwrap(), straight.save(head()).unwrap());
    }

    #[test]
    fn what_is_cut_off_or_of_another_vector_or_format_is_refused_with_the_reason() {
        let mut one = learner();
        one.learn(&mut batch(0..50)).unwrap();
        let saved = one.save(head()).unwrap();
        for length in (0..saved.len()).step_by(97).chain([3, saved.len() - 1]) {
            assert!(learner().restore(&saved[..length], FINGERPRINT).is_err(), "{length} of {} bytes", saved.len());
        }
        insta::assert_snapshot!(
            learner().restore(&saved[..2], FINGERPRINT).unwrap_err(),
            @"the checkpoint can't be used: it ends in the middle"
        );
        insta::assert_snapshot!(
            learner().restore(&saved, "0b0b").unwrap_err(),
            @r#"the checkpoint can't be used: it is of vector "f00d", the pipeline's is "0b0b""#
        );
        let other = one.save(CheckpointHead { format: 2, ..head() }).unwrap();
        insta::assert_snapshot!(
            read_head(&other).unwrap_err(),
            @"the checkpoint can't be used: it is in format 2, this program reads 1"
        );
    }
}
