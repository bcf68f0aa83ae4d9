//! Parts written by hand beside those of the libraries that they stand in for, by turns in one run.
//!
//! `cargo bench --bench parts [-- ROUNDS] [decode|read|publish]`, from the project's root.
//!
//! ```text
//!   decode   JSON events into columns   Decoder                      arrow-json, alone and with events judged before it
//!   read     a stream, in order         Reader                       the client library's consumers
//!   publish  messages with ids          Publisher, AtomicPublisher   the client library's publishing
//! ```
//!
//! Every way of a part does the same work in each round, and who comes first changes from round to round. Two tables tell
//! what each way reached and how many times as long the fastest others took; the last line is JSON with all figures by
//! name. CPU seconds are of this process, without the broker's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod broker;
mod decode;
mod publish;
mod read;
mod report;

use serde_json::Map;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const PARTS: [&str; 3] = ["decode", "read", "publish"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // A test run of all targets only wants to know that this builds.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS).max(1);
    let only = arguments.iter().find(|argument| PARTS.contains(&argument.as_str()));
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    println!("{rounds} rounds after one that does not count; medians, ratios with the least and the greatest round");
    let mut figures = Map::new();
    if wanted("decode") {
        decode::compare(rounds, &mut figures);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if wanted("read") {
        runtime.block_on(read::compare(rounds, &mut figures));
    }
    if wanted("publish") {
        runtime.block_on(publish::compare(rounds, &mut figures));
    }
    println!("\n{}", serde_json::Value::Object(figures));
}
