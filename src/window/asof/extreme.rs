//! `min` and `max` as one order: the largest 64-bit integer.
//!
//! A minimum is the maximum of the complements, which reverse the order and overflow nowhere. Floats map to integers of
//! the same order by their bits (IEEE 754-2008, section 5.10, total order): negative numbers have all other bits flipped.

use super::column::{as_float, to_word};

/// Which extreme of which type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Extreme {
    pub(super) is_max: bool,
    pub(super) is_float: bool,
}

impl Extreme {
    /// The integer whose order stands for that of `word`: an integer, or the bits of a float.
    pub(super) fn rank(self, word: i64) -> i64 {
        let ordered = if self.is_float { total_order(word) } else { word };
        if self.is_max { ordered } else { !ordered }
    }

    /// The integer of a rank.
    pub(super) fn integer(self, rank: i64) -> i64 {
        if self.is_max { rank } else { !rank }
    }

    /// The float of a rank.
    pub(super) fn float(self, rank: i64) -> f64 {
        as_float(total_order(self.integer(rank)))
    }

    /// The rank of a float. A NaN of either sign is the largest number, and -0 is 0.
    pub(super) fn rank_of_float(self, value: f64) -> i64 {
        let value = if value.is_nan() { f64::NAN.abs() } else { value + 0.0 };
        self.rank(to_word(value))
    }
}

/// Its own inverse.
fn total_order(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranks_order_floats_as_numbers_do(left in any::<f64>(), right in any::<f64>()) {
            let (max, min) = (Extreme { is_max: true, is_float: true }, Extreme { is_max: false, is_float: true });
            prop_assume!(!left.is_nan() && !right.is_nan());
            prop_assert_eq!(max.rank_of_float(left) > max.rank_of_float(right), left > right);
            prop_assert_eq!(min.rank_of_float(left) > min.rank_of_float(right), left < right);
            prop_assert_eq!(max.float(max.rank_of_float(left)), left);
            prop_assert_eq!(min.float(min.rank_of_float(left)), left);
        }

        #[test]
        fn ranks_order_integers(left in any::<i64>(), right in any::<i64>()) {
            let (max, min) = (Extreme { is_max: true, is_float: false }, Extreme { is_max: false, is_float: false });
            prop_assert_eq!(max.rank(left) > max.rank(right), left > right);
            prop_assert_eq!(min.rank(left) > min.rank(right), left < right);
            prop_assert_eq!(min.integer(min.rank(left)), left);
        }
    }
}
