//! The tree keeps the direction of its imports, its doors, and its generated files.

use std::fs;
use std::path::Path;

use crate::taobao::root;

/// From the inside out: a module imports only modules before it.
const ORDER: [&str; 21] = [
    "bus",
    "event",
    "reference",
    "snapshot",
    "sql",
    "window",
    "history",
    "feature",
    "model",
    "score",
    "registry",
    "learn",
    "pipeline",
    "config",
    "step",
    "commit",
    "engine",
    "query",
    "simulate",
    "trial",
    "cli",
];

/// Modules that alone may name a foreign crate.
const DOORS: [(&str, &[&str]); 5] = [
    ("async_nats", &["bus"]),
    ("deltalake_core", &["history"]),
    ("ort", &["model"]),
    ("prost", &["model"]),
    ("fastcdc", &["snapshot"]),
];

fn sources(folder: &Path, visit: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            visit(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn modules_import_only_modules_before_them() {
    let mut found = Vec::new();
    for (index, module) in ORDER.iter().enumerate() {
        sources(&root().join("src").join(module), &mut |path, text| {
            // Tests may look at anything.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let later = ORDER[index + 1..].iter().filter(|later| code.contains(&format!("crate::{later}::")));
            if path.file_name().is_some_and(|name| name != "shipped.rs" && name != "tests.rs") {
                found.extend(later.map(|later| format!("{} imports {later}", path.display())));
            }
        });
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn foreign_crates_have_one_door() {
    let mut found = Vec::new();
    sources(&root().join("src"), &mut |path, text| {
        let module = path.strip_prefix(root().join("src")).unwrap().components().next().unwrap();
        for (name, doors) in DOORS {
            let is_door = doors.iter().any(|door| module.as_os_str() == *door);
            if !is_door && (text.contains(&format!("use {name}::")) || text.contains(&format!(" {name}::"))) {
                found.push(format!("{} names {name}", path.display()));
            }
        }
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_schema_of_pipeline_toml_is_up_to_date() {
    let stored = fs::read_to_string(root().join("schemas/pipeline.schema.json")).unwrap();
    let stored: serde_json::Value = serde_json::from_str(&stored).unwrap();
    assert_eq!(stored, tidewheel::config::schema(), "run: tidewheel schema > schemas/pipeline.schema.json");
}
