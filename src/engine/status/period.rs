//! The line that is logged each minute: what has happened since the last one.

use std::time::{Duration, Instant};

use super::status::{Status, TrainingState};
use crate::bus::ANSWERED;

/// A line that says that nothing happens comes so seldom.
const QUIET_PAUSE: Duration = Duration::from_secs(600);

/// What has happened between two moments; what has not is absent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Period {
    /// That came, whatever became of them.
    pub(super) events: u64,
    pub(super) rejected: Option<u64>,
    /// The reason of most dead letters.
    pub(super) because: Option<String>,
    /// For every table.
    pub(super) late: Option<u64>,
    /// By table.
    pub(super) late_for: Option<String>,
    pub(super) duplicate: Option<u64>,
    pub(super) unmatched: Option<u64>,
    pub(super) answered: Option<u64>,
    /// Requests that got an error, by code.
    pub(super) refused: Option<String>,
    /// Examples that training took.
    pub(super) trained: Option<u64>,
}

/// Whether a line is wanted.
#[derive(Default)]
pub(super) struct Talk {
    /// When it was last said that nothing happens; none since something did.
    quiet: Option<Instant>,
}

impl Period {
    pub(super) fn between(before: &Status, now: &Status) -> Self {
        let some = |now: u64, before: u64| Some(now.saturating_sub(before)).filter(|count| *count > 0);
        let dead = now.dead_letters.iter().map(|(reason, dead)| {
            let earlier = before.dead_letters.get(reason).map_or(0, |dead| dead.count);
            (dead.count.saturating_sub(earlier), reason)
        });
        let most = dead.max().filter(|(count, _)| *count > 0);
        let late_for = now.tables.iter().filter_map(|table| {
            let earlier = before.tables.iter().find(|known| known.name == table.name).map_or(0, |known| known.late);
            Some(format!("{} {}", table.name, some(table.late, earlier)?))
        });
        let codes = |status: &Status| status.replies.as_ref().map(|replies| replies.codes.clone()).unwrap_or_default();
        let (earlier, codes) = (codes(before), codes(now));
        let since = |code: u16, count: u64| some(count, earlier.get(&code).copied().unwrap_or_default());
        let refused = codes.iter().filter(|(code, _)| **code != ANSWERED);
        let examples = |status: &Status| status.training.as_ref().map_or(0, |training| training.examples);
        Self {
            events: now.came().saturating_sub(before.came()),
            rejected: some(now.events.rejected, before.events.rejected),
            because: most.map(|(_, reason)| reason.clone()),
            late: some(now.events.late, before.events.late),
            late_for: listed(late_for),
            duplicate: some(now.events.duplicate, before.events.duplicate),
            unmatched: some(now.label("unmatched"), before.label("unmatched")),
            answered: codes.get(&ANSWERED).and_then(|count| since(ANSWERED, *count)),
            refused: listed(refused.filter_map(|(code, count)| Some(format!("{code}: {}", since(*code, *count)?)))),
            trained: some(examples(now), examples(before)),
        }
    }

    /// Whether nothing has happened.
    fn is_quiet(&self) -> bool {
        *self == Self::default()
    }
}

impl Talk {
    /// Writes the line, unless the same was said not long ago.
    pub(super) fn tell(&mut self, before: &Status, now: &Status, at: Instant) {
        let period = Period::between(before, now);
        let waiting = now.waiting();
        // Events that wait and are not taken are no silence.
        let is_quiet = period.is_quiet() && waiting.unwrap_or(0) == 0;
        if !self.is_due(is_quiet, at) {
            return;
        }
        let over = duration(now.at_micros - before.at_micros);
        let (model, state_bytes) = (now.model.as_ref().map(|model| model.version.as_str()), now.state_bytes());
        let stopped = now.training.as_ref().filter(|training| training.state == TrainingState::Stopped);
        let training = stopped.map(|_| "stopped");
        if is_quiet {
            let quiet = duration(now.at_micros - now.last_event_micros.unwrap_or(now.started_micros));
            tracing::info!(model, training, state_bytes, "no events for {quiet}");
            return;
        }
        let Period { events, rejected, because, late, late_for, duplicate, unmatched, answered, refused, trained } =
            period;
        tracing::info!(
            events,
            rejected,
            because,
            late,
            late_for,
            duplicate,
            unmatched,
            answered,
            refused,
            p99_ms = now.replies.as_ref().filter(|_| answered.is_some()).and_then(|replies| replies.p99_ms),
            model,
            trained,
            training,
            waiting,
            state_bytes,
            "the last {over}"
        );
    }

    fn is_due(&mut self, is_quiet: bool, at: Instant) -> bool {
        if !is_quiet {
            self.quiet = None;
            return true;
        }
        let is_due = self.quiet.is_none_or(|said| at.duration_since(said) >= QUIET_PAUSE);
        if is_due {
            self.quiet = Some(at);
        }
        is_due
    }
}

fn listed(texts: impl Iterator<Item = String>) -> Option<String> {
    Some(texts.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
}

/// In whole seconds.
fn duration(micros: i64) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(u64::try_from(micros / 1_000_000).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::status::{DeadStatus, ReplyStatus, TableStatus, TrainingStatus};
    use super::*;
    use crate::step::Counts;

    fn table(name: &str, late: u64) -> TableStatus {
        TableStatus { name: name.to_owned(), keys: 1, bytes: 10, late, evicted: 0, watermark_micros: None }
    }

    fn dead(reasons: [(&str, u64); 2]) -> BTreeMap<String, DeadStatus> {
        let dead = |count| DeadStatus { count, example: String::new() };
        reasons.into_iter().map(|(reason, count)| (reason.to_owned(), dead(count))).collect()
    }

    fn trained(examples: u64) -> TrainingStatus {
        let state = TrainingState::Running;
        TrainingStatus { state, reason: None, examples, promoted: 0, gate: None }
    }

    #[test]
    fn a_period_is_what_both_its_ends_count_apart() {
        let before = Status {
            events: Counts { counted: 100, late: 1, rejected: 2, duplicate: 3 },
            dead_letters: dead([("wrong_type", 2), ("too_deep", 50)]),
            tables: vec![table("a", 4), table("b", 9)],
            replies: Some(ReplyStatus { codes: BTreeMap::from([(200, 7), (503, 1)]), ..ReplyStatus::default() }),
            labels: Some(BTreeMap::from([("unmatched".to_owned(), 1)])),
            training: Some(trained(1_000)),
            ..Status::default()
        };
        let now = Status {
            events: Counts { counted: 150, late: 1, rejected: 6, duplicate: 4 },
            dead_letters: dead([("wrong_type", 5), ("too_deep", 51)]),
            tables: vec![table("a", 5), table("b", 9), table("c", 6)],
            replies: Some(ReplyStatus {
                codes: BTreeMap::from([(200, 9), (400, 2), (503, 1)]),
                ..ReplyStatus::default()
            }),
            labels: Some(BTreeMap::from([("unmatched".to_owned(), 4)])),
            training: Some(trained(1_256)),
            ..Status::default()
        };
        let expected = Period {
            events: 55,
            rejected: Some(4),
            because: Some("wrong_type".to_owned()),
            late: None,
            late_for: Some("a 1, c 6".to_owned()),
            duplicate: Some(1),
            unmatched: Some(3),
            answered: Some(2),
            refused: Some("400: 2".to_owned()),
            trained: Some(256),
        };
        assert_eq!(Period::between(&before, &now), expected);
        assert!(Period::between(&now, &now).is_quiet());
    }

    #[test]
    fn silence_is_told_once_and_then_every_ten_minutes() {
        let start = Instant::now();
        let mut talk = Talk::default();
        let told: Vec<u64> = (1..=25)
            .filter(|minute| {
                // Something happens in the third and the fourth minute.
                let is_quiet = !(3..=4).contains(minute);
                talk.is_due(is_quiet, start + Duration::from_secs(60 * minute))
            })
            .collect();
        assert_eq!(told, [1, 3, 4, 5, 15, 25]);
    }
}
