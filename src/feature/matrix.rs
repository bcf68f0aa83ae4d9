//! The numbers that a model sees.

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
    /// Rows that hold something a model cannot take.
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

impl Matrix {
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
