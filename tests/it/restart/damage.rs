//! Damage to any saved part is an error that names the part, never another state.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidewheel::pipeline::Pipeline;

use super::folders::ALL;
use super::passage::{Parts, Passage, restore};
use super::shop::messages;

/// Bytes at either end of a part that are all tried; of those between, so many.
const ENDS: usize = 24;
const BETWEEN: usize = 40;

fn saved(pipeline: &Arc<Pipeline>) -> Parts {
    let mut passage = Passage::new(pipeline);
    passage.pass(&messages(11, 150, pipeline.streams.len()), 30).unwrap();
    passage.save()
}

/// What is said of the state when one of its parts is this.
fn refusal(pipeline: &Arc<Pipeline>, parts: &Parts, name: &str, bytes: &[u8]) -> Option<String> {
    let mut parts = parts.clone();
    parts.insert(name.to_owned(), bytes.to_vec());
    restore(pipeline, &parts).err().map(|error| error.to_string())
}

#[test]
fn flipped_bits_and_cuts_anywhere_are_errors_that_name_the_part() {
    for files in ALL {
        let pipeline = files.pipeline();
        let parts = saved(&pipeline);
        for (name, bytes) in &parts {
            assert!(bytes.len() > 2 * ENDS, "{name} holds nothing");
            let spread = (0..BETWEEN).map(|place| ENDS + place * (bytes.len() - 2 * ENDS) / BETWEEN + place % 7);
            let places: BTreeSet<usize> = (0..ENDS)
                .chain(spread)
                .chain(bytes.len() - ENDS..bytes.len())
                .filter(|place| *place < bytes.len())
                .collect();
            for place in places {
                let mut flipped = bytes.clone();
                flipped[place] ^= 1 << (place % 8);
                for (what, damaged) in [("flipped", &flipped[..]), ("cut", &bytes[..place])] {
                    let refusal = refusal(&pipeline, &parts, name, damaged);
                    let named =
                        refusal.as_ref().is_some_and(|said| said.starts_with(&format!("part {name} of the state: ")));
                    assert!(named, "{} {name} {what} at {place} of {}: {refusal:?}", files.name, bytes.len());
                }
            }
        }
    }
}

#[test]
fn a_part_in_the_place_of_another_is_refused() {
    for files in ALL {
        let pipeline = files.pipeline();
        let parts = saved(&pipeline);
        for name in parts.keys() {
            for (other, bytes) in parts.iter().filter(|(other, _)| *other != name) {
                assert!(refusal(&pipeline, &parts, name, bytes).is_some(), "{}: {other} as {name}", files.name);
            }
        }
    }
}

#[test]
fn a_part_of_other_settings_is_refused_as_such() {
    for (files, from, to, part) in [
        (
            ALL[0],
            "disorder     = \"2s\"",
            "disorder     = \"3s\"",
            "part stream clicks of the state: saved state has the plan",
        ),
        (
            ALL[0],
            "retention = \"2h\"",
            "retention = \"3h\"",
            "part table person of the state: saved state has the plan",
        ),
        (
            ALL[1],
            "lateness  = \"10s\"",
            "lateness  = \"11s\"",
            "part windows person of the state: saved state has the plan",
        ),
    ] {
        let parts = saved(&files.pipeline());
        assert!(files.settings.contains(from), "{from}");
        let changed = files.with_settings(&files.settings.replace(from, to));
        let said = restore(&changed, &parts).err().map(|error| error.to_string()).unwrap();
        assert!(said.starts_with(part), "{said}");
    }
}
