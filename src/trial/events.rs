//! The events of a case as messages of a stream.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::case::{Case, Events};
use super::error::TrialError;
use crate::bus::{Encoding, Message, StreamSequence, Subject};
use crate::pipeline::{Pipeline, StreamPlan, concrete};

/// The broker's time of a message that no event of the case says anything about: after all of them.
const AFTER_ALL_MICROS: i64 = 4_102_444_800_000_000;

/// When the broker received each line of a case that does not say so: at the least event time of its own and all later
/// events. Times before those that their stream believes tell nothing, and neither does a line that a column of its own
/// says it of.
pub(super) fn received(case: &Case, pipeline: &Pipeline) -> Vec<i64> {
    let mut received = Vec::new();
    let mut least = AFTER_ALL_MICROS;
    for events in case.events.iter().rev() {
        let stream = pipeline.stream_named(&events.stream).map(|stream| pipeline.stream(stream));
        for line in lines(events).rev() {
            let told = stream.map(|stream| Told::of(line, stream)).unwrap_or_default();
            least = told.least.map_or(least, |time| time.min(least));
            received.push(if told.says_received { AFTER_ALL_MICROS } else { least });
        }
    }
    received.reverse();
    received
}

/// What the events of a line say of time.
#[derive(Default)]
struct Told {
    /// The least event time that is believed, microseconds.
    least: Option<i64>,
    /// Whether a column says when one was received.
    says_received: bool,
}

impl Told {
    fn of(line: &str, stream: &StreamPlan) -> Self {
        let settings = &stream.decode;
        let events = match serde_json::from_str(line) {
            Ok(Value::Array(events)) => events,
            Ok(event) => vec![event],
            // It is going to be refused.
            Err(_) => Vec::new(),
        };
        let time = |value: Value| match value {
            Value::Number(number) => settings.micros_of_number(&number),
            Value::String(text) => settings.micros_of_text(&text),
            _ => None,
        };
        let field = |column: &str| stream.contract.field(column).map(|(_, field)| field);
        let own = field(&settings.time_column);
        let times = events.iter().filter_map(|event| time(own?.value_in(event)?));
        let received = settings.received_column.as_deref().and_then(field);
        Self {
            least: times.filter(|time| *time >= settings.earliest_micros).min(),
            says_received: received.is_some_and(|column| {
                events.iter().filter_map(|event| column.value_in(event)).any(|value| !value.is_null())
            }),
        }
    }
}

fn lines(events: &Events) -> impl DoubleEndedIterator<Item = &str> {
    events.lines.lines().filter(|line| !line.trim().is_empty())
}

/// Each line is a message; `received` has the broker's time of each unless the case says it, and `sequence` is that of the
/// last one before.
pub(super) fn messages(
    events: &Events,
    stream: &StreamPlan,
    received: &mut impl Iterator<Item = i64>,
    sequence: &mut u64,
) -> Result<Vec<Message>, TrialError> {
    let subject = match &events.subject {
        Some(subject) => Subject::new(subject)?,
        None => concrete(stream.subjects.first().ok_or(TrialError::NoSubject)?, "replay")?,
    };
    let published = events.published.as_deref().map(micros).transpose()?;
    Ok(lines(events)
        .zip(received)
        .map(|(line, received)| {
            *sequence += 1;
            Message {
                payload: line.as_bytes().to_vec().into(),
                sequence: StreamSequence(*sequence),
                published_micros: published.unwrap_or(received),
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
