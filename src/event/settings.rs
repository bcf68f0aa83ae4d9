//! How a stream is decoded, and why it cannot be.

use std::fmt;

use arrow::error::ArrowError;

use super::binary::AvroFraming;
use super::check::Limits;
use super::instant::{self, TimeZone};
use super::rule::FieldType;
use super::time::TimeUnit;
use crate::fault::{Judged, Judgement};

/// How the events of a stream are decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeSettings {
    /// The property that holds the event time: required, a number or a date-time.
    pub time_column: String,
    /// What an event time counts that is a number; date-times say it themselves.
    pub time_unit: TimeUnit,
    /// The zone of times that are written without an offset from UTC; none refuses them.
    pub time_zone: Option<TimeZone>,
    /// The earliest event time that is believed, in microseconds since 1970.
    pub earliest_micros: i64,
    /// How far an event time may be ahead of the time at which the event was received.
    pub ahead_micros: i64,
    /// Whose clock tells when an event happened.
    pub clock: Clock,
    /// The property that says when an event was received, where that was before the broker took its message.
    pub received_column: Option<String>,
    /// The schemas of events in Avro; none for those in JSON.
    pub avro: Option<AvroFraming>,
    /// Size and depth of one JSON event. A row of an Arrow stream is limited by the broker's message size only.
    pub limits: Limits,
}

impl DecodeSettings {
    /// Milliseconds, from the year 2000 on, up to one minute ahead of the broker, 64 KiB, 16 levels.
    #[must_use]
    pub fn new(time_column: impl Into<String>) -> Self {
        Self {
            time_column: time_column.into(),
            time_unit: TimeUnit::default(),
            time_zone: None,
            avro: None,
            earliest_micros: 946_684_800_000_000,
            ahead_micros: 60_000_000,
            clock: Clock::default(),
            received_column: None,
            limits: Limits::default(),
        }
    }

    /// Microseconds since 1970 of a time that is a number.
    pub(crate) fn micros_of_number(&self, number: &serde_json::Number) -> Option<i64> {
        match number.as_i64() {
            Some(units) => Some(units.saturating_mul(self.time_unit.micros())),
            None => number.as_f64().map(|units| self.time_unit.micros_of(units)),
        }
    }

    /// Microseconds since 1970 of a time that is a text, or a number in a text.
    pub(crate) fn micros_of_text(&self, text: &str) -> Option<i64> {
        let instant = instant::micros(text.as_bytes(), self.time_zone).ok();
        instant.or_else(|| self.micros_of_number(&text.parse().ok()?))
    }
}

/// Saved states are told apart by this text: what was added later is in it only where it is set.
impl fmt::Debug for DecodeSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("DecodeSettings");
        shown
            .field("time_column", &self.time_column)
            .field("time_unit", &self.time_unit)
            .field("earliest_micros", &self.earliest_micros)
            .field("ahead_micros", &self.ahead_micros)
            .field("clock", &self.clock)
            .field("received_column", &self.received_column)
            .field("limits", &self.limits);
        if let Some(zone) = &self.time_zone {
            shown.field("time_zone", zone);
        }
        if let Some(avro) = &self.avro {
            shown.field("avro", avro);
        }
        shown.finish()
    }
}

/// Whose clock tells when an event happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Clock {
    /// That of whoever made the event: its time as it is.
    #[default]
    Event,
    /// The broker's: the time at which the event was received.
    Broker,
    /// The event's, corrected by when its maker says that it was sent: time + received - sent.
    Sent {
        /// The property that says it.
        column: String,
    },
}

/// What a column of times tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeRole {
    /// When an event happened.
    Time,
    /// When it was sent.
    Sent,
    /// When it was received.
    Received,
}

impl fmt::Display for TimeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "time",
            Self::Sent => "sent",
            Self::Received => "received",
        })
    }
}

/// Why there can be no decoder, or no batch.
#[derive(Debug, thiserror::Error)]
pub enum DecoderError {
    /// The contract lacks a column of times.
    #[error("{role} column \"{name}\" is not in the contract; name one of {}", .properties.join(", "))]
    NoTimeColumn {
        /// What it would tell.
        role: TimeRole,
        /// The column that was asked for.
        name: String,
        /// The columns that there are.
        properties: Vec<String>,
    },
    /// A column of times is of a type that is no time.
    #[error("{role} column \"{name}\" is of type {found}; use an integer, a number or a date-time")]
    TimeColumnType {
        /// What it would tell.
        role: TimeRole,
        /// The column.
        name: String,
        /// Its type.
        found: FieldType,
    },
    /// The time column may be absent or null.
    #[error("time column \"{name}\" is optional; list it in \"required\" and take null out of its type")]
    OptionalTimeColumn {
        /// The column.
        name: String,
    },
    /// The schema of a binary format does not fit the contract.
    #[error("the stream's schema doesn't fit its contract: {detail}")]
    Schema {
        /// What they disagree on.
        detail: String,
    },
    /// Rows that are columns already do not have the contract's.
    #[error("rows can't be read by the contract of their stream: {detail}")]
    Rows {
        /// The column, what was expected and what was found.
        detail: String,
    },
    /// The columns could not be built: more than 2 GiB of text in one call, or a bug.
    #[error("events could not be put into columns: {0}")]
    Columns(#[from] ArrowError),
}

impl DecoderError {
    /// What the column tells that is at fault, where one is.
    pub(crate) fn role(&self) -> TimeRole {
        match self {
            Self::NoTimeColumn { role, .. } | Self::TimeColumnType { role, .. } => *role,
            Self::OptionalTimeColumn { .. } | Self::Schema { .. } | Self::Rows { .. } | Self::Columns(_) => {
                TimeRole::Time
            }
        }
    }
}

impl Judged for DecoderError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::NoTimeColumn { .. }
            | Self::TimeColumnType { .. }
            | Self::OptionalTimeColumn { .. }
            | Self::Schema { .. } => Judgement::OPERATOR,
            Self::Rows { .. } => Judgement::DATA,
            Self::Columns(_) => Judgement::DEFECT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What this text was made of before there was more: a saved state is found by it.
    #[test]
    fn settings_that_are_not_set_leave_no_trace_in_the_text_that_tells_states_apart() {
        let mut settings = DecodeSettings::new("ts");
        let text = "DecodeSettings { time_column: \"ts\", time_unit: Milliseconds, earliest_micros: 946684800000000, \
                    ahead_micros: 60000000, clock: Event, received_column: None, limits: Limits { max_event_bytes: 65536, \
                    max_depth: 16 } }";
        assert_eq!(format!("{settings:?}"), text);
        settings.time_zone = TimeZone::named("Europe/Berlin");
        assert_eq!(format!("{settings:?}"), text.replace(" } }", " }, time_zone: Europe/Berlin }"));
    }

    #[test]
    fn a_contract_without_a_time_is_the_operators_and_columns_that_do_not_fit_are_a_bug() {
        let missing =
            DecoderError::NoTimeColumn { role: TimeRole::Time, name: "ts".to_owned(), properties: Vec::new() };
        assert_eq!(missing.judgement(), Judgement::OPERATOR);
        let columns = DecoderError::Columns(ArrowError::ComputeError("lengths differ".to_owned()));
        assert_eq!(columns.judgement(), Judgement::DEFECT);
    }
}
