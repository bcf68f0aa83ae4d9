//! A number of a vector on its way into another type.

use std::fmt;

/// The largest whole number up to which float32 holds every whole number: 2^24.
const FLOAT32_EXACT: f32 = 16_777_216.0;
/// The same for float64: 2^53.
const FLOAT64_EXACT: f64 = 9_007_199_254_740_992.0;
/// From here on float16 is infinite: half a step beyond its largest number, 65504.
const FLOAT16_END: f32 = 65_520.0;
/// A float16 has so many binary digits.
const FLOAT16_DIGITS: u32 = 11;

/// A number of a vector, in its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Float32(f32),
    Float64(f64),
    Int64(i64),
}

impl Number {
    /// As float32: a whole number only where that holds it, other numbers as the nearest one.
    pub(crate) fn float32(self) -> Option<f32> {
        match self {
            Self::Float32(number) => Some(number),
            Self::Float64(number) => Some(number as f32).filter(|nearest| nearest.is_finite()),
            Self::Int64(number) if number.unsigned_abs() <= FLOAT32_EXACT as u64 => Some(number as f32),
            Self::Int64(number) => Some(number as f32).filter(|nearest| *nearest as i128 == i128::from(number)),
        }
    }

    /// As a float32 that a float16 holds or, where it is no whole number that must be kept, rounds to a number of its own: a whole
    /// number only where float16 holds it, others also where it holds a near one.
    pub(crate) fn float16(self) -> Option<f32> {
        match self {
            Self::Int64(number) => {
                let size = number.unsigned_abs();
                let digits = u64::BITS - size.leading_zeros() - size.trailing_zeros().min(u64::BITS - 1);
                let is_held = size == 0 || (digits <= FLOAT16_DIGITS && (size as f32) < FLOAT16_END);
                is_held.then_some(number as f32)
            }
            // What stands for a missing value stays that.
            other if other.is_nan() => Some(f32::NAN),
            other => other.float32().filter(|number| number.abs() < FLOAT16_END),
        }
    }

    /// Whether it is a float that is no number.
    pub(crate) fn is_nan(self) -> bool {
        match self {
            Self::Float32(number) => number.is_nan(),
            Self::Float64(number) => number.is_nan(),
            Self::Int64(_) => false,
        }
    }

    /// As float64: a whole number only where that holds it.
    pub(crate) fn float64(self) -> Option<f64> {
        match self {
            Self::Float32(number) => Some(f64::from(number)),
            Self::Float64(number) => Some(number),
            Self::Int64(number) => Some(number as f64).filter(|nearest| *nearest as i128 == i128::from(number)),
        }
    }

    /// As int64: only what is a whole number, and has not been rounded to one.
    pub(crate) fn int64(self) -> Option<i64> {
        match self {
            // False for NaN.
            Self::Float32(number) => (number.abs() <= FLOAT32_EXACT && number.fract() == 0.0).then_some(number as i64),
            Self::Float64(number) => (number.abs() <= FLOAT64_EXACT && number.fract() == 0.0).then_some(number as i64),
            Self::Int64(number) => Some(number),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float32(number) => write!(formatter, "{number}"),
            Self::Float64(number) => write!(formatter, "{number}"),
            Self::Int64(number) => write!(formatter, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_pass_to_another_type_only_where_it_holds_them() {
        let id = |id| Number::Int64(id);
        assert_eq!((id(16_777_217).float32(), id(16_777_218).float32()), (None, Some(16_777_218.0)));
        assert_eq!((id(9_007_199_254_740_993).float64(), id(i64::MAX).float32()), (None, None));
        assert_eq!((id(i64::MIN).float32(), id(-5).float64()), (Some(i64::MIN as f32), Some(-5.0)));
        assert_eq!((Number::Float32(16_777_218.0).int64(), Number::Float32(0.5).int64()), (None, None));
        assert_eq!((Number::Float64(1e300).float32(), Number::Float64(16_777_217.0).int64()), (None, Some(16_777_217)));
        assert_eq!((Number::Float32(f32::NAN).int64(), Number::Float64(0.1).float32()), (None, Some(0.1)));
    }

    #[test]
    fn float16_holds_whole_numbers_of_eleven_digits_and_rounds_others() {
        let held = [0, 1, -2048, 2050, 4100, 65_504, -65_504];
        assert!(held.iter().all(|number| Number::Int64(*number).float16() == Some(*number as f32)));
        let lost = [2049, -2051, 4098, 65_505, 65_520, 65_536, i64::MIN, i64::MAX];
        assert!(lost.iter().all(|number| Number::Int64(*number).float16().is_none()));
        assert_eq!((Number::Float32(0.1).float16(), Number::Float64(65_519.0).float16()), (Some(0.1), Some(65_519.0)));
        assert_eq!((Number::Float32(65_520.0).float16(), Number::Float64(f64::INFINITY).float16()), (None, None));
        assert!(Number::Float64(f64::NAN).float16().is_some_and(f32::is_nan));
    }
}
