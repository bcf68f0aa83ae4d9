//! The numbers that a model sees.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type};

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
#[derive(Debug, Clone, PartialEq)]
pub struct Unscorable {
    /// Which row.
    pub row: usize,
    /// Its first bad column.
    pub column: usize,
    /// What is there: NULL, an infinity or not a number.
    pub value: Option<f32>,
}

impl Unscorable {
    /// Why it can't be scored, for people; `columns` are the vector's.
    pub fn reason(&self, columns: &[String]) -> String {
        let column = columns.get(self.column).map_or("?", String::as_str);
        let value = self.value.map_or_else(|| "NULL".to_owned(), |value| value.to_string());
        format!("feature `{column}` is {value}")
    }
}

impl Matrix {
    /// Those of these rows that cannot be scored, in their order.
    pub fn unscorable_in(&self, rows: &Range<usize>) -> &[Unscorable] {
        let place = |row: usize| self.unscorable.partition_point(|bad| bad.row < row);
        &self.unscorable[place(rows.start)..place(rows.end.max(rows.start))]
    }

    /// Makes rows of columns that hold numbers or booleans.
    pub(super) fn from_columns(columns: &[ArrayRef], rows: usize) -> Result<Self, WindowError> {
        let width = columns.len();
        let mut matrix = Self { values: vec![0.0; rows * width], rows, unscorable: Vec::new() };
        let mut bad: Vec<Option<(usize, Option<f32>)>> = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            let column = cast(column, &DataType::Float32)?;
            let column = column.as_primitive::<Float32Type>();
            for (row, value) in column.values().iter().enumerate() {
                matrix.values[row * width + index] = *value;
                if !value.is_finite() || column.is_null(row) {
                    bad.resize(rows, None);
                    bad[row].get_or_insert((index, column.is_valid(row).then_some(*value)));
                }
            }
        }
        let bad = bad.into_iter().enumerate();
        matrix.unscorable =
            bad.filter_map(|(row, bad)| bad.map(|(column, value)| Unscorable { row, column, value })).collect();
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
        let matrix = Matrix::from_columns(&columns, prices.len()).unwrap();
        let found: Vec<_> = matrix.unscorable.iter().map(|bad| (bad.row, bad.column)).collect();
        assert_eq!(found, [(1, 0), (2, 0), (3, 0), (4, 0)]);
        let values: Vec<_> = matrix.unscorable.iter().map(|bad| bad.value).collect();
        assert_eq!((values[0], values[1]), (Some(f32::INFINITY), Some(f32::NEG_INFINITY)));
        assert!(values[2].is_some_and(f32::is_nan) && values[3].is_none());
        assert_eq!((&matrix.values[..2], &matrix.values[10..]), (&[9.5, 1.0][..], &[3e38, 0.0][..]));
    }

    #[test]
    fn a_bad_value_is_told_with_the_name_of_its_feature() {
        let columns = ["price", "views"].map(str::to_owned);
        let reason = |column, value| Unscorable { row: 0, column, value }.reason(&columns);
        assert_eq!(reason(0, Some(f32::NAN)), "feature `price` is NaN");
        assert_eq!(reason(1, Some(f32::NEG_INFINITY)), "feature `views` is -inf");
        assert_eq!(reason(1, None), "feature `views` is NULL");
    }

    #[test]
    fn bad_rows_of_a_range_are_found_and_no_others() {
        let unscorable = [1, 4, 5].map(|row| Unscorable { row, column: 0, value: None }).to_vec();
        let matrix = Matrix { values: vec![0.0; 7], rows: 7, unscorable };
        let found = |rows| matrix.unscorable_in(&rows).iter().map(|bad| bad.row).collect::<Vec<_>>();
        assert_eq!((found(0..7), found(0..1), found(1..5)), (vec![1, 4, 5], vec![], vec![1, 4]));
        assert_eq!((found(5..6), found(6..7), found(4..4)), (vec![5], vec![], vec![]));
    }
}
