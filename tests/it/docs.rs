//! What is written for people agrees with the tree: links lead somewhere, files and names are there, and the reference has
//! every setting and every metric in the words of the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::taobao::root;

/// Pages that say what is in which file.
const GUIDES: [&str; 2] = ["ARCHITECTURE.md", "CONTRIBUTING.md"];

fn read(page: impl AsRef<Path>) -> String {
    let path = root().join(page);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every page, by its path from the root.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = GUIDES.map(PathBuf::from).to_vec();
    pages.extend(["README.md", "bench/RESULTS.md"].map(PathBuf::from));
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let page = Path::new("docs").join(entry.unwrap().file_name());
        if page.extension().is_some_and(|extension| extension == "md") {
            pages.push(page);
        }
    }
    pages
}

/// The lines of a page that are in no block of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Headings, paragraphs, items of lists and rows of tables, each as one line.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in prose(text).map(str::trim) {
        match blocks.last_mut().filter(|_| is_open && !begins_a_block(line)) {
            _ if line.is_empty() => {}
            Some(block) => {
                block.push(' ');
                block.push_str(line);
            }
            None => blocks.push(line.to_owned()),
        }
        is_open = !line.is_empty();
    }
    blocks
}

fn begins_a_block(line: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    line.starts_with(['|', '#'])
        || line.starts_with("- ")
        || line.split_once(". ").is_some_and(|(number, _)| is_number(number))
}

/// What stands between backticks.
fn code_of(block: &str) -> impl Iterator<Item = &str> {
    block.split('`').skip(1).step_by(2)
}

fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for block in blocks(text) {
        let plain: String = block.split('`').step_by(2).collect();
        let targets = plain.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        links.extend(targets.map(|(target, _)| target.to_owned()));
    }
    links
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let anchor = |heading: &str| -> String {
        let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
    };
    prose(text).filter(|line| line.starts_with('#')).map(anchor).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        for link in links(&read(&page)).iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let is_there = root().join(&target).exists();
            if !is_there || !anchor.is_empty() && !anchors(&read(&target)).contains(anchor) {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Whether it is a path of this tree, and not a pattern of several.
fn is_path(code: &str) -> bool {
    let folders = ["src/", "tests/", "bench/", "docs/", "scripts/", "schemas/"];
    folders.iter().any(|folder| code.starts_with(folder)) && !code.contains([' ', '*', '<', '{'])
}

#[test]
fn files_that_are_named_are_there() {
    let mut missing = Vec::new();
    // The other pages also name files that a reader is to make.
    for page in GUIDES.into_iter().chain(["README.md", "bench/RESULTS.md"]) {
        for block in blocks(&read(page)) {
            let paths = code_of(&block).filter(|code| is_path(code));
            missing.extend(paths.filter(|path| !root().join(path).exists()).map(|path| format!("{page}: {path}")));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
}

/// Whether it is the name of something in code, such as `rank` or `Step::events`.
fn is_name(text: &str) -> bool {
    text.split("::").all(|part| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// Whether a file has every part of a name, and its function if the last part is one.
fn has(code: &str, name: &str) -> bool {
    let last = name.rsplit("::").next().unwrap_or(name);
    let is_function = last.starts_with(|first: char| first.is_ascii_lowercase());
    let is_defined = ["(", "<"].iter().any(|next| code.contains(&format!("fn {last}{next}")));
    name.split("::").all(|part| words(code).any(|word| word == part)) && (!is_function || is_defined)
}

/// In a paragraph, an item or a row, names that follow a file are of that file: `src/score/ranking.rs` `rank`.
#[test]
fn names_behind_a_file_are_in_it() {
    let mut wrong = Vec::new();
    for page in GUIDES {
        for block in blocks(&read(page)) {
            let mut file = None;
            for code in code_of(&block) {
                if is_path(code) {
                    let is_source = Path::new(code).extension().is_some_and(|extension| extension == "rs");
                    file = (is_source && root().join(code).is_file()).then(|| (code, read(code)));
                } else if let Some((path, text)) = &file
                    && is_name(code)
                    && !has(text, code)
                {
                    wrong.push(format!("{page}: {path} has no {code}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_architecture_lists_the_rooms_as_the_library_does() {
    let page = read("ARCHITECTURE.md");
    let (_, list) = page.split_once("in this list").expect("the list of rooms");
    let listed: Vec<&str> =
        list.split("```").nth(1).unwrap_or_default().trim_start_matches("text").split(',').map(str::trim).collect();
    let library = read("src/lib.rs");
    let lines: Vec<&str> = library.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let lines = lines.join("\n");
    let (_, after) = lines.split_once("in this list:").expect("the list in src/lib.rs");
    let known: Vec<&str> = after.split('`').nth(1).unwrap_or_default().split(',').map(str::trim).collect();
    assert_eq!(listed, known);
}

/// The rows that the reference has for the settings of a section, each with the text of the schema.
fn rows_of(section: &Value, prefix: &str, of: &str, rows: &mut Vec<String>) {
    let no_others = Vec::new();
    let needed = section["required"].as_array().unwrap_or(&no_others);
    for (name, setting) in section["properties"].as_object().unwrap() {
        if setting.get("const").is_some() {
            continue;
        }
        let variants = setting["oneOf"].as_array().unwrap_or(&no_others);
        let values: Vec<(&str, String)> =
            variants.iter().filter_map(|value| Some((value["const"].as_str()?, text_of(value)))).collect();
        let mut text = text_of(setting);
        if !values.iter().all(|(value, _)| text.contains(&format!("`{value}`"))) {
            for (value, meaning) in &values {
                text.push_str(&format!(" `{value}`: {meaning}"));
            }
        }
        let needed = if needed.iter().any(|needed| needed == name.as_str()) { ", needed" } else { "" };
        rows.push(format!("| `{prefix}{name}`{of}{needed} | {text} |"));
        let inner = format!("{prefix}{name}.");
        if setting.get("properties").is_some() {
            rows_of(setting, &inner, of, rows);
        }
        for variant in variants.iter().filter(|variant| variant.get("properties").is_some()) {
            let kind = variant["properties"]["type"]["const"].as_str().unwrap();
            rows.push(format!("| `{prefix}{name}`, type `{kind}` | {} |", text_of(variant)));
            rows_of(variant, &inner, &format!(" of `{kind}`"), rows);
        }
    }
}

fn text_of(described: &Value) -> String {
    described["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

/// The sections of `pipeline.toml`: the heading of each in the reference, and its schema.
fn sections(schema: &Value) -> Vec<(String, &Value)> {
    let mut sections = Vec::new();
    for (name, setting) in schema["properties"].as_object().unwrap() {
        let named = setting["patternProperties"].as_object().and_then(|named| named.values().next());
        let heading = if named.is_some() { format!("### `[{name}.NAME]`") } else { format!("### `[{name}]`") };
        let reference = named.unwrap_or(&setting["allOf"][0])["$ref"].as_str();
        if let Some(definition) = reference.and_then(|reference| reference.strip_prefix('#')) {
            sections.push((heading, schema.pointer(definition).unwrap()));
        }
    }
    sections
}

#[test]
fn the_reference_has_every_setting_in_the_words_of_its_schema() {
    let schema: Value = serde_json::from_str(&read("schemas/pipeline.schema.json")).unwrap();
    let page = read("docs/pipeline.md");
    let sections = sections(&schema);
    assert!(sections.len() > 5, "the schema has another form than this test knows");
    let mut differences = Vec::new();
    for (heading, section) in sections {
        let text = page.split_once(&format!("\n{heading}\n")).map_or("", |(_, text)| text);
        let lines = text.lines().take_while(|line| !line.starts_with("## ") && !line.starts_with("### "));
        let found: Vec<&str> = lines.filter(|line| line.starts_with("| `")).collect();
        let mut expected = Vec::new();
        rows_of(section, "", "", &mut expected);
        differences.extend(expected.iter().filter(|row| !found.contains(&row.as_str())).map(|row| format!("+ {row}")));
        let is_gone = |row: &&&str| !expected.iter().any(|expected| expected == **row);
        differences.extend(found.iter().filter(is_gone).map(|row| format!("- {row}")));
        if !differences.is_empty() {
            differences.push(format!("in docs/pipeline.md under {heading}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Names of metrics that are constants below a folder.
fn metrics(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            metrics(&path, names);
        } else {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let constants = text.lines().filter_map(|line| line.split_once(": &str = \"tidewheel_"));
            let rests = constants.filter_map(|(_, rest)| rest.split_once('"'));
            names.extend(rests.map(|(rest, _)| format!("tidewheel_{rest}")));
        }
    }
}

#[test]
fn the_reference_has_every_metric() {
    let mut expected = BTreeSet::new();
    metrics(&root().join("src"), &mut expected);
    assert!(!expected.is_empty(), "metrics are named in another form than this test knows");
    let page = read("docs/operating.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `tidewheel_")?.split_once('`'));
    let found: BTreeSet<String> = rows.map(|(rest, _)| format!("tidewheel_{rest}")).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    let gone: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && gone.is_empty(), "in docs/operating.md, missing: {missing:#?}, gone: {gone:#?}");
}
