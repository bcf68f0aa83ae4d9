//! What an as-of table keeps, in figures: for those who explain it.

use super::plan::FeaturePlan;
use super::tile::{Horizon, LADDER};

impl FeaturePlan {
    /// How many running counts, sums and extremes (over all horizons), running distinct counts, and other states (lists of
    /// last values, merged ones) are kept per key.
    pub fn kept(&self) -> (usize, usize, usize) {
        let cells = self.horizons.iter().map(|horizon| horizon.cells.len()).sum();
        let distinct = self.distinct.iter().map(|distinct| distinct.horizons.len()).sum();
        let last: usize = self.last.iter().map(|last| last.horizons.len()).sum();
        (cells, distinct, last + self.merged.len())
    }

    /// Widths of the tiles, microseconds, finest first.
    pub fn level_widths(&self) -> Vec<i64> {
        let finest = self.horizons().map(Horizon::step_micros).min().unwrap_or(LADDER[0]);
        let coarsest_step = self.horizons().map(Horizon::step_micros).max().unwrap_or(LADDER[0]);
        let widest = self.horizons().map(Horizon::width_micros).max().unwrap_or(0);
        // Above the coarsest step a level pays when a horizon holds a few of its tiles.
        LADDER
            .into_iter()
            .filter(|width| *width >= finest && (*width <= coarsest_step || 4 * width <= widest))
            .collect()
    }
}
