//! The program's exit code says whose fault it was that it ended.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

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

/// `tidewheel explain FOLDER | head -1`.
#[test]
fn whoever_reads_results_may_stop_reading_and_a_full_disk_is_a_fault_from_outside() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = root().join("pipelines/trends");
    for arguments in [["explain", pipeline.to_str().unwrap()], ["check", pipeline.to_str().unwrap()]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
        command.args(arguments).current_dir(folder.path()).env_remove("TIDEWHEEL_LOG").stderr(Stdio::piped());
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (code, words) = code_and_words(&command.stdout(writer).output().unwrap());
        assert_eq!((code, words.as_str()), (Some(0), ""), "{arguments:?}");
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, words) = code_and_words(&command.stdout(full).output().unwrap());
        assert_eq!(code, Some(4), "{words}");
        assert!(words.starts_with("error: results can't be written: "), "{words}");
    }
}

#[test]
fn what_is_no_filter_of_logs_is_refused_with_what_would_be() {
    let output = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
        command.arg("schema").env_remove("TIDEWHEEL_LOG").env(name, "info,=").output().unwrap()
    };
    for name in ["TIDEWHEEL_LOG", "RUST_LOG"] {
        let (code, words) = code_and_words(&output(name));
        assert_eq!(code, Some(2), "{words}");
        assert!(words.starts_with(&format!("error: {name} is \"info,=\"; write a level")), "{words}");
    }
}
