//! Exponential decay over event time, and the scalar function `decay(sum, from, to, half_life)`.
//!
//! A weight is 2^-(age / half-life). Ages are split into whole half-lives and a rest, because multiplying by a whole
//! power of two never rounds: only the rest costs a rounding, once.
//!
//! ```text
//!            epoch 0          epoch 1          epoch 2            an epoch is one half-life long
//!   time ├────────────────┼────────────────┼────────────────▶
//!   weight within an epoch: 2^(fraction - 1), from 1/2 up to 1; between epochs: a whole power of two
//! ```
//!
//! This is forward decay (Cormode, Shkapenyuk, Srivastava and Xu, "Forward Decay", ICDE 2009, section 3) with a landmark
//! that moves by whole half-lives.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::cast::as_float64_array;
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::arguments;

/// The largest power that changes a finite number without making it zero or infinite.
const LARGEST_POWER: i64 = 2_200;

/// How fast values fade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HalfLife {
    /// At least one.
    pub(super) micros: i64,
}

impl HalfLife {
    /// The number of the epoch that a time (microseconds) falls in.
    pub(super) fn epoch(self, time: i64) -> i64 {
        time.div_euclid(self.micros)
    }

    /// The weight of a time against the end of its epoch, in [1/2, 1).
    pub(super) fn weight(self, time: i64) -> f64 {
        (time.rem_euclid(self.micros) as f64 / self.micros as f64 - 1.0).exp2()
    }

    /// `value` as it is `elapsed` microseconds later; a negative time goes back.
    pub(super) fn decayed(self, value: f64, elapsed: i128) -> f64 {
        let half_life = i128::from(self.micros);
        let whole = elapsed.div_euclid(half_life).clamp(-i128::from(i64::MAX), i128::from(i64::MAX)) as i64;
        let rest = elapsed.rem_euclid(half_life) as f64 / half_life as f64;
        times_power_of_two(value * (-rest).exp2(), -whole)
    }
}

/// `value * 2^power`, rounded only where the result is not a normal number. What is left of nothing has no sign.
pub(super) fn times_power_of_two(value: f64, power: i64) -> f64 {
    let mut value = value;
    let mut left = power.clamp(-LARGEST_POWER, LARGEST_POWER);
    while left != 0 {
        let step = left.clamp(-1_000, 1_000);
        value *= f64::from_bits(((1_023 + step) as u64) << 52);
        left -= step;
    }
    value + 0.0
}

/// `decay(sum, from, to, half_life)` = `sum · 2^-((to - from) / half_life)`: a sum that held at `from`, as of `to`.
///
/// NULL when the sum or a time is NULL; a `to` before `from` makes the sum larger. Times are in microseconds.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Decay {
    signature: Signature,
}

const CALL: &str = "decay(sum, from, to, half_life)";

impl Decay {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Decay {
    fn name(&self) -> &'static str {
        "decay"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [sum, from, to, half_life] = arguments else {
            return plan_err!("{CALL} has four arguments, found {}", arguments.len());
        };
        Ok(vec![
            arguments::quantity_type(sum, CALL)?,
            arguments::time_type(from, CALL)?,
            arguments::time_type(to, CALL)?,
            arguments::text_type(half_life, CALL)?,
        ])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        // A half-life that is none shows when the select is planned, not at the first row.
        arguments::parse_duration_micros(args.scalar_arguments.get(3).copied().flatten(), CALL)?;
        Ok(Arc::new(Field::new(self.name(), DataType::Float64, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [sum, from, to, ColumnarValue::Scalar(half_life)] = args.args.as_slice() else {
            return internal_err!("{CALL} was planned without a constant half-life");
        };
        let half_life = HalfLife { micros: arguments::parse_duration_micros(Some(half_life), CALL)? };
        let is_constant = [sum, from, to].iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let [sum, from, to] = [sum.to_array(rows)?, from.to_array(rows)?, to.to_array(rows)?];
        let moved = move_sums(&sum, &from, &to, half_life)?;
        Ok(match is_constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&moved, 0)?),
            false => ColumnarValue::Array(Arc::new(moved)),
        })
    }
}

fn move_sums(sums: &ArrayRef, from: &ArrayRef, to: &ArrayRef, half_life: HalfLife) -> Result<Float64Array> {
    let (sums, from, to) = (as_float64_array(sums)?, arguments::times(from)?, arguments::times(to)?);
    let rows = sums.iter().zip(from.iter().zip(to.iter()));
    Ok(rows.map(|(sum, (from, to))| Some(half_life.decayed(sum?, i128::from(to?) - i128::from(from?)))).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_half_lives_halve_exactly() {
        let half_life = HalfLife { micros: 7 };
        assert_eq!(half_life.decayed(3.0, 0), 3.0);
        assert_eq!(half_life.decayed(3.0, 21), 0.375);
        assert_eq!(half_life.decayed(0.1, -14), 0.4);
        assert_eq!(half_life.decayed(3.0, 7 * 100_000), 0.0);
        assert_eq!(half_life.decayed(3.0, i128::from(i64::MAX) * 2), 0.0);
        assert_eq!(half_life.decayed(0.0, i128::from(i64::MIN) * 2), 0.0);
    }

    #[test]
    fn powers_reach_from_the_smallest_number_to_the_largest() {
        let smallest = f64::from_bits(1);
        assert_eq!(times_power_of_two(smallest, 1_074), 1.0);
        assert_eq!(times_power_of_two(1.0, -1_074), smallest);
        assert_eq!(times_power_of_two(1.0, i64::MIN), 0.0);
        assert_eq!(times_power_of_two(1.0, i64::MAX), f64::INFINITY);
    }

    proptest! {
        #[test]
        fn decay_follows_its_formula(value in -1e6..1e6_f64, elapsed in -1_000_000_i64..1_000_000, micros in 1_000_i64..1_000_000) {
            let half_life = HalfLife { micros };
            let expected = value * 2_f64.powf(-(elapsed as f64) / micros as f64);
            let found = half_life.decayed(value, i128::from(elapsed));
            prop_assert!((found - expected).abs() <= 1e-12 * expected.abs(), "{found} {expected}");
        }

        #[test]
        fn weights_agree_with_decay(time in any::<i64>(), micros in 1_i64..1_000_000_000_000) {
            let half_life = HalfLife { micros };
            let end = (i128::from(half_life.epoch(time)) + 1) * i128::from(micros);
            let expected = half_life.decayed(1.0, end - i128::from(time));
            let found = half_life.weight(time);
            prop_assert!((0.5..=1.0).contains(&found));
            prop_assert!((found - expected).abs() <= 1e-15, "{found} {expected}");
        }
    }
}
