//! Requests for rankings, between bytes of 0x1E.

use std::sync::Arc;
use std::time::Duration;

use tidewheel::event::{Contract, TimeUnit};
use tidewheel::score::{RequestDecoder, RequestTime};
use tidewheel::time::EventTime;

use super::shipped_text;
use crate::fuzz::engine::{Outcome, Target};
use crate::fuzz::pack::messages;

/// When the requests arrive: 2026-09-21T14:13:20Z.
const ARRIVED: EventTime = EventTime(1_790_000_000_000_000);

/// Ids are texts, a time is a date, and there is more to a request.
const OTHER: &str = r#"{"type": "object", "properties": {
    "request_id": {"type": "string"},
    "items": {"type": "array", "items": {"type": "string", "maxLength": 20}},
    "user_id": {"type": ["string", "null"]},
    "ts": {"type": "string", "format": "date-time"},
    "page": {"type": ["array", "null"], "items": {"type": "number"}}
}, "required": ["request_id", "items"]}"#;

pub const TARGET: Target = Target {
    name: "requests",
    seconds: 2,
    dictionary: &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\u{1e}",
        "null",
        "\"request_id\"",
        "\"items\"",
        "\"context\"",
        "\"user_id\"",
        "\"ts\"",
        "\"page\"",
        "\"context\":{",
        "\\u0000",
        "\\ud800",
        "1e99",
        "1.0",
        "-0",
        "9223372036854775808",
        "2026-09-21T14:13:20Z",
    ],
    inputs: || {
        let inputs = [
            "{\"request_id\":\"r1\",\"user_id\":7,\"items\":[3,14,15]}\u{1e}{\"request_id\":\"r2\",\"user_id\":1,\"items\":[2],\"ts\":1790000000000}",
            r#"{"request_id":"r","items":["a","b"],"context":{"user_id":"u","ts":"2026-09-21T14:13:20Z","page":[1.5]}}"#,
        ];
        inputs.map(|text| text.as_bytes().to_vec()).to_vec()
    },
    reader: || {
        let contracts = [shipped_text("schemas/ranking_request.json"), OTHER.to_owned()];
        let mut decoders = contracts.map(|contract| {
            let contract = Arc::new(Contract::parse(&contract).unwrap());
            let (column, unit) = ("ts".to_owned(), TimeUnit::Milliseconds);
            let (earliest, ahead) = (EventTime(946_684_800_000_000), Duration::from_secs(60));
            let time = RequestTime { column, unit, zone: None, earliest, ahead };
            RequestDecoder::new(contract, "item_id", time, Some("user_id"), 100).unwrap()
        });
        Box::new(move |input| {
            let payloads = messages(input);
            let mut outcome = Outcome::Refused(String::new());
            for decoder in &mut decoders {
                let decoded = decoder.decode(&payloads, ARRIVED).unwrap();
                let rows = decoded.rows.num_rows();
                assert_eq!(decoded.groups.iter().map(|group| group.rows).sum::<usize>(), rows);
                assert_eq!((decoded.times.len(), decoded.groups.len()), (rows, decoded.payloads.len()));
                let mut answered: Vec<usize> = decoded.payloads.clone();
                answered.extend(decoded.refused.iter().map(|(payload, _)| payload));
                answered.sort_unstable();
                assert_eq!(answered, (0..payloads.len()).collect::<Vec<_>>(), "each is answered once");
                for row in 0..rows {
                    let mut json = Vec::new();
                    decoded.items.write_json(row, &mut json);
                    serde_json::from_slice::<serde_json::Value>(&json).unwrap();
                }
                for user in decoded.groups.iter().filter_map(|group| group.user.as_ref()) {
                    serde_json::from_str::<serde_json::Value>(user).unwrap();
                }
                outcome = match (decoded.groups.is_empty(), decoded.refused.first(), outcome) {
                    (false, _, _) | (_, _, Outcome::Accepted) => Outcome::Accepted,
                    (true, Some((_, reason)), Outcome::Refused(before)) => Outcome::Refused(before + reason),
                    (true, None, outcome) => outcome,
                };
            }
            outcome
        })
    },
};
