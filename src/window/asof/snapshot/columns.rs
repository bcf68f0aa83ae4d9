//! The columns of a section, one after the other, checked to be of the type that is expected.

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{Int64Type, UInt32Type};

use crate::snapshot::SaveError;
use crate::window::WindowError;
use crate::window::asof::recent::Values;
use crate::window::keys::NO_SLOT;

/// See the module.
pub(super) struct Columns<'a> {
    section: &'a str,
    columns: std::slice::Iter<'a, ArrayRef>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(section: &'a str, batch: &'a RecordBatch) -> Self {
        Self { section, columns: batch.columns().iter() }
    }

    pub(super) fn next(&mut self) -> Result<&'a ArrayRef, WindowError> {
        self.columns.next().ok_or_else(|| unexpected(&format!("the end of {}", self.section), "another column"))
    }

    pub(super) fn words(&mut self) -> Result<&'a [i64], WindowError> {
        let column = self.next()?.as_primitive_opt::<Int64Type>();
        column.map(|column| column.values().as_ref()).ok_or_else(|| unexpected(self.section, "64-bit integers"))
    }

    pub(super) fn longs(&mut self) -> Result<Vec<i64>, WindowError> {
        self.words().map(<[i64]>::to_vec)
    }

    pub(super) fn booleans(&mut self) -> Result<&'a BooleanArray, WindowError> {
        self.next()?.as_boolean_opt().ok_or_else(|| unexpected(self.section, "booleans"))
    }

    pub(super) fn values(&mut self) -> Result<Values, WindowError> {
        Ok(Values { words: self.longs()?, is_valid: self.booleans()?.values().clone() })
    }

    /// Numbers below `end`, or none where that is allowed.
    pub(super) fn slots(&mut self, end: usize, allow_none: bool) -> Result<Vec<u32>, WindowError> {
        let column = self.next()?.as_primitive_opt::<UInt32Type>();
        let slots = column.map(|column| column.values().to_vec());
        slots
            .filter(|slots| slots.iter().all(|slot| (*slot as usize) < end || allow_none && *slot == NO_SLOT))
            .ok_or_else(|| unexpected(self.section, "slots of its keys"))
    }
}

pub(super) fn unexpected(found: &str, expected: &str) -> WindowError {
    SaveError::Unexpected { found: found.to_owned(), expected: expected.to_owned() }.into()
}
