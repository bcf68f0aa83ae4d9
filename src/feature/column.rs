//! A column of a vector, as its select list has it.

use arrow::datatypes::DataType;

use super::missing::IfNull;

/// What a column of `vector.sql` is called and holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VectorColumn {
    /// Its name.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) form: ColumnForm,
    /// Whether it is a whole number of the request as it came, and no result of a computation: who or what it is about.
    pub(crate) is_id: bool,
    /// What becomes of NULL.
    pub(crate) if_null: IfNull,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnForm {
    /// A number or a boolean.
    Number { is_whole: bool },
    /// A text.
    Text,
    /// A list of numbers.
    List { is_whole: bool },
}

impl ColumnForm {
    /// The form of a type; `None` where no model takes it.
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        let is_whole = |data_type: &DataType| data_type.is_integer() || *data_type == DataType::Boolean;
        let is_number = |data_type: &DataType| data_type.is_numeric() || *data_type == DataType::Boolean;
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Self::Text),
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                let item = item.data_type();
                is_number(item).then(|| Self::List { is_whole: is_whole(item) })
            }
            number => is_number(number).then(|| Self::Number { is_whole: is_whole(number) }),
        }
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Number { .. } => "a number",
            Self::Text => "a text",
            Self::List { .. } => "a list",
        }
    }
}
