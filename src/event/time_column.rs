//! The column of event times: from the contract's type to microseconds, within the bounds that are believed.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};

use super::contract::Contract;
use super::faults::RowFaults;
use super::reject::{Flaw, RejectReason};
use super::rule::{FieldType, UTC};
use super::settings::{DecodeSettings, DecoderError};
use super::time::{EventTime, TimeBounds};

/// Which column holds the event time, and how to read it.
#[derive(Debug)]
pub(super) struct TimeColumn {
    name: String,
    index: usize,
    /// Microseconds per unit of an integer column; `None` for a column that is a timestamp already.
    factor: Option<i64>,
    bounds: TimeBounds,
    schema: SchemaRef,
}

impl TimeColumn {
    pub(super) fn new(contract: &Contract, settings: &DecodeSettings) -> Result<Self, DecoderError> {
        let name = settings.time_column.clone();
        let Some((index, field)) = contract.field(&name) else {
            let properties = contract.fields().iter().map(|field| field.name().to_owned()).collect();
            return Err(DecoderError::NoTimeColumn { name, properties });
        };
        if !field.is_required() || field.is_nullable() {
            return Err(DecoderError::OptionalTimeColumn { name });
        }
        let factor = match field.field_type() {
            FieldType::Integer => Some(settings.time_unit.micros()),
            FieldType::DateTime => None,
            found => return Err(DecoderError::TimeColumnType { name, found }),
        };
        let time = Arc::new(Field::new(&name, FieldType::DateTime.data_type(), false));
        let columns = contract.schema().fields().iter().enumerate();
        let columns = columns.map(|(at, column)| if at == index { Arc::clone(&time) } else { Arc::clone(column) });
        Ok(Self {
            schema: Arc::new(Schema::new(columns.collect::<Vec<_>>())),
            bounds: TimeBounds { earliest: EventTime(settings.earliest_micros), ahead_micros: settings.ahead_micros },
            name,
            index,
            factor,
        })
    }

    /// The contract's columns with the time column as a timestamp.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Turns the time column into microseconds.
    pub(super) fn convert(&self, columns: &mut [ArrayRef]) {
        if let (Some(factor), Some(column)) = (self.factor, columns.get_mut(self.index)) {
            // Saturated times are out of bounds, as the times that they stand for are.
            let micros = column.as_primitive::<Int64Type>().unary(|value| value.saturating_mul(factor));
            let times: TimestampMicrosecondArray = micros;
            *column = Arc::new(times.with_timezone(UTC));
        }
    }

    /// The rows whose time is not believed. `columns` are converted; `published_micros` is the broker's time of a row's
    /// message.
    pub(super) fn check(&self, columns: &[ArrayRef], published_micros: impl Fn(usize) -> i64) -> RowFaults {
        let mut faults = RowFaults::default();
        let Some(column) = columns.get(self.index) else { return faults };
        for (row, micros) in column.as_primitive::<TimestampMicrosecondType>().values().iter().enumerate() {
            let believed = self.bounds.at(published_micros(row));
            let time = EventTime(*micros);
            if !believed.contains(&time) {
                let (from, to) = (believed.start(), believed.end());
                let detail = format!("field \"{}\": expected a time from {from} to {to}, got {time}", self.name);
                faults.add(row, Flaw::new(RejectReason::TimeOutOfBounds, detail));
            }
        }
        faults
    }
}
