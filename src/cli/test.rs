//! `tidewheel test`: a pipeline's cases, through the real step and the real model, without a broker or a clock.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::assemble;
use super::exit::misuse;
use super::output::say;
use crate::trial::{self, Outcome, TrialError};

/// Arguments of `test`.
#[derive(Args)]
pub(super) struct Arguments {
    /// A pipeline's folder, or a folder of pipelines.
    folder: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let folders = pipelines(&arguments.folder)?;
    let (mut passed, mut failed) = (0, 0);
    for folder in folders {
        let (files, pipeline) = assemble(&folder)?;
        let pipeline = Arc::new(pipeline);
        for file in &files.cases {
            if print(file, trial::run(&pipeline, file)) {
                passed += 1;
            } else {
                failed += 1;
            }
        }
    }
    say!("{passed} passed, {failed} failed");
    if passed + failed == 0 {
        misuse!("no test cases below {}: write tests/NAME.toml", arguments.folder.display());
    }
    Ok(failed == 0)
}

/// Prints what came of a case, and says whether all of it holds.
fn print(file: &Path, outcome: Result<Outcome, TrialError>) -> bool {
    let file = file.display();
    match outcome {
        Ok(Outcome { about, faults }) => {
            let passed = faults.is_empty();
            say!("{} {file}: {about}", if passed { "ok   " } else { "FAIL " });
            for fault in &faults {
                say!("        {fault}");
            }
            passed
        }
        Err(error) => {
            say!("FAIL  {file}: {:#}", anyhow::Error::from(error));
            false
        }
    }
}

/// The folder itself if it is a pipeline, else the pipelines in it.
fn pipelines(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if folder.join("pipeline.toml").exists() {
        return Ok(vec![folder.to_owned()]);
    }
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("pipeline.toml").exists() {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        misuse!("no pipeline in {}", folder.display());
    }
    Ok(found)
}
