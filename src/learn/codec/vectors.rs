//! Vectors as the first column of a message, and back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Float32Type};
use arrow::error::ArrowError;

use super::{ExampleError, Examples};
use crate::feature::{Inputs, Kind, Number, TypedColumn, columns_of, fill_typed};

/// The type of the column.
pub(super) fn data_type(inputs: &Inputs) -> Result<DataType, ExampleError> {
    Ok(match inputs.typed() {
        Some(columns) => DataType::Struct(struct_fields(columns)),
        None => {
            let width = i32::try_from(inputs.width()).map_err(|error| unreadable(error.to_string()))?;
            DataType::FixedSizeList(item(), width)
        }
    })
}

/// The vectors of examples.
pub(super) fn write(examples: &Examples) -> Result<ArrayRef, ArrowError> {
    let (inputs, width) = (examples.inputs(), examples.width());
    if let Some(columns) = inputs.typed() {
        let arrays = columns_of(columns, examples.vectors(), width);
        return Ok(Arc::new(StructArray::try_new(struct_fields(columns), arrays, None)?));
    }
    let values = Arc::new(Float32Array::from(examples.vectors().to_vec()));
    let width = i32::try_from(width).map_err(|error| ArrowError::InvalidArgumentError(error.to_string()))?;
    Ok(Arc::new(FixedSizeListArray::try_new_with_length(item(), width, values, None, examples.len())?))
}

/// The words of vectors whose column has the type that it should, `width` of them a row.
pub(super) fn read(vectors: &ArrayRef, rows: usize, inputs: &Inputs) -> Result<Vec<f32>, ExampleError> {
    let missing = || unreadable("column \"vector\" is not what its type says".to_owned());
    let width = inputs.width();
    if let Some(columns) = inputs.typed() {
        let vectors = vectors.as_struct_opt().ok_or_else(missing)?;
        let (words, bad) = fill_typed(columns, vectors.columns(), rows, width).map_err(|_| missing())?;
        return match bad {
            Some(bad) => Err(ExampleError::Value {
                column: "vector",
                row: bad.row,
                value: format!("one whose {}", bad.reason),
                rule: "finite, and as long as its column allows",
            }),
            None => Ok(words),
        };
    }
    let lists = vectors.as_fixed_size_list_opt().ok_or_else(missing)?;
    let from = lists.value_offset(0) as usize;
    let values = lists.values().as_primitive_opt::<Float32Type>().ok_or_else(missing)?.values();
    values.get(from..from + rows * width).map(<[f32]>::to_vec).ok_or_else(missing)
}

/// The NULL values of the column.
pub(super) fn null_count(vectors: &ArrayRef) -> usize {
    let list = vectors.as_fixed_size_list_opt().map_or(0, |list| list.values().logical_null_count());
    let columns =
        vectors.as_struct_opt().map_or(0, |columns| columns.columns().iter().map(Array::logical_null_count).sum());
    vectors.logical_null_count() + list + columns
}

/// The first number for which this holds, as a float, with its row.
pub(super) fn first(examples: &Examples, holds: impl Fn(f64) -> bool) -> Option<(usize, String)> {
    let width = examples.width().max(1);
    let Some(columns) = examples.inputs().typed() else {
        let index = examples.vectors().iter().position(|value| holds(f64::from(*value)))?;
        return Some((index / width, examples.vectors().get(index)?.to_string()));
    };
    examples.vectors().chunks_exact(width).enumerate().find_map(|(row, words)| {
        let numbers = columns.iter().filter(|column| column.place.kind != Kind::Text);
        let mut numbers = numbers
            .flat_map(|TypedColumn { place, .. }| (0..place.length(words)).map(move |nth| place.number(words, nth)));
        let bad = numbers.find(|number| match number {
            Number::Float32(number) => holds(f64::from(*number)),
            Number::Float64(number) => holds(*number),
            Number::Int64(_) => false,
        })?;
        Some((row, bad.to_string()))
    })
}

fn struct_fields(columns: &[TypedColumn]) -> Fields {
    columns.iter().map(|column| Field::new(&column.name, column.place.data_type(), false)).collect()
}

pub(super) fn item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, false))
}

fn unreadable(reason: String) -> ExampleError {
    ExampleError::Unreadable { reason }
}
