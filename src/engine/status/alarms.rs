//! What is said at once: rows that were rejected, late, failed or unmatched; each kind once a minute at most.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::status::Status;
use crate::step::LATE;

/// Between two warnings of one kind.
const PAUSE: Duration = Duration::from_secs(60);

/// Remembers what was said.
#[derive(Default)]
pub(super) struct Alarms(BTreeMap<Kind, Said>);

/// What is counted apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Events and rows that became dead letters, for this reason.
    Dead(String),
    /// Events that were late for this table.
    Late(String),
    /// Feedback that belongs to nothing shown.
    Unmatched,
}

struct Said {
    count: u64,
    /// None before the first time.
    at: Option<Instant>,
}

/// A warning.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    pub(super) kind: Kind,
    /// Since the last warning of its kind.
    pub(super) count: u64,
    pub(super) example: Option<String>,
}

impl Alarms {
    /// Those that begin here: what a restored state has counted before is no news. Dead letters are counted by this process.
    pub(super) fn beginning_with(status: &Status) -> Self {
        let known = facts(status).into_iter().filter(|(kind, ..)| !matches!(kind, Kind::Dead(_)));
        Self(known.map(|(kind, count, _)| (kind, Said { count, at: None })).collect())
    }

    /// What is to be said now.
    pub(super) fn due(&mut self, status: &Status, now: Instant) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        for (kind, count, example) in facts(status) {
            // A table that is made again counts anew.
            let said = self.0.entry(kind.clone()).or_insert(Said { count: 0, at: None });
            said.count = said.count.min(count);
            let is_quiet = said.at.is_some_and(|at| now.duration_since(at) < PAUSE);
            if count > said.count && !is_quiet {
                alarms.push(Alarm { kind, count: count - said.count, example });
                *said = Said { count, at: Some(now) };
            }
        }
        alarms
    }
}

impl Alarm {
    /// Writes it to the log.
    pub(super) fn tell(&self, pipeline: &str) {
        let (count, example) = (self.count, self.example.as_deref());
        match &self.kind {
            Kind::Dead(reason) => {
                tracing::warn!(count, reason, example, "events or rows can't be used: they are on {pipeline}.dead");
            }
            Kind::Late(table) => {
                tracing::warn!(
                    count,
                    table,
                    example,
                    "events came too late for a table; `disorder` of its stream, or `lateness` of the table, waits longer"
                );
            }
            Kind::Unmatched => tracing::warn!(
                count,
                example,
                "feedback belongs to nothing that was shown, or that is still remembered: compare it with `join` of [labels]"
            ),
        }
    }
}

/// Everything that may be said, as counted so far.
fn facts(status: &Status) -> Vec<(Kind, u64, Option<String>)> {
    let late = status.dead_letters.get(LATE).map(|dead| dead.example.clone());
    let is_late_for_a_table = status.tables.iter().any(|table| table.late > 0);
    let mut facts = Vec::new();
    for (reason, dead) in &status.dead_letters {
        // It is told of each table.
        if reason != LATE || !is_late_for_a_table {
            facts.push((Kind::Dead(reason.clone()), dead.count, Some(dead.example.clone())));
        }
    }
    for table in &status.tables {
        facts.push((Kind::Late(table.name.clone()), table.late, late.clone()));
    }
    let message = status.unmatched_message.map(|sequence| format!("message {sequence}"));
    facts.push((Kind::Unmatched, status.label("unmatched"), message));
    facts
}

#[cfg(test)]
mod tests {
    use super::super::status::{DeadStatus, TableStatus};
    use super::*;

    fn status(rejected: u64, late: u64, unmatched: u64) -> Status {
        let example = format!("message {rejected} of clicks: bad");
        let table =
            TableStatus { name: "minute".to_owned(), keys: 0, bytes: 0, late, evicted: 0, watermark_micros: None };
        Status {
            dead_letters: BTreeMap::from([("wrong_type".to_owned(), DeadStatus { count: rejected, example })]),
            tables: vec![table],
            labels: Some(BTreeMap::from([("unmatched".to_owned(), unmatched)])),
            unmatched_message: (unmatched > 0).then_some(77),
            ..Status::default()
        }
    }

    fn told(alarms: &mut Alarms, status: &Status, now: Instant) -> Vec<String> {
        let due = alarms.due(status, now).into_iter();
        due.map(|alarm| format!("{:?} {} {}", alarm.kind, alarm.count, alarm.example.unwrap_or_default())).collect()
    }

    #[test]
    fn each_kind_is_told_at_once_and_then_once_a_minute_with_what_came_meanwhile() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut alarms = Alarms::beginning_with(&status(0, 5, 3));
        assert!(told(&mut alarms, &status(0, 5, 3), at(0)).is_empty(), "nothing of before");
        let first = told(&mut alarms, &status(2, 5, 4), at(1));
        assert_eq!(first, [r#"Dead("wrong_type") 2 message 2 of clicks: bad"#, "Unmatched 1 message 77"]);
        assert_eq!(told(&mut alarms, &status(9, 6, 4), at(2)), [r#"Late("minute") 1 "#], "another kind does not wait");
        assert!(told(&mut alarms, &status(12, 6, 4), at(60)).is_empty());
        assert_eq!(
            told(&mut alarms, &status(12, 6, 4), at(61)),
            [r#"Dead("wrong_type") 10 message 12 of clicks: bad"#]
        );
        assert!(told(&mut alarms, &status(12, 6, 4), at(500)).is_empty());
    }

    #[test]
    fn rejects_from_before_the_first_look_are_told() {
        let begins = status(4, 0, 0);
        let mut alarms = Alarms::beginning_with(&begins);
        assert_eq!(told(&mut alarms, &begins, Instant::now()), [r#"Dead("wrong_type") 4 message 4 of clicks: bad"#]);
    }

    #[test]
    fn a_table_that_counts_anew_is_told_of_again() {
        let start = Instant::now();
        let mut alarms = Alarms::beginning_with(&status(0, 50, 0));
        assert!(told(&mut alarms, &status(0, 0, 0), start).is_empty());
        assert_eq!(told(&mut alarms, &status(0, 2, 0), start), [r#"Late("minute") 2 "#]);
    }

    #[test]
    fn what_is_late_for_every_table_is_told_of_the_tables_with_the_event_as_the_example() {
        let mut status = status(0, 3, 0);
        let example = "message 9 of clicks: event time 1 is older than every window".to_owned();
        status.dead_letters = BTreeMap::from([("late".to_owned(), DeadStatus { count: 3, example })]);
        let told = told(&mut Alarms::default(), &status, Instant::now());
        assert_eq!(told, [r#"Late("minute") 3 message 9 of clicks: event time 1 is older than every window"#]);
    }
}
