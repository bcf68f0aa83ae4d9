//! Every figure against its definition, pair by pair.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rustix::time::{ClockId, clock_gettime};

use super::prequential::{Lift, ModelReport};
use super::*;

/// A prediction, whether it was positive, and the sampling rate.
type Row = (f32, bool, f32);

fn said(probabilities: &[f32]) -> Vec<Prediction> {
    probabilities.iter().copied().map(Prediction::Probability).collect()
}

fn naive_auc(rows: &[Row]) -> Option<f64> {
    let (mut wins, mut pairs) = (0.0, 0.0);
    for (positive, _, sampling) in rows.iter().filter(|row| row.1) {
        for (negative, _, other) in rows.iter().filter(|row| !row.1) {
            let weight = 1.0 / f64::from(sampling * other);
            pairs += weight;
            wins += weight * f64::from(u8::from(positive > negative) + u8::from(positive >= negative)) / 2.0;
        }
    }
    (pairs > 0.0).then(|| wins / pairs)
}

fn mean(rows: &[Row], value: impl Fn(&Row) -> f64) -> f64 {
    let weight = |row: &Row| 1.0 / f64::from(row.2);
    rows.iter().map(|row| value(row) * weight(row)).sum::<f64>() / rows.iter().map(weight).sum::<f64>()
}

fn naive_log_loss(rows: &[Row]) -> f64 {
    mean(rows, |(prediction, is_positive, _)| {
        let prediction = f64::from(*prediction).clamp(1e-7, 1.0 - 1e-7);
        if *is_positive { -prediction.ln() } else { -(1.0 - prediction).ln() }
    })
}

fn rate(rows: &[Row]) -> f64 {
    mean(rows, |row| f64::from(u8::from(row.1)))
}

fn naive_calibration_error(rows: &[Row]) -> f64 {
    let mass = |rows: &[Row]| rows.iter().map(|row| 1.0 / f64::from(row.2)).sum::<f64>();
    let bin_of = |prediction: f32| {
        let below: Vec<Row> = rows.iter().copied().filter(|row| row.0 < prediction).collect();
        let tied: Vec<Row> = rows.iter().copied().filter(|row| row.0.total_cmp(&prediction).is_eq()).collect();
        ((mass(&below) + mass(&tied) / 2.0) / mass(rows) * 10.0) as usize
    };
    let bins = (0..10).map(|bin| {
        let inside: Vec<Row> = rows.iter().copied().filter(|row| bin_of(row.0) == bin).collect();
        if inside.is_empty() {
            return 0.0;
        }
        mass(&inside) / mass(rows) * (mean(&inside, |row| f64::from(row.0)) - rate(&inside)).abs()
    });
    bins.sum()
}

fn close(found: Option<f64>, expected: Option<f64>) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
        (None, None) => true,
        _ => false,
    }
}

fn is_right(report: &ModelReport, rows: &[Row]) -> bool {
    let calibration = (rate(rows) > 0.0).then(|| mean(rows, |row| f64::from(row.0)) / rate(rows));
    close(report.metrics.auc, naive_auc(rows))
        && close(Some(report.metrics.log_loss), Some(naive_log_loss(rows)))
        && close(report.calibration, calibration)
        && close(Some(report.calibration_error), Some(naive_calibration_error(rows)))
}

fn label(is_positive: bool) -> f32 {
    f32::from(u8::from(is_positive))
}

/// Predictions with ties, some at the ends; weights that add up exactly.
fn rows() -> impl Strategy<Value = Vec<(f32, f32, bool, f32)>> {
    let prediction = || prop_oneof![(0_u8..=16).prop_map(|value| f32::from(value) / 16.0), 0.0_f32..1.0];
    let sampling = prop_oneof![Just(1.0_f32), Just(0.5), Just(0.25)];
    prop::collection::vec((prediction(), prediction(), any::<bool>(), sampling), 1..60)
}

proptest! {
    #[test]
    fn all_figures_are_those_of_their_definitions(rows in rows(), capacity in 1_usize..60) {
        let mut prequential = Prequential::new(capacity);
        for (learning, reference, is_positive, sampling) in &rows {
            prequential.record(&said(&[*learning]), &said(&[*reference]), &[label(*is_positive)], &[*sampling]).unwrap();
        }
        let report = prequential.report();
        prop_assert_eq!((report.recorded, report.horizons.len()), (rows.len() as u64, 1));
        let newest = &rows[rows.len().saturating_sub(capacity)..];
        let horizon = &report.horizons[0];
        prop_assert_eq!((horizon.horizon, horizon.rows), (capacity, newest.len()));
        prop_assert_eq!(horizon.positives, newest.iter().filter(|row| row.2).count());
        let learning: Vec<Row> = newest.iter().map(|row| (row.0, row.2, row.3)).collect();
        let reference: Vec<Row> = newest.iter().map(|row| (row.1, row.2, row.3)).collect();
        prop_assert!(close(Some(horizon.label_rate), Some(rate(&learning))));
        prop_assert!(is_right(&horizon.learning, &learning), "{:?}", horizon.learning);
        prop_assert!(is_right(&horizon.reference, &reference), "{:?}", horizon.reference);
        let lift = naive_auc(&learning).zip(naive_auc(&reference)).map(|(learning, reference)| learning - reference);
        prop_assert!(close(horizon.lift.map(|lift| lift.auc), lift));

        let constant: Vec<Row> = (0..rows.len())
            .map(|row| {
                let weight = |row: &(f32, f32, bool, f32)| 1.0 / f64::from(row.3);
                let positive: f64 = rows[..row].iter().filter(|row| row.2).map(weight).sum();
                let rate = (positive + 0.5) / (rows[..row].iter().map(weight).sum::<f64>() + 1.0);
                (rate as f32, rows[row].2, rows[row].3)
            })
            .collect();
        let constant = &constant[rows.len() - newest.len()..];
        prop_assert!(close(horizon.constant.auc, naive_auc(constant)));
        prop_assert!(close(Some(horizon.constant.log_loss), Some(naive_log_loss(constant))));
        let (predictions, labels): (Vec<f32>, Vec<f32>) = learning.iter().map(|row| (row.0, label(row.1))).unzip();
        let sampling: Vec<f32> = learning.iter().map(|row| row.2).collect();
        let metrics = Metrics::of(&said(&predictions), &labels, &sampling).unwrap();
        prop_assert_eq!(metrics, Some(horizon.learning.metrics));
    }
}

/// Positives and negatives whose scores are normal and `distance` apart, as probabilities.
fn normal_scores(rows: usize, distance: f32, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let row = |_| {
        let is_positive = random.random_bool(0.3);
        let score: f32 = StandardNormal.sample(&mut random);
        let score = score + if is_positive { distance } else { 0.0 };
        (1.0 / (1.0 + (-score).exp()), label(is_positive))
    };
    (0..rows).map(row).unzip()
}

fn recorded(learning: &[f32], reference: &[f32], labels: &[f32]) -> EvaluationReport {
    let mut prequential = Prequential::new(200_000);
    prequential.record(&said(learning), &said(reference), labels, &vec![1.0; labels.len()]).unwrap();
    prequential.report()
}

#[test]
fn the_interval_of_an_auc_is_as_wide_as_theory_says() {
    let mut covered = 0;
    let mut widths = 0.0;
    for seed in 0..100 {
        let (learning, labels) = normal_scores(1_000, 1.0, seed);
        let horizon = &recorded(&learning, &learning, &labels).horizons[0];
        let interval = horizon.learning.auc_interval.unwrap();
        // Normal scores a distance d apart have an AUC of Phi(d / sqrt 2): 0.76025 for 1.
        covered += u32::from((interval.low..=interval.high).contains(&0.760_25));
        widths += interval.high - interval.low;
    }
    // Hanley and McNeil, 1982, for 300 positives and 700 negatives.
    let (auc, positives, negatives) = (0.760_25_f64, 300.0, 700.0);
    let (first, second) = (auc / (2.0 - auc), 2.0 * auc * auc / (1.0 + auc));
    let variance =
        auc * (1.0 - auc) + (positives - 1.0) * (first - auc * auc) + (negatives - 1.0) * (second - auc * auc);
    let expected = 2.0 * 1.96 * (variance / (positives * negatives)).sqrt();
    let ratio = widths / 100.0 / expected;
    assert!((0.85..1.15).contains(&ratio), "{ratio}");
    assert!((86..=100).contains(&covered), "{covered} of 100");
}

#[test]
fn a_better_model_has_a_lift_whose_interval_is_above_zero_and_an_equal_one_has_none() {
    let (learning, labels) = normal_scores(5_000, 1.0, 1);
    let blurred: Vec<f32> = learning.iter().enumerate().map(|(row, p)| p / 2.0 + (row % 7) as f32 / 14.0).collect();
    let report = recorded(&learning, &blurred, &labels);
    let lift = report.horizons.last().unwrap().lift.unwrap();
    let interval = lift.interval.unwrap();
    assert!(0.0 < interval.low && interval.low < lift.auc && lift.auc < interval.high, "{lift:?}");
    let equal = recorded(&learning, &learning, &labels).horizons.last().unwrap().lift.unwrap();
    assert_eq!(equal, Lift { auc: 0.0, interval: Some(Interval { low: 0.0, high: 0.0 }) });
}

#[test]
fn horizons_reach_back_as_far_as_they_say() {
    let (mut learning, mut labels) = (vec![0.9; 11_000], vec![0.0; 11_000]);
    learning.extend([0.2, 0.8].repeat(500));
    labels.extend([0.0, 1.0].repeat(500));
    let report = recorded(&learning, &vec![0.5; 12_000], &labels);
    let shape: Vec<_> = report.horizons.iter().map(|horizon| (horizon.horizon, horizon.rows)).collect();
    assert_eq!(shape, [(1_000, 1_000), (10_000, 10_000), (100_000, 12_000), (200_000, 12_000)]);
    assert_eq!(report.horizons[0].learning.metrics.auc, Some(1.0));
    assert_eq!(report.horizons[0].reference.metrics.auc, Some(0.5));
    assert!(report.horizons[1].learning.metrics.auc < Some(0.1));
}

#[test]
fn without_both_labels_there_is_no_auc_no_lift_and_no_interval() {
    assert!(Prequential::new(10).report().horizons.is_empty());
    let report = recorded(&[0.1; 50], &[0.2; 50], &[0.0; 50]);
    let horizon = &report.horizons[0];
    assert_eq!((horizon.learning.metrics.auc, horizon.learning.auc_interval, horizon.lift), (None, None, None));
    assert_eq!((horizon.learning.calibration, horizon.label_rate), (None, 0.0));
    assert!((horizon.learning.metrics.log_loss - -(0.9_f64.ln())).abs() < 1e-7);
    assert_eq!(Metrics::of(&[], &[], &[]), Ok(None));
}

#[test]
fn what_cannot_be_judged_is_refused_whole() {
    let mut prequential = Prequential::new(10);
    let mut refused = |learning: &[f32], reference: &[f32], labels: &[f32], sampling: &[f32]| {
        let error = prequential.record(&said(learning), &said(reference), labels, sampling).unwrap_err();
        assert_eq!(prequential.report().recorded, 0);
        error.to_string()
    };
    insta::assert_snapshot!(
        refused(&[0.1], &[0.1, 0.2], &[0.0], &[1.0]),
        @"there are 2 predictions of the reference for 1 labels"
    );
    insta::assert_snapshot!(
        refused(&[0.1, f32::NAN], &[0.1; 2], &[0.0; 2], &[1.0; 2]),
        @"the prediction in row 1 is NaN, a probability from 0 to 1 is expected"
    );
    insta::assert_snapshot!(
        refused(&[0.1], &[1.5], &[0.0], &[1.0]),
        @"the prediction in row 0 is 1.5, a probability from 0 to 1 is expected"
    );
    insta::assert_snapshot!(refused(&[0.1], &[0.1], &[0.5], &[1.0]), @"the label in row 0 is 0.5, 0 or 1 is expected");
    insta::assert_snapshot!(
        refused(&[0.1], &[0.1], &[0.0], &[0.0]),
        @"the sampling rate in row 0 is 0, it must be above 0 and at most 1"
    );
}

#[test]
#[ignore = "a measurement"]
fn report_speed() {
    let seconds = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    for rows in [1_000, 10_000, 100_000, 200_000] {
        let (learning, labels) = normal_scores(rows, 1.0, 5);
        let (reference, _) = normal_scores(rows, 0.5, 6);
        let mut prequential = Prequential::new(200_000);
        let start = seconds();
        prequential.record(&said(&learning), &said(&reference), &labels, &vec![1.0; rows]).unwrap();
        let recorded = seconds();
        let report = prequential.report();
        let (record, report_ms) = ((recorded - start) / rows as f64 * 1e9, (seconds() - recorded) * 1e3);
        println!("{rows:7} rows: {record:5.1} ns to record one, {report_ms:7.1} ms a report ({})", report.recorded);
    }
}
