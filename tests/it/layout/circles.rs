//! Inside a room, files that all need each other can only be read together: three at most.

use std::collections::{BTreeMap, BTreeSet};

use super::assert_none;
use super::reader::Place;
use super::tree::{Target, Tree};

/// Rooms whose files must be readable one after another.
const ROOMS: [&str; 4] = ["bus", "step", "commit", "engine"];

const LARGEST: usize = 3;

/// For each file of a room: the files of that room that it takes something from, with the line and the name.
///
/// A `pub use` takes nothing: whoever takes the name has it from the file that defines it.
fn imports<'a>(tree: &'a Tree, room: &str) -> BTreeMap<usize, BTreeMap<usize, (usize, &'a str)>> {
    let mut imports: BTreeMap<usize, BTreeMap<usize, (usize, &str)>> = BTreeMap::new();
    for (index, file) in tree.files.iter().enumerate() {
        for mention in &file.reading.mentions {
            if mention.scope.first().is_none_or(|first| first != room) || mention.place == Place::Reexport {
                continue;
            }
            let Some(Target::Own { module, item }) = tree.target(mention) else { continue };
            let Some(target) = tree.file_of(&module) else { continue };
            // The page of a room is the way to its files, not one of them, unless the name is defined there.
            let on_page = tree.files[target].path.ends_with("mod.rs")
                && item.is_none_or(|item| !defines(tree, target, &module, &item));
            if target != index && module[..1] == mention.scope[..1] && !on_page {
                let name = mention.path.last().map_or("", String::as_str);
                imports.entry(index).or_default().entry(target).or_insert((mention.line, name));
            }
        }
    }
    imports
}

fn defines(tree: &Tree, file: usize, module: &[String], item: &str) -> bool {
    let module = tree.files[file].reading.modules.iter().find(|known| known.name == module);
    module.is_some_and(|module| module.items.iter().any(|known| known == item))
}

fn reached(from: usize, imports: &BTreeMap<usize, BTreeMap<usize, (usize, &str)>>) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        let next = imports.get(&file).into_iter().flat_map(BTreeMap::keys);
        open.extend(next.filter(|next| reached.insert(**next)));
    }
    reached
}

/// A line for each import inside a circle of more than `largest` files of a room.
fn circles(tree: &Tree, room: &str, largest: usize) -> Vec<String> {
    let imports = imports(tree, room);
    let reach: BTreeMap<usize, BTreeSet<usize>> =
        imports.keys().map(|file| (*file, reached(*file, &imports))).collect();
    let mut faults = Vec::new();
    for (file, reached) in &reach {
        let circle: BTreeSet<usize> =
            reached.iter().copied().filter(|other| reach.get(other).is_some_and(|back| back.contains(file))).collect();
        if circle.len() <= largest {
            continue;
        }
        for (target, (line, name)) in imports[file].iter().filter(|(target, _)| circle.contains(target)) {
            faults.push(format!(
                "src/{}:{line}: takes {name} from src/{}, in a circle of {} files of {room}, more than {largest}: \
                 move what both need to a file of its own, or hand it over as a value",
                tree.files[*file].path,
                tree.files[*target].path,
                circle.len()
            ));
        }
    }
    faults
}

#[test]
fn files_of_a_room_do_not_all_need_each_other() {
    let tree = Tree::of_sources();
    assert_none(ROOMS.iter().flat_map(|room| circles(tree, room, LARGEST)).collect());
}

#[cfg(test)]
mod tests {
    use super::super::tree::small;
    use super::*;

    /// Three files in a circle by way of the room's page, and one beside it.
    fn ring(page: &str) -> Tree {
        small(&[
            ("lib.rs", "mod bus;\n"),
            ("bus/mod.rs", page),
            ("bus/a.rs", "use super::B;\npub struct A;\n"),
            ("bus/b.rs", "use super::c;\npub struct B(c::C);\n"),
            ("bus/c.rs", "pub struct C(crate::bus::A);\n#[cfg(test)]\nmod tests {\n    use crate::bus::D;\n}\n"),
            ("bus/d.rs", "use super::a::A;\npub struct D;\n"),
        ])
    }

    #[test]
    fn a_circle_is_found_through_the_page_that_reexports() {
        let tree = ring("mod a;\nmod b;\nmod c;\nmod d;\npub use a::A;\npub use b::B;\n");
        assert!(circles(&tree, "bus", 3).is_empty());
        let faults = circles(&tree, "bus", 2);
        let starts: Vec<&str> = faults.iter().map(|fault| fault.split(", in a").next().unwrap()).collect();
        let expected = [
            "src/bus/a.rs:1: takes B from src/bus/b.rs",
            "src/bus/b.rs:1: takes c from src/bus/c.rs",
            "src/bus/c.rs:1: takes A from src/bus/a.rs",
        ];
        assert_eq!(starts.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    }

    #[test]
    fn a_page_counts_for_what_it_defines_itself() {
        let tree = ring("mod a;\nmod b;\nmod c;\nmod d;\nuse c::C;\npub use a::A;\npub struct B(C);\n");
        assert_eq!(circles(&tree, "bus", 2).len(), 3, "a, the page and c; b is no longer part of it");
    }
}
