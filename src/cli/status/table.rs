//! A status as a table for people.

use std::time::Duration;

use crate::cli::figures::bytes;
use crate::engine::{Status, TrainingState};
use crate::step::Counts;
use crate::time::EventTime;

/// Width of the names on the left.
const LEFT: usize = 13;

/// What stands on the left of a line, and on its right.
type Line = (&'static str, String);

/// The whole table.
pub(super) fn table(status: &Status) -> String {
    let lines = events(status).into_iter().chain(serving(status)).chain(training(status)).chain([snapshot(status)]);
    let mut lines: Vec<String> =
        lines.map(|(left, right)| format!("{left:<LEFT$}{right}").trim_end().to_owned()).collect();
    if !status.tables.is_empty() {
        lines.push(String::new());
        lines.extend(tables(status));
    }
    lines.join("\n")
}

fn events(status: &Status) -> Vec<Line> {
    let since = |micros: i64| ago(status.at_micros, micros);
    let running = format!("{}, running for {} on {}", status.pipeline, since(status.started_micros), status.host);
    let mut lines = vec![("pipeline", running)];
    for stream in &status.streams {
        let waiting = match stream.waiting {
            Some(count) => format!("{count} waiting"),
            None => "the broker does not say what waits".to_owned(),
        };
        lines.push(("stream", format!("{:<20}  {waiting}, committed up to message {}", stream.name, stream.position)));
    }
    let Counts { counted, rejected, late, duplicate } = status.events;
    let last = match status.last_event_micros {
        Some(at) => format!("the last {} ago", since(at)),
        None => "none since the start".to_owned(),
    };
    let counts = format!("{counted} counted, {rejected} rejected, {late} late, {duplicate} duplicate; {last}");
    lines.push(("events", counts));
    lines.extend(status.newest_event_micros.map(|newest| ("newest event", format!("of {}", EventTime(newest)))));
    for (reason, dead) in &status.dead_letters {
        lines.push(("dead letters", format!("{} {reason}, such as {}", dead.count, dead.example)));
    }
    lines
}

fn serving(status: &Status) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(replies) = &status.replies {
        let answered = replies.codes.get(&200).copied().unwrap_or_default();
        let refused = replies.codes.iter().filter(|(code, _)| **code != 200);
        let refused: Vec<String> = refused.map(|(code, count)| format!(", {count} refused with {code}")).collect();
        let quantile =
            |name: &str, value: Option<f64>| value.map(|value| format!("; {name} {value} ms")).unwrap_or_default();
        let (p50, p99) = (quantile("p50", replies.p50_ms), quantile("p99", replies.p99_ms));
        lines.push(("requests", format!("{answered} answered{}{p50}{p99}", refused.concat())));
    }
    if let Some(model) = &status.model {
        let (version, serves) = (&model.version, ago(status.at_micros, model.since_micros));
        let (rankings, scored) = (status.rankings, status.scored);
        lines.push(("model", format!("{version}, serving for {serves}; {rankings} rankings, {scored} scored")));
    }
    lines
}

fn training(status: &Status) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(labels) = &status.labels {
        let counts = labels.iter().filter(|(_, count)| **count > 0);
        let counts: Vec<String> = counts.map(|(outcome, count)| format!("{count} {outcome}")).collect();
        lines.push(("labels", if counts.is_empty() { "none yet".to_owned() } else { counts.join(", ") }));
    }
    let Some(training) = &status.training else { return lines };
    let state = match (training.state, &training.reason) {
        (TrainingState::Running, _) => "running".to_owned(),
        (TrainingState::Stopped, reason) => {
            format!("STOPPED: {}", reason.as_deref().unwrap_or("for an unknown reason"))
        }
        (TrainingState::Elsewhere, _) => "not in this process (`tidewheel train`)".to_owned(),
    };
    lines.push(("training", state));
    if training.state != TrainingState::Elsewhere {
        let (examples, promoted) = (training.examples, training.promoted);
        lines.push(("", format!("{examples} examples learnt, {promoted} versions promoted since the start")));
    }
    lines.extend(training.gate.iter().map(|gate| ("gate", gate.clone())));
    lines
}

fn snapshot(status: &Status) -> Line {
    let snapshot = match &status.snapshot {
        Some(snapshot) => format!("{} ago, {}", ago(status.at_micros, snapshot.at_micros), bytes(snapshot.bytes)),
        None => "none since the start".to_owned(),
    };
    ("snapshot", snapshot)
}

fn tables(status: &Status) -> impl Iterator<Item = String> {
    let longest = status.tables.iter().map(|table| table.name.len()).max().unwrap_or(0).max("table".len());
    let head = format!(
        "{:<longest$}  {:>10}  {:>10}  {:>10}  {:>10}  watermark",
        "table", "keys", "memory", "late", "evicted"
    );
    let rows = status.tables.iter().map(move |table| {
        let watermark = table.watermark_micros.map_or_else(|| "-".to_owned(), |micros| EventTime(micros).to_string());
        let memory = bytes(table.bytes);
        format!(
            "{:<longest$}  {:>10}  {memory:>10}  {:>10}  {:>10}  {watermark}",
            table.name, table.keys, table.late, table.evicted
        )
    });
    std::iter::once(head).chain(rows)
}

/// In whole seconds.
fn ago(now_micros: i64, then_micros: i64) -> humantime::FormattedDuration {
    let seconds = u64::try_from((now_micros - then_micros) / 1_000_000).unwrap_or_default();
    humantime::format_duration(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_reads_from_top_to_bottom() {
        let micros = |seconds: i64| 1_700_000_000_000_000 + seconds * 1_000_000;
        let status: Status = serde_json::from_value(json!({
            "pipeline": "shop", "host": "web1, process 7", "started_micros": micros(0), "at_micros": micros(3_725),
            "streams": [{ "name": "clicks", "position": 120, "waiting": 4 }, { "name": "orders", "position": 0, "waiting": null }],
            "events": { "counted": 100, "late": 1, "rejected": 18, "duplicate": 1 },
            "last_event_micros": micros(3_723), "newest_event_micros": micros(3_720),
            "dead_letters": { "wrong_type": { "count": 18, "example": "message 7 of clicks: field `ts` is text" } },
            "tables": [{ "name": "post_minute", "keys": 12, "bytes": 3_145_728, "late": 29_607, "evicted": 0,
                "watermark_micros": micros(3_700) },
                { "name": "a", "keys": 0, "bytes": 0, "late": 0, "evicted": 0, "watermark_micros": null }],
            "scored": 60, "rankings": 20,
            "replies": { "codes": { "200": 20, "400": 2, "503": 1 }, "p50_ms": 1.5, "p99_ms": 4.25 },
            "labels": { "shown": 60, "positive": 3, "unmatched": 6_129, "early": 0 }, "unmatched_message": 99,
            "model": { "version": "0123456789ab", "since_micros": micros(3_600) },
            "training": { "state": "stopped", "reason": "the label rate fell", "examples": 512, "promoted": 2,
                "gate": "weights waiting: 3 examples are held out, 500 are needed" },
            "snapshot": { "at_micros": micros(3_715), "bytes": 1_024 },
        }))
        .unwrap();
        insta::assert_snapshot!(table(&status), @r"
        pipeline     shop, running for 1h 2m 5s on web1, process 7
        stream       clicks                4 waiting, committed up to message 120
        stream       orders                the broker does not say what waits, committed up to message 0
        events       100 counted, 18 rejected, 1 late, 1 duplicate; the last 2s ago
        newest event of 2023-11-14T23:15:20Z
        dead letters 18 wrong_type, such as message 7 of clicks: field `ts` is text
        requests     20 answered, 2 refused with 400, 1 refused with 503; p50 1.5 ms; p99 4.25 ms
        model        0123456789ab, serving for 2m 5s; 20 rankings, 60 scored
        labels       3 positive, 60 shown, 6129 unmatched
        training     STOPPED: the label rate fell
                     512 examples learnt, 2 versions promoted since the start
        gate         weights waiting: 3 examples are held out, 500 are needed
        snapshot     10s ago, 1.0 KiB

        table              keys      memory        late     evicted  watermark
        post_minute          12     3.0 MiB       29607           0  2023-11-14T23:15:00Z
        a                     0         0 B           0           0  -
        ");
    }

    #[test]
    fn what_a_pipeline_does_not_have_is_left_out() {
        let status = Status { pipeline: "trends".to_owned(), host: "h, process 1".to_owned(), ..Status::default() };
        insta::assert_snapshot!(table(&status), @r"
        pipeline     trends, running for 0s on h, process 1
        events       0 counted, 0 rejected, 0 late, 0 duplicate; none since the start
        snapshot     none since the start
        ");
    }
}
