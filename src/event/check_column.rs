//! Holds Arrow columns to a contract, row by row, with the rules that JSON values are held to.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};

use super::check_value::Place;
use super::contract::ContractField;
use super::faults::RowFaults;
use super::reject::{Flaw, RejectReason, excerpt};
use super::rule::{ListRule, Shape, ValueRule};

/// Adds the rows whose values the contract does not allow. `columns` are those of `fields`, in their order and of their types.
pub(super) fn check_columns(fields: &[ContractField], columns: &[ArrayRef], faults: &mut RowFaults) {
    for (field, column) in fields.iter().zip(columns) {
        let rule = field.rule();
        if field.is_required() && !rule.nullable && column.null_count() > 0 {
            for row in (0..column.len()).filter(|row| column.is_null(*row)) {
                let detail = format!("field \"{}\" is required and null", field.name());
                faults.add(row, Flaw::new(RejectReason::MissingField, detail));
            }
        }
        check_values(rule, Place { field: field.name(), item: None }, column, faults);
    }
}

/// Adds the rows whose values a rule does not allow.
pub(super) fn check_values(rule: &ValueRule, place: Place<'_>, column: &ArrayRef, faults: &mut RowFaults) {
    if let Shape::List(list) = &rule.shape {
        check_lists(list, rule, place, column, faults);
    } else {
        each_unfit(rule, column, |row, reason, got| faults.add(row, place.unfit(reason, rule, got)));
    }
}

fn check_lists(list: &ListRule, rule: &ValueRule, place: Place<'_>, column: &ArrayRef, faults: &mut RowFaults) {
    let lists = column.as_list::<i32>();
    for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
        let items = lists.value(row);
        if !list.permits(items.len()) {
            faults.add(row, place.unfit(RejectReason::Constraint, rule, &format!("{} items", items.len())));
        }
        let at = |item| Place { item: Some(item), ..place };
        if !list.item.nullable && items.null_count() > 0 {
            for item in (0..items.len()).filter(|item| items.is_null(*item)) {
                faults.add(row, at(item).unfit(RejectReason::WrongType, &list.item, "null"));
            }
        }
        each_unfit(&list.item, &items, |item, reason, got| faults.add(row, at(item).unfit(reason, &list.item, got)));
    }
}

/// Calls `unfit` with the position, reason and text of each scalar that its rule refuses; nulls are not looked at.
fn each_unfit(rule: &ValueRule, values: &ArrayRef, mut unfit: impl FnMut(usize, RejectReason, &str)) {
    let valid = |row: &usize| values.is_valid(*row);
    match &rule.shape {
        Shape::Integer(rule) => {
            for (row, value) in values.as_primitive::<Int64Type>().values().iter().enumerate() {
                if !rule.permits(*value) && valid(&row) {
                    unfit(row, RejectReason::Constraint, &value.to_string());
                }
            }
        }
        Shape::Number(rule) => {
            for (row, value) in values.as_primitive::<Float64Type>().values().iter().enumerate() {
                if !value.is_finite() && valid(&row) {
                    unfit(row, RejectReason::NotFinite, &value.to_string());
                } else if !rule.permits(*value) && valid(&row) {
                    unfit(row, RejectReason::Constraint, &value.to_string());
                }
            }
        }
        Shape::Text(rule) if !rule.allows_all() => {
            let texts = values.as_string::<i32>();
            for row in (0..texts.len()).filter(valid) {
                let text = texts.value(row);
                if !rule.permits(text.as_bytes()) {
                    unfit(row, RejectReason::Constraint, &format!("\"{}\"", excerpt(text.as_bytes())));
                }
            }
        }
        Shape::Boolean(allowed) if !allowed.is_empty() => {
            let booleans = values.as_boolean();
            for row in (0..booleans.len()).filter(valid) {
                if !allowed.contains(&booleans.value(row)) {
                    unfit(row, RejectReason::Constraint, &booleans.value(row).to_string());
                }
            }
        }
        Shape::Text(_) | Shape::Boolean(_) | Shape::DateTime | Shape::List(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Float64Array, Int64Array, ListArray, StringArray};

    use super::*;
    use crate::event::Contract;

    fn faults(property: &str, required: bool, column: ArrayRef) -> Vec<(usize, &'static str)> {
        let required = if required { r#", "required": ["x"]"# } else { "" };
        let text = format!(r#"{{"type": "object", "properties": {{"x": {property}}}{required}}}"#);
        let contract = Contract::parse(&text).expect("a contract");
        assert_eq!(contract.schema().field(0).data_type(), column.data_type());
        let mut faults = RowFaults::default();
        check_columns(contract.fields(), &[column], &mut faults);
        faults.into_iter().map(|(row, flaw)| (row, flaw.reason.as_str())).collect()
    }

    #[test]
    fn values_are_held_to_the_rules_of_json() {
        let integers: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), Some(1), None]));
        assert_eq!(faults(r#"{"type": "integer", "minimum": 1}"#, false, integers), [(0, "constraint")]);
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN, f64::INFINITY, -1.0]));
        assert_eq!(
            faults(r#"{"type": "number", "minimum": 0}"#, false, numbers),
            [(1, "not_finite"), (2, "not_finite"), (3, "constraint")]
        );
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        assert_eq!(faults(r#"{"type": "string", "enum": ["a"]}"#, false, texts), [(1, "constraint")]);
        let booleans: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
        assert_eq!(faults(r#"{"type": "boolean", "const": true}"#, false, booleans), [(1, "constraint")]);
    }

    #[test]
    fn a_null_is_refused_only_where_a_value_is_required() {
        let column = || Arc::new(StringArray::from(vec![Some("a"), None])) as ArrayRef;
        assert_eq!(faults(r#"{"type": "string"}"#, true, column()), [(1, "missing_field")]);
        assert_eq!(faults(r#"{"type": "string"}"#, false, column()), []);
        assert_eq!(faults(r#"{"type": ["string", "null"]}"#, true, column()), []);
    }

    #[test]
    fn lists_are_held_to_their_length_and_their_items() {
        let rows = vec![Some(vec![Some(1)]), Some(vec![]), Some(vec![Some(1), None]), Some(vec![Some(9)]), None];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows));
        let property = r#"{"type": "array", "items": {"type": "integer", "maximum": 5}, "minItems": 1}"#;
        assert_eq!(faults(property, false, lists), [(1, "constraint"), (2, "wrong_type"), (3, "constraint")]);
    }
}
