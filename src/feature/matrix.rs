//! What a model sees.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Int64Type};

use super::column::VectorColumn;
use super::inputs::Inputs;
use super::number::Number;
use super::place::{Kind, Place};
use super::typed_rows;
use crate::sql::Failed;
use crate::window::WindowError;

/// Vectors, one row after the other.
#[derive(Debug, Clone, Default)]
pub struct Matrix {
    /// `rows × width` words, row-major: numbers, where vectors hold nothing else ([`Inputs`]).
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

    /// Makes rows of the columns of a select list. `failed` rows could not be computed.
    pub(super) fn from_columns(
        columns: &[VectorColumn],
        inputs: &Inputs,
        arrays: &[ArrayRef],
        rows: usize,
        failed: Vec<Unscorable>,
    ) -> Result<Self, WindowError> {
        let width = inputs.width();
        let mut values = vec![0.0; rows * width];
        let mut bad: BTreeMap<usize, Unscorable> = BTreeMap::new();
        for failed in failed {
            bad.entry(failed.row).or_insert(failed);
        }
        let takes_nan = |column: usize| columns.get(column).is_some_and(|column| column.if_null.is_nan());
        if let Some(typed) = inputs.typed() {
            typed_rows::fill(typed, arrays, (&mut values, width), takes_nan, &mut bad)?;
        } else {
            for (index, (VectorColumn { name, .. }, array)) in columns.iter().zip(arrays).enumerate() {
                let numbers = cast(array, &DataType::Float32)?;
                let numbers = numbers.as_primitive::<Float32Type>();
                for (row, value) in numbers.values().iter().enumerate() {
                    values[row * width + index] = *value;
                    if !value.is_finite() || numbers.is_null(row) {
                        if takes_nan(index) && (numbers.is_null(row) || value.is_nan()) {
                            values[row * width + index] = f32::NAN;
                            continue;
                        }
                        let value = numbers.is_valid(row).then_some(*value);
                        bad.entry(row).or_insert_with(|| Unscorable::value(row, name, value));
                    }
                }
            }
        }
        for (index, (column, array)) in columns.iter().zip(arrays).enumerate() {
            let is_float = |place: &Place| place.most.is_none() && matches!(place.kind, Kind::Float32 | Kind::Float64);
            if let Some(place) = inputs.place(index).filter(is_float).filter(|_| column.is_id) {
                refuse_inexact(&column.name, place.kind, array, &mut bad)?;
            }
        }
        Ok(Self { values, rows, unscorable: bad.into_values().collect() })
    }
}

/// Two ids that are one in floats of this kind would be scored as one: such an id is no feature.
fn refuse_inexact(
    name: &str,
    kind: Kind,
    ids: &ArrayRef,
    bad: &mut BTreeMap<usize, Unscorable>,
) -> Result<(), WindowError> {
    let ids = cast(ids, &DataType::Int64)?;
    for (row, id) in ids.as_primitive::<Int64Type>().iter().enumerate() {
        let is_lost = |id: &i64| match kind {
            Kind::Float64 => Number::Int64(*id).float64().is_none(),
            _ => Number::Int64(*id).float32().is_none(),
        };
        let Some(id) = id.filter(is_lost) else { continue };
        bad.entry(row).or_insert_with(|| Unscorable {
            row,
            reason: format!(
                "feature `{name}` is {id}, which {} does not hold: export the model with an int64 input {name:?}, or, \
                 where rounding is meant, select CAST(... AS FLOAT)",
                kind.name()
            ),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Float64Array, Int64Array, ListArray, StringArray, UInt64Array};

    use super::*;
    use crate::feature::column::ColumnForm;
    use crate::feature::missing::IfNull;

    fn number(name: &str) -> VectorColumn {
        VectorColumn {
            name: name.to_owned(),
            form: ColumnForm::Number { is_whole: false },
            is_id: false,
            if_null: IfNull::Refused,
        }
    }

    fn whole(name: &str, is_id: bool) -> VectorColumn {
        VectorColumn { is_id, form: ColumnForm::Number { is_whole: true }, ..number(name) }
    }

    fn reasons(matrix: &Matrix) -> Vec<(usize, &str)> {
        matrix.unscorable.iter().map(|bad| (bad.row, bad.reason.as_str())).collect()
    }

    /// Users 16777216 and 16777217 were one to the model.
    #[test]
    fn an_id_that_float32_does_not_hold_is_refused_and_a_count_is_rounded() {
        let ids: ArrayRef =
            Arc::new(Int64Array::from(vec![16_777_216, 16_777_217, 30_000_001, 30_000_002, -16_777_217]));
        let arrays = [Arc::clone(&ids), ids];
        let columns = [whole("user", true), whole("views", false)];
        let matrix = Matrix::from_columns(&columns, &2.into(), &arrays, 5, Vec::new()).unwrap();
        assert_eq!(matrix.unscorable.iter().map(|bad| bad.row).collect::<Vec<_>>(), [1, 2, 4]);
        insta::assert_snapshot!(matrix.unscorable[0].reason, @r#"feature `user` is 16777217, which float32 does not hold: export the model with an int64 input "user", or, where rounding is meant, select CAST(... AS FLOAT)"#);
        let inputs = Inputs::of([("user".to_owned(), Kind::Int64, None), ("views".to_owned(), Kind::Float32, None)]);
        let matrix = Matrix::from_columns(&columns, &inputs, &arrays, 5, Vec::new()).unwrap();
        assert!(matrix.unscorable.is_empty());
        let users: Vec<_> = matrix.values.chunks(3).map(|row| inputs.place(0).unwrap().number(row, 0)).collect();
        assert_eq!(users[1..3], [Number::Int64(16_777_217), Number::Int64(30_000_001)]);
    }

    #[test]
    fn rows_that_hold_what_their_types_do_not_are_named_and_the_columns_read_back_from_the_others() {
        let columns = [("user", Kind::Int64, None), ("kind", Kind::Text, None), ("recent", Kind::Int64, Some(2))];
        let inputs = Inputs::of(columns.map(|(name, kind, most)| (name.to_owned(), kind, most)));
        let long = "a".repeat(125);
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("view"), Some(&long), None, Some("buy"), Some("")]));
        let users: ArrayRef = Arc::new(UInt64Array::from(vec![(1 << 53) + 1, 2, 3, u64::MAX, 5]));
        let lists = [Some(vec![Some(1), Some(2)]), None, Some(vec![]), Some(vec![Some(1)]), Some(vec![Some(7), None])];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        let arrays = [users, texts, lists];
        let matrix = Matrix::from_columns(&[], &inputs, &arrays, 5, Vec::new()).unwrap();
        assert_eq!(
            reasons(&matrix),
            [
                (1, "feature `kind` is a text of 125 bytes, 124 are the most"),
                (2, "feature `kind` is NULL"),
                (3, "feature `user` is a UInt64 that int64 does not hold"),
                (4, "feature `recent` has a value that is NULL"),
            ]
        );
        let back = typed_rows::columns_of(inputs.typed().unwrap(), &matrix.values, inputs.width());
        assert_eq!(back[0].as_primitive::<Int64Type>().value(0), (1 << 53) + 1);
        assert_eq!(back[1].as_string::<i32>().value(0), "view");
        let recent: Vec<usize> = back[2].as_list::<i32>().iter().map(|list| list.unwrap().len()).collect();
        assert_eq!(recent, [2, 0, 0, 1, 2]);
    }

    #[test]
    fn a_list_that_is_longer_than_its_input_is_named() {
        let inputs = Inputs::of([("recent".to_owned(), Kind::Float64, Some(2))]);
        let lists = [Some(vec![Some(1.5), Some(2.5), Some(3.5)]), Some(vec![Some(f64::INFINITY)])];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<arrow::datatypes::Float64Type, _, _>(lists));
        let matrix = Matrix::from_columns(&[], &inputs, &[lists], 2, Vec::new()).unwrap();
        let is = ["feature `recent` has 3 values, its model input takes 2", "feature `recent` has a value that is inf"];
        assert_eq!(reasons(&matrix), [(0, is[0]), (1, is[1])]);
    }

    /// A number can be finite where it is computed and not where a model takes it.
    #[test]
    fn a_row_that_is_not_finite_as_float32_is_named_with_its_first_bad_column() {
        let prices = [Some(9.5), Some(1e39), Some(-1e300), Some(f64::NAN), None, Some(3e38)];
        let flags = [Some(true), None, Some(true), Some(true), Some(true), Some(false)];
        let columns: [ArrayRef; 2] =
            [Arc::new(Float64Array::from(prices.to_vec())), Arc::new(BooleanArray::from(flags.to_vec()))];
        let names = ["price", "flag"].map(number);
        let matrix = Matrix::from_columns(&names, &2.into(), &columns, prices.len(), Vec::new()).unwrap();
        let found: Vec<_> = matrix.unscorable.iter().map(|bad| (bad.row, bad.reason.as_str())).collect();
        let is =
            ["feature `price` is inf", "feature `price` is -inf", "feature `price` is NaN", "feature `price` is NULL"];
        assert_eq!(found, [(1, is[0]), (2, is[1]), (3, is[2]), (4, is[3])]);
        assert_eq!((&matrix.values[..2], &matrix.values[10..]), (&[9.5, 1.0][..], &[3e38, 0.0][..]));
    }

    #[test]
    fn null_and_nan_of_a_column_that_takes_them_are_one_nan_and_infinities_are_refused() {
        let odd = f64::from_bits(0xfff8_0000_0000_0001);
        let prices = [Some(9.5), None, Some(f64::NAN), Some(odd), Some(f64::INFINITY), Some(1e39)];
        let array: ArrayRef = Arc::new(Float64Array::from(prices.to_vec()));
        let views: ArrayRef =
            Arc::new(Int64Array::from(vec![Some(1), None, Some((1 << 53) + 1), Some(4), None, Some(6)]));
        let missing = |column: VectorColumn| VectorColumn { if_null: IfNull::Nan { is_needed: true }, ..column };
        let columns = [missing(number("price")), missing(whole("views", true))];
        let arrays = [array, views];
        let flat = Matrix::from_columns(&columns, &2.into(), &arrays, 6, Vec::new()).unwrap();
        let is = "feature `views` is 9007199254740993, which float32 does not hold: export the model with an int64 input \
                  \"views\", or, where rounding is meant, select CAST(... AS FLOAT)";
        assert_eq!(reasons(&flat), [(2, is), (4, "feature `price` is inf"), (5, "feature `price` is inf")]);
        let nan = f32::NAN.to_bits();
        let bits: Vec<u32> = flat.values.iter().map(|value| value.to_bits()).collect();
        assert_eq!((bits[2], bits[3], bits[4], bits[6], bits[9]), (nan, nan, nan, nan, nan));
        assert_eq!((flat.values[0], flat.values[1], flat.values[7]), (9.5, 1.0, 4.0));

        let doubles = Inputs::of(["price", "views"].map(|name| (name.to_owned(), Kind::Float64, None)));
        let typed = Matrix::from_columns(&columns, &doubles, &arrays, 6, Vec::new()).unwrap();
        let is = is.replace("float32", "float64");
        assert_eq!(reasons(&typed), [(2, is.as_str()), (4, "feature `price` is inf")]);
        let read = |row: usize, column| doubles.place(column).unwrap().number(&typed.values[row * 4..], 0);
        let bits = |number| if let Number::Float64(number) = number { number.to_bits() } else { 0 };
        let nan = f64::NAN.to_bits();
        assert_eq!([read(1, 0), read(1, 1), read(2, 0), read(3, 0)].map(bits), [nan; 4]);
        assert_eq!((read(3, 1), read(5, 0)), (Number::Float64(4.0), Number::Float64(1e39)));
        let none =
            Matrix::from_columns(&[number("price"), missing(whole("views", false))], &2.into(), &arrays, 6, Vec::new());
        assert_eq!(reasons(&none.unwrap())[0], (1, "feature `price` is NULL"));
    }

    #[test]
    fn a_feature_that_could_not_be_computed_is_named_before_any_that_is_no_number() {
        let columns: [ArrayRef; 1] = [Arc::new(Float64Array::from(vec![None, Some(1.0)]))];
        let failed = Failed { expression: "a / b".to_owned(), reason: "Divide by zero error".to_owned() };
        let failed = vec![Unscorable::failed(0, "ratio", &failed)];
        let matrix = Matrix::from_columns(&[number("price")], &1.into(), &columns, 2, failed.clone()).unwrap();
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
