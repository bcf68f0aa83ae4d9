//! The column of event times: from the contract's type to microseconds by the stream's clock, within the bounds that are
//! believed.
//!
//! ```text
//!   clock     event time
//!   event     the column
//!   broker    received                   = the broker's time of the message, or an earlier one that a column has
//!   sent      the column + received - sent
//! ```

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, NullArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Float64Type, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};

use super::contract::{Contract, ContractField};
use super::faults::RowFaults;
use super::instant::TimeZone;
use super::reject::{Flaw, RejectReason};
use super::rule::{FieldType, UTC};
use super::settings::{Clock, DecodeSettings, DecoderError, TimeRole};
use super::time::{TimeBounds, TimeUnit};
use crate::time::EventTime;

/// Which column holds the event time, and how to read it.
#[derive(Debug)]
pub(super) struct TimeColumn {
    name: String,
    time: Times,
    clock: ColumnClock,
    received: Option<Times>,
    zone: Option<TimeZone>,
    bounds: TimeBounds,
    schema: SchemaRef,
}

/// A column of times.
#[derive(Debug, Clone, Copy)]
struct Times {
    index: usize,
    form: TimeForm,
}

/// How a column has times.
#[derive(Debug, Clone, Copy)]
enum TimeForm {
    /// It counts units since 1970.
    Integer(TimeUnit),
    /// The same, with fractions.
    Number(TimeUnit),
    /// It is a timestamp already.
    Timestamp,
}

/// Whose clock tells the event time.
#[derive(Debug)]
enum ColumnClock {
    Event,
    Broker,
    Sent { name: String, times: Times },
}

impl TimeColumn {
    pub(super) fn new(contract: &Contract, settings: &DecodeSettings) -> Result<Self, DecoderError> {
        let unit = settings.time_unit;
        let name = settings.time_column.clone();
        let (time, field) = Times::find(contract, TimeRole::Time, &name, unit)?;
        // What the event says of its time is not looked at where the broker's counts.
        if settings.clock != Clock::Broker && (!field.is_required() || field.is_nullable()) {
            return Err(DecoderError::OptionalTimeColumn { name });
        }
        let clock = match &settings.clock {
            Clock::Event => ColumnClock::Event,
            Clock::Broker => ColumnClock::Broker,
            Clock::Sent { column } => {
                let (times, _) = Times::find(contract, TimeRole::Sent, column, unit)?;
                ColumnClock::Sent { name: column.clone(), times }
            }
        };
        let received = settings.received_column.as_ref();
        let received = received.map(|column| Times::find(contract, TimeRole::Received, column, unit)).transpose()?;
        let converted = Arc::new(Field::new(&name, FieldType::DateTime.data_type(), false));
        let columns = contract.schema().fields().iter().enumerate();
        let columns =
            columns.map(|(at, column)| if at == time.index { Arc::clone(&converted) } else { Arc::clone(column) });
        Ok(Self {
            schema: Arc::new(Schema::new(columns.collect::<Vec<_>>())),
            bounds: TimeBounds { earliest: EventTime(settings.earliest_micros), ahead_micros: settings.ahead_micros },
            name,
            time,
            clock,
            received: received.map(|(times, _)| times),
            zone: settings.time_zone,
        })
    }

    /// The contract's columns with the time column as a timestamp.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Where the time column stands.
    pub(super) fn index(&self) -> usize {
        self.time.index
    }

    /// That of times which don't say how far they are from UTC.
    pub(super) fn zone(&self) -> Option<TimeZone> {
        self.zone
    }

    /// Whether the contract's time is a number.
    pub(super) fn counts(&self) -> bool {
        !matches!(self.time.form, TimeForm::Timestamp)
    }

    /// Times as the contract's number of units.
    pub(super) fn units(&self, micros: &TimestampMicrosecondArray) -> ArrayRef {
        match self.time.form {
            TimeForm::Integer(unit) => {
                let units: Int64Array = micros.unary(|micros| micros.div_euclid(unit.micros()));
                Arc::new(units)
            }
            TimeForm::Number(unit) => {
                let units: Float64Array = micros.unary(|micros| micros as f64 / unit.micros() as f64);
                Arc::new(units)
            }
            TimeForm::Timestamp => Arc::new(micros.clone()),
        }
    }

    /// When each row was received: at the broker's time of its message, or before that when a column says so. `columns` are
    /// the contract's, `origin` has the message of each row, and `published_micros` is the broker's time of a message.
    pub(super) fn received(
        &self,
        columns: &[ArrayRef],
        origin: &[u32],
        published_micros: impl Fn(u32) -> i64,
    ) -> Vec<i64> {
        let mut received: Vec<i64> = Vec::with_capacity(origin.len());
        received.extend(origin.iter().map(|message| published_micros(*message)));
        if let Some(times) = &self.received {
            for (row, received) in received.iter_mut().enumerate() {
                *received = times.micros(columns, row).map_or(*received, |earlier| earlier.min(*received));
            }
        }
        received
    }

    /// Turns the time column into microseconds by the stream's clock, in place when nobody else has it.
    pub(super) fn convert(&self, columns: &mut [ArrayRef], received: &[i64]) {
        match &self.clock {
            ColumnClock::Event => self.time.convert(columns),
            ColumnClock::Broker => {
                if let Some(column) = columns.get_mut(self.time.index) {
                    *column = timestamps(received.to_vec());
                }
            }
            ColumnClock::Sent { times, .. } => {
                let corrections: Vec<i64> = received
                    .iter()
                    .enumerate()
                    .map(|(row, received)| times.micros(columns, row).map_or(0, |sent| received.saturating_sub(sent)))
                    .collect();
                self.time.convert(columns);
                if let Some(column) = columns.get_mut(self.time.index) {
                    let own = column.as_primitive::<TimestampMicrosecondType>().values();
                    let corrected = own.iter().zip(corrections).map(|(time, by)| time.saturating_add(by));
                    *column = timestamps(corrected.collect());
                }
            }
        }
    }

    /// The rows whose time is not believed. `columns` are converted; `received` says when each row was.
    pub(super) fn check(&self, columns: &[ArrayRef], received: &[i64]) -> RowFaults {
        let mut faults = RowFaults::default();
        let Some(column) = columns.get(self.time.index) else { return faults };
        let times = column.as_primitive::<TimestampMicrosecondType>().values();
        for (row, (micros, received)) in times.iter().zip(received).enumerate() {
            let (time, believed) = (EventTime(*micros), self.bounds.at(*received));
            if !believed.contains(&time) {
                let (from, to) = (believed.start(), believed.end());
                let corrected = match &self.clock {
                    ColumnClock::Event => String::new(),
                    ColumnClock::Broker => ", which is the broker's time".to_owned(),
                    ColumnClock::Sent { name, .. } => format!(", corrected by \"{name}\""),
                };
                let detail =
                    format!("field \"{}\"{corrected}: expected a time from {from} to {to}, got {time}", self.name);
                faults.add(row, Flaw::new(RejectReason::TimeOutOfBounds, detail));
            }
        }
        faults
    }
}

impl Times {
    /// The column of this name; numbers count `unit`s.
    fn find<'a>(
        contract: &'a Contract,
        role: TimeRole,
        name: &str,
        unit: TimeUnit,
    ) -> Result<(Self, &'a ContractField), DecoderError> {
        let Some((index, field)) = contract.field(name) else {
            let properties = contract.fields().iter().map(|field| field.name().to_owned()).collect();
            return Err(DecoderError::NoTimeColumn { role, name: name.to_owned(), properties });
        };
        let form = match field.field_type() {
            FieldType::Integer => TimeForm::Integer(unit),
            FieldType::Number => TimeForm::Number(unit),
            FieldType::DateTime => TimeForm::Timestamp,
            found => return Err(DecoderError::TimeColumnType { role, name: name.to_owned(), found }),
        };
        Ok((Self { index, form }, field))
    }

    /// The time of a row; none where it is NULL.
    fn micros(self, columns: &[ArrayRef], row: usize) -> Option<i64> {
        let column = columns.get(self.index).filter(|column| column.is_valid(row))?;
        Some(match self.form {
            TimeForm::Integer(unit) => column.as_primitive::<Int64Type>().value(row).saturating_mul(unit.micros()),
            TimeForm::Number(unit) => unit.micros_of(column.as_primitive::<Float64Type>().value(row)),
            TimeForm::Timestamp => column.as_primitive::<TimestampMicrosecondType>().value(row),
        })
    }

    /// Turns the column into microseconds, in place when nobody else has it. One of timestamps is so already.
    fn convert(self, columns: &mut [ArrayRef]) {
        let Some(column) = columns.get_mut(self.index) else { return };
        // Saturated times are out of bounds, as the times that they stand for are.
        match self.form {
            TimeForm::Integer(unit) => {
                let Some(units) = column.as_primitive_opt::<Int64Type>().cloned() else { return };
                *column = Arc::new(NullArray::new(0));
                let in_micros = |units: i64| units.saturating_mul(unit.micros());
                let micros = units.unary_mut(in_micros).unwrap_or_else(|shared| shared.unary(in_micros));
                *column = Arc::new(micros.reinterpret_cast::<TimestampMicrosecondType>().with_timezone(UTC));
            }
            TimeForm::Number(unit) => {
                let Some(units) = column.as_primitive_opt::<Float64Type>() else { return };
                let micros: TimestampMicrosecondArray = units.unary(|units| unit.micros_of(units));
                *column = Arc::new(micros.with_timezone(UTC));
            }
            TimeForm::Timestamp => {}
        }
    }
}

fn timestamps(micros: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone(UTC))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::{PUBLISHED, json};
    use crate::event::{Decoded, Decoder, TimeUnit};

    /// In the unit of the events.
    const NOW: i64 = PUBLISHED / 1_000_000;

    fn decoder(clock: Clock, received: Option<&str>) -> Result<Decoder, DecoderError> {
        let contract = r#"{"type": "object", "properties": {
            "ts": {"type": ["integer", "null"]},
            "sent_at": {"type": "integer"},
            "received_at": {"type": "string", "format": "date-time"},
            "made": {"type": "integer"}
        }, "required": ["made"]}"#;
        let time = if clock == Clock::Broker { "ts" } else { "made" };
        let received_column = received.map(str::to_owned);
        let settings =
            DecodeSettings { time_unit: TimeUnit::Seconds, clock, received_column, ..DecodeSettings::new(time) };
        Decoder::new(Arc::new(Contract::parse(contract).expect("a contract")), &settings)
    }

    fn sent() -> Clock {
        Clock::Sent { column: "sent_at".to_owned() }
    }

    /// Seconds of the time in this column, of each event that is accepted.
    fn times(decoded: &Decoded, column: usize) -> Vec<i64> {
        let micros = decoded.batch.column(column).as_primitive::<TimestampMicrosecondType>().values();
        micros.iter().map(|micros| micros / 1_000_000).collect()
    }

    #[test]
    fn a_device_s_clock_is_corrected_by_when_it_says_it_sent_the_event() {
        let mut decoder = decoder(sent(), None).expect("a decoder");
        // Two hours fast, since 1970, right; and one that does not say when it sent.
        let events = [
            format!(r#"{{"made":{},"sent_at":{}}}"#, NOW + 7_200 - 30, NOW + 7_200 - 2),
            r#"{"made":10,"sent_at":70}"#.to_owned(),
            format!(r#"{{"made":{},"sent_at":{NOW}}}"#, NOW - 5),
            format!(r#"{{"made":{}}}"#, NOW - 5),
        ];
        let decoded = decoder.decode(&[json(&events.join("\n"))]).expect("decoded");
        assert_eq!(times(&decoded, 3), [NOW - 28, NOW - 60, NOW - 5, NOW - 5]);
        assert_eq!(decoded.received, [PUBLISHED; 4]);
    }

    #[test]
    fn a_corrected_time_that_is_not_believed_says_what_it_was_corrected_by() {
        let mut decoder = decoder(sent(), None).expect("a decoder");
        // Made an hour after it was sent.
        let decoded = decoder.decode(&[json(&format!(r#"{{"made":{},"sent_at":{NOW}}}"#, NOW + 3_600))]);
        let rejects = decoded.expect("decoded").rejects;
        let (reason, detail) = (rejects[0].reason, rejects[0].detail.as_str());
        assert_eq!(reason, RejectReason::TimeOutOfBounds);
        assert!(
            detail.starts_with("field \"made\", corrected by \"sent_at\": expected a time from 2000-01-01"),
            "{detail}"
        );
    }

    #[test]
    fn by_the_broker_s_clock_an_event_needs_no_time_of_its_own() {
        let mut broker = decoder(Clock::Broker, None).expect("a decoder");
        let decoded = broker.decode(&[json(r#"{"made":1}"#), json(r#"{"made":2,"ts":5}"#)]).expect("decoded");
        assert_eq!((times(&decoded, 0), decoded.rejects.len()), (vec![NOW, NOW], 0));
    }

    #[test]
    fn a_column_says_when_an_event_was_received_but_never_after_the_broker_had_it() {
        let mut decoder = decoder(sent(), Some("received_at")).expect("a decoder");
        let events = [
            format!(r#"{{"made":{},"sent_at":{},"received_at":"2025-12-31T00:00:00Z"}}"#, NOW - 100, NOW - 90),
            format!(r#"{{"made":{NOW},"received_at":"2027-01-01T00:00:00Z"}}"#),
            format!(r#"{{"made":{NOW}}}"#),
            // Ahead of when it was received, though not of the broker.
            format!(r#"{{"made":{NOW},"received_at":"2025-12-31T00:00:00Z"}}"#),
        ];
        let decoded = decoder.decode(&[json(&events.join("\n"))]).expect("decoded");
        let day = 86_400;
        assert_eq!(decoded.received, [PUBLISHED - day * 1_000_000, PUBLISHED, PUBLISHED]);
        assert_eq!(times(&decoded, 3), [NOW - day - 10, NOW, NOW]);
        assert_eq!(decoded.rejects[0].reason, RejectReason::TimeOutOfBounds);
    }

    #[test]
    fn columns_of_times_are_in_the_contract_and_are_times() {
        let problem = |clock, received| decoder(clock, received).expect_err("a problem").to_string();
        let properties = "ts, sent_at, received_at, made";
        let unknown = Clock::Sent { column: "send_at".to_owned() };
        assert_eq!(
            problem(unknown, None),
            format!("sent column \"send_at\" is not in the contract; name one of {properties}")
        );
        assert_eq!(
            problem(Clock::Event, Some("got")),
            format!("received column \"got\" is not in the contract; name one of {properties}")
        );
    }
}
