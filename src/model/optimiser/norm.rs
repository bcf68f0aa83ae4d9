//! The length of a gradient, and its limit.

/// How many squares are added in float32 before the sum goes on in float64.
const STRETCH: usize = 1024;
/// Sums kept side by side, so that the compiler can use vector instructions without changing the order of additions.
const LANES: usize = 64;

/// The sum of squares of `values`.
///
/// It is not finite exactly when a value is NaN or infinite, or so large (about 10^19) that squares overflow float32,
/// in which the optimisers keep them: one pass tells the length and whether the gradient may be used.
#[must_use]
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    values.chunks(STRETCH).map(|stretch| f64::from(stretch_sum(stretch))).sum()
}

/// What a gradient of this norm is multiplied by to be at most `limit` long: 1 for one that is short enough.
///
/// The norm is that of all gradients of a step together, so that its direction stays (Pascanu, Mikolov and Bengio, "On
/// the difficulty of training recurrent neural networks", 2013, algorithm 1).
#[must_use]
pub(crate) fn clip_scale(norm: f64, limit: Option<f32>) -> f32 {
    match limit.map(f64::from) {
        Some(limit) if norm > limit => (limit / norm) as f32,
        _ => 1.0,
    }
}

fn stretch_sum(stretch: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (groups, rest) = stretch.as_chunks::<LANES>();
    for group in groups {
        for (sum, value) in sums.iter_mut().zip(group) {
            *sum += value * value;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|value| value * value).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_sum_is_that_of_plain_arithmetic(values in prop::collection::vec(-1e3_f32..1e3, 0..5000)) {
            let expected: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
            prop_assert!((sum_of_squares(&values) - expected).abs() <= 1e-5 * expected);
        }

        #[test]
        fn one_bad_value_shows_wherever_it_is(
            length in 1_usize..3000, at: prop::sample::Index, bad in prop::sample::select(vec![f32::NAN, f32::INFINITY, -1e30])
        ) {
            let mut values = vec![1.0; length];
            values[at.index(length)] = bad;
            prop_assert!(!sum_of_squares(&values).is_finite());
        }
    }

    #[test]
    fn a_gradient_is_shortened_to_the_limit_and_never_lengthened() {
        assert_eq!(clip_scale(10.0, Some(2.0)), 0.2);
        assert_eq!(clip_scale(2.0, Some(2.0)), 1.0);
        assert_eq!(clip_scale(0.0, Some(2.0)), 1.0);
        assert_eq!(clip_scale(1e30, None), 1.0);
    }
}
