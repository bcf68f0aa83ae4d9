//! When a value expires: by the age that its bucket allows, and by the time to live that its writer gave it.

use std::time::Duration;

use crate::bus::stored::StoredMessage;

/// The header by which a writer says how long a message lives.
const TIME_TO_LIVE: &str = "Nats-TTL";

/// A message that outlives the age that its stream allows.
const NEVER: &str = "never";

/// The instant from which the message is no value any more, in microseconds since 1970 by the server's clock; `None`: it
/// stays. The server takes it away then, or up to a second later, and tells nobody unless the bucket keeps marks of that.
pub(super) fn expires_micros(message: &StoredMessage, most_age: Duration) -> Option<i64> {
    let header = message.header(TIME_TO_LIVE);
    if header == Some(NEVER) {
        return None;
    }
    let by_age = (!most_age.is_zero()).then_some(most_age);
    let lives = match (by_age, header.and_then(time_to_live)) {
        (Some(age), Some(lives)) => age.min(lives),
        (age, lives) => age.or(lives)?,
    };
    Some(message.published_micros.saturating_add(i64::try_from(lives.as_micros()).unwrap_or(i64::MAX)))
}

/// What the header says: seconds, or a duration as Go writes it (`1m30s`), of which the server takes the whole seconds.
fn time_to_live(text: &str) -> Option<Duration> {
    let lives = text.parse().map(Duration::from_secs).ok().or_else(|| go_duration(text))?;
    (!lives.is_zero()).then_some(lives)
}

/// The whole seconds of numbers that are each followed by a unit.
fn go_duration(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        seconds += number.parse::<f64>().ok()? * seconds_of(unit)?;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds.trunc()).ok()
}

fn seconds_of(unit: &str) -> Option<f64> {
    match unit {
        "h" => Some(3600.0),
        "m" => Some(60.0),
        "s" => Some(1.0),
        "ms" => Some(1e-3),
        "us" | "µs" => Some(1e-6),
        "ns" => Some(1e-9),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::bus::sequence::StreamSequence;
    use crate::bus::subject::Subject;

    fn expires(header: Option<&str>, most_age: u64) -> Option<i64> {
        let message = StoredMessage {
            subject: Subject::new("$KV.SHOP.a").unwrap(),
            sequence: StreamSequence(1),
            published_micros: 7_000_000,
            headers: header.map(|text| ("Nats-TTL".to_owned(), text.to_owned())).into_iter().collect(),
            payload: Bytes::new(),
        };
        expires_micros(&message, Duration::from_secs(most_age)).map(|micros| micros / 1_000_000)
    }

    #[test]
    fn what_ends_first_ends_a_value() {
        assert_eq!(expires(None, 0), None);
        assert_eq!(expires(None, 3), Some(10));
        assert_eq!(expires(Some("1s"), 0), Some(8));
        assert_eq!(expires(Some("1s"), 3), Some(8));
        assert_eq!(expires(Some("5"), 3), Some(10));
        assert_eq!(expires(Some("never"), 3), None);
    }

    #[test]
    fn a_time_to_live_is_read_as_the_server_reads_it() {
        for (text, seconds) in [("90", 90), ("1m30s", 90), ("1500ms", 1), ("1.5s", 1), ("2h0.5m", 7230)] {
            assert_eq!(time_to_live(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0", "s", "1d", "-1s", "1s2", "999ms", "1..5s"] {
            assert_eq!(time_to_live(text), None, "{text}");
        }
        assert_eq!(expires(Some("18446744073709551615"), 0), Some(i64::MAX / 1_000_000));
    }
}
