//! What a label join is told, and what it reports.

use super::row_limit;
use crate::fault::{Judged, Judgement};

/// How impressions become examples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JoinSettings {
    /// How long feedback is waited for, microseconds of event time.
    pub window_micros: i64,
    /// How much earlier than an impression which got its time from the clock its feedback may seem to be, microseconds:
    /// clocks differ.
    pub skew_micros: i64,
    /// The width of a vector, in words: of numbers alone, how many there are.
    pub columns: usize,
    /// Most impressions that are remembered.
    pub max_rows: usize,
    /// Most bytes that are held for them.
    pub max_bytes: usize,
    /// The vector's word that is replaced by the place at which the impression was shown.
    pub position: Option<usize>,
    /// The share of negatives that is kept, above 0 and at most 1.
    pub negative_rate: f32,
}

impl JoinSettings {
    /// The number of impressions that fit both limits.
    pub(super) fn check(&self) -> Result<usize, JoinError> {
        if self.window_micros <= 0 {
            return Err(JoinError::Window { micros: self.window_micros });
        }
        if let Some(position) = self.position
            && position >= self.columns
        {
            return Err(JoinError::Position { position, columns: self.columns });
        }
        if !(self.negative_rate > 0.0 && self.negative_rate <= 1.0) {
            return Err(JoinError::NegativeRate { rate: self.negative_rate });
        }
        match row_limit(self.columns, self.max_rows, self.max_bytes) {
            0 => Err(JoinError::NoRoom { max_rows: self.max_rows, max_bytes: self.max_bytes, columns: self.columns }),
            rows => Ok(rows),
        }
    }
}

/// Why there can be no label join with these settings.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum JoinError {
    /// A window without length.
    #[error("the label window is {micros} us long, it must be longer than 0")]
    Window {
        /// Its length.
        micros: i64,
    },
    /// A position outside of the vector.
    #[error("the position is column {position} of the vector, which has {columns} columns counted from 0")]
    Position {
        /// The column.
        position: usize,
        /// The vector's width.
        columns: usize,
    },
    /// A rate that is no share.
    #[error("the rate of negatives is {rate}, it must be above 0 and at most 1")]
    NegativeRate {
        /// The rate.
        rate: f32,
    },
    /// Limits too low for one impression.
    #[error("no impression of {columns} columns fits into {max_rows} rows and {max_bytes} bytes: raise the limits")]
    NoRoom {
        /// Rows allowed.
        max_rows: usize,
        /// Bytes allowed.
        max_bytes: usize,
        /// The vector's width.
        columns: usize,
    },
}

impl Judged for JoinError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Window { .. } | Self::Position { .. } | Self::NegativeRate { .. } | Self::NoRoom { .. } => {
                Judgement::OPERATOR
            }
        }
    }
}

/// What became of impressions and of feedback since the join was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct LabelCounts {
    /// Impressions that were remembered.
    pub shown: u64,
    /// Positives given out.
    pub positives: u64,
    /// Negatives given out.
    pub negatives: u64,
    /// Negatives that were left out by sampling.
    pub sampled_out: u64,
    /// Corrections given out.
    pub corrections: u64,
    /// Impressions, open or closed, that made room for newer ones.
    pub evicted: u64,
    /// Feedback whose key was never shown, or is forgotten.
    pub unmatched: u64,
    /// Feedback without a key.
    pub without_key: u64,
    /// Feedback for what is positive already.
    pub repeated: u64,
    /// Feedback from before its key was shown.
    pub early: u64,
    /// Feedback from after the time for corrections.
    pub expired: u64,
}

impl LabelCounts {
    /// Every count with its name, for metrics.
    #[must_use]
    pub fn by_outcome(&self) -> [(&'static str, u64); 11] {
        [
            ("shown", self.shown),
            ("positive", self.positives),
            ("negative", self.negatives),
            ("sampled_out", self.sampled_out),
            ("correction", self.corrections),
            ("evicted", self.evicted),
            ("unmatched", self.unmatched),
            ("without_key", self.without_key),
            ("repeated", self.repeated),
            ("early", self.early),
            ("expired", self.expired),
        ]
    }

    /// Examples given out.
    #[must_use]
    pub fn examples(&self) -> u64 {
        self.positives + self.negatives + self.corrections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: JoinSettings = JoinSettings {
        window_micros: 1,
        skew_micros: 0,
        columns: 3,
        max_rows: 1,
        max_bytes: 1 << 20,
        position: Some(2),
        negative_rate: 1.0,
    };

    #[test]
    fn settings_are_checked_at_their_edges() {
        assert_eq!(GOOD.check(), Ok(1));
        let message = |settings: JoinSettings| settings.check().unwrap_err().to_string();
        insta::assert_snapshot!(
            message(JoinSettings { window_micros: 0, ..GOOD }),
            @"the label window is 0 us long, it must be longer than 0"
        );
        insta::assert_snapshot!(
            message(JoinSettings { position: Some(3), ..GOOD }),
            @"the position is column 3 of the vector, which has 3 columns counted from 0"
        );
        for rate in [0.0, -0.5, 1.000_1, f32::NAN] {
            let error = JoinSettings { negative_rate: rate, ..GOOD }.check().unwrap_err();
            assert!(matches!(error, JoinError::NegativeRate { .. }), "{rate}");
        }
        insta::assert_snapshot!(
            message(JoinSettings { max_rows: 0, ..GOOD }),
            @"no impression of 3 columns fits into 0 rows and 1048576 bytes: raise the limits"
        );
    }
}
