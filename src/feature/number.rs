//! A number of a vector on its way into another type.

use std::fmt;

/// The largest whole number up to which float32 holds every whole number: 2^24.
const FLOAT32_EXACT: f32 = 16_777_216.0;
/// The same for float64: 2^53.
const FLOAT64_EXACT: f64 = 9_007_199_254_740_992.0;

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
}
