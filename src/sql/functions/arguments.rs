//! Arguments that must be known when a select is planned, and the types that the others are made to have.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::cast::as_timestamp_microsecond_array;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::logical_expr::function::AccumulatorArgs;

use crate::sql::duration::parse_duration;

/// The constant value of an argument; `None` when it depends on rows.
fn constant(args: &AccumulatorArgs, index: usize) -> Option<ScalarValue> {
    // A cast or a sum of constants is one too; a column fails, because this batch has none.
    let no_rows = RecordBatch::new_empty(Arc::new(Schema::empty()));
    match args.exprs.get(index)?.evaluate(&no_rows) {
        Ok(ColumnarValue::Scalar(value)) => Some(value),
        _ => None,
    }
}

fn shown(value: Option<&ScalarValue>) -> String {
    value.map_or_else(|| "something that depends on rows".to_owned(), |value| format!("`{value}`"))
}

/// The second argument of `call` as a whole number within bounds.
pub(super) fn whole_number(args: &AccumulatorArgs, call: &str, bounds: RangeInclusive<usize>) -> Result<usize> {
    let value = constant(args, 1);
    if let Some(ScalarValue::Int64(Some(number))) = value
        && let Ok(number) = usize::try_from(number)
        && bounds.contains(&number)
    {
        return Ok(number);
    }
    let (least, most) = bounds.into_inner();
    plan_err!("the second argument of {call} must be a number from {least} to {most}, found {}", shown(value.as_ref()))
}

/// The second argument of `call` as a number from 0 to 1.
pub(super) fn fraction(args: &AccumulatorArgs, call: &str) -> Result<f64> {
    match constant(args, 1) {
        Some(ScalarValue::Float64(Some(number))) if (0.0..=1.0).contains(&number) => Ok(number),
        other => plan_err!(
            "the second argument of {call} must be a number from 0 to 1, such as 0.95, found {}",
            shown(other.as_ref())
        ),
    }
}

/// The second argument of `call` as a duration, microseconds.
pub(super) fn duration_micros(args: &AccumulatorArgs, call: &str) -> Result<i64> {
    parse_duration_micros(constant(args, 1).as_ref(), call)
}

/// A constant such as '1 hour', microseconds.
pub(super) fn parse_duration_micros(value: Option<&ScalarValue>, call: &str) -> Result<i64> {
    let Some(text) = value.and_then(ScalarValue::try_as_str).flatten() else {
        return plan_err!("{call} needs a duration such as '1 hour', found {}", shown(value));
    };
    let micros = parse_duration(text).map(|duration| i64::try_from(duration.as_micros()));
    match micros {
        Ok(Ok(micros @ 1..)) => Ok(micros),
        Ok(Ok(_)) => plan_err!("{call} needs a duration of a microsecond or more, found '{text}'"),
        Ok(Err(_)) => plan_err!("{call} needs a duration such as '1 hour', '{text}' is longer than any stream"),
        Err(reason) => plan_err!("{call} needs a duration such as '1 hour', '{text}' is none: {reason}"),
    }
}

/// Refuses what the functions of this folder would silently ignore.
pub(super) fn refuse_modifiers(args: &AccumulatorArgs, call: &str) -> Result<()> {
    if args.is_distinct {
        return plan_err!("{call} takes no DISTINCT: leave it out");
    }
    if !args.order_bys.is_empty() {
        return plan_err!("{call} takes no ORDER BY: leave it out");
    }
    Ok(())
}

/// The type of a number of something: any integer becomes one of 64 bits.
pub(super) fn whole_number_type(found: &DataType, call: &str) -> Result<DataType> {
    if found.is_integer() {
        return Ok(DataType::Int64);
    }
    plan_err!("the second argument of {call} must be a number such as 20, found {found}")
}

/// The type of a quantity: any number becomes a 64-bit float.
pub(super) fn quantity_type(found: &DataType, call: &str) -> Result<DataType> {
    if found.is_numeric() || found.is_null() {
        return Ok(DataType::Float64);
    }
    plan_err!("{call} needs a number, found {found}")
}

/// The type of a time: microseconds, in the zone it has.
pub(super) fn time_type(found: &DataType, call: &str) -> Result<DataType> {
    match found {
        DataType::Timestamp(_, zone) => Ok(DataType::Timestamp(TimeUnit::Microsecond, zone.clone())),
        _ => plan_err!("{call} needs a timestamp as its time, found {found}: to_timestamp(...) makes one"),
    }
}

/// Text stays what it is in any layout.
pub(super) fn text_type(found: &DataType, call: &str) -> Result<DataType> {
    match found {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(found.clone()),
        _ => plan_err!("{call} needs a duration such as '1 hour', found {found}"),
    }
}

/// The values of a time argument.
pub(super) fn times(column: &ArrayRef) -> Result<&TimestampMicrosecondArray> {
    as_timestamp_microsecond_array(column)
}
