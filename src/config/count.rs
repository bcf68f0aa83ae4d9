//! Counts: whole numbers, most of them above zero.

use std::fmt;
use std::num::NonZeroUsize;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// A whole number above zero. The standard reading of the type would name the type to the operator.
pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroUsize, D::Error> {
    deserializer.deserialize_i64(CountVisitor)
}

/// A whole number that may be zero.
pub(super) fn any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    deserializer.deserialize_i64(AnyCountVisitor)
}

struct CountVisitor;

impl Visitor<'_> for CountVisitor {
    type Value = NonZeroUsize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a whole number above zero")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<NonZeroUsize, E> {
        usize::try_from(number)
            .ok()
            .and_then(NonZeroUsize::new)
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

struct AnyCountVisitor;

impl Visitor<'_> for AnyCountVisitor {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a whole number that is zero or more")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<usize, E> {
        usize::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Limit {
        #[serde(deserialize_with = "positive")]
        rows: NonZeroUsize,
    }

    #[test]
    fn one_is_the_smallest_count() {
        let read = |text: &str| toml::from_str::<Limit>(text).map(|limit| limit.rows.get());
        assert_eq!(read("rows = 1"), Ok(1));
        assert_eq!(read("rows = 9223372036854775807"), Ok(i64::MAX as usize));
        for bad in ["rows = 0", "rows = -1", "rows = 1.0", "rows = '1'", "rows = 9223372036854775808"] {
            assert!(read(bad).unwrap_err().message().contains("expected a whole number above zero"), "{bad}");
        }
    }
    #[test]
    fn zero_counts_where_it_turns_something_off() {
        #[derive(Deserialize)]
        struct Reservoir {
            #[serde(deserialize_with = "any")]
            rows: usize,
        }
        let read = |text: &str| toml::from_str::<Reservoir>(text).map(|reservoir| reservoir.rows);
        assert_eq!(read("rows = 0"), Ok(0));
        assert_eq!(read("rows = 20000"), Ok(20_000));
        for bad in ["rows = -1", "rows = 0.0", "rows = false"] {
            assert!(read(bad).unwrap_err().message().contains("expected a whole number that is zero or more"), "{bad}");
        }
    }
}
