//! What should have come out, by plain maps over what the input streams hold.
//!
//! Nothing here is the program's own: events are read with `serde_json`, a watermark is a maximum, a window is an entry of a
//! map, and a session is a gap in a sorted list. The settings are those of `tests/faults/pipeline`.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;
use tidewheel::bus::Message;

use super::events::Kind;
use super::outputs::Counts;

const SECOND: i64 = 1_000_000;
const DISORDER: i64 = 2 * SECOND;
const TUMBLE: i64 = 2 * SECOND;
const HOP: (i64, i64) = (2 * SECOND, 4 * SECOND);
const GAP: i64 = SECOND;
/// The longest horizon that a request reads. An event that is older than this and not ancient would depend on more than is
/// said here; there must be none.
const HORIZON: i64 = 60 * SECOND;
const AHEAD: i64 = 60 * SECOND;
/// 2000-01-01T00:00:00Z.
const EARLIEST: i64 = 946_684_800 * SECOND;

/// A row's place: table, person, start and end of the window, microseconds since 1970.
pub type Place = (&'static str, i64, i64, i64);

/// What is counted of a person in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub count: i64,
    pub sum: i64,
    pub least: i64,
    pub most: i64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Truth {
    /// All events that were published.
    pub published: u64,
    pub counts: Counts,
    /// The windows that the watermark has passed.
    pub closed: BTreeMap<Place, Row>,
    /// Reasons of what can't be used, by stream and message, in their order.
    pub dead: BTreeMap<(&'static str, u64), Vec<&'static str>>,
    /// The names of the rankings.
    pub rankings: BTreeSet<String>,
}

/// An event that fits its contract.
struct Event {
    id: String,
    user: i64,
    /// Amount or item.
    value: i64,
    is_view: bool,
    ts: i64,
}

impl Row {
    fn add(row: Option<Self>, value: i64) -> Self {
        let Self { count, sum, least, most } =
            row.unwrap_or(Self { count: 0, sum: 0, least: i64::MAX, most: i64::MIN });
        Self { count: count + 1, sum: sum + value, least: least.min(value), most: most.max(value) }
    }
}

impl Truth {
    /// Of what the streams hold, orders and visits.
    pub fn of(inputs: &[Vec<Message>]) -> Self {
        let mut truth = Self::default();
        for (kind, messages) in Kind::ALL.into_iter().zip(inputs) {
            truth.follow(kind, messages);
        }
        truth
    }

    fn follow(&mut self, kind: Kind, messages: &[Message]) {
        let name = match kind {
            Kind::Order => "orders",
            Kind::Visit => "visits",
        };
        let (mut seen, mut newest) = (HashSet::new(), i64::MIN);
        let mut windows = BTreeMap::<Place, Row>::new();
        let mut visits = BTreeMap::<i64, Vec<(i64, i64)>>::new();
        for message in messages {
            let (sequence, mut triggered) = (message.sequence.0, 0);
            // Late ones of a message come after those that can't be read at all.
            let (mut refused, mut late) = (Vec::new(), Vec::new());
            for event in read(kind, message) {
                self.published += 1;
                let event = match event {
                    Ok(event) => event,
                    Err(reason) => {
                        self.counts.rejected += 1;
                        refused.push(reason);
                        continue;
                    }
                };
                if !seen.insert(event.id.clone()) {
                    self.counts.duplicate += 1;
                    continue;
                }
                let watermark = if newest == i64::MIN { i64::MIN } else { newest - DISORDER };
                newest = newest.max(event.ts);
                let age = watermark.saturating_sub(event.ts);
                assert!(watermark == i64::MIN || !(HORIZON - GAP..=10 * HORIZON).contains(&age), "nobody can tell");
                if age > HORIZON {
                    self.counts.late += 1;
                    late.push("late");
                    continue;
                }
                self.counts.counted += 1;
                match kind {
                    Kind::Order => count_order(&mut windows, &event, watermark),
                    Kind::Visit => {
                        assert!(age <= 0 || watermark == i64::MIN, "a session would depend on others");
                        visits.entry(event.user).or_default().push((event.ts, event.value));
                        if event.is_view {
                            self.rankings.insert(format!("ranking-{name}-{sequence}-{triggered}"));
                            triggered += 1;
                        }
                    }
                }
            }
            refused.extend(late);
            if !refused.is_empty() {
                self.dead.insert((name, sequence), refused);
            }
        }
        visits.into_iter().for_each(|(user, visits)| sessions(&mut windows, user, visits));
        let watermark = newest.saturating_sub(DISORDER);
        self.closed.extend(windows.into_iter().filter(|((_, _, _, end), _)| *end <= watermark));
    }
}

/// An order counts in the windows over it that have not closed yet.
fn count_order(windows: &mut BTreeMap<Place, Row>, event: &Event, watermark: i64) {
    let mut count = |table, start: i64, end: i64| {
        if end > watermark {
            let row = windows.entry((table, event.user, start, end));
            row.and_modify(|row| *row = Row::add(Some(*row), event.value)).or_insert(Row::add(None, event.value));
        }
    };
    let start = event.ts.div_euclid(TUMBLE) * TUMBLE;
    count("spend", start, start + TUMBLE);
    let (slide, size) = HOP;
    let last = event.ts.div_euclid(slide) * slide;
    for start in [last - slide, last] {
        count("recent", start, start + size);
    }
}

/// Visits of a person, cut where nothing happens for the gap.
fn sessions(windows: &mut BTreeMap<Place, Row>, user: i64, mut visits: Vec<(i64, i64)>) {
    visits.sort_unstable();
    for session in visits.chunk_by(|(before, _), (after, _)| after - before < GAP) {
        let (start, end) = (session[0].0, session[session.len() - 1].0 + GAP);
        let row = session.iter().fold(None, |row, (_, value)| Some(Row::add(row, *value)));
        windows.insert(("session", user, start, end), row.unwrap());
    }
}

/// The events of a message, each by itself. What can't be used has one flaw, and is alone in its message.
fn read(kind: Kind, message: &Message) -> Vec<Result<Event, &'static str>> {
    match serde_json::from_slice::<Value>(&message.payload) {
        Err(_) => vec![Err("invalid_json")],
        Ok(Value::Array(events)) => events.iter().map(|event| check(kind, event, message.published_micros)).collect(),
        Ok(event) => vec![check(kind, &event, message.published_micros)],
    }
}

fn check(kind: Kind, event: &Value, published: i64) -> Result<Event, &'static str> {
    let integer = |name: &str| match event.get(name) {
        None => Err("missing_field"),
        Some(value) => value.as_i64().ok_or("wrong_type"),
    };
    let text = |name: &str| match event.get(name) {
        None => Err("missing_field"),
        Some(value) => value.as_str().ok_or("wrong_type"),
    };
    let (id, value, is_view) = match kind {
        Kind::Order => (text("order_id")?, integer("amount")?, false),
        Kind::Visit => (text("visit_id")?, integer("item_id")?, text("kind")? == "view"),
    };
    let user = integer("user_id")?;
    let is_unknown = kind == Kind::Visit && !["view", "buy"].contains(&text("kind")?);
    if value < 0 || is_unknown {
        return Err("constraint");
    }
    let ts = integer("ts")? * 1_000;
    if ts < EARLIEST || ts > published + AHEAD {
        return Err("time_out_of_bounds");
    }
    Ok(Event { id: id.to_owned(), user, value, is_view, ts })
}
