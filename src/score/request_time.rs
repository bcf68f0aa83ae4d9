//! The event time of a request: its column, and which times are believed.

use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit as ArrowUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;

use crate::event::{DecodeSettings, TimeUnit, TimeZone};
use crate::time::EventTime;

/// The event time of requests. It is that of a stream's events, and as far from the clock as theirs may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTime {
    /// Its column.
    pub column: String,
    /// What it counts where it is a number.
    pub unit: TimeUnit,
    /// That of times in a request which have no offset from UTC.
    pub zone: Option<TimeZone>,
    /// The earliest that is believed.
    pub earliest: EventTime,
    /// How far it may be ahead of the clock.
    pub ahead: Duration,
}

impl RequestTime {
    /// That of events which are decoded so.
    pub fn of(events: &DecodeSettings) -> Self {
        Self {
            column: events.time_column.clone(),
            unit: events.time_unit,
            zone: events.time_zone,
            earliest: EventTime(events.earliest_micros),
            ahead: Duration::from_micros(events.ahead_micros.max(0).cast_unsigned()),
        }
    }

    /// A column of such times, in microseconds.
    pub(super) fn micros(&self, times: &ArrayRef) -> Result<TimestampMicrosecondArray, ArrowError> {
        let micros = match times.data_type() {
            DataType::Int64 => {
                let unit = self.unit.micros();
                let micros = times.as_primitive::<Int64Type>().unary::<_, Int64Type>(|time| time.saturating_mul(unit));
                cast(&micros, &time_type())?
            }
            DataType::Float64 => {
                let times = times.as_primitive::<Float64Type>();
                let micros: TimestampMicrosecondArray = times.unary(|time| self.unit.micros_of(time));
                return Ok(micros.with_timezone("+00:00"));
            }
            DataType::Timestamp(..) => cast(times, &time_type())?,
            _ => new_null_array(&time_type(), times.len()),
        };
        Ok(micros.as_primitive::<TimestampMicrosecondType>().clone())
    }

    /// Why nothing can have been shown at this time, and what to do, where the request has arrived then.
    pub(super) fn flaw(&self, time: EventTime, arrived: EventTime) -> Option<String> {
        let Self { column, unit, earliest, ahead, .. } = self;
        let flaw = if time < *earliest {
            format!("before {earliest}, the earliest time that is believed")
        } else if time > arrived.plus(*ahead) {
            format!("more than {ahead:?} after {arrived}, when the request arrived")
        } else {
            return None;
        };
        let unit = match unit {
            TimeUnit::Seconds => "seconds",
            TimeUnit::Milliseconds => "milliseconds",
            TimeUnit::Microseconds => "microseconds",
        };
        Some(format!(
            "`{column}` is {time}, {flaw}: a number counts {unit} since 1970; without it the ranking is of now"
        ))
    }
}

/// The type of event times in columns.
pub(super) fn time_type() -> DataType {
    DataType::Timestamp(ArrowUnit::Microsecond, Some("+00:00".into()))
}
