//! What joins feedback to what was shown: the join columns' values of a row, as one number.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use xxhash_rust::xxh3::Xxh3;

/// 128-bit XXH3 over the values of a row's join columns. Two different rows share one with a probability of about
/// n² / 2¹²⁹ for n remembered rows, which for a million is 10⁻²⁷.
pub(crate) type JoinKey = u128;

/// Whether a column of this type can be joined on.
pub(crate) fn can_join(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::Utf8)
}

/// The keys of `rows` rows, given as columns of one length: `None` where a value is NULL, or where a column is of a type
/// that [`can_join`] refuses.
pub(crate) fn join_keys(columns: &[ArrayRef], rows: usize) -> Vec<Option<JoinKey>> {
    let mut hasher = Xxh3::new();
    (0..rows)
        .map(|row| {
            hasher.reset();
            for column in columns {
                add(&mut hasher, column, row)?;
            }
            Some(hasher.digest128())
        })
        .collect()
}

/// Adds one value, framed so that neighbouring columns cannot run into each other.
fn add(hasher: &mut Xxh3, column: &ArrayRef, row: usize) -> Option<()> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Int64 => {
            hasher.update(&[0]);
            hasher.update(&column.as_primitive::<Int64Type>().value(row).to_le_bytes());
        }
        DataType::Utf8 => {
            let text = column.as_string::<i32>().value(row);
            hasher.update(&[1]);
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn equal_rows_have_equal_keys_and_values_do_not_run_into_each_other() {
        let keys =
            join_keys(&[texts(&[Some("ab"), Some("a"), Some("ab")]), texts(&[Some("c"), Some("bc"), Some("c")])], 3);
        assert_eq!(keys[0], keys[2]);
        assert_ne!(keys[0], keys[1]);
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 1]));
        let keys = join_keys(&[numbers], 3);
        assert_eq!(keys[0], keys[2]);
        assert_ne!(keys[0], keys[1]);
    }

    #[test]
    fn a_row_with_null_in_a_join_column_has_no_key() {
        let keys = join_keys(&[texts(&[Some("a"), None]), texts(&[Some("b"), Some("b")])], 2);
        assert!(keys[0].is_some() && keys[1].is_none());
    }
}
