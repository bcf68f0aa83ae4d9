//! Values that are not there, for models that know what to make of that.
//!
//! ```text
//!   NULL, and NaN, in a column of `missing`       ──▶ NaN, always the same one
//!   NULL, NaN or an infinity in any other column  ──▶ a row without a score, named
//! ```
//!
//! NaN is a value like others from there on: it is copied, kept and sent bit by bit.

use std::collections::BTreeSet;

use super::column::ColumnForm;

/// The columns in which NULL is a missing value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Missing {
    /// None.
    #[default]
    None,
    /// Every column of numbers.
    All,
    /// Those of these names.
    Of(BTreeSet<String>),
}

/// What becomes of NULL in a column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum IfNull {
    /// The row has no score. A list is empty.
    #[default]
    Refused,
    /// NaN. It `is_needed` where the column can be NULL, or was named: then its input must hold NaN.
    Nan { is_needed: bool },
}

impl Missing {
    /// What becomes of NULL in this column.
    pub(super) fn in_column(&self, name: &str, form: ColumnForm, is_nullable: bool) -> IfNull {
        match self {
            Self::All if matches!(form, ColumnForm::Number { .. }) => IfNull::Nan { is_needed: is_nullable },
            Self::Of(names) if names.contains(name) => IfNull::Nan { is_needed: true },
            _ => IfNull::Refused,
        }
    }

    /// The columns that are named.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let names = if let Self::Of(names) = self { Some(names) } else { None };
        names.into_iter().flatten().map(String::as_str)
    }
}

impl IfNull {
    /// Whether NaN is a value of the column.
    pub(crate) fn is_nan(self) -> bool {
        matches!(self, Self::Nan { .. })
    }
}
