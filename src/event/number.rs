//! Floating-point columns as SQL compares them: zero has one sign, and not-a-number one form.
//!
//! -0.0 and 0.0 are equal, and yet other bits; so are the forms of NaN. Whatever looks at bits (keys, DISTINCT, sketches, an
//! order by bits) would tell them apart, so they don't get in: not from messages, not from tables of facts, not from
//! expressions. What leaves in rows may be none of JSON's numbers: there, an infinity or NaN is NULL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch, make_array};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;

type Half = <Float16Type as ArrowPrimitiveType>::Native;

/// Whether values of this type hold floating-point numbers, at any depth.
pub(crate) fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => has_floats(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_floats(field.data_type())),
        DataType::Dictionary(_, values) => has_floats(values),
        _ => false,
    }
}

/// A column in which zero has no sign and NaN one form; of other columns nothing changes. One that nobody else holds is
/// changed in place.
///
/// # Errors
/// When parts of nested values can't be put together again, which is a defect.
pub(crate) fn one_zero(column: ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Float64 => {
            Ok(mapped::<Float64Type>(column, |value| if value.is_nan() { f64::NAN } else { value + 0.0 }))
        }
        DataType::Float32 => {
            Ok(mapped::<Float32Type>(column, |value| if value.is_nan() { f32::NAN } else { value + 0.0 }))
        }
        DataType::Float16 => Ok(mapped::<Float16Type>(column, |value| match value {
            value if value.is_nan() => Half::NAN,
            value if value == Half::ZERO => Half::ZERO,
            value => value,
        })),
        nested if has_floats(nested) => in_parts(&column, |part, _| one_zero(part)),
        _ => Ok(column),
    }
}

/// The rows with NULL for each number that is infinite or not a number: what JSON can't hold, and what readers of Delta
/// tables treat in as many ways as there are readers.
///
/// # Errors
/// As [`one_zero`].
pub(crate) fn finite_rows(rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
    if !rows.schema_ref().fields().iter().any(|field| has_floats(field.data_type())) {
        return Ok(rows);
    }
    let (schema, mut columns, _) = rows.into_parts();
    for column in &mut columns {
        *column = finite(Arc::clone(column))?;
    }
    RecordBatch::try_new(schema, columns)
}

/// A column with NULL for each number that is infinite or not a number.
///
/// # Errors
/// As [`one_zero`].
pub(crate) fn finite(column: ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Float64 => Ok(where_finite::<Float64Type>(column, f64::is_finite)),
        DataType::Float32 => Ok(where_finite::<Float32Type>(column, f32::is_finite)),
        DataType::Float16 => Ok(where_finite::<Float16Type>(column, Half::is_finite)),
        // What its type says is never NULL stays what it is.
        nested if has_floats(nested) => {
            in_parts(&column, |part, may_be_null| if may_be_null { finite(part) } else { Ok(part) })
        }
        _ => Ok(column),
    }
}

fn mapped<T: ArrowPrimitiveType>(column: ArrayRef, map: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let values: PrimitiveArray<T> = column.as_primitive::<T>().clone();
    drop(column);
    Arc::new(values.unary_mut(&map).unwrap_or_else(|shared| shared.unary::<_, T>(&map)))
}

fn where_finite<T: ArrowPrimitiveType>(column: ArrayRef, is_finite: impl Fn(T::Native) -> bool) -> ArrayRef {
    let values = column.as_primitive::<T>();
    if values.values().iter().all(|value| is_finite(*value)) {
        return column;
    }
    Arc::new(values.unary_opt::<_, T>(|value| is_finite(value).then_some(value)))
}

/// A nested column with each of its parts mapped; the function is told whether the part may hold NULL.
fn in_parts(
    column: &ArrayRef,
    map: impl Fn(ArrayRef, bool) -> Result<ArrayRef, ArrowError>,
) -> Result<ArrayRef, ArrowError> {
    let data = column.to_data();
    let may_be_null: Vec<bool> = match data.data_type() {
        DataType::Struct(fields) => fields.iter().map(|field| field.is_nullable()).collect(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => vec![item.is_nullable()],
        // The entries of a map are never NULL themselves, and neither are its keys; its values are looked at one level down.
        _ => vec![true],
    };
    let mut parts = Vec::with_capacity(data.child_data().len());
    for (part, may_be_null) in data.child_data().iter().zip(may_be_null) {
        parts.push(map(make_array(part.clone()), may_be_null)?.to_data());
    }
    Ok(make_array(data.into_builder().child_data(parts).build()?))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Array, Float64Array, Int64Array, ListArray, StructArray};
    use arrow::datatypes::Field;

    use super::*;

    fn bits(column: &ArrayRef) -> Vec<Option<u64>> {
        column.as_primitive::<Float64Type>().iter().map(|value| value.map(f64::to_bits)).collect()
    }

    fn strange() -> Vec<Option<f64>> {
        vec![Some(-0.0), Some(0.0), None, Some(-1.5), Some(-f64::NAN), Some(f64::NEG_INFINITY)]
    }

    #[test]
    fn zero_and_nan_have_one_form_each_and_all_else_stays() {
        let column = one_zero(Arc::new(Float64Array::from(strange()))).unwrap();
        let expected = [Some(0.0), Some(0.0), None, Some(-1.5), Some(f64::NAN), Some(f64::NEG_INFINITY)];
        assert_eq!(bits(&column), expected.map(|value| value.map(f64::to_bits)));
        let narrow: ArrayRef = Arc::new(Float32Array::from(vec![-0.0, 2.0]));
        let narrow = one_zero(Arc::clone(&narrow)).unwrap();
        assert_eq!(narrow.as_primitive::<Float32Type>().value(0).to_bits(), 0);
        let other: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(Arc::ptr_eq(&one_zero(Arc::clone(&other)).unwrap(), &other));
    }

    #[test]
    fn a_column_that_others_hold_stays_as_it_is_for_them() {
        let shared: ArrayRef = Arc::new(Float64Array::from(vec![-0.0]));
        let changed = one_zero(Arc::clone(&shared)).unwrap();
        assert_eq!((bits(&shared), bits(&changed)), (vec![Some(1 << 63)], vec![Some(0)]));
    }

    #[test]
    fn what_is_not_finite_is_null_in_rows() {
        let lists = ListArray::from_iter_primitive::<Float64Type, _, _>([Some(strange()), None, Some(vec![Some(1.0)])]);
        let lists: ArrayRef = Arc::new(lists.slice(0, 2));
        let found = finite(one_zero(Arc::clone(&lists)).unwrap()).unwrap();
        let first = found.as_list::<i32>().value(0);
        assert_eq!(
            bits(&first),
            [Some(0.0), Some(0.0), None, Some(-1.5), None, None].map(|value| value.map(f64::to_bits))
        );
        assert_eq!((found.len(), found.null_count(), found.data_type()), (2, 1, lists.data_type()));

        let never_null = Arc::new(Field::new("a", DataType::Float64, false));
        let values: ArrayRef = Arc::new(Float64Array::from(vec![f64::INFINITY]));
        let fields: ArrayRef = Arc::new(StructArray::from(vec![(never_null, values)]));
        assert_eq!(&finite(Arc::clone(&fields)).unwrap(), &fields);

        let prices: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), Some(f64::NAN), None, Some(f64::INFINITY)]));
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
        let rows = RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("price", prices, true)]).unwrap();
        let rows = finite_rows(rows).unwrap();
        assert_eq!(rows.column(1).as_ref(), &Float64Array::from(vec![Some(1.0), None, None, None]) as &dyn Array);
    }
}
