//! Parts of the messages of errors.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::bus::difference::Difference;
use crate::bus::key_value::Revision;

/// Streams that are named in the message of [`BusError::NoRoom`](super::BusError::NoRoom); the rest are counted.
const NAMED: usize = 5;

pub(super) fn reserved_by(reserved: &[(String, u64)]) -> String {
    if reserved.is_empty() {
        return String::new();
    }
    let all: u64 = reserved.iter().map(|(_, bytes)| bytes).sum();
    let named: Vec<String> =
        reserved.iter().take(NAMED).map(|(stream, bytes)| format!("{bytes} for {stream:?}")).collect();
    let more = reserved.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and more for {more} others") } else { String::new() };
    format!(", and has set {all} aside ({}{more})", named.join(", "))
}

pub(super) fn way_out(differences: &[Difference]) -> &'static str {
    if differences.iter().any(|difference| difference.field == "subjects") {
        return "if another pipeline made it, whose name and stream make the same name, rename one of them; otherwise change \
                it, or use another name";
    }
    "change it, or use another name"
}

pub(super) fn list(differences: &[Difference]) -> String {
    let parts: Vec<String> = differences.iter().map(ToString::to_string).collect();
    parts.join(", ")
}

pub(super) fn at(revision: Option<Revision>) -> String {
    revision.map_or_else(|| "without a value".to_owned(), |revision| format!("at revision {revision}"))
}

pub(super) fn moment(micros: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000);
    moment.ok().and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{micros} microseconds"))
}

pub(super) fn and_more(others: usize) -> String {
    match others {
        0 => String::new(),
        n => format!(", and {n} more"),
    }
}
