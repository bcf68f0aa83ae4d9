//! What is to be scored.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};

use super::id::Id;
use crate::feature::Matrix;
use crate::time::EventTime;

/// Vectors and the groups that are ranked together, in the order of the rows.
#[derive(Debug, Default)]
pub struct Job {
    /// One row per candidate.
    pub matrix: Matrix,
    /// Consecutive rows each; together all rows.
    pub groups: Vec<Group>,
    /// The candidate of every row.
    pub items: ItemIds,
}

/// One ranking to be made.
#[derive(Debug, Clone)]
pub struct Group {
    /// Comes back in the ranking.
    pub request_id: String,
    /// Who is asked for, as JSON; absent where the pipeline has no such column.
    pub user: Option<String>,
    /// Event time that the features are of.
    pub at: EventTime,
    /// When it is shown, in event time: what the request or the event says, else when the request arrived.
    pub shown: EventTime,
    /// When it came into being by the clock: the request arrived, or the broker took the event.
    pub arrived: EventTime,
    /// How many rows.
    pub rows: usize,
}

/// Candidates, in the type of their column.
#[derive(Debug, Clone, Default)]
pub struct ItemIds(Option<ArrayRef>);

impl ItemIds {
    /// The ids of a column of integers or texts; other types have no ids to show.
    pub fn new(column: Option<ArrayRef>) -> Self {
        Self(column)
    }

    /// The id of a row; none where there is none.
    pub(crate) fn id(&self, row: usize) -> Option<Id> {
        let column = self.0.as_ref().filter(|column| row < column.len() && column.is_valid(row))?;
        match column.data_type() {
            DataType::Int64 => Some(Id::Whole(column.as_primitive::<Int64Type>().value(row))),
            DataType::Utf8 => Some(Id::Text(column.as_string::<i32>().value(row).into())),
            _ => None,
        }
    }

    /// Appends the id of a row as JSON: `null` where there is none.
    pub fn write_json(&self, row: usize, out: &mut Vec<u8>) {
        match &self.0 {
            Some(column) => write_json_value(column, row, out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

/// Appends one value of a column of integers or texts as JSON; anything else is `null`.
pub(crate) fn write_json_value(column: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    use std::io::Write;
    let written = match column.data_type() {
        DataType::Int64 if column.is_valid(row) => {
            write!(out, "{}", column.as_primitive::<Int64Type>().value(row)).is_ok()
        }
        DataType::Utf8 if column.is_valid(row) => {
            serde_json::to_writer(&mut *out, column.as_string::<i32>().value(row)).is_ok()
        }
        _ => false,
    };
    if !written {
        out.extend_from_slice(b"null");
    }
}
