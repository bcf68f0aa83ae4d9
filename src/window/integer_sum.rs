//! Sums of 64-bit integers in two halves, which are exact far beyond 64 bits and can be added and taken away like any sum.
//!
//! A value `v` is `high(v) * 2^32 + low(v)`. Neither half of a sum overflows before it has 2^31 values.

use arrow::array::{ArrayRef, Int64Array};
use arrow::buffer::NullBuffer;

use crate::sql::{Failed, Failures};

/// One of the halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Half {
    Low,
    High,
}

impl Half {
    /// The half of a value.
    pub(super) fn of(self, value: i64) -> i64 {
        match self {
            Self::Low => value & 0xffff_ffff,
            Self::High => value >> 32,
        }
    }
}

/// The sums of halves, row by row, under the name of their column; a sum beyond 64 bits is NULL and noted. `valid` are the
/// sums of at least one value.
pub(super) fn sums(
    halves: impl Iterator<Item = (i64, i64)>,
    valid: Option<&NullBuffer>,
    name: &str,
    failures: &mut Failures,
) -> ArrayRef {
    let mut sums = Vec::with_capacity(halves.size_hint().0);
    let mut overflows = Vec::new();
    for (row, (low, high)) in halves.enumerate() {
        let sum = (i128::from(high) << 32) + i128::from(low);
        sums.push(i64::try_from(sum).unwrap_or_else(|_| {
            overflows.push((row, sum));
            0
        }));
    }
    let fits = (!overflows.is_empty()).then(|| {
        let mut fits = vec![true; sums.len()];
        overflows.iter().for_each(|(row, _)| fits[*row] = false);
        NullBuffer::from(fits)
    });
    for (row, sum) in overflows {
        let reason = format!("the sum {sum}, which is beyond a 64-bit integer");
        failures.note(row, Failed { expression: name.to_owned(), reason });
    }
    let valid = NullBuffer::union(valid, fits.as_ref());
    std::sync::Arc::new(Int64Array::new(sums.into(), valid))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The oracle adds in 128 bits.
        #[test]
        fn a_sum_is_exact_or_noted(
            rows in prop::collection::vec(
                prop::collection::vec(
                    prop_oneof![any::<i64>(), -3_i64..3, Just(i64::MIN), Just(i64::MAX)],
                    0..6,
                ),
                1..8,
            ),
        ) {
            let half = |half: Half, values: &[i64]| values.iter().map(|value| half.of(*value)).sum::<i64>();
            let halves = rows.iter().map(|values| (half(Half::Low, values), half(Half::High, values)));
            let mut failures = Failures::default();
            let found = sums(halves, None, "sum(x)", &mut failures);
            for (row, values) in rows.iter().enumerate() {
                let sum: i128 = values.iter().map(|value| i128::from(*value)).sum();
                let expected = i64::try_from(sum).ok();
                prop_assert_eq!(found.as_primitive::<Int64Type>().iter().nth(row).unwrap(), expected);
                prop_assert_eq!(failures.has(row), expected.is_none());
            }
        }
    }
}
