//! Whole cases about whose clock counts: clocks that are fast, and when events were received.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;

use crate::config::Folder;
use crate::trial;

/// 2023-11-14T00:00:00Z, in milliseconds: a full minute.
const START: i64 = 1_699_920_000_000;

const CONTRACT: &str = r#"{"type": "object", "properties": {
    "user_id": {"type": "integer"},
    "sent_at": {"type": "integer"},
    "received_at": {"type": ["integer", "null"]},
    "ts": {"type": "integer"}
}, "required": ["user_id", "ts"]}"#;

/// What does not hold of a case of a pipeline with these settings of its stream and this select.
fn faults(settings: &str, select: &str, case: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| fs::write(folder.path().join(path), text).unwrap();
    ["features", "schemas"].into_iter().for_each(|part| fs::create_dir(folder.path().join(part)).unwrap());
    write("schemas/click.json", CONTRACT);
    write("features/t.sql", select);
    let stream = "[streams.clicks]\nsubjects = [\"clock.clicks\"]\ncontract = \"schemas/click.json\"\ntime = \"ts\"";
    write("pipeline.toml", &format!("name = \"clock\"\n{stream}\n{settings}\n"));
    write("case.toml", &format!("about = \"clocks\"\n{case}"));
    let pipeline = Folder::read(folder.path()).unwrap().assemble_without_model().unwrap();
    trial::run(&Arc::new(pipeline), &folder.path().join("case.toml")).unwrap().faults
}

fn events(lines: &str) -> String {
    format!("[[events]]\nstream = \"clicks\"\nlines = '''\n{lines}'''\n")
}

/// An event a second of honest users, and every ten seconds one of a phone whose clock is fast by so many seconds.
fn fast_phone(seconds: i64, ahead: i64) -> String {
    let mut lines = String::new();
    for second in 0..seconds {
        let now = START + second * 1_000;
        writeln!(lines, r#"{{"user_id":{},"ts":{now}}}"#, second % 50).unwrap();
        if second % 10 == 5 {
            writeln!(lines, r#"{{"user_id":999,"ts":{}}}"#, now + ahead * 1_000).unwrap();
        }
    }
    lines
}

const TEN_SECONDS: &str = "SELECT count(*) AS n, window_start FROM clicks GROUP BY tumble(ts, '10 seconds')";
const MINUTE: &str = "SELECT count(*) AS n, window_start FROM clicks GROUP BY tumble(ts, '1 minute')";

/// One of 51 producers with a clock 50 s fast made 294 of 300 honest events late.
#[test]
fn a_phone_fifty_seconds_fast_makes_no_event_late_in_windows_of_ten_seconds_or_a_minute() {
    for (select, seconds) in [(TEN_SECONDS, 300), (MINUTE, 600)] {
        let case = format!(
            "{}[counts]\ncounted = {}\nlate = 0\nrejected = 0\n",
            events(&fast_phone(seconds, 50)),
            seconds / 10 * 11
        );
        assert_eq!(faults("disorder = \"5s\"", select, &case), [""; 0]);
    }
}

/// With `ahead = "30 days"` one event two weeks ahead made every later one late.
#[test]
fn an_event_two_weeks_ahead_spoils_nothing_and_counts_in_its_own_time() {
    let fortnight = 14 * 86_400_000;
    let lines = format!(
        "{{\"user_id\":1,\"ts\":{START}}}\n{{\"user_id\":99,\"ts\":{}}}\n{{\"user_id\":1,\"ts\":{}}}\n{{\"user_id\":1,\"ts\":{}}}\n",
        START + fortnight,
        START + 10_000,
        START + 20_000,
    );
    let settings = "disorder = \"0s\"\nahead = \"30 days\"";
    let windows = "SELECT user_id, window_start, count(*) AS n FROM clicks GROUP BY user_id, tumble(ts, '1 minute')";
    let counts = "[counts]\ncounted = 4\nlate = 0\n";
    let emits = "[[emits]]\ntable = \"t\"\nexpect = [{ user_id = 1, n = 3 }, { user_id = 99, n = 1 }]\n";
    assert_eq!(faults(settings, windows, &format!("end = true\n{}{counts}{emits}", events(&lines))), [""; 0]);

    let as_of = "SELECT user_id, count(*) FILTER (WHERE within(ts, '1 hour')) AS n FROM clicks GROUP BY user_id";
    let row = |user: i64, at: &str, expect: &str| {
        format!("[[rows]]\ntable = \"t\"\nkey = {{ user_id = {user} }}\nat = \"{at}\"\n{expect}\n")
    };
    let rows = [
        row(1, "2023-11-14T00:00:20Z", "expect = { n = 3 }"),
        row(1, "2023-11-14T00:00:30Z", "expect = { n = 3 }"),
        row(99, "2023-11-14T00:00:20Z", "missing = true"),
        row(99, "2023-11-28T00:00:00Z", "expect = { n = 1 }"),
    ];
    assert_eq!(faults(settings, as_of, &format!("{}{counts}{}", events(&lines), rows.concat())), [""; 0]);
}

#[test]
fn what_is_further_ahead_than_the_setting_is_rejected() {
    // Unsaid, it is received with the event of the next second.
    let case = format!("{}[counts]\ncounted = 110\nrejected = 0\n", events(&fast_phone(100, 59)));
    assert_eq!(faults("", TEN_SECONDS, &case), [""; 0]);
    let case = format!("{}[counts]\ncounted = 100\nrejected = 10\n", events(&fast_phone(100, 62)));
    assert_eq!(faults("", TEN_SECONDS, &case), [""; 0]);
}

#[test]
fn a_case_may_say_when_events_were_received() {
    let event = |ts: i64| format!("{{\"user_id\":1,\"ts\":{}}}\n", START + ts * 1_000);
    let case = |published: &str| {
        let lines = [event(0), event(60)].concat();
        let first = events(&lines).replace("lines", &format!("{published}lines"));
        format!("{first}{}", events(&event(1)))
    };
    // Unsaid, all were received when the last of them happened: none is late.
    let unsaid = format!("{}[counts]\ncounted = 3\nlate = 0\n", case(""));
    assert_eq!(faults("", TEN_SECONDS, &unsaid), [""; 0]);
    let said = format!("{}[counts]\ncounted = 2\nlate = 1\n", case("published = \"2023-11-14T00:01:00Z\"\n"));
    assert_eq!(faults("", TEN_SECONDS, &said), [""; 0]);
}

/// A log of an hour arrives in a second: by the broker's clock nothing in it is ahead.
#[test]
fn a_column_says_when_the_events_of_a_log_were_received() {
    let mut lines = String::new();
    for second in 0..300 {
        let now = START + second * 1_000;
        writeln!(lines, r#"{{"user_id":1,"ts":{now},"received_at":{now}}}"#).unwrap();
        if second % 10 == 5 {
            writeln!(lines, r#"{{"user_id":999,"ts":{},"received_at":{now}}}"#, now + 50_000).unwrap();
        }
    }
    let counts = |late: u64| format!("[counts]\ncounted = {}\nlate = {late}\n", 330 - late);
    let log = events(&lines).replace("lines", "published = \"2024-01-01T00:00:00Z\"\nlines");
    assert_eq!(faults("received = \"received_at\"", TEN_SECONDS, &format!("{log}{}", counts(0))), [""; 0]);
    let without = faults("", TEN_SECONDS, &format!("{log}{}", counts(0)));
    assert!(without.iter().any(|fault| fault.starts_with("late: ")), "{without:?}");
    let unsaid = format!("{}{}", events(&lines), counts(0));
    assert_eq!(faults("received = \"received_at\"", TEN_SECONDS, &unsaid), [""; 0]);
}

#[test]
fn the_clock_of_a_stream_decides_when_its_events_happen() {
    // A device an hour slow made it five seconds before it sent it, and it was received at 00:00:30.
    let (made, sent) = (START - 3_600_000, START - 3_600_000 + 5_000);
    let lines = format!("{{\"user_id\":1,\"ts\":{made},\"sent_at\":{sent}}}\n");
    let log = events(&lines).replace("lines", "published = \"2023-11-14T00:00:30Z\"\nlines");
    for (clock, start) in [
        ("\"event\"", "2023-11-13T23:00:00Z"),
        ("\"broker\"", "2023-11-14T00:00:30Z"),
        ("{ sent = \"sent_at\" }", "2023-11-14T00:00:20Z"),
    ] {
        let emits = format!("[[emits]]\ntable = \"t\"\nexpect = [{{ n = 1, window_start = \"{start}\" }}]\n");
        let case = format!("end = true\n{log}{emits}");
        assert_eq!(faults(&format!("clock = {clock}"), TEN_SECONDS, &case), [""; 0], "{clock}");
    }
}
