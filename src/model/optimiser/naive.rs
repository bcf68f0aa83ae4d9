//! The optimisers against formulas written from the papers: one weight at a time, in float64, nothing precomputed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Optimizer, OptimizerSpec, RowGradient};

/// One weight with all that any of the algorithms remembers about it.
#[derive(Debug, Clone, Copy)]
struct Scalar {
    weight: f64,
    first: f64,
    second: f64,
}

impl Scalar {
    fn new(spec: &OptimizerSpec, weight: f32) -> Self {
        let weight = f64::from(weight);
        let (first, second) = match *spec {
            OptimizerSpec::Sgd { .. } | OptimizerSpec::AdamW { .. } => (0.0, 0.0),
            OptimizerSpec::Adagrad { initial_accumulator, .. } => (f64::from(initial_accumulator), 0.0),
            OptimizerSpec::Ftrl { learning_rate, beta, l1, l2 } => {
                // Solved for z from w = -(z - sign(z) l1) / (beta / alpha + l2).
                let [alpha, beta, l1, l2] = [learning_rate, beta, l1, l2].map(f64::from);
                let denominator = beta / alpha + l2;
                let z = if weight == 0.0 { 0.0 } else { -weight * denominator - weight.signum() * l1 };
                (z, 0.0)
            }
        };
        Self { weight, first, second }
    }

    fn step(&mut self, spec: &OptimizerSpec, step: i32, g: f64) {
        match *spec {
            OptimizerSpec::Sgd { learning_rate, momentum, nesterov } => {
                let [rate, momentum] = [learning_rate, momentum].map(f64::from);
                self.first = momentum * self.first + g;
                self.weight -= rate * if nesterov { g + momentum * self.first } else { self.first };
            }
            OptimizerSpec::AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } => {
                let [rate, beta1, beta2, epsilon, decay] =
                    [learning_rate, beta1, beta2, epsilon, weight_decay].map(f64::from);
                self.first = beta1 * self.first + (1.0 - beta1) * g;
                self.second = beta2 * self.second + (1.0 - beta2) * g * g;
                let first = self.first / (1.0 - beta1.powi(step));
                let second = self.second / (1.0 - beta2.powi(step));
                self.weight -= rate * (first / (second.sqrt() + epsilon) + decay * self.weight);
            }
            OptimizerSpec::Adagrad { learning_rate, epsilon, .. } => {
                self.first += g * g;
                self.weight -= f64::from(learning_rate) * g / (self.first.sqrt() + f64::from(epsilon));
            }
            OptimizerSpec::Ftrl { learning_rate, beta, l1, l2 } => {
                let [alpha, beta, l1, l2] = [learning_rate, beta, l1, l2].map(f64::from);
                let sigma = ((self.second + g * g).sqrt() - self.second.sqrt()) / alpha;
                self.first += g - sigma * self.weight;
                self.second += g * g;
                self.weight = if self.first.abs() <= l1 {
                    0.0
                } else {
                    -(self.first - self.first.signum() * l1) / ((beta + self.second.sqrt()) / alpha + l2)
                };
            }
        }
    }
}

fn any_spec() -> impl Strategy<Value = OptimizerSpec> {
    prop_oneof![
        (0.001_f32..0.5, prop_oneof![Just((0.0, false)), (0.1_f32..0.95, any::<bool>())])
            .prop_map(|(learning_rate, (momentum, nesterov))| OptimizerSpec::Sgd { learning_rate, momentum, nesterov }),
        (0.001_f32..0.1, 0.0_f32..0.95, 0.5_f32..0.999, 1e-8_f32..1e-3, prop_oneof![Just(0.0), 0.01_f32..0.5])
            .prop_map(|(learning_rate, beta1, beta2, epsilon, weight_decay)| OptimizerSpec::AdamW {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay
            }),
        (0.001_f32..0.5, 1e-7_f32..1e-3, 0.0_f32..1.0).prop_map(|(learning_rate, epsilon, initial_accumulator)| {
            OptimizerSpec::Adagrad { learning_rate, epsilon, initial_accumulator }
        }),
        (0.01_f32..0.5, 0.1_f32..2.0, prop_oneof![Just(0.0), 0.01_f32..1.0], 0.0_f32..1.0)
            .prop_map(|(learning_rate, beta, l1, l2)| OptimizerSpec::Ftrl { learning_rate, beta, l1, l2 }),
    ]
}

fn close(found: f32, expected: f64) -> bool {
    (f64::from(found) - expected).abs() <= 2e-4 * (1.0 + expected.abs())
}

/// Gradients that are often 0, as they are for rare features.
fn gradients(length: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(prop_oneof![3 => -2.0_f32..2.0, 1 => Just(0.0)], length)
}

const ROWS: usize = 6;
const WIDTH: usize = 5;

proptest! {
    #[test]
    fn dense_steps_are_those_of_the_papers(
        spec in any_spec(),
        start in prop::collection::vec(prop_oneof![4 => -1.0_f32..1.0, 1 => Just(0.0)], 37),
        steps in prop::collection::vec(gradients(37), 1..20),
        scale in prop_oneof![Just(1.0_f32), 0.1_f32..1.0],
    ) {
        let mut weights = start.clone();
        let mut optimizer = Optimizer::new(spec, [&*start].into_iter()).unwrap();
        let mut naive: Vec<Scalar> = start.iter().map(|&weight| Scalar::new(&spec, weight)).collect();
        for (number, gradient) in steps.iter().enumerate() {
            optimizer.step(scale).dense(0, &mut weights, gradient);
            for (scalar, &gradient) in naive.iter_mut().zip(gradient) {
                scalar.step(&spec, number as i32 + 1, f64::from(gradient) * f64::from(scale));
            }
        }
        for (weight, scalar) in weights.iter().zip(&naive) {
            prop_assert!(close(*weight, scalar.weight), "{spec:?}: {weight} {scalar:?}");
        }
        prop_assert_eq!(optimizer.steps(), steps.len() as u64);
    }

    #[test]
    fn sparse_steps_move_the_rows_named_as_the_papers_do_and_no_others(
        spec in any_spec(),
        start in prop::collection::vec(-1.0_f32..1.0, ROWS * WIDTH),
        steps in prop::collection::vec(prop::collection::vec((0..ROWS - 1, gradients(WIDTH)), 0..8), 1..12),
    ) {
        let mut weights = start.clone();
        let mut optimizer = Optimizer::new(spec, [&*start].into_iter()).unwrap();
        let mut naive: Vec<Scalar> = start.iter().map(|&weight| Scalar::new(&spec, weight)).collect();
        let untouched = optimizer.slots(0).map(|(_, slot)| slot[(ROWS - 1) * WIDTH..].to_vec()).collect::<Vec<_>>();
        let mut rows_gradient = RowGradient::new(ROWS, WIDTH);
        for (number, batch) in steps.iter().enumerate() {
            let rows: Vec<i64> = batch.iter().map(|(row, _)| *row as i64).collect();
            let values: Vec<f32> = batch.iter().flat_map(|(_, values)| values.clone()).collect();
            rows_gradient.collect(&rows, &values).unwrap();
            optimizer.step(1.0).rows(0, &mut weights, &rows_gradient);

            let mut sums = BTreeMap::<usize, [f64; WIDTH]>::new();
            for (row, values) in batch {
                let sum = sums.entry(*row).or_default();
                for (sum, value) in sum.iter_mut().zip(values) {
                    *sum += f64::from(*value);
                }
            }
            for (row, sum) in sums {
                for (scalar, gradient) in naive[row * WIDTH..].iter_mut().zip(sum) {
                    scalar.step(&spec, number as i32 + 1, gradient);
                }
            }
        }
        for (weight, scalar) in weights.iter().zip(&naive) {
            prop_assert!(close(*weight, scalar.weight), "{spec:?}: {weight} {scalar:?}");
        }
        // The last row is never named.
        prop_assert_eq!(&weights[(ROWS - 1) * WIDTH..], &start[(ROWS - 1) * WIDTH..]);
        let after = optimizer.slots(0).map(|(_, slot)| slot[(ROWS - 1) * WIDTH..].to_vec()).collect::<Vec<_>>();
        prop_assert_eq!(untouched, after);
    }

    #[test]
    fn a_sparse_step_that_names_every_row_is_the_dense_step_bit_for_bit(
        spec in any_spec(),
        start in prop::collection::vec(-1.0_f32..1.0, ROWS * WIDTH),
        steps in prop::collection::vec(gradients(ROWS * WIDTH), 1..6),
        order in Just((0..ROWS).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let [mut dense, mut sparse] = [start.clone(), start.clone()];
        let mut of_dense = Optimizer::new(spec, [&*start].into_iter()).unwrap();
        let mut of_sparse = of_dense.clone();
        let mut rows_gradient = RowGradient::new(ROWS, WIDTH);
        for gradient in &steps {
            of_dense.step(0.5).dense(0, &mut dense, gradient);
            let rows: Vec<i64> = order.iter().map(|&row| row as i64).collect();
            let values: Vec<f32> = order.iter().flat_map(|row| gradient[row * WIDTH..][..WIDTH].to_vec()).collect();
            rows_gradient.collect(&rows, &values).unwrap();
            of_sparse.step(0.5).rows(0, &mut sparse, &rows_gradient);
        }
        prop_assert_eq!(dense, sparse);
        prop_assert_eq!(of_dense, of_sparse);
    }

    /// Where the module says that lazy and dense are the same: a row without a gradient stays where it is.
    #[test]
    fn plain_sgd_and_adagrad_leave_a_weight_without_a_gradient_alone(
        start in prop::collection::vec(-1.0_f32..1.0, 9), steps in 1_usize..5
    ) {
        let specs = [
            OptimizerSpec::Sgd { learning_rate: 0.1, momentum: 0.0, nesterov: false },
            OptimizerSpec::Adagrad { learning_rate: 0.1, epsilon: 1e-7, initial_accumulator: 0.1 },
        ];
        for spec in specs {
            let mut weights = start.clone();
            let mut optimizer = Optimizer::new(spec, [&*start].into_iter()).unwrap();
            for _ in 0..steps {
                optimizer.step(1.0).dense(0, &mut weights, &[0.0; 9]);
            }
            prop_assert_eq!(&weights, &start);
        }
    }

    #[test]
    fn ftrl_starts_from_the_weights_that_are_there(weight in -2.0_f32..2.0, l1 in 0.0_f32..1.0, l2 in 0.0_f32..1.0) {
        let spec = OptimizerSpec::Ftrl { learning_rate: 0.1, beta: 1.0, l1, l2 };
        let mut weights = [weight];
        let mut optimizer = Optimizer::new(spec, [&weights[..]].into_iter()).unwrap();
        optimizer.step(1.0).dense(0, &mut weights, &[0.0]);
        prop_assert!((weights[0] - weight).abs() < 1e-5);
    }
}

#[test]
fn ftrl_sets_weights_with_little_evidence_to_zero() {
    let spec = OptimizerSpec::Ftrl { learning_rate: 0.1, beta: 1.0, l1: 1.0, l2: 0.0 };
    let mut weights = [0.0; 2];
    let mut optimizer = Optimizer::new(spec, [&weights[..]].into_iter()).unwrap();
    for _ in 0..5 {
        optimizer.step(1.0).dense(0, &mut weights, &[0.1, 1.0]);
    }
    assert_eq!(weights[0], 0.0);
    assert!(weights[1] < -0.1);
}

#[test]
fn moments_of_weights_without_gradients_end_at_zero_and_not_at_a_number_that_is_slow() {
    let adamw = OptimizerSpec::AdamW { learning_rate: 0.1, beta1: 0.9, beta2: 0.9, epsilon: 1e-8, weight_decay: 0.0 };
    for spec in [adamw, OptimizerSpec::Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: false }] {
        let mut weights = [0.0; 3];
        let mut optimizer = Optimizer::new(spec, [&weights[..]].into_iter()).unwrap();
        optimizer.step(1.0).dense(0, &mut weights, &[1.0, -1e-3, 1e-20]);
        for _ in 0..1000 {
            optimizer.step(1.0).dense(0, &mut weights, &[0.0; 3]);
            assert!(optimizer.slots(0).flat_map(|(_, values)| values).all(|value| !value.is_subnormal()));
        }
        assert!(optimizer.slots(0).flat_map(|(_, values)| values).all(|value| *value == 0.0));
    }
}

/// `cargo test --release how_fast -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn how_fast_are_the_updates_of_100_000_weights() {
    let specs = [
        OptimizerSpec::Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: false },
        OptimizerSpec::AdamW { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 },
        OptimizerSpec::Adagrad { learning_rate: 0.1, epsilon: 1e-7, initial_accumulator: 0.1 },
        OptimizerSpec::Ftrl { learning_rate: 0.1, beta: 1.0, l1: 0.1, l2: 0.0 },
    ];
    let gradient: Vec<f32> = (0..100_000).map(|number| (number as f32).sin()).collect();
    let best = |mut run: Box<dyn FnMut() + '_>| {
        let times = (0..300).map(|_| {
            let start = std::time::Instant::now();
            run();
            start.elapsed().as_secs_f64()
        });
        times.fold(f64::INFINITY, f64::min) * 1e6
    };
    for spec in specs {
        let mut weights = vec![0.1; gradient.len()];
        let mut optimizer = Optimizer::new(spec, [&*weights].into_iter()).unwrap();
        let dense = best(Box::new(|| optimizer.step(1.0).dense(0, &mut weights, &gradient)));
        // As many values in 6,250 rows of 16, half of them named twice.
        let rows: Vec<i64> = (0..6_250).map(|row| (row * 7) % 3_125).collect();
        let mut rows_gradient = RowGradient::new(6_250, 16);
        let collect = best(Box::new(|| rows_gradient.collect(&rows, &gradient).unwrap()));
        let sparse = best(Box::new(|| optimizer.step(1.0).rows(0, &mut weights, &rows_gradient)));
        eprintln!(
            "{}: dense {dense:.1} us, collecting rows {collect:.1} us, 50,000 in rows {sparse:.1} us",
            spec.name()
        );
    }
    let norm = best(Box::new(|| assert!(super::sum_of_squares(&gradient) > 0.0)));
    eprintln!("sum of squares: {norm:.1} us");
}
