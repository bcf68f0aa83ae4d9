//! Seeded events: people who order and look at things, and everything that goes wrong with events on their way.
//!
//! | share | what                                                                                    |
//! |-------|-----------------------------------------------------------------------------------------|
//! |  most | one event, up to [`JITTER_MS`] out of order                                             |
//! |   5 % | an array of a few                                                                       |
//! |   4 % | an event that was there before, a moment or several hundred events ago                  |
//! |   4 % | poison: not JSON, cut off, a wrong type, a missing field, an unknown kind, a wrong year |
//! |   2 % | an order that is too old for the windows, and not for the longer horizons               |
//! |   2 % | an event that is too old for everything                                                 |

use std::collections::VecDeque;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};
use serde_json::{Value, json};

/// How far events are out of order. Together with what a producer sends again, it stays below the disorder of the streams.
pub const JITTER_MS: u64 = 900;
/// Event time between two events.
const STEP_MS: u64 = 10;
/// Too old for everything.
pub const ANCIENT_MS: u64 = 1_800_000;
/// Repeats are of the last so many ids of a stream, fewer than are remembered.
const RECENT: usize = 600;
const ITEMS: u64 = 20;

/// The streams of the pipeline, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Order,
    Visit,
}

/// A message for an input stream.
#[derive(Debug, Clone)]
pub struct Sent {
    pub kind: Kind,
    pub payload: Vec<u8>,
}

/// Gives messages, the same for the same seed.
pub struct Generator {
    random: ChaCha8Rng,
    people: Zipf<f64>,
    /// Event time, milliseconds since 1970.
    now: u64,
    count: u64,
    recent: [VecDeque<Value>; 2],
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Order, Self::Visit];

    /// Where its messages are published.
    pub const fn subject(self) -> &'static str {
        match self {
            Self::Order => "faults.orders",
            Self::Visit => "faults.visits",
        }
    }

    const fn id(self) -> &'static str {
        match self {
            Self::Order => "order_id",
            Self::Visit => "visit_id",
        }
    }
}

impl Generator {
    /// Events from `start_ms` on, milliseconds since 1970.
    pub fn new(seed: u64, start_ms: u64) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            people: Zipf::new(300.0, 1.1).unwrap(),
            now: start_ms,
            count: 0,
            recent: [VecDeque::new(), VecDeque::new()],
        }
    }

    /// The next message.
    pub fn next(&mut self) -> Sent {
        let kind = Kind::ALL[usize::from(self.random.random_bool(0.5))];
        let jitter = self.random.random_range(0..JITTER_MS);
        let payload = match self.random.random_range(0..100) {
            0..5 => {
                let count = self.random.random_range(2..5);
                let events: Vec<Value> = (0..count).map(|_| self.event(kind, jitter)).collect();
                serde_json::to_vec(&events).unwrap()
            }
            5..9 => {
                let recent = &self.recent[kind as usize];
                let back = if self.random.random_bool(0.5) { 5 } else { RECENT };
                let first = recent.len().saturating_sub(back);
                match recent.get(self.random.random_range(first..recent.len().max(first + 1))) {
                    Some(again) => serde_json::to_vec(again).unwrap(),
                    None => serde_json::to_vec(&self.event(kind, jitter)).unwrap(),
                }
            }
            9..13 => self.poison(kind, jitter),
            13..15 if kind == Kind::Order => {
                let late = self.random.random_range(4_000..30_000);
                serde_json::to_vec(&self.event(kind, late)).unwrap()
            }
            15..17 => serde_json::to_vec(&self.event(kind, ANCIENT_MS + jitter)).unwrap(),
            _ => serde_json::to_vec(&self.event(kind, jitter)).unwrap(),
        };
        Sent { kind, payload }
    }

    /// What closes every window of what came before: an event of each stream, much later, and one after it that sees them
    /// closed.
    pub fn closing(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        for wait in [60_000, 1_000] {
            self.now += wait;
            for kind in Kind::ALL {
                sent.push(Sent { kind, payload: serde_json::to_vec(&self.event(kind, 0)).unwrap() });
            }
        }
        sent
    }

    /// A new event, so much behind event time.
    fn event(&mut self, kind: Kind, behind_ms: u64) -> Value {
        self.now += STEP_MS;
        self.count += 1;
        let (id, ts) = (format!("e{}", self.count), self.now - behind_ms);
        let event = match kind {
            Kind::Order => {
                let (user, amount) = (self.people.sample(&mut self.random) as u64, self.random.random_range(1..10_000));
                json!({"order_id": id, "user_id": user, "amount": amount, "ts": ts})
            }
            // People who come at random, so that their sessions end.
            Kind::Visit => {
                let (user, item) = (self.random.random_range(0..150), self.random.random_range(0..ITEMS));
                let kind = if self.random.random_bool(0.7) { "view" } else { "buy" };
                json!({"visit_id": id, "user_id": user, "item_id": item, "kind": kind, "ts": ts})
            }
        };
        let recent = &mut self.recent[kind as usize];
        recent.push_back(event.clone());
        if recent.len() > RECENT {
            recent.pop_front();
        }
        event
    }

    /// Bytes that are one event which can't be used. Its id is one of its own, and stays unknown.
    fn poison(&mut self, kind: Kind, jitter: u64) -> Vec<u8> {
        let mut event = self.event(kind, jitter);
        self.recent[kind as usize].pop_back();
        match self.random.random_range(0..6) {
            0 => return b"not json at all".to_vec(),
            1 => {
                let mut bytes = serde_json::to_vec(&event).unwrap();
                bytes.truncate(bytes.len() / 2);
                return bytes;
            }
            2 => event["user_id"] = json!("1"),
            3 => drop(event.as_object_mut().unwrap().shift_remove("user_id")),
            4 if kind == Kind::Visit => event["kind"] = json!("stare"),
            4 => event["amount"] = json!(-1),
            // Seconds instead of milliseconds, or a clock that is years ahead.
            _ if self.random.random_bool(0.5) => event["ts"] = json!(self.now / 1_000),
            _ => event["ts"] = json!(self.now * 2),
        }
        debug_assert!(event.get(kind.id()).is_some());
        serde_json::to_vec(&event).unwrap()
    }
}
