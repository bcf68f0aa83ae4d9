//! `tidewheel check`: every problem of a folder at once, and of one without any what is risky in it.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::explain::{emission, length, window};
use super::kept::check_kept;
use super::output::say;
use super::{Format, observe};
use crate::config::{Folder, Problem, risks};
use crate::engine::load_model;
use crate::feature::LivePlan;
use crate::model;
use crate::pipeline::Pipeline;

/// Arguments of `check`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The pipeline's folder.
    folder: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What runs and is risky, beside the problems of a folder that can't run.
#[derive(Serialize)]
struct Warning {
    severity: &'static str,
    #[serde(flatten)]
    problem: Problem,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let checked = Folder::check(&arguments.folder).and_then(|pipeline| check_kept(&arguments.folder, pipeline));
    match (checked, arguments.format) {
        (Ok(pipeline), Format::Text) => {
            let warnings = risks(&arguments.folder, &pipeline);
            let tables = pipeline.tables.len();
            say!("{}: {} stream(s), {tables} feature table(s)", pipeline.name, pipeline.streams.len());
            for table in &pipeline.tables {
                let name = table.plan.name();
                match &table.plan {
                    LivePlan::AsOf(plan) => {
                        for horizon in plan.horizons() {
                            let (width, step) = (horizon.width_micros(), horizon.step_micros());
                            say!("  {name}: looks back {}, in steps of {}", length(width), length(step));
                        }
                    }
                    LivePlan::Windows(plan) => say!("  {name}: {}, {}", window(plan), emission(plan)),
                }
            }
            if let Some(vector) = &pipeline.vector {
                say!("  vector: {} columns, fingerprint {}", vector.columns().len(), vector.fingerprint());
                vector.inputs().types().into_iter().for_each(|types| say!("  vector: {types}"));
            }
            for (column, largest) in id_limits(&pipeline)? {
                say!(
                    "  model: column {column} is an id from 0 to {largest}; a row with a larger one has no score, a negative one counts from the end"
                );
            }
            if let Some(train) = &pipeline.train {
                train.inventory.to_string().lines().for_each(|line| say!("  {line}"));
            }
            for warning in &warnings {
                say!("warning: {}", warning.render(std::io::stdout().is_terminal()));
            }
            match warnings.len() {
                0 => say!("no problems"),
                count => say!("no problems, {count} warning(s)"),
            }
            Ok(true)
        }
        (Ok(pipeline), Format::Json) => {
            let warnings = risks(&arguments.folder, &pipeline).into_iter();
            let warnings: Vec<_> = warnings.map(|problem| Warning { severity: "warning", problem }).collect();
            observe::print_json(&warnings).map(|()| true)
        }
        (Err(problems), Format::Json) => observe::print_json(&problems).map(|()| false),
        (Err(problems), Format::Text) => {
            observe::print_problems(&problems);
            Ok(false)
        }
    }
}

/// The columns that are ids of a table inside the model, with the last row of the table.
fn id_limits(pipeline: &Pipeline) -> anyhow::Result<Vec<(String, u64)>> {
    let scorer = load_model(pipeline)?;
    Ok(scorer.map(|mut scorer| model::id_limits(&mut scorer)).transpose()?.unwrap_or_default())
}
