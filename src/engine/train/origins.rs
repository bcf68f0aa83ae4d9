//! Which messages the examples of a batch are from: so that one that is left out can be found again.

use crate::learn::LeftOut;

/// So many examples of a batch are named in the log; the rest are counted.
const NAMED: usize = 5;

/// The messages of a batch in their order.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// For each message, the number of examples up to its last one, and its sequence in the stream.
    ends: Vec<(usize, u64)>,
}

impl Origins {
    /// The batch has so many examples with those of this message.
    pub(super) fn note(&mut self, examples: usize, sequence: u64) {
        self.ends.push((examples, sequence));
    }

    /// Writes down which examples were left out, and why.
    pub(super) fn tell(&self, left_out: &LeftOut) {
        for (index, (row, reason)) in left_out.rows.iter().zip(&left_out.reasons).enumerate().take(NAMED) {
            let (message, row) = self.place(*row).unwrap_or_default();
            let example = left_out.examples.get(index);
            tracing::warn!(
                message,
                row,
                shown_micros = example.map(|example| example.shown_micros),
                label = example.map(|example| example.kind.label()),
                vector = ?example.map(|example| example.vector),
                reason,
                "an example can't be learnt from: it is left out, the others of its batch are learnt"
            );
        }
        let more = left_out.rows.len().saturating_sub(NAMED);
        if more > 0 {
            tracing::warn!(more, "so many more examples of the batch are left out");
        }
    }

    /// The message that a row of the batch is from, and its row there, from 0.
    fn place(&self, row: usize) -> Option<(u64, usize)> {
        let message = self.ends.partition_point(|(end, _)| *end <= row);
        let (_, sequence) = self.ends.get(message)?;
        let start = message.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(end, _)| *end);
        Some((*sequence, row - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_a_batch_is_found_in_its_message() {
        let mut origins = Origins::default();
        // The message between them had no examples.
        for (examples, sequence) in [(3, 70), (3, 71), (8, 75)] {
            origins.note(examples, sequence);
        }
        let places = [0, 2, 3, 7, 8].map(|row| origins.place(row));
        assert_eq!(places, [Some((70, 0)), Some((70, 2)), Some((75, 0)), Some((75, 4)), None]);
    }
}
