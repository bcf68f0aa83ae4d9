//! The rooms are listed once, on the first page of the library; a room imports only rooms before it there.

use std::collections::BTreeSet;
use std::fs;

use super::assert_none;
use super::tree::Tree;
use crate::taobao::root;

/// What stands before the list.
const BEFORE: &str = "in this list:";

/// The rooms that a page lists, from the inside out: between backticks, with commas.
fn listed(page: &str) -> Vec<String> {
    let page: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let page = page.join("\n");
    let list = page.split_once(BEFORE).and_then(|(_, after)| after.split('`').nth(1)).unwrap_or_default();
    list.split(',').map(str::trim).filter(|room| !room.is_empty()).map(str::to_owned).collect()
}

/// A line for each import of a room that comes later in `order`.
fn against(order: &[String], tree: &Tree) -> Vec<String> {
    let place = |room: &str| order.iter().position(|listed| listed == room);
    let mut faults = Vec::new();
    for file in &tree.files {
        for mention in &file.reading.mentions {
            let Some(imported) = Tree::absolute(&mention.scope, &mention.path) else { continue };
            let (Some(room), Some(imported)) = (mention.scope.first(), imported.first()) else { continue };
            if place(imported) > place(room) && place(room).is_some() {
                faults.push(format!(
                    "src/{}:{}: {room} imports {imported}, which comes after it in the list of src/lib.rs: \
                     move what both need below both, or hand it over as a value or a channel",
                    file.path, mention.line
                ));
            }
        }
    }
    faults
}

#[test]
fn a_room_imports_only_rooms_before_it() {
    let order = listed(&fs::read_to_string(root().join("src/lib.rs")).unwrap());
    assert_none(against(&order, Tree::of_sources()));
}

#[test]
fn the_list_in_lib_rs_names_each_room_once() {
    let listed = listed(&fs::read_to_string(root().join("src/lib.rs")).unwrap());
    let tree = Tree::of_sources();
    let library = &tree.files.iter().find(|file| file.path == "lib.rs").unwrap().reading;
    let rooms: BTreeSet<&str> = library.children.iter().map(|room| room[0].as_str()).collect();

    let mut faults = Vec::new();
    for room in &rooms {
        let times = listed.iter().filter(|name| name == room).count();
        if times != 1 {
            faults.push(format!(
                "src/lib.rs:1: the list names {room} {times} times: write it once, after the rooms that it imports"
            ));
        }
    }
    let unknown = listed.iter().filter(|name| !rooms.contains(name.as_str()));
    faults.extend(unknown.map(|name| format!("src/lib.rs:1: there is no module {name}: take it out of the list")));
    assert_none(faults);
}

#[cfg(test)]
mod tests {
    use super::super::tree::small;
    use super::*;

    const PAGE: &str =
        "//! `words`.\n//!\n//! Rooms in this list:\n//!\n//! `bus,\n//! event, cli`\n//!\n//! More `words`.\n";

    #[test]
    fn rooms_are_what_stands_in_the_list() {
        assert_eq!(listed(PAGE), ["bus", "event", "cli"]);
        assert!(listed("//! A page without a list.\n").is_empty());
    }

    #[test]
    fn an_import_against_the_order_is_found_however_it_is_written() {
        let tree = small(&[
            ("lib.rs", "mod bus;\nmod event;\nmod cli;\n"),
            ("bus/mod.rs", "mod key;\nuse {crate::event::Event, std::fs};\n"),
            ("bus/key.rs", "use super::super::event;\nfn f() -> u8 { crate::cli::run() }\n"),
            ("event.rs", "use crate::bus::Bus;\n"),
            ("cli.rs", ""),
        ]);
        let places: Vec<String> = against(&listed(PAGE), &tree)
            .iter()
            .map(|fault| fault.split(", which").next().unwrap().to_owned())
            .collect();
        let expected = [
            "src/bus/mod.rs:2: bus imports event",
            "src/bus/key.rs:1: bus imports event",
            "src/bus/key.rs:2: bus imports cli",
        ];
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        assert_eq!(sorted(places), sorted(expected.map(str::to_owned).to_vec()));
    }
}
