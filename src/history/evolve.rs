//! What becomes of a table's columns when the rows that are appended have others: a decision on two schemas.
//!
//! ```text
//!   column of the rows    column of the table
//!   views  int64          views  int64          stays
//!   wants  int64          -                     is added: rows from before have NULL there
//!   -                     spend  double         stays: rows from now on have NULL there
//!   kind   text           kind   int64          refused: one column can't mean two things
//! ```

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};

/// The columns of a table from now on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Evolution {
    /// All of them, in the table's order.
    pub(super) columns: SchemaRef,
    /// Those that the table does not have yet.
    pub(super) added: Vec<FieldRef>,
    /// The names of those that rows from now on do not have.
    pub(super) unfilled: Vec<String>,
}

/// Decides from the columns that a table has and those that are wanted.
///
/// # Errors
/// With each column that can't be had.
pub(super) fn evolve(found: &Schema, wanted: &Schema) -> Result<Evolution, Vec<String>> {
    let (mut columns, mut added, mut unfilled, mut refused) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for field in found.fields() {
        match wanted.fields().find(field.name()) {
            Some((_, now)) if now.data_type().equals_datatype(field.data_type()) => columns.push(Arc::clone(now)),
            Some((_, now)) => {
                refused.push(format!("{:?} is {} now and {} there", field.name(), now.data_type(), field.data_type()));
            }
            None => {
                unfilled.push(field.name().clone());
                columns.push(Arc::new(field.as_ref().clone().with_nullable(true)));
            }
        }
    }
    for field in wanted.fields().iter().filter(|field| found.fields().find(field.name()).is_none()) {
        match found.fields().iter().find(|other| other.name().eq_ignore_ascii_case(field.name())) {
            Some(other) => {
                refused.push(format!("{:?} is {:?} there, and Delta takes both for one", field.name(), other.name()))
            }
            None => {
                added.push(Arc::clone(field));
                columns.push(Arc::clone(field));
            }
        }
    }
    match refused.is_empty() {
        true => Ok(Evolution { columns: Arc::new(Schema::new(columns)), added, unfilled }),
        false => Err(refused),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;

    fn schema(fields: &[(&str, DataType)]) -> Schema {
        Schema::new(fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>())
    }

    fn names(schema: &Schema) -> Vec<&str> {
        schema.fields().iter().map(|field| field.name().as_str()).collect()
    }

    #[test]
    fn columns_are_added_behind_the_others_and_none_is_taken_away() {
        use DataType::{Date32, Int64, Utf8};
        let found = schema(&[("a", Int64), ("gone", Utf8), ("date", Date32)]);
        let evolution = evolve(&found, &schema(&[("new", Utf8), ("a", Int64), ("date", Date32)])).unwrap();
        assert_eq!(names(&evolution.columns), ["a", "gone", "date", "new"]);
        assert_eq!((names(&Schema::new(evolution.added)), evolution.unfilled), (vec!["new"], vec!["gone".to_owned()]));
        // What was taken away comes back.
        let evolution = evolve(&found, &found).unwrap();
        assert!(evolution.added.is_empty() && evolution.unfilled.is_empty());
    }

    #[test]
    fn another_type_and_a_name_that_differs_in_case_only_are_refused_by_name() {
        use DataType::{Int64, Utf8};
        let found = schema(&[("a", Int64), ("b", Utf8)]);
        let refused = evolve(&found, &schema(&[("a", Utf8), ("B", Utf8), ("c", Int64)])).unwrap_err();
        assert_eq!(
            refused,
            ["\"a\" is Utf8 now and Int64 there", "\"B\" is \"b\" there, and Delta takes both for one"]
        );
    }
}
