//! The fuzzer itself: it finds bugs that were planted, and makes them small.

use std::time::Duration;

use super::engine::{Failure, Outcome, Target, hunt};
use super::guard;

/// Reads `key=number;` and can't stand two things.
const TOY: Target = Target {
    name: "toy",
    seconds: 2,
    dictionary: &["size"],
    inputs: Vec::new,
    reader: || {
        Box::new(|input| {
            let text = String::from_utf8_lossy(input);
            let Some((key, number)) = text.split_once('=') else { return Outcome::Refused("no sign".to_owned()) };
            let Some((number, _)) = number.split_once(';') else { return Outcome::Refused("no end".to_owned()) };
            let Ok(number) = number.parse::<i64>() else { return Outcome::Refused("no number".to_owned()) };
            assert!(!(key.ends_with("size") && number > 1 << 40), "a planted bug");
            Outcome::Accepted
        })
    },
};

fn found(seed: u64) -> Failure {
    let corpus = vec![b"colour=12; and whatever else".to_vec()];
    hunt(&TOY, corpus, seed, Duration::from_secs(60)).expect_err("it is found")
}

#[test]
fn a_planted_bug_is_found_and_made_small() {
    let failure = found(7);
    assert!(failure.what.contains("a planted bug") && failure.what.contains("toy.rs"), "{failure}");
    let text = String::from_utf8(failure.input).unwrap();
    assert!(text.starts_with("size=") && text.ends_with(';') && text.len() <= 25, "{text}");
}

#[test]
fn one_seed_finds_one_input() {
    assert_eq!(found(8).input, found(8).input);
}

#[test]
fn a_hang_is_a_failure_with_its_input() {
    let hanging = Target {
        name: "hanging",
        seconds: 2,
        reader: || {
            Box::new(|input| {
                if input == b"for ever" {
                    loop {
                        std::thread::park();
                    }
                }
                Outcome::Accepted
            })
        },
        ..TOY
    };
    let failure = guard::once_within(&hanging, b"for ever".to_vec(), Duration::from_millis(200)).expect_err("a hang");
    assert!(failure.what.contains("no end") && failure.input == b"for ever", "{failure}");
}
