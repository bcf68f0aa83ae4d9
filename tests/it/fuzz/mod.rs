//! Everything that reads what others wrote, fed with what nobody would write.
//!
//! ```text
//!   tests/fuzz/<target>/*  ─┐                        ┌─▶ accepted: properties hold, such as read(write(x)) = x
//!   inputs made by code    ─┴▶ pool ─▶ mutate ─▶ target
//!                               ▲                    ├─▶ refused: a message that is new puts the input into the pool
//!                               └────────────────────┘
//!                                                    └─▶ panic, hang, abort: made small, written down, with the command
//! ```
//!
//! An input is bytes of at most [`LARGEST`](engine::LARGEST). The same seed makes the same inputs in the same order. Each
//! test runs its target for `FUZZ_SECONDS` (2, a minute where an input is a whole pipeline) from `FUZZ_SEED` (1); `FUZZ_INPUT` runs one file instead. What feeds back is
//! what the code says about an input: a refusal that was not seen before stands for a path that was not taken before.

mod engine;
mod guard;
mod malformed;
mod minimise;
mod mutate;
mod pack;
mod stored;
mod targets;
mod toy;

use engine::Target;

/// Runs a target as the environment says, and fails with the input that it can't stand.
fn fuzz(target: &Target) {
    let setting = |name: &str, default: u64| {
        std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
    };
    if let Some(path) = std::env::var_os("FUZZ_INPUT") {
        let input = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        match guard::once(target, input) {
            Ok(outcome) => return println!("{}: {outcome:?}", target.name),
            Err(failure) => panic!("{}: {failure}", target.name),
        }
    }
    stored::keep_aborted(target.name);
    let (seconds, seed) = (setting("FUZZ_SECONDS", target.seconds), setting("FUZZ_SEED", 1));
    let corpus = [stored::corpus(target.name), (target.inputs)()].concat();
    assert!(!corpus.is_empty(), "{} has no input to begin with", target.name);
    match engine::hunt(target, corpus, seed, std::time::Duration::from_secs(seconds)) {
        Ok(report) => {
            println!("{}: {report}, seed {seed}", target.name);
            assert!(
                report.accepted > 0,
                "{}: nothing was accepted, so nothing behind the reading was tried",
                target.name
            );
        }
        Err(failure) => {
            let path = stored::write_failure(target.name, &failure.input);
            panic!("{}: {failure}\nseed {seed}; repeat with\n  {}", target.name, stored::command(target.name, &path));
        }
    }
}

macro_rules! targets {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            fuzz(&targets::$name::TARGET);
        })+
    };
}

targets!(
    checkpoints,
    contracts,
    events,
    examples,
    features,
    folders,
    models,
    queries,
    references,
    requests,
    rows,
    snapshots,
    states,
);
