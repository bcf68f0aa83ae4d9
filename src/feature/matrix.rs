//! The numbers that a model sees.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type};

use crate::sql::Failed;
use crate::window::WindowError;

/// Vectors, one row after the other.
#[derive(Debug, Clone, Default)]
pub struct Matrix {
    /// `rows × columns` numbers, row-major.
    pub values: Vec<f32>,
    /// How many rows.
    pub rows: usize,
    /// Rows that hold something a model cannot take, in their order.
    pub unscorable: Vec<Unscorable>,
}

/// A row that cannot be scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unscorable {
    /// Which row.
    pub row: usize,
    /// Why, for people: its first bad feature, and what is wrong with it.
    pub reason: String,
}

impl Unscorable {
    /// A feature that can't be computed.
    pub(super) fn failed(row: usize, feature: &str, failed: &Failed) -> Self {
        let Failed { expression, reason } = failed;
        Self { row, reason: format!("feature `{feature}` can't be computed: `{expression}` fails with {reason}") }
    }

    /// A feature that no model can take: NULL, an infinity or not a number.
    fn value(row: usize, feature: &str, value: Option<f32>) -> Self {
        let value = value.map_or_else(|| "NULL".to_owned(), |value| value.to_string());
        Self { row, reason: format!("feature `{feature}` is {value}") }
    }
}

impl Matrix {
    /// Those of these rows that cannot be scored, in their order.
    pub fn unscorable_in(&self, rows: &Range<usize>) -> &[Unscorable] {
        let place = |row: usize| self.unscorable.partition_point(|bad| bad.row < row);
        &self.unscorable[place(rows.start)..place(rows.end.max(rows.start))]
    }

    /// Makes rows of columns that hold numbers or booleans, under their names. `failed` rows could not be computed.
    pub(super) fn from_columns(
        names: &[String],
        columns: &[ArrayRef],
        rows: usize,
        failed: Vec<Unscorable>,
    ) -> Result<Self, WindowError> {
        let width = columns.len();
        let mut matrix = Self { values: vec![0.0; rows * width], rows, unscorable: Vec::new() };
        let mut bad: BTreeMap<usize, Unscorable> = BTreeMap::new();
        for failed in failed {
            bad.entry(failed.row).or_insert(failed);
        }
        for (index, (name, column)) in names.iter().zip(columns).enumerate() {
            let column = cast(column, &DataType::Float32)?;
            let column = column.as_primitive::<Float32Type>();
            for (row, value) in column.values().iter().enumerate() {
                matrix.values[row * width + index] = *value;
                if !value.is_finite() || column.is_null(row) {
                    let value = column.is_valid(row).then_some(*value);
                    bad.entry(row).or_insert_with(|| Unscorable::value(row, name, value));
                }
            }
        }
        matrix.unscorable = bad.into_values().collect();
        Ok(matrix)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Float64Array};

    use super::*;

    /// A number can be finite where it is computed and not where a model takes it.
    #[test]
    fn a_row_that_is_not_finite_as_float32_is_named_with_its_first_bad_column() {
        let prices = [Some(9.5), Some(1e39), Some(-1e300), Some(f64::NAN), None, Some(3e38)];
        let flags = [Some(true), None, Some(true), Some(true), Some(true), Some(false)];
        let columns: [ArrayRef; 2] =
            [Arc::new(Float64Array::from(prices.to_vec())), Arc::new(BooleanArray::from(flags.to_vec()))];
        let names = ["price", "flag"].map(str::to_owned);
        let matrix = Matrix::from_columns(&names, &columns, prices.len(), Vec::new()).unwrap();
        let found: Vec<_> = matrix.unscorable.iter().map(|bad| (bad.row, bad.reason.as_str())).collect();
        let is =
            ["feature `price` is inf", "feature `price` is -inf", "feature `price` is NaN", "feature `price` is NULL"];
        assert_eq!(found, [(1, is[0]), (2, is[1]), (3, is[2]), (4, is[3])]);
        assert_eq!((&matrix.values[..2], &matrix.values[10..]), (&[9.5, 1.0][..], &[3e38, 0.0][..]));
    }

    #[test]
    fn a_feature_that_could_not_be_computed_is_named_before_any_that_is_no_number() {
        let columns: [ArrayRef; 1] = [Arc::new(Float64Array::from(vec![None, Some(1.0)]))];
        let failed = Failed { expression: "a / b".to_owned(), reason: "Divide by zero error".to_owned() };
        let failed = vec![Unscorable::failed(0, "ratio", &failed)];
        let matrix = Matrix::from_columns(&["price".to_owned()], &columns, 2, failed.clone()).unwrap();
        assert_eq!(matrix.unscorable, failed);
        let reason = "feature `ratio` can't be computed: `a / b` fails with Divide by zero error";
        assert_eq!(matrix.unscorable[0].reason, reason);
    }

    #[test]
    fn bad_rows_of_a_range_are_found_and_no_others() {
        let unscorable = [1, 4, 5].map(|row| Unscorable { row, reason: String::new() }).to_vec();
        let matrix = Matrix { values: vec![0.0; 7], rows: 7, unscorable };
        let found = |rows| matrix.unscorable_in(&rows).iter().map(|bad| bad.row).collect::<Vec<_>>();
        assert_eq!((found(0..7), found(0..1), found(1..5)), (vec![1, 4, 5], vec![], vec![1, 4]));
        assert_eq!((found(5..6), found(6..7), found(4..4)), (vec![5], vec![], vec![]));
    }
}
