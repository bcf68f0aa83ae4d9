//! A matrix of vectors on its way to the inputs of a model.

use super::{
    ModelError,
    fit::{ColumnInput, Inputs},
    session::{Feed, Values},
};

/// The largest whole number up to which float32 represents every whole number: 2^24.
const EXACT: f32 = 16_777_216.0;

/// How a matrix reaches the model's inputs.
#[derive(Debug)]
pub(super) struct Feeding {
    route: Route,
    columns: usize,
    /// The shape of the last batch: `[rows, columns]`, or `[rows, 1]` when columns go apart.
    dims: [usize; 2],
}

#[derive(Debug)]
enum Route {
    Matrix { input: String },
    PerColumn(Vec<Column>),
}

/// One column of the matrix on its way to its own input.
#[derive(Debug)]
struct Column {
    input: ColumnInput,
    values: Scattered,
}

/// The values of one column, kept between batches for its memory.
#[derive(Debug)]
enum Scattered {
    Float32(Vec<f32>),
    Int64(Vec<i64>),
}

impl Feeding {
    /// For vectors of `columns` columns.
    pub(super) fn new(inputs: Inputs, columns: usize) -> Self {
        let route = match inputs {
            Inputs::Matrix { input } => Route::Matrix { input },
            Inputs::PerColumn(inputs) => Route::PerColumn(inputs.into_iter().map(Column::new).collect()),
        };
        Self { route, columns, dims: [0; 2] }
    }

    /// The width of a vector.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Takes in a row-major matrix of `rows` vectors, of which columns that go apart are copied.
    ///
    /// # Errors
    /// [`ModelError::MatrixSize`] for a matrix of another size, [`ModelError::NotWhole`] for a value that an int64
    /// input cannot take.
    pub(super) fn fill(&mut self, matrix: &[f32], rows: usize) -> Result<(), ModelError> {
        let width = self.columns;
        if rows.checked_mul(width) != Some(matrix.len()) {
            return Err(ModelError::MatrixSize { values: matrix.len(), rows, columns: width });
        }
        match &mut self.route {
            Route::Matrix { .. } => self.dims = [rows, width],
            Route::PerColumn(columns) => {
                self.dims = [rows, 1];
                for column in columns {
                    column.fill(matrix, width)?;
                }
            }
        }
        Ok(())
    }

    /// The model's inputs for the matrix that was just taken in.
    pub(super) fn feeds<'a>(&'a self, matrix: &'a [f32]) -> Vec<Feed<'a>> {
        match &self.route {
            Route::Matrix { input } => vec![Feed { input, dims: &self.dims, values: Values::Float32(matrix) }],
            Route::PerColumn(columns) => columns.iter().map(|column| column.feed(&self.dims)).collect(),
        }
    }
}

impl Column {
    fn new(input: ColumnInput) -> Self {
        let values = if input.whole { Scattered::Int64(Vec::new()) } else { Scattered::Float32(Vec::new()) };
        Self { input, values }
    }

    /// Replaces the values by those of a matrix of this width.
    fn fill(&mut self, matrix: &[f32], width: usize) -> Result<(), ModelError> {
        let column = matrix.iter().skip(self.input.column).step_by(width).copied();
        match &mut self.values {
            Scattered::Float32(values) => {
                values.clear();
                values.extend(column);
            }
            Scattered::Int64(values) => {
                values.clear();
                for (row, value) in column.enumerate() {
                    // False for NaN.
                    let whole = value.abs() <= EXACT && value.fract() == 0.0;
                    if !whole {
                        return Err(ModelError::NotWhole { column: self.input.name.clone(), row, value });
                    }
                    values.push(value as i64);
                }
            }
        }
        Ok(())
    }

    /// The values as `dims`, `[rows, 1]`, or as `[rows]`.
    fn feed<'a>(&'a self, dims: &'a [usize; 2]) -> Feed<'a> {
        let (rows, _) = dims.split_at(1);
        let values = match &self.values {
            Scattered::Float32(values) => Values::Float32(values),
            Scattered::Int64(values) => Values::Int64(values),
        };
        let dims = if self.input.trailing_one { dims.as_slice() } else { rows };
        Feed { input: &self.input.name, dims, values }
    }
}
