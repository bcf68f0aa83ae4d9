//! The tree keeps the direction of its imports, its doors, the size of its parts, and its generated files.
//!
//! ```text
//!  src/**/*.rs ─▶ reader ─▶ tree ─┬▶ order     a room imports only rooms before it in the list of src/lib.rs
//!                 what one  where ├▶ doors     a foreign crate is named in one place
//!                 file says it    ├▶ circles   no ring of many files inside a room
//!                           leads └▶ lengths   a function fits on a screen
//! ```
//!
//! Only what runs in production is read: an item under `#[cfg(test)]` is left out, and so is a file that only such an item
//! leads to. What a macro makes, and a path written inside a string, is not seen.

mod circles;
mod doors;
mod lengths;
mod order;
mod reader;
mod tree;

use std::fs;

use crate::taobao::root;

/// Fails with one line for each fault that a rule found.
fn assert_none(mut faults: Vec<String>) {
    faults.sort();
    faults.dedup();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_schema_of_pipeline_toml_is_up_to_date() {
    let stored = fs::read_to_string(root().join("schemas/pipeline.schema.json")).unwrap();
    let stored: serde_json::Value = serde_json::from_str(&stored).unwrap();
    assert_eq!(stored, tidewheel::config::schema(), "run: tidewheel schema > schemas/pipeline.schema.json");
}
