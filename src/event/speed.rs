//! How fast events are decoded: `cargo test --release --lib event::speed -- --ignored --nocapture`.

use std::sync::Arc;

use arrow_json::ReaderBuilder;
use rustix::time::{ClockId, clock_gettime};

use super::check::{Limits, ObjectCheck};
use super::testing::{Message, PUBLISHED, json};
use super::{Contract, DecodeSettings, Decoder, SeenIds};

const CONTRACT: &str = r#"{"type": "object", "properties": {
    "event_id": {"type": "string", "maxLength": 64},
    "ts": {"type": "integer"},
    "user_id": {"type": "integer"},
    "item_id": {"type": "integer"},
    "category_id": {"type": "integer"},
    "kind": {"type": "string", "enum": ["view", "cart", "buy"]},
    "price": {"type": "number", "minimum": 0},
    "session": {"type": "string"},
    "page": {"type": "string"}
}, "required": ["event_id", "ts", "user_id", "item_id", "kind"]}"#;

const BATCH: usize = 7_000;

/// Messages of one event of 256 bytes each.
fn messages() -> Vec<Message> {
    let event = |index: usize| {
        let open = format!(
            r#"{{"event_id":"5f3c9f0e-7a51-4c1e-9d0b-{index:012}","ts":{},"user_id":{},"item_id":{},"category_id":{},"kind":"view","price":{}.95,"session":"s-{index:08}","page":""#,
            PUBLISHED / 1_000 - 5,
            100_000 + index,
            2_000_000 + index * 7,
            4_000 + index % 500,
            10 + index % 90,
        );
        let page = "/shop/category/shoes/running/summer-sale/".chars().cycle().take(254 - open.len());
        let event = format!("{open}{}\"}}", page.collect::<String>());
        assert_eq!(event.len(), 256);
        json(&event)
    };
    (0..BATCH).map(event).collect()
}

const CLICK_CONTRACT: &str = r#"{"type": "object", "properties": {
    "ts": {"type": "integer"},
    "user_id": {"type": "integer"},
    "item_id": {"type": "integer"},
    "kind": {"type": "string"},
    "price": {"type": "number"}
}, "required": ["ts", "user_id", "item_id", "kind", "price"]}"#;

/// One batch of clicks of about 75 bytes, one per line, in messages of so many events each.
fn clicks(events_per_message: usize) -> Vec<Message> {
    let kinds = ["view", "view", "view", "cart", "buy"];
    let lines: Vec<_> = (0..BATCH)
        .map(|index| {
            format!(
                "{{\"ts\":{},\"user_id\":{},\"item_id\":{},\"kind\":\"{}\",\"price\":{}.{:02}}}\n",
                PUBLISHED / 1_000 - 50_000 + index as i64,
                index * 2_654_435_761 % 4_294_967_291 % 100_000,
                index * 2_246_822_519 % 4_294_967_291 % 10_000,
                kinds[index % kinds.len()],
                index % 90,
                index % 97,
            )
        })
        .collect();
    lines.chunks(events_per_message).map(|lines| json(&lines.concat())).collect()
}

/// Seconds of CPU that this thread has used: other work on the machine does not count.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Prints how many events per second of CPU `round` gets through; one round is one batch.
fn measure(what: &str, mut round: impl FnMut()) {
    round();
    let start = cpu_seconds();
    let mut rounds = 0;
    while cpu_seconds() - start < 2.0 {
        round();
        rounds += 1;
    }
    let rate = f64::from(rounds) * BATCH as f64 / (cpu_seconds() - start);
    println!("{what:40} {:6.2} M events per CPU second", rate / 1e6);
}

#[test]
#[ignore = "a measurement"]
fn decode_speed() {
    let messages = messages();
    let contract = Arc::new(Contract::parse(CONTRACT).expect("a contract"));

    let mut check = ObjectCheck::new(Arc::clone(&contract), Limits::default(), None);
    measure("check alone", || {
        messages.iter().for_each(|message| check.object(&message.payload, &mut []).expect("good"))
    });

    let builder = ReaderBuilder::new(Arc::clone(contract.schema())).with_batch_size(BATCH);
    let mut tape = builder.build_decoder().expect("a decoder");
    measure("arrow-json alone", || {
        for message in &messages {
            assert_eq!(tape.decode(&message.payload).expect("good"), 256);
        }
        assert_eq!(tape.flush().expect("good").expect("rows").num_rows(), BATCH);
    });

    let mut decoder = Decoder::new(contract, &DecodeSettings::new("ts")).expect("a decoder");
    measure("check, columns, times: Decoder", || {
        assert_eq!(decoder.decode(&messages).expect("good").batch.num_rows(), BATCH);
    });

    for (what, events_per_message) in [("clicks, one per message", 1), ("clicks, all in one message", BATCH)] {
        let clicks = clicks(events_per_message);
        let contract = Arc::new(Contract::parse(CLICK_CONTRACT).expect("a contract"));
        let mut decoder = Decoder::new(contract, &DecodeSettings::new("ts")).expect("a decoder");
        measure(what, || assert_eq!(decoder.decode(&clicks).expect("good").batch.num_rows(), BATCH));
    }

    let times: Vec<Message> = (0..BATCH)
        .map(|index| {
            json(&format!(r#"{{"ts":"2025-12-31T23:59:{:02}.{:03}+01:00","user":"u"}}"#, index % 60, index % 1_000))
        })
        .collect();
    let contract = r#"{"type": "object", "properties": {"ts": {"type": "string", "format": "date-time"},
        "user": {"type": "string"}}, "required": ["ts"]}"#;
    let contract = Arc::new(Contract::parse(contract).expect("a contract"));
    let mut dated = Decoder::new(contract, &DecodeSettings::new("ts")).expect("a decoder");
    measure("events with a date-time", || {
        assert_eq!(dated.decode(&times).expect("good").batch.num_rows(), BATCH);
    });

    let rows = decoder.decode(&messages).expect("good").batch;
    let (origin, published) = ((0..BATCH as u32).collect::<Vec<_>>(), vec![PUBLISHED; BATCH]);
    measure("columns already: Decoder", || {
        assert_eq!(decoder.decode_rows(&rows, &origin, &published).expect("good").batch.num_rows(), BATCH);
    });

    let ids = rows.column(0).clone();
    let mut seen = SeenIds::new(1 << 20);
    measure("repeated ids: SeenIds", || assert_eq!(seen.first_seen(&ids).expect("marks").len(), BATCH));
}
