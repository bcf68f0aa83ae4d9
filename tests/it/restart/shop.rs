//! Messages of a shop that keeps no order: disorder within and beyond what is waited for, repeats, poison.

use bytes::Bytes;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};

/// 2023-11-14T22:00:00Z, in milliseconds.
pub const START: i64 = 1_699_999_200_000;

/// Messages of several streams in the order in which a step sees them: the stream of each, and the message.
pub fn messages(seed: u64, count: usize, streams: usize) -> Vec<(usize, Message)> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut made: Vec<(usize, Message)> = Vec::with_capacity(count);
    let mut now = START;
    let mut last = vec![0; streams];
    let mut event = 0;
    while made.len() < count {
        now += match random.random_range(0..100) {
            0 => random.random_range(0..600_000),
            1..8 => random.random_range(0..40_000),
            _ => random.random_range(0..1_500),
        };
        // The second stream is silent for a third of the time.
        let stream = random.random_range(0..streams);
        if stream == 1 && (now / 60_000) % 3 == 0 {
            continue;
        }
        let payload = match random.random_range(0..100) {
            0..5 if !made.is_empty() => made[random.random_range(0..made.len())].1.payload.to_vec(),
            5 => b"{\"event_id\": \"cut off".to_vec(),
            6 => br#"{"event_id": "x", "user_id": "nobody", "ts": 3}"#.to_vec(),
            7..12 => {
                let events = (0..random.random_range(1..4)).map(|_| click(&mut random, &mut event, now));
                events.collect::<Vec<_>>().join(&b'\n')
            }
            _ => click(&mut random, &mut event, now),
        };
        let (first, second) =
            if stream == 0 { ("shop.clicks.eu", "shop.clicks.us") } else { ("shop.orders.a", "shop.orders.b") };
        last[stream] += 1;
        made.push((
            stream,
            Message {
                payload: payload.into(),
                sequence: StreamSequence(last[stream]),
                published_micros: (now + 20) * 1_000,
                encoding: Encoding::Json,
                subject: Subject::new(if random.random_range(0..4) > 0 { first } else { second }).unwrap(),
            },
        ));
    }
    made
}

fn click(random: &mut impl Rng, event: &mut u64, now: i64) -> Vec<u8> {
    *event += 1;
    let back = match random.random_range(0..100) {
        0..3 => random.random_range(0..900_000),
        3..10 => random.random_range(0..60_000),
        10..50 => random.random_range(0..2_500),
        _ => 0,
    };
    let item = random.random_range(0..9);
    let price = if random.random_range(0..50) == 0 { 1e17 } else { f64::from(random.random_range(1..9_999)) / 100.0 };
    let kind = ["view", "view", "view", "cart", "fav", "buy"][random.random_range(0..6)];
    let click = json!({"event_id": event.to_string(), "user_id": random.random_range(0..7), "item_id": item,
        "category_id": 1 + item % 4, "kind": kind, "price": price, "ts": now - back});
    serde_json::to_vec(&click).unwrap()
}

/// Requests for rankings, some of them of an earlier time, one of them broken.
pub fn requests(seed: u64, now: i64) -> Vec<Bytes> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut payloads: Vec<Bytes> = (0..4)
        .map(|number| {
            let items: Vec<i64> = (0..random.random_range(1..6)).map(|_| random.random_range(0..12)).collect();
            let mut request =
                json!({"request_id": number.to_string(), "user_id": random.random_range(0..9), "items": items});
            if number % 2 == 0 {
                request["ts"] = json!(now - random.random_range(0..3_000));
            }
            serde_json::to_vec(&request).unwrap().into()
        })
        .collect();
    payloads.push(Bytes::from_static(b"{\"request_id\": 5"));
    payloads
}
