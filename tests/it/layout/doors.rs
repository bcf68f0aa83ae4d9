//! A foreign crate is named behind one door, so that its next version is one room's matter; the clock is read only where
//! something is done.

use super::assert_none;
use super::tree::{File, Target, Tree};

/// A crate or a room of ours, and the paths from `src/` that may name it: a file, or a folder with all below it.
type Door = (&'static str, &'static [&'static str]);

const DOORS: [Door; 21] = [
    ("anyhow", &["cli/"]),
    ("async_nats", &["bus/"]),
    ("chrono", &["event/instant/zone.rs"]),
    ("chrono_tz", &["event/instant/zone.rs"]),
    ("clap", &["cli/"]),
    // The machine's clocks: what decides is given the time.
    ("crate::clock", &["bus/", "cli/", "commit/", "engine/", "query/door.rs"]),
    ("csv", &["cli/source/", "reference/csv_file.rs"]),
    ("datafusion", &["feature/join.rs", "feature/plan.rs", "query/", "sql/", "window/"]),
    ("deltalake_core", &["history/"]),
    ("fastcdc", &["snapshot/"]),
    ("indicatif", &["cli/"]),
    ("metrics", &["commit/telemetry.rs", "engine/telemetry"]),
    ("metrics_exporter_prometheus", &["cli/"]),
    ("object_store", &["snapshot/"]),
    ("ort", &["model/runtime.rs", "model/session.rs", "model/train/pass.rs"]),
    ("parquet", &["history/", "query/format.rs", "reference/parquet_file.rs"]),
    ("prost", &["model/"]),
    ("schemars", &["config/"]),
    ("snap", &["event/packing.rs"]),
    ("tracing_subscriber", &["cli/"]),
    ("zstd", &["event/packing.rs"]),
];

/// Where a file names a crate by itself, or a room. What a door hands on under a name of its own is the door's matter.
fn line_that_names(name: &str, file: &File, tree: &Tree) -> Option<usize> {
    let named = file.reading.mentions.iter().find(|mention| {
        let own = Tree::absolute(&mention.scope, &mention.path);
        match (name.strip_prefix("crate::"), own) {
            (Some(room), Some(path)) => path.first().is_some_and(|first| first == room),
            (None, None) => tree.target(mention) == Some(Target::Foreign(name.to_owned())),
            _ => false,
        }
    });
    named.map(|mention| mention.line)
}

/// A line for each file that names a crate and is not one of its doors, and for each door that doesn't name it any more.
fn beside(doors: &[Door], tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, paths) in doors {
        let mut unused = paths.to_vec();
        for file in &tree.files {
            let Some(line) = line_that_names(name, file, tree) else { continue };
            if let Some(door) = paths.iter().find(|path| file.path.starts_with(**path)) {
                unused.retain(|path| path != door);
            } else {
                faults.push(format!(
                    "src/{}:{line}: names {name}, whose doors are src/{}: ask a door for what is needed",
                    file.path,
                    paths.join(", src/")
                ));
            }
        }
        faults.extend(
            unused.iter().map(|path| {
                format!("tests/it/layout/doors.rs: src/{path} names {name} no more: take it out of the list")
            }),
        );
    }
    faults
}

#[test]
fn foreign_crates_are_named_behind_their_doors() {
    assert_none(beside(&DOORS, Tree::of_sources()));
}

#[cfg(test)]
mod tests {
    use super::super::tree::small;
    use super::*;

    #[test]
    fn a_crate_named_beside_its_door_is_found_once_in_a_file() {
        let tree = small(&[
            ("lib.rs", "mod bus;\nmod cli;\nmod object_store;\n"),
            ("bus.rs", "use async_nats::Client;\n"),
            ("cli.rs", "use std::fs;\nfn f(c: async_nats::Client) { async_nats::g(c) }\n"),
            ("object_store.rs", "use crate::object_store;\nfn f() { self::object_store::g() }\n"),
        ]);
        let faults = beside(&[("async_nats", &["bus.rs"]), ("object_store", &[])], &tree);
        assert_eq!(
            faults,
            ["src/cli.rs:2: names async_nats, whose doors are src/bus.rs: ask a door for what is needed"]
        );
    }

    #[test]
    fn a_room_can_have_doors_too() {
        let tree = small(&[
            ("lib.rs", "mod clock;\nmod learn;\nmod step;\n"),
            ("clock.rs", "pub fn now() {}\n"),
            ("learn.rs", "use crate::clock::now;\n"),
            ("step.rs", "fn f() { super::clock::now() }\n"),
        ]);
        let faults = beside(&[("crate::clock", &["step.rs"])], &tree);
        assert_eq!(
            faults,
            ["src/learn.rs:1: names crate::clock, whose doors are src/step.rs: ask a door for what is needed"]
        );
    }

    #[test]
    fn a_door_that_is_not_needed_any_more_is_found() {
        let tree = small(&[("lib.rs", "mod bus;\n"), ("bus.rs", "#[cfg(test)]\nuse csv::Reader;\n")]);
        let faults = beside(&[("csv", &["bus.rs"])], &tree);
        assert_eq!(faults, ["tests/it/layout/doors.rs: src/bus.rs names csv no more: take it out of the list"]);
    }
}
