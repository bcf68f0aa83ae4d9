//! Why an event cannot be used.

use std::fmt;

use bytes::Bytes;

use super::scan::SyntaxError;

/// An event that was refused: it goes to the dead-letter subject with this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Index of its message in the decoded slice; for rows that were columns already, that of the first row of its message.
    pub message: u32,
    /// What kind of fault it is.
    pub reason: RejectReason,
    /// The field, what was expected and what was found.
    pub detail: String,
    /// The event's own bytes: a slice of the payload. For a row that came as columns they are a stream of one row with the
    /// contract's columns; others are left out, because repeating a wide schema for each bad row could fill the memory.
    pub bytes: Bytes,
}

/// The kinds of fault: few and fixed, so that they can label a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// Not JSON, not UTF-8, or empty.
    InvalidJson,
    /// A value of another type than the contract's, or an event that is not an object.
    WrongType,
    /// A required field is absent.
    MissingField,
    /// A field of the contract appears twice.
    DuplicateField,
    /// A field that a contract with `"additionalProperties": false` does not have.
    UnknownField,
    /// A value outside the contract's enum, range or length.
    Constraint,
    /// A number that is NaN, infinite or too large for 64-bit floating point.
    NotFinite,
    /// More bytes than an event may have.
    TooLarge,
    /// Nested deeper than an event may be.
    TooDeep,
    /// An event time before the earliest accepted one, or ahead of the broker's clock.
    TimeOutOfBounds,
    /// Not an Arrow IPC stream, or one whose columns do not fit the contract.
    InvalidArrow,
    /// Not compressed as the message's header says, or in a way that is not known.
    InvalidEncoding,
    /// Not a record of Avro by a schema of its stream.
    InvalidAvro,
}

impl RejectReason {
    /// Every reason.
    pub(crate) const ALL: [Self; 13] = [
        Self::InvalidJson,
        Self::WrongType,
        Self::MissingField,
        Self::DuplicateField,
        Self::UnknownField,
        Self::Constraint,
        Self::NotFinite,
        Self::TooLarge,
        Self::TooDeep,
        Self::TimeOutOfBounds,
        Self::InvalidArrow,
        Self::InvalidEncoding,
        Self::InvalidAvro,
    ];

    /// The reason's name in dead letters and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::WrongType => "wrong_type",
            Self::MissingField => "missing_field",
            Self::DuplicateField => "duplicate_field",
            Self::UnknownField => "unknown_field",
            Self::Constraint => "constraint",
            Self::NotFinite => "not_finite",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::TimeOutOfBounds => "time_out_of_bounds",
            Self::InvalidArrow => "invalid_arrow",
            Self::InvalidEncoding => "invalid_encoding",
            Self::InvalidAvro => "invalid_avro",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The fault of one object or row, before it is known where it came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Flaw {
    /// What kind of fault it is.
    pub reason: RejectReason,
    /// The field, what was expected and what was found.
    pub detail: String,
}

impl Flaw {
    pub(super) fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// The same, in a field whose name is given as the key of a JSON object, with its colon.
    pub(super) fn in_field(self, key: &[u8]) -> Self {
        let name = String::from_utf8_lossy(key.strip_suffix(b":").unwrap_or(key));
        Self { detail: format!("field {name}: {}", self.detail), ..self }
    }
}

impl From<SyntaxError> for Flaw {
    fn from(error: SyntaxError) -> Self {
        Self::new(RejectReason::InvalidJson, error.to_string())
    }
}

/// The start of some bytes, readable and short enough for a message.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const LONGEST: usize = 60;
    let mut shown = String::new();
    for char in String::from_utf8_lossy(bytes.get(..LONGEST).unwrap_or(bytes)).chars() {
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    if bytes.len() > LONGEST {
        shown.push('…');
    }
    shown
}
