//! Events of the shipped contract from JSON into columns, by our decoder and by arrow-json.
//!
//! ```text
//!   Decoder      event ─▶ judged by the contract while its values are appended ─▶ rows; refused: message, reason, bytes
//!   arrow-json   event ─▶ tape of tokens ─▶ rows; an error takes its whole batch along and names no event
//!   the same     event ─▶ serde_json and rules written for this contract ─▶ arrow-json ─▶ event time
//! ```
//!
//! Ours reads the contract when it starts; the rules beside `serde_json` are compiled in, which favours them. So does that
//! they hold texts only as they stand: one with an escape would be refused.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use arrow_json::ReaderBuilder;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};
use tidewheel::event::{Contract, DecodeSettings, Decoder};
use tidewheel::simulate::{Click, Shop, ShopSettings};

use super::report::{Comparison, Gives, Watch, Way};

const EVENTS: usize = 1_000_000;
/// Rows of a step of a pipeline.
const BATCH: usize = 4_096;
/// arrow-json's own.
const SMALL_BATCH: usize = 1_024;
/// One event in so many is led to by a ranking, about.
const BROWSED_PER_VISIT: usize = 8;
const START_MICROS: i64 = 1_700_000_000_000_000;
const MICROS_PER_EVENT: i64 = 500;
/// The broker's time of every message, after all events.
const PUBLISHED_MICROS: i64 = START_MICROS + EVENTS as i64 * MICROS_PER_EVENT;

/// An event to spoil.
const GOOD: &str =
    r#"{"event_id":"x","user_id":1,"item_id":2,"category_id":3,"kind":"view","price":5,"ts":1700000000000}"#;

/// The events, in two forms over the same bytes.
struct Events {
    contract: Arc<Contract>,
    /// For each batch one message for every event.
    messages: Vec<Vec<Message>>,
    /// For each batch one message with an event a line.
    lines: Vec<Message>,
}

/// Decodes all events and returns how many rows they became.
type Decode = fn(&Events) -> usize;

pub(crate) fn compare(rounds: usize, figures: &mut Map<String, Value>) {
    let events = Events::generate();
    compare_first_batch(&events);
    let mut comparison = Comparison::new("decode", "events", EVENTS, ways());
    for round in 0..=rounds {
        for (way, run) in comparison.turns(round) {
            let watch = Watch::start();
            let rows = run(&events);
            comparison.took(round, way, &watch);
            assert_eq!(rows, EVENTS);
        }
    }
    comparison.report(figures);
    compare_flaws(&events);
}

fn ways() -> Vec<Way<Decode>> {
    vec![
        Way { key: "decoder", gives: Gives::Ours, description: "a message each, judged", run: decoder },
        Way {
            key: "decoder_lines",
            gives: Gives::Ours,
            description: "4,096 lines a message, judged",
            run: |events| {
                let mut decoder = events.decoder();
                let lines = events.lines.iter();
                lines.map(|message| rows(&decoder.decode(std::slice::from_ref(message)).expect("rows").batch)).sum()
            },
        },
        Way { key: "arrow_json", gives: Gives::Less, description: "a message each, not judged", run: arrow_json },
        Way {
            key: "arrow_json_lines",
            gives: Gives::Less,
            description: "4,096 lines at once, not judged",
            run: |events| arrow_json_lines(events, BATCH),
        },
        Way {
            key: "arrow_json_lines_1024",
            gives: Gives::Less,
            description: "the same, batches of 1,024",
            run: |events| arrow_json_lines(events, SMALL_BATCH),
        },
        Way {
            key: "serde_then_arrow_json",
            gives: Gives::Same,
            description: "judged with `serde_json`, then read again by arrow-json",
            run: |events| assembled(events, read_again),
        },
        Way {
            key: "serde_into_arrow_json",
            gives: Gives::Same,
            description: "judged with `serde_json`, its values given to arrow-json",
            run: |events| assembled(events, give_values),
        },
    ]
}

impl Events {
    /// What people of the synthetic shop do.
    fn generate() -> Self {
        let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/click.json");
        let contract = Contract::parse(&fs::read_to_string(contract).unwrap()).expect("a contract");
        let (mut shop, mut clicks) = (Shop::new(&ShopSettings::default()), Vec::with_capacity(EVENTS + BATCH));
        while clicks.len() < EVENTS {
            let now = START_MICROS + clicks.len() as i64 * MICROS_PER_EVENT;
            clicks.extend((0..BROWSED_PER_VISIT).map(|_| shop.browse(now)));
            let visit = shop.visit(now);
            clicks.extend(shop.react(&visit, &visit.candidates, now));
        }
        clicks.truncate(EVENTS);
        let mut events = Self { contract: Arc::new(contract), messages: Vec::new(), lines: Vec::new() };
        clicks.chunks(BATCH).for_each(|clicks| events.push(clicks));
        let bytes: usize = events.lines.iter().map(|message| message.payload.len()).sum();
        println!("\n{EVENTS} events of schemas/click.json, {} bytes each, batches of {BATCH}", bytes / EVENTS);
        events
    }

    fn push(&mut self, clicks: &[Click]) {
        let (mut bytes, mut ranges) = (Vec::new(), Vec::with_capacity(clicks.len()));
        for click in clicks {
            let start = bytes.len();
            click.write_json(&mut bytes);
            ranges.push(start..bytes.len());
            bytes.push(b'\n');
        }
        // As from the broker, whose messages are views of what the connection has read.
        let bytes = Bytes::from(bytes);
        self.messages.push(ranges.into_iter().map(|range| message(bytes.slice(range))).collect());
        self.lines.push(message(bytes));
    }

    fn decoder(&self) -> Decoder {
        Decoder::new(Arc::clone(&self.contract), &DecodeSettings::new("ts")).expect("a decoder")
    }

    /// Neither strict mode, which only costs time as the contract lets other fields be, nor texts made of numbers.
    fn arrow_json(&self, batch: usize) -> arrow_json::reader::Decoder {
        ReaderBuilder::new(Arc::clone(self.contract.schema()))
            .with_batch_size(batch)
            .build_decoder()
            .expect("a decoder")
    }
}

fn message(payload: Bytes) -> Message {
    let subject = Subject::new("shop.clicks.web").unwrap();
    let sequence = StreamSequence::FIRST;
    Message { payload, sequence, published_micros: PUBLISHED_MICROS, encoding: Encoding::Json, subject }
}

fn rows(batch: &RecordBatch) -> usize {
    black_box(batch).num_rows()
}

fn decoder(events: &Events) -> usize {
    let mut decoder = events.decoder();
    events.messages.iter().map(|messages| rows(&decoder.decode(messages).expect("rows").batch)).sum()
}

fn arrow_json(events: &Events) -> usize {
    let mut tape = events.arrow_json(BATCH);
    let mut decoded = 0;
    for messages in &events.messages {
        for message in messages {
            assert_eq!(tape.decode(&message.payload).expect("good"), message.payload.len());
        }
        decoded += rows(&tape.flush().expect("good").expect("rows"));
    }
    decoded
}

fn arrow_json_lines(events: &Events, batch: usize) -> usize {
    let mut tape = events.arrow_json(batch);
    let mut decoded = 0;
    for message in &events.lines {
        let mut rest = &message.payload[..];
        while !rest.is_empty() {
            let read = tape.decode(rest).expect("good");
            rest = &rest[read..];
            // None is what the line end after a full batch makes.
            decoded += tape.flush().expect("good").as_ref().map_or(0, rows);
        }
    }
    decoded
}

/// The contract of clicks as a type. Serializes as what it was read from.
#[derive(Deserialize, Serialize)]
struct Judged<'a> {
    event_id: &'a str,
    user_id: i64,
    item_id: i64,
    category_id: i64,
    kind: Kind,
    price: f64,
    ts: i64,
    request_id: Option<&'a str>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    View,
    Cart,
    Fav,
    Buy,
}

/// The event, if the contract and our decoder's own limits take it.
fn judge(message: &Message) -> Option<Judged<'_>> {
    let click: Judged<'_> = serde_json::from_slice(&message.payload).ok()?;
    let short = |text: &str| text.len() <= 128 || text.chars().count() <= 128;
    let settings = DecodeSettings::new("ts");
    let latest = message.published_micros + settings.ahead_micros;
    let believed = (settings.earliest_micros..=latest).contains(&click.ts.checked_mul(1_000)?);
    let fits = !click.event_id.is_empty()
        && short(click.event_id)
        && click.request_id.is_none_or(short)
        && click.price >= 0.0
        && message.payload.len() <= settings.limits.max_event_bytes;
    (fits && believed).then_some(click)
}

/// Puts the good ones of some messages into arrow-json, and says how many messages were bad.
type Fill = fn(&mut arrow_json::reader::Decoder, &[Message]) -> usize;

fn read_again(tape: &mut arrow_json::reader::Decoder, messages: &[Message]) -> usize {
    let mut bad = 0;
    for message in messages {
        match judge(message) {
            Some(_) => assert_eq!(tape.decode(&message.payload).expect("good"), message.payload.len()),
            None => bad += 1,
        }
    }
    bad
}

fn give_values(tape: &mut arrow_json::reader::Decoder, messages: &[Message]) -> usize {
    let good: Vec<Judged<'_>> = messages.iter().filter_map(judge).collect();
    tape.serialize(&good).expect("good");
    messages.len() - good.len()
}

fn assembled(events: &Events, fill: Fill) -> usize {
    let mut tape = events.arrow_json(BATCH);
    let schema = Arc::clone(events.decoder().schema());
    events.messages.iter().map(|messages| rows(&assemble(&mut tape, &schema, messages, fill))).sum()
}

/// One batch with the columns of our decoder's.
fn assemble(
    tape: &mut arrow_json::reader::Decoder,
    schema: &SchemaRef,
    messages: &[Message],
    fill: Fill,
) -> RecordBatch {
    let bad = fill(tape, messages);
    let batch = tape.flush().expect("good").expect("rows");
    assert_eq!(bad + batch.num_rows(), messages.len());
    let time = schema.index_of("ts").expect("the event time");
    let mut columns = batch.columns().to_vec();
    let micros = columns[time].as_primitive::<Int64Type>().unary::<_, TimestampMicrosecondType>(|ms| ms * 1_000);
    columns[time] = Arc::new(micros.with_timezone("+00:00"));
    RecordBatch::try_new(Arc::clone(schema), columns).expect("the same columns")
}

/// Ways that give the same have to: row for row, and column for column.
fn compare_first_batch(events: &Events) {
    let first = &events.messages[0];
    let expected = events.decoder().decode(first).expect("rows").batch;
    assert_eq!(expected.num_rows(), BATCH);
    for fill in [read_again, give_values] {
        let found = assemble(&mut events.arrow_json(BATCH), expected.schema_ref(), first, fill);
        assert_eq!(found, expected);
    }
}

/// What becomes of a batch with one flawed event in it.
fn compare_flaws(events: &Events) {
    let with = |value: &str, other: &str| GOOD.replace(value, other);
    let flawed = [
        ("a kind that is not in the contract's list", with("view", "gift")),
        ("a price below zero", with(r#""price":5"#, r#""price":-5"#)),
        ("an integer written as text", with(r#""user_id":1"#, r#""user_id":"1""#)),
        ("no user", with(r#""user_id":1,"#, "")),
        ("an event that breaks off", GOOD[..GOOD.len() / 2].to_owned()),
    ];
    println!("\n| One event of a batch has | Decoder | arrow-json |\n|---|---|---|");
    for (flaw, text) in flawed {
        let mut messages = events.messages[0].clone();
        messages[BATCH / 2] = message(text.into_bytes().into());
        let ours = events.decoder().decode(&messages).expect("rows");
        let [reject] = ours.rejects.as_slice() else { panic!("one is refused: {:?}", ours.rejects) };
        assert_eq!((reject.message as usize, ours.batch.num_rows()), (BATCH / 2, BATCH - 1));
        assert!(judge(&messages[BATCH / 2]).is_none());
        let mut tape = events.arrow_json(BATCH);
        let read = messages.iter().try_for_each(|message| tape.decode(&message.payload).map(drop));
        let theirs = match read.and_then(|()| tape.flush()) {
            Ok(batch) => format!("{} rows, the flawed one among them", batch.as_ref().map_or(0, rows)),
            Err(error) => format!("no rows: {error}"),
        };
        println!("| {flaw} | {} rows; message {}: {} | {theirs} |", BATCH - 1, reject.message, reject.reason.as_str());
    }
}
