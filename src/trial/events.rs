//! The events of a case as messages of a stream.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::case::Events;
use super::error::TrialError;
use crate::bus::{Encoding, Message, StreamSequence, Subject};
use crate::pipeline::{StreamPlan, concrete};

/// The broker's time of every message: after all events of a case.
const PUBLISHED_MICROS: i64 = 4_102_444_800_000_000;

/// Each line is a message; `sequence` is that of the last one before.
pub(super) fn messages(events: &Events, stream: &StreamPlan, sequence: &mut u64) -> Result<Vec<Message>, TrialError> {
    let subject = match &events.subject {
        Some(subject) => Subject::new(subject)?,
        None => concrete(stream.subjects.first().ok_or(TrialError::NoSubject)?)?,
    };
    let published_micros = events.published.as_deref().map(micros).transpose()?.unwrap_or(PUBLISHED_MICROS);
    let lines = events.lines.lines().filter(|line| !line.trim().is_empty());
    Ok(lines
        .map(|line| {
            *sequence += 1;
            Message {
                payload: line.as_bytes().to_vec().into(),
                sequence: StreamSequence(*sequence),
                published_micros,
                encoding: Encoding::Json,
                subject: subject.clone(),
            }
        })
        .collect())
}

/// A time as a case has it, microseconds.
pub(super) fn micros(text: &str) -> Result<i64, TrialError> {
    let time =
        OffsetDateTime::parse(text, &Rfc3339).map_err(|source| TrialError::Time { text: text.to_owned(), source })?;
    Ok((time.unix_timestamp_nanos() / 1_000) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_microseconds_and_what_is_none_is_said() {
        assert_eq!(micros("1970-01-01T00:00:01.5Z").unwrap(), 1_500_000);
        let error = micros("yesterday").unwrap_err();
        assert_eq!(error.to_string(), "`yesterday` is not a time such as 2017-11-26T01:00:00Z");
    }
}
