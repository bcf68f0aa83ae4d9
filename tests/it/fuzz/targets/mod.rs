//! One file per reader: its first inputs, its words, and what must hold for what it accepts.

pub mod checkpoints;
pub mod contracts;
pub mod events;
pub mod examples;
pub mod features;
pub mod folders;
pub mod models;
pub mod queries;
pub mod references;
pub mod requests;
pub mod rows;
pub mod snapshots;
pub mod states;

use std::fs;

use crate::taobao::root;

/// A file of the project.
pub fn shipped(path: &str) -> Vec<u8> {
    fs::read(root().join(path)).unwrap()
}

fn shipped_text(path: &str) -> String {
    String::from_utf8(shipped(path)).unwrap()
}
