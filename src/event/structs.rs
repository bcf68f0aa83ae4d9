//! Structs of Arrow as the objects of a contract: their fields are found by the names that lead to them.
//!
//! ```text
//!   properties: Struct { price: Float64, size: Struct { eu: Int64 } }
//!
//!   "properties.price"     properties ▸ price         null where `properties` is
//!   "properties.size.eu"   properties ▸ size ▸ eu     null where `properties` or `size` is
//! ```
//!
//! A batch may also have such a column by its own name, as rows of an archive do that were written as the contract's columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;

use super::contract::{Contract, ContractField, MemberValue, ObjectShape};
use super::faults::RowFaults;
use super::reject::{Flaw, RejectReason};
use super::unfold::{Room, unfold};

/// Columns with their names: a batch's own, or a struct's.
struct Named<'a> {
    fields: &'a [FieldRef],
    columns: &'a [ArrayRef],
    /// The names that lead to them, with a point at the end.
    prefix: String,
    /// The rows that have them; all where there is none.
    valid: Option<NullBuffer>,
}

impl<'a> Named<'a> {
    fn of(batch: &'a RecordBatch) -> Self {
        Self { fields: batch.schema_ref().fields(), columns: batch.columns(), prefix: String::new(), valid: None }
    }

    /// The column of a name, without a value where its struct has none; none where it is absent or of type `Null`.
    ///
    /// # Errors
    /// When several columns have the name.
    fn get(&self, name: &str) -> Result<Option<ArrayRef>, Flaw> {
        let columns = self.fields.iter().zip(self.columns);
        let mut named = columns.filter(|(column, _)| column.name() == name).map(|(_, values)| values);
        let (found, repeated) = (named.next(), named.next().is_some());
        if repeated {
            return Err(invalid(format!("column \"{}{name}\" appears twice", self.prefix)));
        }
        let found = found.filter(|values| *values.data_type() != DataType::Null);
        found.map(|values| self.within(values).map_err(|error| invalid(error.to_string()))).transpose()
    }

    /// A column of the struct, null where the struct is.
    fn within(&self, values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let Some(valid) = &self.valid else { return Ok(Arc::clone(values)) };
        let nulls = NullBuffer::union(Some(valid), values.nulls());
        Ok(make_array(values.to_data().into_builder().nulls(nulls).build()?))
    }
}

/// The values of a contract's column below the structs of a batch; `None` where any of them, or the value, is absent.
///
/// # Errors
/// When a column on the way is no struct, or appears twice.
pub(super) fn below(batch: &RecordBatch, field: &ContractField) -> Result<Option<ArrayRef>, Flaw> {
    let Some((name, above)) = field.path().split_last() else { return Ok(None) };
    find(&Named::of(batch), above, name)
}

fn find(columns: &Named<'_>, above: &[String], name: &str) -> Result<Option<ArrayRef>, Flaw> {
    let Some((first, above)) = above.split_first() else { return columns.get(name) };
    match columns.get(first)? {
        Some(found) => find(&inside(columns, first, &found)?, above, name),
        None => Ok(None),
    }
}

/// The columns of a struct.
fn inside<'a>(around: &Named<'_>, name: &str, found: &'a ArrayRef) -> Result<Named<'a>, Flaw> {
    let Some(found) = found.as_struct_opt() else {
        let (prefix, found) = (&around.prefix, found.data_type());
        return Err(invalid(format!("column \"{prefix}{name}\": expected a struct, got {found}")));
    };
    let prefix = format!("{}{name}.", around.prefix);
    Ok(Named { fields: found.fields(), columns: found.columns(), prefix, valid: found.nulls().cloned() })
}

/// Adds the rows whose structs lack what their objects need, as JSON objects would be refused for it.
///
/// # Errors
/// When a struct is of another type, or has a field that a closed object does not have.
pub(super) fn check_structs(
    contract: &Contract,
    batch: &RecordBatch,
    room: &mut Room,
    faults: &mut RowFaults,
) -> Result<(), Flaw> {
    match contract.nested() {
        Some(event) => check(event, &Named::of(batch), (batch.num_rows(), room), faults),
        None => Ok(()),
    }
}

fn check(
    object: &ObjectShape,
    columns: &Named<'_>,
    (rows, room): (usize, &mut Room),
    faults: &mut RowFaults,
) -> Result<(), Flaw> {
    let is_event = columns.prefix.is_empty();
    if object.closed
        && !is_event
        && let Some(other) = columns.fields.iter().find(|field| !object.has(field.name()))
    {
        let detail = format!("column \"{}{}\" is not in the contract", columns.prefix, other.name());
        return Err(Flaw::new(RejectReason::UnknownField, detail));
    }
    for member in &object.members {
        let found = columns.get(&member.name)?;
        let nullable = match &member.value {
            MemberValue::Column { rule, .. } => rule.nullable,
            MemberValue::Object { nullable, .. } => *nullable,
        };
        // The event's own columns are found, and missed, by their names.
        let is_needed = match &member.value {
            MemberValue::Column { .. } => !is_event && member.required && !nullable,
            MemberValue::Object { .. } => member.required && !nullable && (!is_event || found.is_some()),
        };
        if is_needed {
            let has_object = |row: &usize| columns.valid.as_ref().is_none_or(|valid| valid.is_valid(*row));
            let has_value = |row: &usize| found.as_ref().is_some_and(|found| found.is_valid(*row));
            for row in (0..rows).filter(has_object).filter(|row| !has_value(row)) {
                let detail = format!("field \"{}\" is required and missing", member.path);
                faults.add(row, Flaw::new(RejectReason::MissingField, detail));
            }
        }
        if let (MemberValue::Object { shape, .. }, Some(found)) = (&member.value, &found) {
            check(shape, &inside(columns, &member.name, found)?, (rows, &mut *room), faults)?;
        }
    }
    let Some(kinds) = &object.kinds else { return Ok(()) };
    let Some(texts) = columns.get(&kinds.by)? else { return Ok(()) };
    let texts = unfold(&texts, room)?;
    let Some(texts) = texts.as_string_opt::<i32>() else { return Ok(()) };
    for (at, (_, kind)) in kinds.kinds.iter().enumerate() {
        let is_of = |row: usize| texts.is_valid(row) && kinds.of(texts.value(row).as_bytes()) == Some(at);
        let valid = NullBuffer::from((0..rows).map(is_of).collect::<Vec<_>>());
        let valid = NullBuffer::union(columns.valid.as_ref(), Some(&valid));
        let columns = Named { fields: columns.fields, columns: columns.columns, prefix: columns.prefix.clone(), valid };
        check(kind, &columns, (rows, &mut *room), faults)?;
    }
    Ok(())
}

fn invalid(detail: String) -> Flaw {
    Flaw::new(RejectReason::InvalidArrow, detail)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, StructArray, TimestampMillisecondArray};
    use arrow::datatypes::{Field, Float64Type, Int64Type};

    use super::*;
    use crate::event::testing::{PUBLISHED, arrow, json};
    use crate::event::{DecodeSettings, Decoded, Decoder};

    const CONTRACT: &str = r#"{"type": "object", "properties": {
        "ts": {"type": "integer"},
        "properties": {"type": "object", "required": ["price"], "properties": {
            "price": {"type": "number", "minimum": 0},
            "size": {"type": "object", "additionalProperties": false, "properties": {"eu": {"type": "integer"}}}
        }}
    }, "required": ["ts"]}"#;

    fn decoder() -> Decoder {
        let contract = Arc::new(Contract::parse(CONTRACT).expect("a contract"));
        Decoder::new(contract, &DecodeSettings::new("ts")).expect("a decoder")
    }

    fn structs(fields: Vec<(&str, ArrayRef)>, valid: Vec<bool>) -> ArrayRef {
        let names = fields.iter().map(|(name, values)| Field::new(*name, values.data_type().clone(), true));
        let names = names.collect::<Vec<_>>().into();
        let columns = fields.into_iter().map(|(_, values)| values).collect();
        Arc::new(StructArray::new(names, columns, Some(valid.into())))
    }

    fn times(rows: usize) -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from(vec![PUBLISHED / 1_000; rows]))
    }

    fn rejects(decoded: &Decoded) -> Vec<String> {
        let rejects = decoded.rejects.iter();
        rejects.map(|reject| format!("{}: {}", reject.reason, reject.detail)).collect()
    }

    /// Values below a struct that is null mean nothing, and are there all the same.
    #[test]
    fn a_struct_that_is_null_has_no_values_whatever_stands_below_it() {
        let sizes = structs(vec![("eu", Arc::new(Int64Array::from(vec![41, 42, 43])))], vec![true, false, true]);
        let prices: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, -3.0]));
        let properties = structs(vec![("size", sizes), ("price", prices)], vec![true, true, false]);
        let batch = RecordBatch::try_from_iter([("properties", properties), ("ts", times(3))]).expect("a batch");
        let found = decoder().decode(&[arrow(&batch)]).expect("decoded");
        assert_eq!(rejects(&found), [""; 0]);
        let prices = found.batch.column_by_name("properties.price").expect("a column");
        assert_eq!(prices.as_primitive::<Float64Type>(), &Float64Array::from(vec![Some(1.0), Some(2.0), None]));
        let sizes = found.batch.column_by_name("properties.size.eu").expect("a column");
        assert_eq!(sizes.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(41), None, None]));
        // The same as JSON, and as rows that have the contract's columns by their names.
        let now = PUBLISHED / 1_000;
        let lines = [
            format!(r#"{{"ts":{now},"properties":{{"price":1,"size":{{"eu":41}}}}}}"#),
            format!(r#"{{"ts":{now},"properties":{{"price":2}}}}"#),
            format!(r#"{{"ts":{now}}}"#),
        ];
        assert_eq!(decoder().decode(&[json(&lines.join("\n"))]).expect("decoded").batch, found.batch);
        let again = decoder().decode_rows(&found.batch, &[0; 3], &[PUBLISHED; 3]).expect("decoded");
        assert_eq!((rejects(&again), again.batch), (Vec::new(), found.batch));
    }

    #[test]
    fn what_an_object_needs_its_struct_needs() {
        let prices: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, None]));
        let properties = structs(vec![("price", prices)], vec![true, true, false]);
        let batch = RecordBatch::try_from_iter([("ts", times(3)), ("properties", properties)]).expect("a batch");
        let found = decoder().decode(&[arrow(&batch)]).expect("decoded");
        assert_eq!(found.batch.num_rows(), 2);
        assert_eq!(rejects(&found), ["missing_field: field \"properties.price\" is required and missing"]);
    }

    #[test]
    fn what_is_no_struct_of_the_contract_refuses_the_message() {
        let number = || Arc::new(Float64Array::from(vec![1.0])) as ArrayRef;
        let of = |properties: ArrayRef| {
            let batch = RecordBatch::try_from_iter([("ts", times(1)), ("properties", properties)]).expect("a batch");
            rejects(&decoder().decode(&[arrow(&batch)]).expect("decoded"))
        };
        assert_eq!(of(number()), ["invalid_arrow: column \"properties\": expected a struct, got Float64"]);
        let size = structs(vec![("us", number())], vec![true]);
        assert_eq!(
            of(structs(vec![("price", number()), ("size", size)], vec![true])),
            ["unknown_field: column \"properties.size.us\" is not in the contract"]
        );
        assert_eq!(
            of(structs(vec![("price", number()), ("price", number())], vec![true])),
            ["invalid_arrow: column \"properties.price\" appears twice"]
        );
    }
}
