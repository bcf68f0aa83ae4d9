//! The states of the present version of the format and of the two before are restored, and go on as they did when they were
//! written; the first version is refused, and made again from the streams.
//!
//! ```text
//!  tests/golden/state/v4/PIPELINE/   a file of each part, the messages that follow, and what comes out of them
//! ```

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};
use tidewheel::step::StepError;

use super::folders::{ALL, Files};
use super::passage::{Out, Parts, Passage, restore};
use super::shop::messages;
use crate::taobao::root;

/// The version that is written.
const VERSION: u32 = 4;

fn folder(version: u32, files: &Files) -> PathBuf {
    root().join(format!("tests/golden/state/v{version}")).join(files.name)
}

fn read(version: u32, files: &Files) -> Parts {
    let entries = fs::read_dir(folder(version, files)).unwrap().map(|entry| entry.unwrap().path());
    let parts = entries.filter(|path| path.extension().is_some_and(|extension| extension == "bin"));
    let part = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().replacen('-', " ", 1);
        (name, fs::read(&path).unwrap())
    };
    parts.map(part).collect()
}

fn read_messages(version: u32, files: &Files) -> Vec<(usize, Message)> {
    let text = fs::read_to_string(folder(version, files).join("messages.jsonl")).unwrap();
    let message = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let message = Message {
            payload: line["payload"].as_str().unwrap().to_owned().into(),
            sequence: StreamSequence(line["sequence"].as_u64().unwrap()),
            published_micros: line["published_micros"].as_i64().unwrap(),
            encoding: Encoding::Json,
            subject: Subject::new(line["subject"].as_str().unwrap()).unwrap(),
        };
        (line["stream"].as_u64().unwrap() as usize, message)
    };
    text.lines().map(message).collect()
}

/// Everything that comes out of messages after a state was restored.
fn continued(files: &Files, parts: &Parts, messages: &[(usize, Message)]) -> String {
    let pipeline = files.pipeline();
    let step = restore(&pipeline, parts).unwrap_or_else(|error| panic!("{}: {error}", files.name));
    let mut passage = Passage { step, ..Passage::new(&pipeline) };
    passage.pass(messages, 7).unwrap();
    passage.look(5, messages.last().unwrap().1.published_micros / 1_000);
    let Out { counts, dead, emissions, vectors, described, feedback, refused, tables, rows, .. } = passage.end();
    let mut text = format!("{counts:?}\n");
    for (what, lines) in [
        ("dead", dead),
        ("emitted", emissions),
        ("scored", described),
        ("feedback", feedback),
        ("refused", refused),
        ("tables", tables),
        ("rows", rows),
    ] {
        lines.iter().for_each(|line| writeln!(text, "{what}: {line}").unwrap());
    }
    let vectors: Vec<String> = vectors.iter().map(|bits| f32::from_bits(*bits).to_string()).collect();
    writeln!(text, "vectors: {}", vectors.join(" ")).unwrap();
    text
}

fn assert_goes_on(version: u32) {
    for files in ALL {
        let parts = read(version, files);
        let expected = fs::read_to_string(folder(version, files).join("continued.txt")).unwrap();
        let text = continued(files, &parts, &read_messages(version, files));
        let differing = text.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
        assert!(text == expected, "{}: {differing:?}", files.name);
    }
}

#[test]
fn version_4_is_restored_and_goes_on() {
    assert_goes_on(4);
}

/// Its distinct values stand in the order in which they came.
#[test]
fn version_3_is_restored_and_goes_on() {
    assert_goes_on(3);
}

/// Its tables of windows are one part, and its plans are told apart by the words of DataFusion.
#[test]
fn version_2_is_restored_and_goes_on() {
    assert_goes_on(2);
}

/// It knows nothing of rows that are ahead of the broker's time.
#[test]
fn version_1_is_refused() {
    for files in ALL {
        let error = restore(&files.pipeline(), &read(1, files)).err().unwrap_or_else(|| panic!("{}", files.name));
        assert!(matches!(error, StepError::State { .. }), "{}: {error}", files.name);
    }
}

/// Whoever changes what is written makes it a new version.
#[test]
fn what_is_written_is_of_this_version() {
    for files in ALL {
        let parts = read(VERSION, files);
        let pipeline = files.pipeline();
        let mut passage = Passage { step: restore(&pipeline, &parts).unwrap(), ..Passage::new(&pipeline) };
        for (name, bytes) in passage.save() {
            assert!(parts[&name] == bytes, "{}: part {name} is written in another way", files.name);
        }
    }
}

/// Makes the golden state of a new version; those of earlier ones are never made again.
#[test]
#[ignore = "writes tests/golden/state"]
fn write_golden() {
    for files in ALL {
        let pipeline = files.pipeline();
        let (before, after) = (40, 30);
        let messages = messages(3, before + after, pipeline.streams.len());
        let mut passage = Passage::new(&pipeline);
        passage.pass(&messages[..before], 20).unwrap();
        let parts = passage.save();
        let folder = folder(VERSION, files);
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in &parts {
            fs::write(folder.join(name.replace(' ', "-")).with_extension("bin"), bytes).unwrap();
        }
        let mut lines = String::new();
        for (stream, message) in &messages[before..] {
            let line = json!({"stream": stream, "subject": message.subject.as_str(), "sequence": message.sequence.0,
                "published_micros": message.published_micros, "payload": String::from_utf8(message.payload.to_vec()).unwrap()});
            writeln!(lines, "{line}").unwrap();
        }
        fs::write(folder.join("messages.jsonl"), lines).unwrap();
        fs::write(folder.join("continued.txt"), continued(files, &parts, &read_messages(VERSION, files))).unwrap();
    }
}
