//! The column of event times: from the contract's type to microseconds, within the bounds that are believed.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, NullArray};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};

use super::contract::Contract;
use super::faults::RowFaults;
use super::reject::{Flaw, RejectReason};
use super::rule::{FieldType, UTC};
use super::settings::{DecodeSettings, DecoderError};
use super::time::TimeBounds;
use crate::time::EventTime;

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

    /// Where the time column stands.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Microseconds per unit, where the contract's time is an integer.
    pub(super) fn factor(&self) -> Option<i64> {
        self.factor
    }

    /// Turns the time column into microseconds, in place when nobody else has it. One of timestamps is so already.
    pub(super) fn convert(&self, columns: &mut [ArrayRef]) {
        if let (Some(factor), Some(column)) = (self.factor, columns.get_mut(self.index))
            && let Some(units) = column.as_primitive_opt::<Int64Type>().cloned()
        {
            *column = Arc::new(NullArray::new(0));
            // Saturated times are out of bounds, as the times that they stand for are.
            let in_micros = |units: i64| units.saturating_mul(factor);
            let micros = units.unary_mut(in_micros).unwrap_or_else(|shared| shared.unary(in_micros));
            *column = Arc::new(micros.reinterpret_cast::<TimestampMicrosecondType>().with_timezone(UTC));
        }
    }

    /// The rows whose time is not believed. `columns` are converted; `origin` has the message of each row, and
    /// `published_micros` is the broker's time of a message.
    pub(super) fn check(
        &self,
        columns: &[ArrayRef],
        origin: &[u32],
        published_micros: impl Fn(u32) -> i64,
    ) -> RowFaults {
        let mut faults = RowFaults::default();
        let Some(column) = columns.get(self.index) else { return faults };
        let times = column.as_primitive::<TimestampMicrosecondType>().values();
        let mut believed_of = None;
        for (row, (micros, message)) in times.iter().zip(origin).enumerate() {
            // Rows of one message stand together.
            let believed = match &believed_of {
                Some((same, believed)) if same == message => believed,
                _ => &believed_of.insert((*message, self.bounds.at(published_micros(*message)))).1,
            };
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
