//! Columns held to the kinds of their objects: what a kind does not have is null, and what it needs is there.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::nullif;
use arrow::error::ArrowError;

use super::check_column::check_values;
use super::check_value::Place;
use super::contract::{Contract, Kinds, Member, MemberValue, ObjectShape};
use super::faults::RowFaults;
use super::reject::{Flaw, RejectReason, excerpt};

/// Takes out of each row what its kind does not have, or refuses the row where the kind is closed, and adds the rows that lack
/// what their kind needs or break a rule of it. `columns` are the contract's, of its types.
///
/// # Errors
/// When a column can't be made.
pub(super) fn check_kinds(
    contract: &Contract,
    columns: &mut [ArrayRef],
    faults: &mut RowFaults,
) -> Result<(), ArrowError> {
    let (Some(event), Some(rows)) = (contract.nested(), columns.first().map(Array::len)) else {
        return Ok(());
    };
    check(event, columns, &vec![true; rows], true, faults)
}

/// `has` tells which rows the object may be in, and `is_there` whether all of these have it.
fn check(
    object: &ObjectShape,
    columns: &mut [ArrayRef],
    has: &[bool],
    is_there: bool,
    faults: &mut RowFaults,
) -> Result<(), ArrowError> {
    for member in &object.members {
        if let MemberValue::Object { shape, nullable, .. } = &member.value {
            check(shape, columns, has, is_there && member.required && !nullable, faults)?;
        }
    }
    let Some(kinds) = &object.kinds else { return Ok(()) };
    let found = kinds_of(object, kinds, columns, has, is_there, faults);
    // Those of no kind stand last.
    let other = ObjectShape { kinds: None, ..object.clone() };
    let shapes: Vec<&ObjectShape> = kinds.kinds.iter().map(|(_, kind)| kind).chain([&other]).collect();
    let sets: Vec<HashSet<usize>> = shapes.iter().map(|shape| shape.columns().into_iter().collect()).collect();
    for index in sets.iter().flatten().copied().collect::<HashSet<usize>>() {
        let Some(column) = columns.get_mut(index) else { continue };
        let is_foreign = |(row, kind): (usize, &Option<usize>)| {
            kind.is_some_and(|kind| column.is_valid(row) && !sets.get(kind).is_some_and(|set| set.contains(&index)))
        };
        let foreign: Vec<bool> = found.iter().enumerate().map(is_foreign).collect();
        for (row, kind) in found.iter().enumerate().filter(|(row, _)| foreign.get(*row) == Some(&true)) {
            if kind.and_then(|kind| shapes.get(kind)).is_some_and(|shape| shape.closed) {
                let detail = format!("a value that its kind by \"{}\" does not have, in column {index}", kinds.path);
                faults.add(row, Flaw::new(RejectReason::UnknownField, detail));
            }
        }
        if foreign.contains(&true) {
            *column = nullif(column, &BooleanArray::from(foreign))?;
        }
    }
    for (at, (_, kind)) in kinds.kinds.iter().enumerate() {
        let rows: Vec<bool> = found.iter().map(|found| *found == Some(at)).collect();
        check_members(kind, columns, &rows, true, faults);
        check(kind, columns, &rows, true, faults)?;
    }
    Ok(())
}

/// The kind of each row's object, by the text that tells; none where there is no object, or the row is refused.
fn kinds_of(
    object: &ObjectShape,
    kinds: &Kinds,
    columns: &[ArrayRef],
    has: &[bool],
    is_there: bool,
    faults: &mut RowFaults,
) -> Vec<Option<usize>> {
    let telling = kinds.kinds.iter().flat_map(|(_, kind)| &kind.members).find(|member| member.name == kinds.by);
    let texts = match telling.map(|member| &member.value) {
        Some(MemberValue::Column { index, .. }) => columns.get(*index).and_then(|column| column.as_string_opt::<i32>()),
        _ => None,
    };
    let all = object.columns();
    let has_any = |row: usize| all.iter().filter_map(|index| columns.get(*index)).any(|column| column.is_valid(row));
    let mut found = Vec::with_capacity(has.len());
    for (row, has) in has.iter().enumerate() {
        let text = texts.filter(|texts| *has && texts.is_valid(row)).map(|texts| texts.value(row));
        found.push(match (text.and_then(|text| kinds.of(text.as_bytes())), text) {
            _ if !has => None,
            (Some(kind), _) => Some(kind),
            (None, _) if kinds.is_open => Some(kinds.kinds.len()),
            (None, Some(text)) => {
                let detail = kinds.unknown(&format!("\"{}\"", excerpt(text.as_bytes())));
                faults.add(row, Flaw::new(RejectReason::Constraint, detail));
                None
            }
            (None, None) => {
                if is_there || has_any(row) {
                    let detail = format!("field \"{}\" is required and missing", kinds.path);
                    faults.add(row, Flaw::new(RejectReason::MissingField, detail));
                }
                None
            }
        });
    }
    found
}

/// Adds the rows of a kind that lack a value which it needs, or have one that it does not allow.
fn check_members(object: &ObjectShape, columns: &[ArrayRef], rows: &[bool], is_there: bool, faults: &mut RowFaults) {
    for Member { path, required, value, .. } in &object.members {
        match value {
            MemberValue::Column { index, rule, .. } => {
                let Some(column) = columns.get(*index) else { continue };
                let is_of = |row: usize| rows.get(row).copied().unwrap_or_default();
                if *required && is_there && !rule.nullable {
                    for row in (0..column.len()).filter(|row| is_of(*row) && column.is_null(*row)) {
                        let detail = format!("field \"{path}\" is required and missing");
                        faults.add(row, Flaw::new(RejectReason::MissingField, detail));
                    }
                }
                let mut found = RowFaults::default();
                check_values(rule, Place { field: path, item: None }, column, &mut found);
                found.into_iter().filter(|(row, _)| is_of(*row)).for_each(|(row, flaw)| faults.add(row, flaw));
            }
            MemberValue::Object { shape, nullable, .. } => {
                check_members(shape, columns, rows, is_there && *required && !nullable, faults);
            }
        }
    }
}
