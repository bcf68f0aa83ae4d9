//! Random choices that cannot fail.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Whether something of this probability happens; below 0 is never and above 1 always.
pub(super) fn happens(probability: f64, random: &mut ChaCha8Rng) -> bool {
    random.random::<f64>() < probability
}

/// Draws indices in proportion to their weights.
pub(super) struct Weighted {
    /// Sum of the weights up to and with each index.
    sums: Vec<f64>,
}

impl Weighted {
    /// Weights of the indices 0, 1, ...; at least one, positive and finite.
    pub(super) fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let sums = weights.into_iter().map(|weight| {
            sum += weight;
            sum
        });
        Self { sums: sums.collect() }
    }

    /// An index.
    pub(super) fn draw(&self, random: &mut ChaCha8Rng) -> usize {
        let point = random.random::<f64>() * self.sums.last().copied().unwrap_or(0.0);
        self.sums.partition_point(|sum| *sum <= point).min(self.sums.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn indices_are_drawn_in_proportion_to_their_weights() {
        let weighted = Weighted::new([1.0, 0.0, 3.0]);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut counts = [0_u32; 3];
        for _ in 0..40_000 {
            counts[weighted.draw(&mut random)] += 1;
        }
        assert_eq!(counts[1], 0);
        // 10,000 expected; five standard deviations are 433.
        assert!(counts[0].abs_diff(10_000) < 433, "{counts:?}");
    }
}
