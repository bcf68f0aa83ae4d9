//! Windows by example: each file under `tests/windows/` is a script that shows one behaviour.
//!
//! ```text
//!  hop/counts.case ─▶ script ─┬─▶ run: one event per step ─────────────▶ lines, compared with those in the file
//!                             ├─▶ run: 2, 3, 7, all events per step ───▶ the same lines
//!                             ├─▶ run: saved and restored at each step ▶ the same lines
//!                             └─▶ oracle: the same SQL in plain DataFusion over windows that were counted out
//!                                         ▲ equals what is left when all emissions are applied in order
//! ```
//!
//! A script is read from top to bottom:
//!
//! ```text
//! # What it shows.
//!
//! stream clicks disorder 5s                              a stream; its watermark is the newest time less the disorder
//!
//! table views on close lateness 2s                       or: on update every 5s | early every 10s | as of retention 1h
//!   SELECT user_id, count(*) AS views
//!   FROM clicks GROUP BY user_id, tumble(ts, '10 seconds')
//!
//! clicks                                                 events: ts, user_id, item_id, kind, price, note
//!   1.5s, 7, 10, view, 2.5
//!   16s, 7                                               what is missing or empty is NULL; '' is an empty text
//!     => views final 0s..10s at 10s: user_id=7 views=1   what a step gives, in any order
//!   repeat 1000: {16000+i*2}ms, {i%10}                   as many events, with i from 0
//! clicks watermark 30s                                   moves the watermark without an event
//! clicks idle                                            the stream holds no watermark back until its next event
//! restart                                                saved and restored here, in all runs but the first
//! read recent user_id=7 at 70s                           looks a key of an as-of table up
//! end                                                    no more input: the watermark moves to the end of time
//! ```
//!
//! A line that starts with `=>` is `TABLE KIND START..END at WATERMARK: columns`, with `removed` after the watermark when
//! the row no longer holds; `late for TABLE` when a table counts an event as late; `refused` when all do. Times are in
//! event time from 1970 on, in seconds or as a date. `BLESS=1` writes what was found into the files (the oracle is asked
//! all the same), `SCRIPT=text` runs only the files whose path has the text.

mod batch;
mod compare;
mod events;
mod functions;
mod naive;
mod read;
mod report;
mod run;
mod script;
mod show;
mod sql;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

pub use self::run::Mode;
pub use self::script::Script;

/// Every way in which a script runs; the first is what the file shows.
pub const MODES: [Mode; 7] = [
    Mode { chunk: Some(1), restarts: false },
    Mode { chunk: Some(2), restarts: false },
    Mode { chunk: Some(3), restarts: false },
    Mode { chunk: Some(7), restarts: false },
    Mode { chunk: None, restarts: false },
    Mode { chunk: Some(1), restarts: true },
    Mode { chunk: Some(3), restarts: true },
];

/// Runs a script in every way and asks the oracle. Gives what was found wrong, and the lines of the first run.
pub fn check(script: &Script) -> (Vec<String>, run::Transcript) {
    let mut problems = Vec::new();
    let straight = run::run(script, MODES[0]);
    problems.extend(compare::differences_from_file(script, &straight));
    for mode in &MODES[1..] {
        let other = run::run(script, *mode);
        problems.extend(compare::differences_between(script, &straight, &other, *mode));
    }
    problems.extend(batch::differences(script, &straight));
    problems.extend(read::differences(script, &straight));
    (problems, straight)
}

/// Scripts that take longer are told.
const SLOW: std::time::Duration = std::time::Duration::from_secs(2);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/windows")
}

/// Runs the scripts of a folder and fails with all that is wrong in any of them.
fn check_folder(folder: &str) {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let wanted = std::env::var("SCRIPT").unwrap_or_default();
    let (mut ran, mut failed) = (0, Vec::new());
    for path in paths.iter().filter(|path| path.to_string_lossy().contains(&wanted)) {
        let name = format!("{folder}/{}", path.file_name().unwrap().to_string_lossy());
        let since = std::time::Instant::now();
        ran += 1;
        let problems = catch_unwind(AssertUnwindSafe(|| {
            let script = Script::parse(&name, &std::fs::read_to_string(path).unwrap());
            let (problems, straight) = check(&script);
            if std::env::var_os("BLESS").is_some() {
                std::fs::write(path, report::blessed(&script, &straight)).unwrap();
            }
            problems
        }));
        if since.elapsed() > SLOW {
            println!("{name}: {:.1?}", since.elapsed());
        }
        let problems = problems.unwrap_or_else(|panic| vec![format!("panicked: {}", report::panic_text(&*panic))]);
        if !problems.is_empty() {
            failed.push(format!("{name}\n{}", report::shortened(&problems)));
        }
    }
    println!("{folder}: {ran} scripts ran, {} failed", failed.len());
    assert!(failed.is_empty(), "{} of {ran} scripts in {folder} failed\n\n{}", failed.len(), failed.join("\n"));
}

macro_rules! folders {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            check_folder(stringify!($name));
        })*

        #[test]
        fn every_folder_of_scripts_is_run() {
            let known = [$(stringify!($name)),*];
            for entry in std::fs::read_dir(root()).unwrap() {
                let name = entry.unwrap().file_name().to_string_lossy().into_owned();
                assert!(known.contains(&name.as_str()), "tests/windows/{name} is run by no test: add it here");
            }
        }
    };
}

folders!(tumble, hop, cumulate, session, asof, emit, late, shared, streams, functions, corners, values, restart);
