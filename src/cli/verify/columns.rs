//! The columns of a file as a vector's.
//!
//! ```text
//!   user_id, price, views        a column for each of the vector's, by name
//!   user_id, x = [9.5, 3.0]      or a list under the name of a model input: the vector's other columns, in their order
//! ```

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Float64Type};

use crate::cli::exit::misuse;
use crate::config::nearest;
use crate::feature::{ColumnForm, VectorColumn};

/// The vector's columns in a file, and the names of those of the file that are none.
pub(super) struct Found {
    pub(super) arrays: Vec<ArrayRef>,
    pub(super) unused: Vec<String>,
}

/// Finds the vector's columns by their names, and those of a list in the place of a model's input.
pub(super) fn find(
    path: &Path,
    batch: &RecordBatch,
    vector: &[VectorColumn],
    inputs: &[String],
) -> anyhow::Result<Found> {
    let file = path.display();
    let mut arrays: Vec<Option<ArrayRef>> = Vec::with_capacity(vector.len());
    for column in vector {
        let array = batch.column_by_name(&column.name).map(plain).transpose()?;
        arrays.push(array.map(|array| fitting(&file, column, array)).transpose()?);
    }
    let lacking: Vec<usize> = (0..vector.len()).filter(|column| arrays[*column].is_none()).collect();
    let is_column = |name: &String| vector.iter().any(|column| column.name == *name);
    let list = inputs.iter().find(|input| !is_column(input) && batch.column_by_name(input).is_some());
    match (list, lacking.first()) {
        (Some(input), Some(_)) => {
            let values = batch.column_by_name(input).map(|list| items(list, lacking.len())).transpose();
            let values = values.with_context(|| format!("{file}: column {input:?}"))?.unwrap_or_default();
            for (column, values) in lacking.iter().zip(values) {
                arrays[*column] = Some(fitting(&file, &vector[*column], values)?);
            }
        }
        (None, Some(first)) => {
            let names: Vec<&str> = lacking.iter().map(|column| vector[*column].name.as_str()).collect();
            let schema = batch.schema();
            let known = schema.fields().iter().map(|field| field.name().as_str());
            let advice = match nearest(&vector[*first].name, known.clone()) {
                Some(near) => format!("did you mean {near:?} by {:?}?", vector[*first].name),
                None => format!("it has {}", known.collect::<Vec<_>>().join(", ")),
            };
            misuse!("{file}: the vector's column(s) {} are not there: {advice}", names.join(", "));
        }
        (_, None) => {}
    }
    let is_used = |name: &String| is_column(name) || list.is_some_and(|list| list == name);
    let schema = batch.schema();
    let unused = schema.fields().iter().map(|field| field.name().clone()).filter(|name| !is_used(name)).collect();
    Ok(Found { arrays: arrays.into_iter().flatten().collect(), unused })
}

/// The numbers of a column: what is expected of each row.
pub(super) fn numbers(path: &Path, name: &str, column: &ArrayRef) -> anyhow::Result<Vec<Option<f64>>> {
    let column = plain(column)?;
    if !is_number(column.data_type()) && column.null_count() < column.len() {
        misuse!("{}: column {name:?} is {}, and a score is a number", path.display(), column.data_type());
    }
    let column = cast(&column, &DataType::Float64)?;
    Ok(column.as_primitive::<Float64Type>().iter().collect())
}

/// A column without a dictionary of its values.
fn plain(column: &ArrayRef) -> anyhow::Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::Dictionary(_, values) => cast(column, values)?,
        _ => Arc::clone(column),
    })
}

/// A column that has what a vector's is made of. A column without any value has every type.
fn fitting(file: &std::path::Display<'_>, column: &VectorColumn, array: ArrayRef) -> anyhow::Result<ArrayRef> {
    let VectorColumn { name, form, .. } = column;
    let found = array.data_type();
    let is_text = matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let (fits, empty) = match form {
        ColumnForm::Number { .. } => (is_number(found), DataType::Float64),
        // Digits in a CSV file are a text where the vector's are.
        ColumnForm::Text => (is_text || is_number(found), DataType::Utf8),
        ColumnForm::List { .. } => {
            let item = Arc::new(Field::new("item", DataType::Float64, true));
            (matches!(ColumnForm::of(found), Some(ColumnForm::List { .. })), DataType::List(item))
        }
    };
    if fits && *form == (ColumnForm::Number { is_whole: true }) && found.is_floating() {
        return whole(file, name, &array);
    }
    if fits {
        return Ok(array);
    }
    if array.logical_null_count() == array.len() {
        return Ok(arrow::array::new_null_array(&empty, array.len()));
    }
    misuse!("{file}: column {name:?} is {found}, and the vector's is {}", form.name());
}

/// Whole numbers that a file has as floats, as it does where some of them are missing; NaN is a missing one.
fn whole(file: &std::path::Display<'_>, name: &str, floats: &ArrayRef) -> anyhow::Result<ArrayRef> {
    let floats = cast(floats, &DataType::Float64)?;
    let floats = floats.as_primitive::<Float64Type>().iter().map(|number| number.filter(|number| !number.is_nan()));
    let mut wholes = Vec::with_capacity(floats.len());
    for (row, number) in (1..).zip(floats) {
        // 2^53: every whole number up to there is a float64 of its own.
        let is_whole = number.is_none_or(|number| number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0);
        if let (false, Some(number)) = (is_whole, number) {
            misuse!("{file}: column {name:?} has {number} in row {row}, and the vector's is a whole number");
        }
        wholes.push(number.map(|number| number as i64));
    }
    Ok(Arc::new(Int64Array::from(wholes)))
}

fn is_number(data_type: &DataType) -> bool {
    matches!(ColumnForm::of(data_type), Some(ColumnForm::Number { .. }))
}

/// The first, second … items of lists that have so many each.
fn items(list: &ArrayRef, count: usize) -> anyhow::Result<Vec<ArrayRef>> {
    if !matches!(ColumnForm::of(list.data_type()), Some(ColumnForm::List { .. })) {
        misuse!("it is {}, and stands for {count} columns: write a list of numbers", list.data_type());
    }
    let list = match list.data_type() {
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => cast(list, &DataType::List(Arc::clone(item)))?,
        _ => Arc::clone(list),
    };
    let list = list.as_list::<i32>();
    if let Some(row) = (0..list.len()).find(|row| list.is_null(*row) || list.value_length(*row) as usize != count) {
        let found = if list.is_null(row) { 0 } else { list.value_length(row) };
        misuse!("row {} has {found} numbers, the vector has {count} columns that the file does not name", row + 1);
    }
    let item = |nth: usize| {
        let places = list.value_offsets().iter().take(list.len()).map(|first| *first as u32 + nth as u32);
        Ok(take(list.values(), &UInt32Array::from_iter_values(places), None)?)
    };
    (0..count).map(item).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Float64Array, ListArray, StringArray};
    use arrow::datatypes::{Int8Type, Int64Type};

    use super::*;
    use crate::feature::IfNull;

    fn column(name: &str, form: ColumnForm) -> VectorColumn {
        VectorColumn { name: name.to_owned(), form, is_id: false, if_null: IfNull::Refused }
    }

    fn vector() -> Vec<VectorColumn> {
        let number = ColumnForm::Number { is_whole: false };
        let list = ColumnForm::List { is_whole: true };
        vec![column("price", number), column("device", ColumnForm::Text), column("recent", list), column("age", number)]
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
            .unwrap()
    }

    fn recent() -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), None]))
    }

    fn shown(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<DataType>, String> {
        let found = find(Path::new("in.csv"), &batch(columns), &vector(), &["x".to_owned(), "device".to_owned()]);
        let types = |found: Found| found.arrays.iter().map(|array| array.data_type().clone()).collect();
        found.map(types).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn columns_are_found_by_name_in_the_vectors_order_and_others_are_told() {
        let devices: DictionaryArray<Int8Type> = vec![Some("web"), None].into_iter().collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2]))),
            ("age", Arc::new(StringArray::from(vec![None::<&str>, None]))),
            ("recent", recent()),
            ("device", Arc::new(devices)),
            ("price", Arc::new(Float64Array::from(vec![9.5, 3.0]))),
        ];
        let found = find(Path::new("in.csv"), &batch(columns), &vector(), &["x".to_owned()]).unwrap();
        assert_eq!(found.unused, ["id"]);
        let types: Vec<_> = found.arrays.iter().map(|array| array.data_type().clone()).collect();
        assert_eq!((&types[0], &types[1], &types[3]), (&DataType::Float64, &DataType::Utf8, &DataType::Float64));
        assert_eq!((found.arrays[1].as_string::<i32>().value(0), found.arrays[3].null_count()), ("web", 2));
    }

    #[test]
    fn a_list_in_the_place_of_an_input_is_the_columns_that_the_file_does_not_name() {
        let lists = [Some(vec![Some(9.5), Some(30.0)]), Some(vec![Some(3.0), None])];
        let x: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists));
        let device: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let rest = vec![("device", Arc::clone(&device)), ("recent", recent()), ("x", x)];
        let found = find(Path::new("in.jsonl"), &batch(rest), &vector(), &["x".to_owned()]).unwrap();
        let numbers = |column: usize| found.arrays[column].as_primitive::<Float64Type>().iter().collect::<Vec<_>>();
        assert_eq!((numbers(0), numbers(3)), (vec![Some(9.5), Some(3.0)], vec![Some(30.0), None]));
        assert!(found.unused.is_empty());

        let short = [Some(vec![Some(9.5), Some(30.0)]), Some(vec![Some(3.0)])];
        let x: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(short));
        let rest = vec![("device", device), ("recent", recent()), ("x", x)];
        insta::assert_snapshot!(shown(rest).unwrap_err(), @r#"in.csv: column "x": row 2 has 1 numbers, the vector has 2 columns that the file does not name"#);
    }

    #[test]
    fn what_is_not_there_or_of_another_kind_is_named() {
        let price = |name: &'static str| -> Vec<(&'static str, ArrayRef)> {
            vec![
                (name, Arc::new(Float64Array::from(vec![9.5, 3.0]))),
                ("device", Arc::new(StringArray::from(vec!["web", "app"]))),
                ("recent", recent()),
                ("age", Arc::new(Int64Array::from(vec![1, 2]))),
            ]
        };
        assert!(shown(price("price")).is_ok());
        insta::assert_snapshot!(shown(price("prize")).unwrap_err(), @r#"in.csv: the vector's column(s) price are not there: did you mean "prize" by "price"?"#);
        let mut text = price("price");
        text[3].1 = Arc::new(StringArray::from(vec!["young", "old"]));
        insta::assert_snapshot!(shown(text).unwrap_err(), @r#"in.csv: column "age" is Utf8, and the vector's is a number"#);
        let words: ArrayRef = Arc::new(StringArray::from(vec!["high"]));
        insta::assert_snapshot!(numbers(Path::new("out.csv"), "p", &words).unwrap_err(), @r#"out.csv: column "p" is Utf8, and a score is a number"#);
    }
}
