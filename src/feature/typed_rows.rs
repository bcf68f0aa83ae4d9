//! Columns of several types → rows of vectors, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, Int64Array, ListArray, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type};
use arrow::error::ArrowError;

use super::inputs::TypedColumn;
use super::matrix::Unscorable;
use super::number::Number;
use super::place::{Kind, MOST_TEXT_BYTES, Place};

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Int64 => DataType::Int64,
            Self::Text => DataType::Utf8,
        }
    }
}

impl Place {
    /// The Arrow type of the column.
    pub(crate) fn data_type(self) -> DataType {
        match self.most {
            None => self.kind.data_type(),
            Some(_) => DataType::List(item(self.kind)),
        }
    }
}

fn item(kind: Kind) -> Arc<Field> {
    Arc::new(Field::new("item", kind.data_type(), false))
}

/// Puts columns into rows of `width` words, one array for each column. A value that a row can't hold is noted in `bad`, unless
/// another of its row was. What is missing is NaN in columns that take it, by their number.
pub(super) fn fill(
    columns: &[TypedColumn],
    arrays: &[ArrayRef],
    (rows, width): (&mut [f32], usize),
    takes_nan: impl Fn(usize) -> bool,
    bad: &mut BTreeMap<usize, Unscorable>,
) -> Result<(), ArrowError> {
    for (number, (TypedColumn { name, place }, array)) in columns.iter().zip(arrays).enumerate() {
        let mut note = |row: usize, what: String| {
            bad.entry(row).or_insert_with(|| Unscorable { row, reason: format!("feature `{name}` {what}") });
        };
        if place.most.is_some() {
            fill_list(*place, array, rows.chunks_mut(width.max(1)), &mut note)?;
            continue;
        }
        let values = Values { takes_nan: takes_nan(number), ..Values::of(place.kind, array)? };
        for (row, words) in rows.chunks_mut(width.max(1)).enumerate() {
            if let Err(what) = values.put(*place, words, 0, row) {
                note(row, what);
            }
        }
    }
    Ok(())
}

/// Rows of columns in the types of [`Place::data_type`], with NaN as it is, and the first that does not hold its values.
pub(crate) fn fill_typed(
    columns: &[TypedColumn],
    arrays: &[ArrayRef],
    rows: usize,
    width: usize,
) -> Result<(Vec<f32>, Option<Unscorable>), ArrowError> {
    let mut words = vec![0.0; rows * width];
    let mut bad = BTreeMap::new();
    fill(columns, arrays, (&mut words, width), |_| true, &mut bad)?;
    Ok((words, bad.into_values().next()))
}

/// Lists, each with its length in front. No list is an empty one: the key has no row.
fn fill_list<'a>(
    place: Place,
    array: &ArrayRef,
    rows: impl Iterator<Item = &'a mut [f32]>,
    note: &mut impl FnMut(usize, String),
) -> Result<(), ArrowError> {
    let field = Arc::new(Field::new("item", place.kind.data_type(), true));
    let lists = cast(array, &DataType::List(field))?;
    let lists = lists.as_list::<i32>();
    let values = Values::of(place.kind, lists.values())?;
    let most = place.most.unwrap_or_default();
    for (row, words) in rows.enumerate() {
        let (first, length) = (lists.value_offsets()[row] as usize, lists.value_length(row) as usize);
        let length = if lists.is_null(row) { 0 } else { length };
        if length > most {
            note(row, format!("has {length} values, its model input takes {most}"));
            continue;
        }
        place.put_length(words, length);
        for nth in 0..length {
            if let Err(what) = values.put(place, words, nth, first + nth) {
                note(row, format!("has a value that {what}"));
            }
        }
    }
    Ok(())
}

/// An array in the type of its column.
struct Values {
    array: ArrayRef,
    kind: Kind,
    /// Before it was brought into that type.
    given: ArrayRef,
    /// Whether what is missing is NaN.
    takes_nan: bool,
}

impl Values {
    fn of(kind: Kind, array: &ArrayRef) -> Result<Self, ArrowError> {
        Ok(Self { array: cast(array, &kind.data_type())?, kind, given: Arc::clone(array), takes_nan: false })
    }

    /// Puts a value into a row, or says what is wrong with it.
    fn put(&self, place: Place, words: &mut [f32], nth: usize, index: usize) -> Result<(), String> {
        if self.array.is_null(index) {
            if self.takes_nan && self.given.is_null(index) && self.put_nan(place, words, nth) {
                return Ok(());
            }
            let what = if self.given.is_null(index) { "is NULL".to_owned() } else { self.beyond() };
            return Err(what);
        }
        let number = match self.kind {
            Kind::Float32 => Number::Float32(self.array.as_primitive::<Float32Type>().value(index)),
            Kind::Float64 => Number::Float64(self.array.as_primitive::<Float64Type>().value(index)),
            Kind::Int64 => Number::Int64(self.array.as_primitive::<Int64Type>().value(index)),
            Kind::Text => {
                let text = self.array.as_string::<i32>().value(index);
                return if place.put_text(words, nth, text) {
                    Ok(())
                } else {
                    Err(format!("is a text of {} bytes, {MOST_TEXT_BYTES} are the most", text.len()))
                };
            }
        };
        if number.is_nan() && self.takes_nan && self.put_nan(place, words, nth) {
            return Ok(());
        }
        place.put(words, nth, number);
        match number {
            Number::Float32(value) if !value.is_finite() => Err(format!("is {value}")),
            Number::Float64(value) if !value.is_finite() => Err(format!("is {value}")),
            _ => Ok(()),
        }
    }

    /// Puts NaN, always the same one, where the type has it.
    fn put_nan(&self, place: Place, words: &mut [f32], nth: usize) -> bool {
        let nan = match self.kind {
            Kind::Float32 => Number::Float32(f32::NAN),
            Kind::Float64 => Number::Float64(f64::NAN),
            Kind::Int64 | Kind::Text => return false,
        };
        place.put(words, nth, nan);
        true
    }

    fn beyond(&self) -> String {
        format!("is a {} that {} does not hold", self.given.data_type(), self.kind.name())
    }
}

/// The columns of rows of `width` words, in the types of [`Place::data_type`].
pub(crate) fn columns_of(columns: &[TypedColumn], rows: &[f32], width: usize) -> Vec<ArrayRef> {
    columns.iter().map(|column| column_of(column.place, rows, width)).collect()
}

fn column_of(place: Place, rows: &[f32], width: usize) -> ArrayRef {
    let rows = || rows.chunks_exact(width.max(1));
    let numbers = || rows().flat_map(move |row| (0..place.length(row)).map(move |nth| place.number(row, nth)));
    let values: ArrayRef = match place.kind {
        Kind::Float32 => Arc::new(Float32Array::from_iter_values(numbers().map(|number| match number {
            Number::Float32(number) => number,
            _ => 0.0,
        }))),
        Kind::Float64 => Arc::new(Float64Array::from_iter_values(numbers().map(|number| match number {
            Number::Float64(number) => number,
            _ => 0.0,
        }))),
        Kind::Int64 => Arc::new(Int64Array::from_iter_values(numbers().map(|number| match number {
            Number::Int64(number) => number,
            _ => 0,
        }))),
        Kind::Text => {
            let texts = rows().flat_map(|row| (0..place.length(row)).map(move |nth| place.text(row, nth)));
            Arc::new(StringArray::from(texts.collect::<Vec<_>>()))
        }
    };
    match place.most {
        None => values,
        Some(_) => {
            let lengths = OffsetBuffer::from_lengths(rows().map(|row| place.length(row)));
            Arc::new(ListArray::new(item(place.kind), lengths, values, None))
        }
    }
}
