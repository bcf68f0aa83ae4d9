//! The program's exit code says whose fault it was that it ended.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::taobao::root;

/// What the program says when it is started in `folder`, where its state then is.
fn tidewheel(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
    command.args(arguments).current_dir(folder).env_remove("NATS_URL").env_remove("TIDEWHEEL_LOG").output().unwrap()
}

fn code_and_words(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The lines of the log that say why it ended.
fn last_words(words: &str) -> Vec<&str> {
    words.lines().filter(|line| line.contains("fault=")).collect()
}

#[test]
fn a_broken_folder_is_a_finding_of_check_and_the_operators_fault_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = folder.path().join("broken");
    fs::create_dir(&pipeline).unwrap();
    fs::write(pipeline.join("pipeline.toml"), "name = \"broken\"\nnaem = 3\n").unwrap();
    let pipeline = pipeline.to_str().unwrap();
    for format in ["text", "json"] {
        let (code, words) = code_and_words(&tidewheel(folder.path(), &["check", pipeline, "--format", format]));
        assert_eq!(code, Some(1), "{words}");
        assert!(last_words(&words).is_empty(), "{words}");
    }
    let (code, words) = code_and_words(&tidewheel(folder.path(), &["run", pipeline]));
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("pipeline.toml"), "{words}");
    let [said] = last_words(&words)[..] else { panic!("{words}") };
    assert!(said.contains("fault=operator remedy=stop"), "{words}");
}

#[test]
fn a_broker_that_nobody_can_reach_is_a_fault_from_outside() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = root().join("pipelines/trends");
    let arguments = ["run", pipeline.to_str().unwrap(), "--nats", "nats://127.0.0.1:1"];
    let (code, words) = code_and_words(&tidewheel(folder.path(), &arguments));
    assert_eq!(code, Some(4), "{words}");
    let [said] = last_words(&words)[..] else { panic!("{words}") };
    assert!(said.contains("fault=outside remedy=restart"), "{words}");
    assert!(words.trim_end().lines().last().unwrap().starts_with("error: cannot connect to NATS"), "{words}");
}

#[test]
fn wrong_arguments_are_the_operators_fault_and_help_lists_the_codes() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(tidewheel(folder.path(), &["run", "--naem"]).status.code(), Some(2));
    let help = tidewheel(folder.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.contains("Exit codes:") && help.contains("70   A bug"), "{help}");
}
