//! Plain columns as the types of a contract, where no value is lost.
//!
//! | contract | taken |
//! |---|---|
//! | integer | integers of any width; whole floating-point numbers up to 2^53; decimals without a fraction |
//! | number | floating-point numbers of any width; integers and decimals that 64 bits of floating point give back as they were |
//! | string | UTF-8, also in a column of bytes |
//! | date-time | times of any unit in whole microseconds; dates, at midnight; texts as in JSON |
//! | boolean | booleans |
//! | array | lists of such items |
//!
//! Times without a zone, and dates, are of the stream's time zone, or of UTC where it has none.
//!
//! A value that would be lost is named, and null in its place: its row is refused, and its neighbours stay.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, PrimitiveArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
};
use arrow::util::display::array_value_to_string;

use super::instant::{self, NoInstant, TimeZone};
use super::reject::{Flaw, RejectReason, excerpt};
use super::rule::{FieldType, UTC};
use super::unfold::Room;

/// The largest number up to which all integers are floating-point numbers.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// A column of a contract's type.
pub(super) struct Exact {
    pub(super) values: ArrayRef,
    /// What it can't hold, in the order of the rows.
    pub(super) lost: Vec<Lost>,
}

/// A value that the contract's type can't hold.
pub(super) struct Lost {
    pub(super) row: usize,
    /// Its position in the row's list.
    pub(super) item: Option<usize>,
    pub(super) reason: RejectReason,
    pub(super) got: String,
}

/// The column in the contract's type; `None` when its type holds other kinds of values.
///
/// # Errors
/// When there is no room.
pub(super) fn exact(
    values: &ArrayRef,
    wanted: &FieldType,
    zone: Option<TimeZone>,
    room: &mut Room,
) -> Result<Option<Exact>, Flaw> {
    let FieldType::List(item) = wanted else {
        let found = scalars(values, wanted, zone);
        return Ok(found.map(|exact| Exact { lost: lost(values, &exact, wanted, zone), values: exact }));
    };
    let Some(lists) = values.as_list_opt::<i32>() else { return Ok(None) };
    let found = if *lists.values().data_type() == DataType::Null {
        // Lists that are all empty, or of nulls: how many are claimed costs nothing in the message.
        room.take(lists.values().len().saturating_mul(size_of::<i64>()))?;
        Some(Exact { values: new_null_array(&item.data_type(), lists.values().len()), lost: Vec::new() })
    } else {
        exact(lists.values(), item, zone, room)?
    };
    let (Some(items), DataType::List(field)) = (found, wanted.data_type()) else { return Ok(None) };
    let lost = items.lost.into_iter().filter_map(|lost| in_its_list(lists, lost)).collect();
    let lists = ListArray::try_new(field, lists.offsets().clone(), items.values, lists.nulls().cloned());
    Ok(lists.ok().map(|lists| Exact { values: Arc::new(lists), lost }))
}

/// Times of any unit, or days, in microseconds; null where that can't be held. `None`: another kind of values.
pub(super) fn times(values: &ArrayRef, zone: Option<TimeZone>) -> Option<TimestampMicrosecondArray> {
    let has_zone = matches!(values.data_type(), DataType::Timestamp(_, Some(_)));
    let micros = in_micros(values)?;
    let instants = match zone.filter(|_| !has_zone) {
        Some(zone) => micros.unary_opt(|local| zone.instant(local)),
        None => micros,
    };
    Some(instants.with_timezone(UTC))
}

/// Times by the clock that they were written by.
fn in_micros(values: &ArrayRef) -> Option<TimestampMicrosecondArray> {
    Some(match values.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            values.as_primitive::<TimestampSecondType>().unary_opt(|seconds| seconds.checked_mul(1_000_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            values.as_primitive::<TimestampMillisecondType>().unary_opt(|millis| millis.checked_mul(1_000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => values.as_primitive::<TimestampMicrosecondType>().clone(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => values
            .as_primitive::<TimestampNanosecondType>()
            .unary_opt(|nanos| (nanos % 1_000 == 0).then_some(nanos / 1_000)),
        DataType::Date32 => values.as_primitive::<Date32Type>().unary(|days| i64::from(days) * 86_400_000_000),
        DataType::Date64 => values.as_primitive::<Date64Type>().unary_opt(|millis| millis.checked_mul(1_000)),
        _ => return None,
    })
}

/// The values that `plain` has and `exact`, which is made of it, has not.
pub(super) fn lost(plain: &ArrayRef, exact: &dyn Array, wanted: &FieldType, zone: Option<TimeZone>) -> Vec<Lost> {
    if plain.null_count() == exact.null_count() {
        return Vec::new();
    }
    let rows = (0..plain.len()).filter(|row| plain.is_valid(*row) && exact.is_null(*row));
    let named = rows.map(|row| {
        let text = array_value_to_string(plain, row).unwrap_or_else(|_| "a value that has no text".to_owned());
        let is_finite = !plain.data_type().is_floating() || text.parse().is_ok_and(f64::is_finite);
        let reason = if is_finite { RejectReason::WrongType } else { RejectReason::NotFinite };
        let got = match (wanted, plain.data_type()) {
            (FieldType::Text, _) => "bytes that are not UTF-8".to_owned(),
            (_, DataType::Utf8) => {
                let remark = instant::micros(text.as_bytes(), zone).err().map_or("", NoInstant::remark);
                format!("\"{}\"{remark}", excerpt(text.as_bytes()))
            }
            (FieldType::Number, _) => format!("{text}, which 64-bit floating point can't hold exactly"),
            (_, found) if found.is_temporal() => format!("{text}, which whole microseconds can't hold"),
            _ => text,
        };
        Lost { row, item: None, reason, got }
    });
    named.collect()
}

/// An item by its list; none for one that no list has.
fn in_its_list(lists: &ListArray, lost: Lost) -> Option<Lost> {
    let at = i32::try_from(lost.row).ok()?;
    let row = lists.offsets().partition_point(|offset| *offset <= at).checked_sub(1)?;
    let start = *lists.offsets().get(row)?;
    (row < lists.len() && lists.is_valid(row)).then(|| Lost { row, item: Some((at - start) as usize), ..lost })
}

fn scalars(values: &ArrayRef, wanted: &FieldType, zone: Option<TimeZone>) -> Option<ArrayRef> {
    if *values.data_type() == wanted.data_type() {
        return Some(Arc::clone(values));
    }
    match (wanted, values.data_type()) {
        (FieldType::Integer, _) => integers(values).map(|values| Arc::new(values) as ArrayRef),
        (FieldType::Number, _) => numbers(values).map(|values| Arc::new(values) as ArrayRef),
        (FieldType::Text, DataType::Binary) => cast(values, &DataType::Utf8).ok(),
        (FieldType::DateTime, DataType::Utf8) => {
            let texts = values.as_string::<i32>().iter();
            let micros = texts.map(|text| text.and_then(|text| instant::micros(text.as_bytes(), zone).ok()));
            Some(Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone(UTC)))
        }
        (FieldType::DateTime, _) => times(values, zone).map(|values| Arc::new(values) as ArrayRef),
        _ => None,
    }
}

fn integers(values: &ArrayRef) -> Option<Int64Array> {
    match values.data_type() {
        DataType::UInt64 => Some(values.as_primitive::<UInt64Type>().unary_opt(|value| i64::try_from(value).ok())),
        found if found.is_integer() => Some(cast(values, &DataType::Int64).ok()?.as_primitive().clone()),
        found if found.is_floating() => {
            let values = cast(values, &DataType::Float64).ok()?;
            let whole = |value: f64| (value.fract() == 0.0 && value.abs() <= WHOLE).then_some(value as i64);
            Some(values.as_primitive::<Float64Type>().unary_opt(whole))
        }
        found if found.is_decimal() => Some(decimals(values, |text| {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            whole.parse().ok().filter(|_| fraction.bytes().all(|digit| digit == b'0'))
        })),
        _ => None,
    }
}

fn numbers(values: &ArrayRef) -> Option<Float64Array> {
    match values.data_type() {
        DataType::UInt64 => Some(values.as_primitive::<UInt64Type>().unary_opt(|value| float(i128::from(value)))),
        found if found.is_integer() => {
            let values = cast(values, &DataType::Int64).ok()?;
            Some(values.as_primitive::<Int64Type>().unary_opt(|value| float(i128::from(value))))
        }
        found if found.is_floating() => Some(cast(values, &DataType::Float64).ok()?.as_primitive().clone()),
        // Nearest to the decimal, as the same digits are in JSON; written with as many places it must be the decimal again.
        found if found.is_decimal() => Some(decimals(values, |text| {
            let places = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            text.parse().ok().filter(|number: &f64| format!("{number:.places$}") == text)
        })),
        _ => None,
    }
}

/// An integer as a floating-point number, if there is one.
fn float(value: i128) -> Option<f64> {
    let number = value as f64;
    (number as i128 == value).then_some(number)
}

/// Decimals by their digits.
fn decimals<T: ArrowPrimitiveType>(values: &ArrayRef, read: impl Fn(&str) -> Option<T::Native>) -> PrimitiveArray<T> {
    let text = |row| values.is_valid(row).then(|| array_value_to_string(values, row).ok()).flatten();
    (0..values.len()).map(|row| text(row).and_then(|text| read(&text))).collect()
}
