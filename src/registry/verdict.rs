//! What a comparison of a model's scores with its owner's predictions found.

use serde::{Deserialize, Serialize};

/// The outcome of one comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// When it was made: microseconds since 1970 in UTC, by the caller's clock.
    pub at_micros: i64,
    /// Rows compared.
    pub rows: u64,
    /// The largest difference between a score and what was expected; none where no row could be compared.
    pub largest: Option<f64>,
    /// What was allowed: of the expected value where that is above 1 either way, else of 1.
    pub tolerance: f64,
    /// Rows whose difference is larger.
    pub beyond: u64,
    /// Rows that have a score, or an expected value, and not both.
    pub incomplete: u64,
}

impl Verdict {
    /// Whether the model gives what its owner expects.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.rows > 0 && self.beyond == 0 && self.incomplete == 0
    }
}
