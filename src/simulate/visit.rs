//! A person opens a page that wants a ranking.

use std::fmt;

use serde::Serialize;

use super::click::{as_millis, as_text, write_json};

/// Who asks for a ranking of what; the JSON form follows `schemas/ranking_request.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Visit {
    /// Unlike that of every other visit of the shop.
    #[serde(serialize_with = "as_text")]
    pub request_id: RequestId,
    /// Who opened the page.
    pub user_id: u64,
    /// Items to rank, each once, in no particular order.
    #[serde(rename = "items")]
    pub candidates: Vec<u64>,
    /// When, in microseconds since 1970; written in whole milliseconds.
    #[serde(rename = "ts", serialize_with = "as_millis")]
    pub ts_micros: i64,
}

/// The number of a request, as text `q17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

impl Visit {
    /// Appends the request as one JSON object, without a line end.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        write_json(self, out);
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "q{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_is_written_as_a_ranking_request() {
        let visit =
            Visit { request_id: RequestId(17), user_id: 3, candidates: vec![9, 4], ts_micros: 1_511_658_000_123_999 };
        let mut out = Vec::new();
        visit.write_json(&mut out);
        let expected = r#"{"request_id":"q17","user_id":3,"items":[9,4],"ts":1511658000123}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
