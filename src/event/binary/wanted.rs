//! What a contract wants of a value, so that what it doesn't name is passed and not written.

use crate::event::contract::{Contract, ContractField};
use crate::event::rule::FieldType;

/// What is wanted at a place of an event.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'c> {
    /// Nothing: the contract doesn't name it.
    Nothing,
    /// The value of a column.
    Value(&'c ContractField),
    /// An object whose members are looked at one by one.
    Object,
    /// All that there is.
    Anything,
}

/// How a value is written, where there is a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As a text, whatever it is.
    Text,
    /// As what it is most like in JSON: times are texts, decimals and times of integers are numbers.
    Natural,
    /// As the number that was sent, for times too.
    Number,
}

impl<'c> Wanted<'c> {
    /// What the contract wants at a path of names.
    pub(super) fn at(contract: &'c Contract, path: &[String]) -> Self {
        let below = |field: &&ContractField| field.path().starts_with(path);
        let mut fields = contract.fields().iter().filter(below);
        match fields.next() {
            Some(field) if field.path().len() == path.len() => Self::Value(field),
            Some(_) => Self::Object,
            None if path.len() == 1 && path.first().is_some_and(|name| contract.has_property(name)) => Self::Anything,
            None => Self::Nothing,
        }
    }
}

impl Form {
    pub(super) fn of(field: &FieldType) -> Self {
        match field {
            FieldType::Text => Self::Text,
            FieldType::Integer | FieldType::Number => Self::Number,
            FieldType::List(item) => Self::of(item),
            _ => Self::Natural,
        }
    }
}
