//! Scores beside the predictions that their model's owner has for the same rows.

use serde::Serialize;

use crate::registry::Verdict;

/// So many of the largest differences are shown.
const WORST: usize = 5;
/// So many rows that can't be compared are shown.
const SHOWN: usize = 5;

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Comparison {
    /// Rows that have both.
    pub(super) rows: usize,
    /// Those that are further apart than is allowed.
    pub(super) beyond: usize,
    /// Half of the differences are at most this.
    pub(super) p50: Option<f64>,
    /// 99 of 100 are at most this.
    pub(super) p99: Option<f64>,
    /// The largest first.
    pub(super) worst: Vec<Difference>,
    /// Rows that have a score, or an expected value, and not both.
    pub(super) incomplete: usize,
    /// The first of them.
    pub(super) incomplete_rows: Vec<Incomplete>,
    /// Rows that have neither.
    pub(super) neither: usize,
}

/// How far apart the two are in one row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Difference {
    /// Which row of data, from 1.
    pub(super) row: usize,
    pub(super) score: f64,
    pub(super) expected: f64,
    pub(super) difference: f64,
}

/// A row that can't be compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Incomplete {
    /// Which row of data, from 1.
    pub(super) row: usize,
    /// What it lacks.
    pub(super) reason: String,
}

impl Comparison {
    /// Compares row by row. A difference is too large when it is above `tolerance`, of the expected value where that is above 1
    /// either way: a float32 holds seven digits.
    pub(super) fn of(scores: &[Result<f32, String>], expected: &[Option<f64>], tolerance: f64) -> Self {
        let mut differences = Vec::with_capacity(scores.len());
        let mut found = Self {
            rows: 0,
            beyond: 0,
            p50: None,
            p99: None,
            worst: Vec::new(),
            incomplete: 0,
            incomplete_rows: Vec::new(),
            neither: 0,
        };
        for (row, (score, expected)) in (1..).zip(scores.iter().zip(expected)) {
            let reason = match (score, expected) {
                (Ok(score), Some(expected)) => {
                    let (score, expected) = (f64::from(*score), *expected);
                    let difference = (score - expected).abs();
                    // What is no number, or infinite, is within nothing.
                    let is_within = difference.is_finite() && difference <= tolerance * expected.abs().max(1.0);
                    found.beyond += usize::from(!is_within);
                    differences.push(Difference { row, score, expected, difference });
                    continue;
                }
                (Ok(score), None) => format!("no value is expected, the model scores {score}"),
                (Err(reason), Some(expected)) => format!("{expected} is expected, and there is no score: {reason}"),
                (Err(_), None) => {
                    found.neither += 1;
                    continue;
                }
            };
            found.incomplete += 1;
            if found.incomplete_rows.len() < SHOWN {
                found.incomplete_rows.push(Incomplete { row, reason });
            }
        }
        differences.sort_by(|one, other| other.difference.total_cmp(&one.difference).then(one.row.cmp(&other.row)));
        found.rows = differences.len();
        found.p50 = quantile(&differences, 50);
        found.p99 = quantile(&differences, 99);
        differences.truncate(WORST);
        found.worst = differences;
        found
    }

    /// What is kept of it.
    pub(super) fn verdict(&self, tolerance: f64, at_micros: i64) -> Verdict {
        Verdict {
            at_micros,
            rows: self.rows as u64,
            largest: self.worst.first().map(|worst| worst.difference),
            tolerance,
            beyond: self.beyond as u64,
            incomplete: self.incomplete as u64,
        }
    }
}

/// The smallest difference that so many of 100 are not above (nearest rank), of differences from the largest to the smallest.
fn quantile(differences: &[Difference], percent: usize) -> Option<f64> {
    let above = differences.len() * (100 - percent) / 100;
    differences.get(above).map(|difference| difference.difference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_rows_come_first_and_what_can_not_be_compared_is_named() {
        let mut scores: Vec<Result<f32, String>> = (0..200).map(|row| Ok(row as f32 / 256.0)).collect();
        let mut expected: Vec<Option<f64>> = (0..200).map(|row| Some(f64::from(row) / 256.0)).collect();
        expected[6] = Some(6.0 / 256.0 + 0.25);
        expected[99] = Some(99.0 / 256.0 - 0.5);
        scores[3] = Err("feature `price` is NULL".to_owned());
        expected[4] = None;
        (scores[5], expected[5]) = (Err("feature `price` is NULL".to_owned()), None);
        let found = Comparison::of(&scores, &expected, 1e-5);
        assert_eq!((found.rows, found.beyond, found.incomplete, found.neither), (197, 2, 2, 1));
        let worst: Vec<_> = found.worst.iter().map(|worst| (worst.row, worst.difference)).collect();
        assert_eq!(worst, [(100, 0.5), (7, 0.25), (1, 0.0), (2, 0.0), (3, 0.0)]);
        assert_eq!((found.p50, found.p99), (Some(0.0), Some(0.25)));
        let reasons: Vec<_> = found.incomplete_rows.iter().map(|row| (row.row, row.reason.as_str())).collect();
        let unscored = "0.01171875 is expected, and there is no score: feature `price` is NULL";
        assert_eq!(reasons, [(4, unscored), (5, "no value is expected, the model scores 0.015625")]);
        let verdict = found.verdict(1e-5, 7);
        assert_eq!((verdict.rows, verdict.largest, verdict.agrees()), (197, Some(0.5), false));
    }

    #[test]
    fn a_difference_is_held_against_the_size_of_what_is_expected() {
        let beyond = |score: f32, expected: f64| Comparison::of(&[Ok(score)], &[Some(expected)], 1e-5).beyond;
        assert_eq!((beyond(0.5, 0.500_009), beyond(0.5, 0.500_02)), (0, 1));
        assert_eq!((beyond(20_000.0, 20_000.1), beyond(20_000.0, -20_000.0), beyond(20_000.0, 20_000.3)), (0, 1, 1));
        assert_eq!((beyond(0.0, f64::NAN), beyond(f32::INFINITY, 0.0), beyond(1.0, f64::INFINITY)), (1, 1, 1));
    }

    #[test]
    fn nothing_compared_is_no_agreement() {
        let none = Comparison::of(&[], &[], 1e-5);
        assert_eq!((none.p50, none.worst.len(), none.verdict(1e-5, 0).agrees()), (None, 0, false));
    }

    /// Against a plain count, for every number of rows.
    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        for rows in 1..=300_usize {
            let differences: Vec<Difference> = (0..rows)
                .rev()
                .map(|number| Difference { row: 1, score: 0.0, expected: 0.0, difference: number as f64 })
                .collect();
            for percent in [50, 99] {
                let expected = (0..rows).find(|rank| (rank + 1) * 100 >= rows * percent).unwrap();
                assert_eq!(quantile(&differences, percent), Some(expected as f64), "{percent} of {rows}");
            }
        }
    }
}
