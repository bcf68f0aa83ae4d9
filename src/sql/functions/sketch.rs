//! A quantile sketch with a relative-error guarantee: `DDSketch` (Masson, Rim and Lee, "`DDSketch`: A Fast
//! and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees", VLDB 2019).
//!
//! ```text
//!   key      -(OFFSET + i)   …        0        …   OFFSET + i
//!   holds    -γ^i ≤ x < -γ^(i-1)    x = 0        γ^(i-1) < x ≤ γ^i            γ = (1 + α) / (1 - α)
//! ```
//!
//! A bucket is a count of the values with one key, and keys are ordered as the values are, so that one sorted list holds
//! negative values, zero and positive values. Every value of a bucket is within α = 1 % of the bucket's middle,
//! 2γ^i / (γ + 1).
//!
//! At most [`MOST_BUCKETS`] buckets are kept: beyond that the lowest is counted into the next (section 2.4 of the paper), and
//! quantiles that fall into that bucket lose the guarantee. 2,048 buckets span a factor of 10^17 without a gap. What is
//! left is always the highest buckets of all values together, so neither the order of values nor how they were divided
//! into sketches can be told from it.

use std::f64::consts::LN_2;

/// The relative error of a quantile.
const ACCURACY: f64 = 0.01;

/// The most buckets of a sketch; one takes 12 bytes in a state.
pub(super) const MOST_BUCKETS: usize = 2_048;

/// Larger than the index of any finite number's bucket, which is from -35,420 to 35,490.
const OFFSET: i32 = 40_000;

/// The key of infinity, above all others.
const INFINITE: i32 = 2 * OFFSET;

/// ln γ
fn ln_gamma() -> f64 {
    ((1.0 + ACCURACY) / (1.0 - ACCURACY)).ln()
}

/// Values to keys; a value for what is the same for all of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buckets {
    /// 1 / ln γ
    per_ln: f64,
}

impl Buckets {
    pub(super) fn new() -> Self {
        Self { per_ln: 1.0 / ln_gamma() }
    }

    /// The bucket of a value; `None` for NaN, which has no rank. Numbers too small to be normal count as zero.
    pub(super) fn key(self, value: f64) -> Option<i32> {
        let magnitude = value.abs();
        let key = if magnitude < f64::MIN_POSITIVE {
            return Some(0);
        } else if magnitude.is_finite() {
            OFFSET + (magnitude.ln() * self.per_ln).ceil() as i32
        } else if magnitude.is_infinite() {
            INFINITE
        } else {
            return None;
        };
        Some(if value < 0.0 { -key } else { key })
    }
}

/// The middle of a bucket.
fn middle(key: i32) -> f64 {
    let magnitude = match key.abs() {
        0 => 0.0,
        INFINITE.. => f64::INFINITY,
        key => {
            // 2γ^i / (γ + 1) = (1 - α) γ^i
            let exponent = f64::from(key - OFFSET) * ln_gamma() + (-ACCURACY).ln_1p();
            // The middle of the highest bucket can be past the largest number, and that is nearer than infinity.
            (exponent / LN_2).exp2().min(f64::MAX)
        }
    };
    if key < 0 { -magnitude } else { magnitude }
}

/// A bucket: its key and how many values fell into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) key: i32,
    pub(super) count: i64,
}

/// The buckets that are not empty, lowest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sketch {
    buckets: Vec<Bucket>,
}

impl Sketch {
    /// Counts values of one bucket; the memory that it took, bytes.
    pub(super) fn add(&mut self, bucket: Bucket) -> usize {
        let capacity = self.buckets.capacity();
        match self.buckets.binary_search_by_key(&bucket.key, |held| held.key) {
            Ok(place) => self.buckets[place].count += bucket.count,
            Err(0) if self.buckets.len() >= MOST_BUCKETS => self.buckets[0].count += bucket.count,
            Err(place) => {
                self.buckets.insert(place, bucket);
                if self.buckets.len() > MOST_BUCKETS {
                    let lowest = self.buckets.remove(0);
                    self.buckets[0].count += lowest.count;
                }
            }
        }
        (self.buckets.capacity() - capacity) * size_of::<Bucket>()
    }

    /// Counts the buckets of another sketch, lowest first.
    pub(super) fn merge(&mut self, other: impl ExactSizeIterator<Item = Bucket>) {
        let mut merged: Vec<Bucket> = Vec::with_capacity(self.buckets.len().max(other.len()));
        let mut held = self.buckets.drain(..).peekable();
        for mut bucket in other {
            while let Some(lower) = held.next_if(|held| held.key < bucket.key) {
                merged.push(lower);
            }
            if let Some(same) = held.next_if(|held| held.key == bucket.key) {
                bucket.count += same.count;
            }
            merged.push(bucket);
        }
        merged.extend(held);
        let surplus = merged.len().saturating_sub(MOST_BUCKETS);
        let folded: i64 = merged.drain(..surplus).map(|bucket| bucket.count).sum();
        if let Some(lowest) = merged.first_mut() {
            lowest.count += folded;
        }
        self.buckets = merged;
    }

    pub(super) fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    /// The value of rank ⌊q · (n - 1)⌋ among n values, counted from zero, lowest first; `None` without values.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let total: i64 = self.buckets.iter().map(|bucket| bucket.count).sum();
        let rank = (q * (total - 1) as f64).floor() as i64;
        let mut below = 0;
        for bucket in &self.buckets {
            below += bucket.count;
            if below > rank {
                return Some(middle(bucket.key));
            }
        }
        self.buckets.last().map(|bucket| middle(bucket.key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(values: &[f64]) -> Sketch {
        let (buckets, mut sketch) = (Buckets::new(), Sketch::default());
        for value in values {
            if let Some(key) = buckets.key(*value) {
                sketch.add(Bucket { key, count: 1 });
            }
        }
        sketch
    }

    fn merged(parts: &[Sketch]) -> Sketch {
        let mut whole = Sketch::default();
        for part in parts {
            whole.merge(part.buckets().iter().copied());
        }
        whole
    }

    fn within_accuracy(found: f64, value: f64) -> bool {
        found == value || (found - value).abs() <= ACCURACY * (1.0 + 1e-9) * value.abs()
    }

    #[test]
    fn every_magnitude_is_within_the_accuracy() {
        let mut value = f64::MIN_POSITIVE;
        while value.is_finite() {
            for signed in [value, -value] {
                let found = middle(Buckets::new().key(signed).unwrap());
                assert!(within_accuracy(found, signed), "{signed}: {found}");
            }
            value *= 1.0037;
        }
        assert!(within_accuracy(middle(Buckets::new().key(f64::MAX).unwrap()), f64::MAX));
        assert!(within_accuracy(middle(Buckets::new().key(f64::MIN).unwrap()), f64::MIN));
    }

    #[test]
    fn values_without_a_size_have_buckets_of_their_own() {
        assert_eq!(sketch(&[f64::NAN]).quantile(0.5), None);
        assert_eq!(sketch(&[0.0, -0.0, f64::from_bits(1)]).buckets(), &[Bucket { key: 0, count: 3 }]);
        let extremes = sketch(&[f64::INFINITY, 1.0, f64::NEG_INFINITY, f64::NAN]);
        assert_eq!(extremes.quantile(0.0), Some(f64::NEG_INFINITY));
        assert_eq!(extremes.quantile(1.0), Some(f64::INFINITY));
    }

    /// Numbers over all magnitudes.
    fn far_apart() -> impl Strategy<Value = f64> {
        (-300.0..300.0_f64, any::<bool>())
            .prop_map(|(power, negative)| if negative { -(10_f64.powf(power)) } else { 10_f64.powf(power) })
    }

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![6 => -1e3..1e3_f64, 1 => Just(0.0), 2 => far_apart()]
    }

    proptest! {
        #[test]
        fn quantiles_are_within_the_accuracy(mut values in prop::collection::vec(number(), 1..400), q in 0.0..=1.0_f64) {
            let found = sketch(&values).quantile(q).unwrap();
            values.sort_by(f64::total_cmp);
            let exact = values[(q * (values.len() - 1) as f64).floor() as usize];
            prop_assert!(within_accuracy(found, exact), "{found} for {exact}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn collapsing_forgets_how_values_were_divided(
            values in prop::collection::vec(prop_oneof![1 => number(), 4 => far_apart()], 5_000),
            order in prop::collection::vec(any::<u32>(), 8),
        ) {
            let whole = sketch(&values);
            prop_assert_eq!(whole.buckets().len(), MOST_BUCKETS);
            let mut parts: Vec<(u32, Sketch)> =
                order.iter().zip(values.chunks(625)).map(|(place, part)| (*place, sketch(part))).collect();
            parts.sort_by_key(|(place, _)| *place);
            let (left, right) = parts.split_at(3);
            let merge = |parts: &[(u32, Sketch)]| merged(&parts.iter().map(|part| part.1.clone()).collect::<Vec<_>>());
            let regrouped = merged(&[merge(right), merge(left)]);
            prop_assert_eq!(&regrouped, &whole);
            let mut backwards = values;
            backwards.reverse();
            prop_assert_eq!(&sketch(&backwards), &whole);
        }
    }

    #[test]
    fn the_lowest_values_are_the_ones_that_collapse() {
        let values: Vec<f64> = (0..3_000).map(|power| 1.03_f64.powi(power)).collect();
        let full = sketch(&values);
        assert_eq!(full.buckets().len(), MOST_BUCKETS);
        assert!(within_accuracy(full.quantile(1.0).unwrap(), values[2_999]));
        let rank = 3_000 - MOST_BUCKETS + 1;
        assert!(within_accuracy(full.quantile((rank as f64 + 0.5) / 2_999.0).unwrap(), values[rank]));
        assert!(full.quantile(0.0).unwrap() > 100.0 * values[0]);
    }
}
