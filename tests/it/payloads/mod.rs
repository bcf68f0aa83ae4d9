//! What the tools of others send is taken by the ready contracts: `tidewheel schema NAME` prints them.
//!
//! ```text
//!   tests/golden/payloads/CONTRACT.SENDER.jsonl     what SENDER sent, as `make payloads` catches it, an event a line
//!        │                                          (`documentation`: made after the format's public documentation)
//!        ├─▶ golden      every event is taken, and every value of the contract is in its column
//!        └─▶ thousand    a thousand such events through a broker and a pipeline, with counts by plain maps
//!   docs/payloads.md ──▶ walk      the commands of the page, from a stream that is there to rankings
//! ```

mod golden;
mod thousand;
mod walk;

use std::path::Path;

use crate::broker::program;

/// A ready contract, as the program prints it.
fn ready(name: &str) -> String {
    let printed = program(Path::new(".")).args(["schema", name]).output().unwrap();
    assert!(printed.status.success(), "{name}: {}", String::from_utf8_lossy(&printed.stderr));
    String::from_utf8(printed.stdout).unwrap()
}
