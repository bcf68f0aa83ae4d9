//! Vectors on their way to the inputs of a model.

use super::{
    ModelError,
    route::{Gives, Part, Route},
    session::{Feed, Values},
    signature::ElementType,
};
use crate::feature::{Inputs, Number, Place};

/// How rows of vectors reach the model's inputs.
#[derive(Debug)]
pub(super) struct Feeding {
    way: Way,
    inputs: Inputs,
    /// The shape of the last batch where vectors are one matrix.
    dims: [usize; 2],
}

#[derive(Debug)]
enum Way {
    /// The vectors are the input, as they are.
    Matrix { input: String },
    /// Each input is filled with what goes into it.
    Apart(Vec<Tensor>),
}

/// One input, and where in a row its values are.
#[derive(Debug)]
struct Tensor {
    input: String,
    parts: Vec<(Part, Place)>,
    values: Buffer,
    /// Its shape for the last batch, of which only the first is told where it `is_flat`.
    dims: [usize; 2],
    is_flat: bool,
    /// The names of its columns, for errors.
    names: Vec<String>,
}

/// The values of an input, kept between batches for their memory.
#[derive(Debug)]
enum Buffer {
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    /// Of an input that casts them to float16.
    Float16(Vec<f32>),
    Int64(Vec<i64>),
    Int32(Vec<i32>),
    Bool(Vec<bool>),
    Text(Vec<String>),
}

impl Feeding {
    /// For vectors with these columns in these types.
    pub(super) fn new(routes: Vec<Route>, columns: &[String], inputs: Inputs) -> Self {
        let way = match routes.as_slice() {
            [Route { input, element: ElementType::Float32, parts, is_flat: false }]
                if inputs.typed().is_none() && parts.iter().map(|part| part.column).eq(0..columns.len()) =>
            {
                Way::Matrix { input: input.clone() }
            }
            _ => Way::Apart(routes.into_iter().map(|route| Tensor::new(route, columns, &inputs)).collect()),
        };
        Self { way, inputs, dims: [0; 2] }
    }

    /// Words of a vector.
    pub(super) fn width(&self) -> usize {
        self.inputs.width()
    }

    /// The types of the columns.
    pub(super) fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Takes in `rows` vectors, row after row. What goes into inputs apart is copied.
    ///
    /// # Errors
    /// [`ModelError::MatrixSize`] for vectors of another size, [`ModelError::NotWhole`] or [`ModelError::NotHeld`] for a value
    /// that an input cannot take.
    pub(super) fn fill(&mut self, matrix: &[f32], rows: usize) -> Result<(), ModelError> {
        self.check_size(matrix, rows)?;
        let width = self.inputs.width();
        self.dims = [rows, width];
        match &mut self.way {
            Way::Matrix { .. } => Ok(()),
            Way::Apart(tensors) => tensors.iter_mut().try_for_each(|tensor| tensor.fill(matrix, rows, width)),
        }
    }

    /// Refuses vectors of another size than `rows` of these columns.
    ///
    /// # Errors
    /// [`ModelError::MatrixSize`].
    pub(super) fn check_size(&self, matrix: &[f32], rows: usize) -> Result<(), ModelError> {
        let width = self.inputs.width();
        if rows.checked_mul(width) == Some(matrix.len()) {
            return Ok(());
        }
        Err(ModelError::MatrixSize { values: matrix.len(), rows, columns: width })
    }

    /// The model's inputs for the vectors that were just taken in.
    pub(super) fn feeds<'a>(&'a self, matrix: &'a [f32]) -> Vec<Feed<'a>> {
        match &self.way {
            Way::Matrix { input } => vec![Feed { input, dims: &self.dims, values: Values::Float32(matrix) }],
            Way::Apart(tensors) => tensors.iter().map(Tensor::feed).collect(),
        }
    }
}

impl Tensor {
    fn new(route: Route, columns: &[String], inputs: &Inputs) -> Self {
        let placed = route.parts.iter().filter_map(|part| Some((*part, inputs.place(part.column)?)));
        let names = route.parts.iter().filter_map(|part| columns.get(part.column).cloned());
        let width = route.parts.iter().map(|part| part.width).sum();
        Self {
            parts: placed.collect(),
            values: Buffer::of(route.element),
            dims: [0, width],
            is_flat: route.is_flat,
            names: names.collect(),
            input: route.input,
        }
    }

    /// Replaces the values by those of vectors of this width.
    fn fill(&mut self, matrix: &[f32], rows: usize, width: usize) -> Result<(), ModelError> {
        self.dims = [rows, self.dims[1]];
        self.values.clear();
        for (row, words) in matrix.chunks_exact(width.max(1)).enumerate() {
            for (number, (part, place)) in self.parts.iter().enumerate() {
                let pushed = match (part.gives, &mut self.values) {
                    (Gives::Values, Buffer::Text(texts)) => {
                        texts.push(place.text(words, 0));
                        Ok(())
                    }
                    (Gives::Values, values) => values.push_all(*place, words, part.width),
                    (Gives::Mask, values) => {
                        let length = place.length(words);
                        (0..part.width).try_for_each(|nth| values.push(Number::Int64(i64::from(nth < length))))
                    }
                    (Gives::Length, values) => values.push(Number::Int64(place.length(words) as i64)),
                };
                if let Err(value) = pushed {
                    let column = self.names.get(number).cloned().unwrap_or_default();
                    return Err(refused(column, row, value, &self.values));
                }
            }
        }
        Ok(())
    }

    fn feed(&self) -> Feed<'_> {
        let (rows, _) = self.dims.split_at(1);
        let dims = if self.is_flat { rows } else { self.dims.as_slice() };
        Feed { input: &self.input, dims, values: self.values.as_values() }
    }
}

impl Buffer {
    fn of(element: ElementType) -> Self {
        match element {
            ElementType::Float64 => Self::Float64(Vec::new()),
            ElementType::Float16 => Self::Float16(Vec::new()),
            ElementType::Int64 => Self::Int64(Vec::new()),
            ElementType::Int32 => Self::Int32(Vec::new()),
            ElementType::Bool => Self::Bool(Vec::new()),
            ElementType::Text => Self::Text(Vec::new()),
            ElementType::Float32 | ElementType::Other(_) => Self::Float32(Vec::new()),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Float32(values) | Self::Float16(values) => values.clear(),
            Self::Float64(values) => values.clear(),
            Self::Int64(values) => values.clear(),
            Self::Int32(values) => values.clear(),
            Self::Bool(values) => values.clear(),
            Self::Text(values) => values.clear(),
        }
    }

    /// Adds what a column has in a row, and zeros until there are `width` numbers; or gives back the number that is not taken.
    fn push_all(&mut self, place: Place, words: &[f32], width: usize) -> Result<(), Number> {
        let length = place.length(words).min(width);
        (0..length).try_for_each(|nth| self.push(place.number(words, nth)))?;
        (length..width).try_for_each(|_| self.push(Number::Int64(0)))
    }

    /// Adds a number, or gives it back where it is not taken.
    fn push(&mut self, number: Number) -> Result<(), Number> {
        let pushed = match self {
            Self::Float32(values) => number.float32().map(|number| values.push(number)),
            Self::Float16(values) => number.float16().map(|number| values.push(number)),
            Self::Float64(values) => number.float64().map(|number| values.push(number)),
            Self::Int64(values) => number.int64().map(|number| values.push(number)),
            Self::Int32(values) => {
                number.int64().and_then(|number| i32::try_from(number).ok()).map(|number| values.push(number))
            }
            Self::Bool(values) => {
                number.int64().filter(|number| matches!(number, 0 | 1)).map(|number| values.push(number == 1))
            }
            Self::Text(_) => None,
        };
        pushed.ok_or(number)
    }

    fn as_values(&self) -> Values<'_> {
        match self {
            Self::Float32(values) | Self::Float16(values) => Values::Float32(values),
            Self::Float64(values) => Values::Float64(values),
            Self::Int64(values) => Values::Int64(values),
            Self::Int32(values) => Values::Int32(values),
            Self::Bool(values) => Values::Bool(values),
            Self::Text(values) => Values::Text(values),
        }
    }
}

/// Why a number of a column can't go into an input.
fn refused(column: String, row: usize, number: Number, into: &Buffer) -> ModelError {
    let input = match into {
        Buffer::Float32(_) => "float32",
        Buffer::Float64(_) => "float64",
        Buffer::Float16(_) => "float16",
        Buffer::Int64(_) => "int64",
        Buffer::Int32(_) => "int32",
        Buffer::Bool(_) => "bool",
        Buffer::Text(_) => "string",
    };
    match (number, into) {
        (Number::Float32(value), Buffer::Int64(_)) => ModelError::NotWhole { column, row, value },
        _ => ModelError::NotHeld { column, row, value: number.to_string(), input },
    }
}
