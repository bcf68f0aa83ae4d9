//! What becomes of messages and of rows that are columns already.

use arrow::array::{Array, AsArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use super::*;
use crate::event::testing::{Encoding, Message, PUBLISHED, arrow, json, message};
use crate::event::{Clock, RejectReason, TimeUnit, TimeZone};

const CONTRACT: &str = r#"{"type": "object", "properties": {
    "ts": {"type": "integer"},
    "user": {"type": "string", "minLength": 1},
    "price": {"type": "number"}
}, "required": ["ts", "user"]}"#;

const NOW: i64 = PUBLISHED / 1_000_000;

fn decoder(contract: &str, limits: Limits) -> Decoder {
    let contract = Arc::new(Contract::parse(contract).expect("a contract"));
    let settings = DecodeSettings { time_unit: TimeUnit::Seconds, limits, ..DecodeSettings::new("ts") };
    Decoder::new(contract, &settings).expect("a decoder")
}

fn decode(messages: &[Message]) -> Decoded {
    let decoded = decoder(CONTRACT, Limits::default()).decode(messages).expect("decoded");
    assert_eq!(decoded.batch.num_rows(), decoded.origin.len());
    decoded
}

fn reasons(decoded: &Decoded) -> Vec<(u32, &'static str)> {
    decoded.rejects.iter().map(|reject| (reject.message, reject.reason.as_str())).collect()
}

fn good(user: &str) -> String {
    format!(r#"{{"ts":{NOW},"user":"{user}"}}"#)
}

#[test]
fn good_events_become_rows_in_their_order_whatever_their_encoding() {
    let rows = RecordBatch::try_from_iter([
        ("user", Arc::new(StringArray::from(vec!["d", "e"])) as ArrayRef),
        ("ts", Arc::new(Int64Array::from(vec![NOW, NOW + 1]))),
    ]);
    let lines = format!("[{},{}]", good("b"), good("c"));
    let messages = [json(&good("a")), json(&lines), arrow(&rows.expect("rows")), json(&good("f"))];
    let decoded = decode(&messages);
    assert_eq!(decoded.origin, [0, 1, 1, 2, 2, 3]);
    let users: Vec<_> = decoded.batch.column(1).as_string::<i32>().iter().flatten().collect();
    assert_eq!(users, ["a", "b", "c", "d", "e", "f"]);
    let times = decoded.batch.column(0).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.value(0), PUBLISHED);
    assert_eq!(times.timezone(), Some("+00:00"));
    assert_eq!(decoded.batch.column(2).null_count(), 6);
    assert_eq!((decoded.batch.num_rows(), decoded.rejects.len()), (6, 0));
}

#[test]
fn nothing_becomes_an_empty_batch() {
    let decoded = decode(&[]);
    assert_eq!((decoded.batch.num_rows(), decoded.batch.num_columns(), decoded.rejects.len()), (0, 3, 0));
}

#[test]
fn times_are_believed_up_to_their_bounds_and_no_further() {
    let event = |ts: i64| format!(r#"{{"ts":{ts},"user":"u"}}"#);
    let (earliest, latest) = (946_684_800, NOW + 60);
    let times = [earliest, earliest - 1, latest, latest + 1, i64::MAX, i64::MIN];
    let lines: Vec<_> = times.into_iter().map(event).collect();
    let decoded = decode(&[json(&lines.join("\n"))]);
    assert_eq!(decoded.batch.num_rows(), 2);
    assert_eq!(reasons(&decoded), [(0, "time_out_of_bounds"); 4]);
    assert_eq!(decoded.rejects[0].bytes, lines[1]);
    assert_eq!(
        decoded.rejects[0].detail,
        "field \"ts\": expected a time from 2000-01-01T00:00:00Z to 2026-01-01T00:01:00Z, got 1999-12-31T23:59:59Z"
    );
}

#[test]
fn date_times_are_read_in_their_own_offset() {
    let contract =
        CONTRACT.replace(r#""ts": {"type": "integer"}"#, r#""ts": {"type": "string", "format": "date-time"}"#);
    let mut decoder = decoder(&contract, Limits::default());
    let event = r#"{"ts":"2026-01-01T01:00:00.25+02:00","user":"u"}"#;
    let decoded = decoder.decode(&[json(event)]).expect("decoded");
    let expected = PUBLISHED - 3_600_000_000 + 250_000;
    assert_eq!(decoded.batch.column(0).as_primitive::<TimestampMicrosecondType>().values(), &[expected]);
}

fn times_of(property: &str, settings: &DecodeSettings, values: &[&str]) -> (Vec<i64>, Vec<String>) {
    let contract = CONTRACT.replace(r#""ts": {"type": "integer"}"#, &format!("\"ts\": {property}"));
    let contract = Arc::new(Contract::parse(&contract).expect("a contract"));
    let mut decoder = Decoder::new(contract, settings).expect("a decoder");
    let lines: Vec<_> = values.iter().map(|value| format!(r#"{{"ts":{value},"user":"u"}}"#)).collect();
    let decoded = decoder.decode(&[json(&lines.join("\n"))]).expect("decoded");
    let times = decoded.batch.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
    (times, decoded.rejects.into_iter().map(|reject| format!("{}: {}", reject.reason, reject.detail)).collect())
}

#[test]
fn date_times_are_read_in_every_form_and_without_an_offset_in_the_time_zone() {
    let property = r#"{"type": "string", "format": "date-time"}"#;
    let values = [
        r#""20251231T2300Z""#,
        r#""2026-W01-3T23:00:00,5+00""#,
        r#""Wed, 31 Dec 2025 23:00:00 GMT""#,
        r#""2025-12-31T23:00:00""#,
        r#""2025-12-31""#,
        r#""2025-12-31T23\u003a00""#,
        r#""yesterday""#,
    ];
    let an_hour_before = PUBLISHED - 3_600_000_000;
    let (times, refused) = times_of(property, &DecodeSettings::new("ts"), &values);
    assert_eq!(times, [an_hour_before, an_hour_before + 500_000, an_hour_before]);
    insta::assert_snapshot!(refused.join("\n"), @r#"
    wrong_type: field "ts": expected a time such as "2026-01-31T12:00:00Z", got "2025-12-31T23:00:00", which has no offset from UTC: write one, or set `time_zone` in the stream
    wrong_type: field "ts": expected a time such as "2026-01-31T12:00:00Z", got "2025-12-31", which has no offset from UTC: write one, or set `time_zone` in the stream
    wrong_type: field "ts": expected a time such as "2026-01-31T12:00:00Z", got "2025-12-31T23\u003a00", which has no offset from UTC: write one, or set `time_zone` in the stream
    wrong_type: field "ts": expected a time such as "2026-01-31T12:00:00Z", got "yesterday"
    "#);
    let time_zone = TimeZone::named("America/New_York");
    let (times, refused) = times_of(property, &DecodeSettings { time_zone, ..DecodeSettings::new("ts") }, &values[3..]);
    // Five hours behind UTC; the first is ahead of when it was received.
    assert_eq!(times, [PUBLISHED - 19 * 3_600_000_000]);
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().skip(1).all(|refused| refused.ends_with("got 2026-01-01T04:00:00Z")), "{refused:?}");
}

#[test]
fn a_time_may_be_a_number_with_a_fraction() {
    let number = r#"{"type": "number"}"#;
    let settings = DecodeSettings { time_unit: TimeUnit::Seconds, ..DecodeSettings::new("ts") };
    let (times, refused) =
        times_of(number, &settings, &["1767225599.123456", "1767225600", "1.7672256e9", "1767225661", "1e300"]);
    assert_eq!(times, [PUBLISHED - 876_544, PUBLISHED, PUBLISHED]);
    insta::assert_snapshot!(refused.join("\n"), @r#"
    time_out_of_bounds: field "ts": expected a time from 2000-01-01T00:00:00Z to 2026-01-01T00:01:00Z, got 2026-01-01T00:01:01Z
    time_out_of_bounds: field "ts": expected a time from 2000-01-01T00:00:00Z to 2026-01-01T00:01:00Z, got 9223372036854775807 us since 1970
    "#);
    let (times, _) = times_of(number, &DecodeSettings::new("ts"), &["1767225599123.456"]);
    assert_eq!(times, [PUBLISHED - 876_544]);
}

#[test]
fn columns_have_their_times_as_messages_have_them() {
    let contract = CONTRACT.replace(r#""ts": {"type": "integer"}"#, r#""ts": {"type": "number"}"#);
    let contract = Arc::new(Contract::parse(&contract).expect("a contract"));
    let time_zone = TimeZone::named("Asia/Tokyo");
    let settings = DecodeSettings { time_zone, ..DecodeSettings::new("ts") };
    let mut decoder = Decoder::new(contract, &settings).expect("a decoder");
    let users: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let local = TimestampMicrosecondArray::from(vec![PUBLISHED + 9 * 3_600_000_000 + 5]);
    let columns: [ArrayRef; 3] = [
        Arc::new(local.clone()),
        Arc::new(TimestampMicrosecondArray::from(vec![PUBLISHED + 5]).with_timezone("Asia/Tokyo")),
        Arc::new(Float64Array::from(vec![PUBLISHED as f64 / 1_000.0 + 0.005])),
    ];
    for ts in columns {
        let rows = RecordBatch::try_from_iter([("ts", ts), ("user", Arc::clone(&users))]).expect("rows");
        let decoded = decoder.decode(&[arrow(&rows)]).expect("decoded");
        assert_eq!(decoded.rejects, []);
        assert_eq!(decoded.batch.column(0).as_primitive::<TimestampMicrosecondType>().values(), &[PUBLISHED + 5]);
    }
}

/// Four rows, of which the first one is good.
fn three_bad_rows() -> RecordBatch {
    let rows = RecordBatch::try_from_iter([
        ("ts", Arc::new(Int64Array::from(vec![NOW, NOW, 5, NOW])) as ArrayRef),
        ("user", Arc::new(StringArray::from(vec!["a", "", "c", "d"]))),
        ("price", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, f64::NAN]))),
    ]);
    rows.expect("rows")
}

#[test]
fn rows_that_are_columns_already_are_refused_as_those_of_their_messages_are() {
    let rows = three_bad_rows();
    let decoder = decoder(CONTRACT, Limits::default());
    let apart = decoder.decode_rows(&rows, &[0, 0, 2, 2], &[PUBLISHED; 4]).expect("decoded");
    assert_eq!((apart.origin.as_slice(), apart.received.as_slice()), (&[0][..], &[PUBLISHED][..]));
    assert_eq!(reasons(&apart), [(0, "constraint"), (2, "not_finite"), (2, "time_out_of_bounds")]);
    let together = decoder.decode_rows(&rows, &[0; 4], &[PUBLISHED; 4]).expect("decoded");
    let sent = decode(&[arrow(&rows)]);
    assert_eq!((&together.rejects, &together.batch), (&sent.rejects, &sent.batch));
}

#[test]
fn the_broker_s_time_of_a_row_is_that_of_its_message() {
    let contract = Arc::new(Contract::parse(CONTRACT).expect("a contract"));
    let settings = DecodeSettings { clock: Clock::Broker, ..DecodeSettings::new("ts") };
    let decoder = Decoder::new(contract, &settings).expect("a decoder");
    let users: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let ts: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let rows = RecordBatch::try_from_iter([("user", users), ("ts", ts)]).expect("rows");
    let published = [PUBLISHED, PUBLISHED, PUBLISHED + 7];
    let decoded = decoder.decode_rows(&rows, &[0, 0, 2], &published).expect("decoded");
    assert_eq!(decoded.batch.column(0).as_primitive::<TimestampMicrosecondType>().values(), &published);
    assert_eq!((decoded.origin, decoded.received), (vec![0, 0, 2], published.to_vec()));
}

#[test]
fn a_bad_row_of_a_stream_is_refused_as_a_stream_of_its_own() {
    let rows = three_bad_rows();
    let decoded = decode(&[arrow(&rows)]);
    assert_eq!(decoded.batch.num_rows(), 1);
    assert_eq!(reasons(&decoded), [(0, "constraint"), (0, "not_finite"), (0, "time_out_of_bounds")]);
    for (reject, row) in decoded.rejects.iter().zip([1, 3, 2]) {
        let alone = ipc::read(&reject.bytes).expect("a stream");
        assert_eq!(alone[0].column(0).as_primitive::<Int64Type>(), rows.slice(row, 1).column(0).as_primitive());
    }
}

#[test]
fn a_stream_that_cannot_be_read_is_one_reject() {
    let broken = message(Bytes::from_static(b"not arrow"), Encoding::ArrowStream);
    let decoded = decode(&[json(&good("a")), broken.clone(), json(&good("b"))]);
    assert_eq!(reasons(&decoded), [(1, "invalid_arrow")]);
    assert_eq!((decoded.rejects[0].bytes.clone(), decoded.batch.num_rows()), (broken.payload, 2));
}

#[test]
fn sixty_four_kibibytes_pass_and_one_more_does_not() {
    let sized = |bytes: usize| {
        let rest = bytes - good("").len();
        good(&"x".repeat(rest))
    };
    let decoded = decode(&[json(&sized(65_536)), json(&sized(65_537)), json(&good("a"))]);
    assert_eq!((decoded.origin.as_slice(), reasons(&decoded)), (&[0, 2][..], vec![(1, "too_large")]));
}

#[test]
fn sixteen_levels_pass_and_one_more_does_not() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        format!(r#"{{"ts":{NOW},"user":"u","x":{open}{close}}}"#)
    };
    let decoded = decode(&[json(&nested(16)), json(&nested(17)), json(&nested(100_000))]);
    assert_eq!((decoded.batch.num_rows(), reasons(&decoded)), (1, vec![(1, "too_deep"), (2, "too_deep")]));
}

#[test]
fn ten_thousand_malformed_messages_take_no_good_one_along() {
    let malformed = ["{", "", "nonsense", "[1,2", r#"{"ts":"x"}"#, "{\"ts\":1e999}", "\u{0}", "[{}", "null", "{}}"];
    let messages: Vec<_> = (0..20_000)
        .map(|index| json(&if index % 2 == 0 { good("u") } else { malformed[index / 2 % 10].to_owned() }))
        .collect();
    let decoded = decode(&messages);
    assert_eq!(decoded.batch.num_rows(), 10_000);
    assert!(decoded.origin.iter().all(|message| message % 2 == 0));
    let refused: std::collections::BTreeSet<_> = decoded.rejects.iter().map(|reject| reject.message).collect();
    assert_eq!(refused.len(), 10_000);
}

#[test]
fn a_decoder_needs_a_time_that_is_always_there() {
    let problem = |contract: &str, column: &str| {
        let contract = Arc::new(Contract::parse(contract).expect("a contract"));
        Decoder::new(contract, &DecodeSettings::new(column)).expect_err("a problem").to_string()
    };
    assert_eq!(problem(CONTRACT, "time"), "time column \"time\" is not in the contract; name one of ts, user, price");
    assert_eq!(
        problem(CONTRACT, "user"),
        "time column \"user\" is of type string; use an integer, a number or a date-time"
    );
    let optional = r#"{"type": "object", "properties": {"ts": {"type": ["integer", "null"]}, "id": {"type": "integer"}},
        "required": ["id"]}"#;
    assert_eq!(
        problem(optional, "ts"),
        "time column \"ts\" is optional; list it in \"required\" and take null out of its type"
    );
}

#[test]
fn reasons_have_distinct_names() {
    let names: std::collections::BTreeSet<_> = RejectReason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), RejectReason::ALL.len());
}
