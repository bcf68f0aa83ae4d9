//! All files of a crate that run in production, and where a path in one of them leads.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use super::reader::{Mention, Place, Reading, read};
use crate::taobao::root;

/// A path through names that only lead to each other ends.
const LONGEST_CHAIN: usize = 32;

pub struct Tree {
    pub files: Vec<File>,
    /// Each module, with the file it is written in and its number there.
    modules: BTreeMap<Vec<String>, (usize, usize)>,
}

pub struct File {
    /// From `src/`, with `/`.
    pub path: String,
    pub reading: Reading,
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// To a crate, by its name.
    Foreign(String),
    /// To an item of a module, or to the module itself.
    Own { module: Vec<String>, item: Option<String> },
}

impl Tree {
    /// What `src/` holds, read once for all rules.
    pub fn of_sources() -> &'static Tree {
        static SOURCES: LazyLock<Tree> = LazyLock::new(|| {
            let mut texts = BTreeMap::new();
            collect(&root().join("src"), "", &mut texts);
            Tree::of(&texts)
        });
        &SOURCES
    }

    /// Files by their paths from `src/`. Those are read that a `mod` outside tests leads to, from `lib.rs` and `main.rs` on.
    pub fn of(texts: &BTreeMap<String, String>) -> Tree {
        let mut tree = Tree { files: Vec::new(), modules: BTreeMap::new() };
        let mut open: Vec<(Vec<String>, String)> =
            ["lib.rs", "main.rs"].map(|start| (Vec::new(), start.to_owned())).into_iter().rev().collect();
        while let Some((name, path)) = open.pop() {
            let Some(text) = texts.get(&path) else { continue };
            let reading = read(&name, text).unwrap_or_else(|| panic!("src/{path} is not Rust"));
            for child in &reading.children {
                let file = child.join("/");
                let candidates = [format!("{file}.rs"), format!("{file}/mod.rs")];
                let found = candidates.into_iter().find(|candidate| texts.contains_key(candidate));
                open.push((
                    child.clone(),
                    found.unwrap_or_else(|| panic!("src/{path} has a module without a file: {file}")),
                ));
            }
            for (index, module) in reading.modules.iter().enumerate() {
                // The program's own root is not a module of the library.
                if path != "main.rs" {
                    tree.modules.insert(module.name.clone(), (tree.files.len(), index));
                }
            }
            tree.files.push(File { path, reading });
        }
        tree
    }

    /// The file that a module is written in.
    pub fn file_of(&self, module: &[String]) -> Option<usize> {
        self.modules.get(module).map(|(file, _)| *file)
    }

    /// What a mention leads to, through `use` and `pub use`; `None` for what is no path into a crate: a variable, a type's
    /// own function, a name that every file knows.
    pub fn target(&self, mention: &Mention) -> Option<Target> {
        let is_use = mention.place != Place::Code;
        if mention.path.len() > 1 || is_use {
            self.resolve(&mention.scope, &mention.path, is_use, LONGEST_CHAIN)
        } else {
            self.look_up(&mention.scope, &mention.path[0], &[], is_use, LONGEST_CHAIN)
        }
    }

    /// A path from the root of the crate, where it is written as one of `crate`, `super` or `self`.
    pub fn absolute(scope: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut from = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => scope.to_vec(),
            _ => return None,
        };
        for part in path {
            match part.as_str() {
                "super" => drop(from.pop()),
                "crate" | "self" => {}
                part => from.push(part.to_owned()),
            }
        }
        Some(from)
    }

    fn resolve(&self, scope: &[String], path: &[String], in_use: bool, steps: usize) -> Option<Target> {
        let steps = steps.checked_sub(1)?;
        if let Some(absolute) = Tree::absolute(scope, path) {
            return self.descend(&[], &absolute, steps);
        }
        let (first, rest) = path.split_first()?;
        if first == "::" {
            return rest.first().cloned().map(Target::Foreign);
        }
        self.look_up(scope, first, rest, in_use, steps).or_else(|| Some(Target::Foreign(first.clone())))
    }

    fn descend(&self, module: &[String], path: &[String], steps: usize) -> Option<Target> {
        let Some((first, rest)) = path.split_first() else {
            return Some(Target::Own { module: module.to_vec(), item: None });
        };
        self.look_up(module, first, rest, false, steps)
            .or_else(|| Some(Target::Own { module: module.to_vec(), item: Some(first.clone()) }))
    }

    /// What `name` is in `module`: a module in it, an item, or what a `use` gave that name.
    fn look_up(&self, module: &[String], name: &str, rest: &[String], in_use: bool, steps: usize) -> Option<Target> {
        let steps = steps.checked_sub(1)?;
        let child = [module, &[name.to_owned()]].concat();
        if self.modules.contains_key(&child) {
            return self.descend(&child, rest, steps);
        }
        let (file, index) = *self.modules.get(module)?;
        let known = &self.files[file].reading.modules[index];
        if known.items.iter().any(|item| item == name) {
            return Some(Target::Own { module: module.to_vec(), item: Some(name.to_owned()) });
        }
        // `use metrics;` and `use log::log;` name themselves.
        let named = known.imports.iter().find(|import| import.name == name && !(in_use && import.path[0] == name));
        if let Some(import) = named {
            return match self.resolve(module, &import.path, true, steps)? {
                Target::Own { module, item: None } => self.descend(&module, rest, steps),
                target => Some(target),
            };
        }
        known.imports.iter().filter(|import| import.name == "*").find_map(|all| {
            match self.resolve(module, &all.path, true, steps)? {
                Target::Own { module: from, item: None } if from != module => {
                    self.look_up(&from, name, rest, false, steps)
                }
                _ => None,
            }
        })
    }
}

fn collect(folder: &Path, name: &str, texts: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            collect(&path, &format!("{name}{file}/"), texts);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.insert(format!("{name}{file}"), fs::read_to_string(&path).unwrap());
        }
    }
}

/// A crate written in a test: its files and their texts.
#[cfg(test)]
pub fn small(files: &[(&str, &str)]) -> Tree {
    Tree::of(&files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(module: &str, item: &str) -> Target {
        Target::Own { module: module.split('/').map(str::to_owned).collect(), item: Some(item.to_owned()) }
    }

    fn targets(tree: &Tree, path: &str) -> Vec<Target> {
        let file = tree.files.iter().find(|file| file.path == path).unwrap();
        file.reading.mentions.iter().filter_map(|mention| tree.target(mention)).collect()
    }

    #[test]
    fn a_name_leads_through_reexports_to_the_file_that_defines_it() {
        let tree = small(&[
            ("lib.rs", "pub mod bus;\npub mod engine;\n"),
            ("bus/mod.rs", "mod key;\npub use key::{Key, Watch as KeyWatch};\n"),
            ("bus/key.rs", "pub struct Key;\npub struct Watch;\n"),
            ("engine/mod.rs", "mod run;\n"),
            ("engine/run.rs", "use crate::bus::{self, KeyWatch};\nfn f() { bus::Key::new(KeyWatch) }\n"),
        ]);
        let module = Target::Own { module: vec!["bus".to_owned()], item: None };
        let (key, watch) = (own("bus/key", "Key"), || own("bus/key", "Watch"));
        assert_eq!(targets(&tree, "engine/run.rs"), [module, watch(), key, watch()]);
    }

    #[test]
    fn a_module_of_the_same_name_hides_a_foreign_crate() {
        let tree = small(&[
            ("lib.rs", "mod learn;\n"),
            ("learn/mod.rs", "mod metrics;\nuse metrics::Auc;\nuse csv as table;\nfn f() { table::read() }\n"),
            ("learn/metrics.rs", "pub struct Auc;\nuse ::metrics::counter;\n"),
        ]);
        let csv = || Target::Foreign("csv".to_owned());
        assert_eq!(targets(&tree, "learn/mod.rs"), [own("learn/metrics", "Auc"), csv(), csv()]);
        assert_eq!(targets(&tree, "learn/metrics.rs"), [Target::Foreign("metrics".to_owned())]);
    }

    #[test]
    fn files_that_only_tests_lead_to_are_not_read() {
        let tree = small(&[
            ("lib.rs", "mod bus;\n#[cfg(test)]\nmod shipped;\n"),
            ("bus.rs", "use std::fs;\n"),
            ("shipped.rs", "mod more;\n"),
            ("shipped/more.rs", "use crate::cli::Cli;\n"),
        ]);
        let paths: Vec<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["lib.rs", "bus.rs"]);
    }

    #[test]
    fn names_that_only_lead_to_each_other_end() {
        let tree = small(&[("lib.rs", "use self::b as a;\nuse self::a as b;\nfn f() { a::c() }\n")]);
        assert_eq!(targets(&tree, "lib.rs").len(), 3);
    }
}
