//! Intervals by drawing the examples again.
//!
//! Examples of one request are neighbours and depend on each other, so whole blocks of neighbouring rows are drawn, with
//! replacement, as many as there are (Carlstein, "The use of subseries values for estimating the variance of a general
//! statistic from a stationary sequence", 1986). The interval goes from the 2.5th to the 97.5th percentile of the
//! statistic (Efron, 1979). Both models are judged on the same draws, so that their difference is paired.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::sorted::Sorted;

const RESAMPLES: usize = 200;
const MOST_BLOCKS: usize = 200;
/// About as many rows as one request has candidates.
const REQUEST_ROWS: usize = 20;
const FEWEST_BLOCKS: usize = 10;
const SEED: u64 = 0x7469_6465;

/// Where a figure lies with a confidence of 95 percent.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Interval {
    /// The 2.5th percentile.
    pub low: f64,
    /// The 97.5th percentile.
    pub high: f64,
}

/// Intervals of the AUCs of two models and of their difference; `None` where too few draws have both labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Intervals {
    pub(super) learning: Option<Interval>,
    pub(super) reference: Option<Interval>,
    pub(super) lift: Option<Interval>,
}

/// How many neighbouring rows of so many are one block.
pub(super) fn block_rows(rows: usize) -> usize {
    rows.div_ceil(MOST_BLOCKS).max(REQUEST_ROWS.min(rows / 50)).max(1)
}

/// Draws the blocks of two models' outcomes again and again.
pub(super) fn intervals(learning: &Sorted, reference: &Sorted, blocks: usize) -> Intervals {
    let (mut of_learning, mut of_reference, mut of_lift) = (Vec::new(), Vec::new(), Vec::new());
    if blocks >= FEWEST_BLOCKS {
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        let mut draws = vec![0.0; blocks];
        for _ in 0..RESAMPLES {
            draws.fill(0.0);
            for _ in 0..blocks {
                if let Some(draw) = draws.get_mut(random.random_range(0..blocks)) {
                    *draw += 1.0;
                }
            }
            let aucs = (learning.resampled_auc(&draws), reference.resampled_auc(&draws));
            if let (Some(learning), Some(reference)) = aucs {
                of_learning.push(learning);
                of_reference.push(reference);
                of_lift.push(learning - reference);
            }
        }
    }
    Intervals { learning: percentiles(of_learning), reference: percentiles(of_reference), lift: percentiles(of_lift) }
}

fn percentiles(mut values: Vec<f64>) -> Option<Interval> {
    if values.len() < RESAMPLES / 2 {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * (values.len() - 1) as f64;
        let (low, high) = (values.get(place.floor() as usize)?, values.get(place.ceil() as usize)?);
        Some(low + (high - low) * place.fract())
    };
    Some(Interval { low: at(0.025)?, high: at(0.975)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_a_request_where_that_leaves_enough_of_them() {
        let of_rows = [1, 49, 100, 500, 1_000, 10_000, 100_000].map(block_rows);
        assert_eq!(of_rows, [1, 1, 2, 10, 20, 50, 500]);
    }

    #[test]
    fn percentiles_interpolate_between_draws() {
        let values = (0..=200).rev().map(f64::from).collect();
        assert_eq!(percentiles(values), Some(Interval { low: 5.0, high: 195.0 }));
        assert_eq!(percentiles(vec![0.5; 99]), None);
    }
}
