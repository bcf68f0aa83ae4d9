//! `tidewheel check`: every problem of a folder at once, and of one without any what is risky in it, and what a start would find
//! on a server.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::explain::{emission, length, window};
use super::finding::{Finding, State};
use super::kept::check_kept;
use super::output::say;
use super::run::runtime;
use super::verified::Verified;
use super::{Format, Identity, broker, foreseen, observe, verified};
use crate::config::{Folder, Problem, Problems, Source, risks};
use crate::engine::load_model;
use crate::feature::LivePlan;
use crate::model::{self, ModelVersion};
use crate::pipeline::Pipeline;
use crate::trial;

/// Arguments of `check`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The pipeline's folder.
    folder: PathBuf,
    /// Address of a NATS server: what a start would find there is told too, and nothing is changed.
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    #[command(flatten)]
    identity: Identity,
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
    let pipeline = match checked(&arguments.folder) {
        Ok(pipeline) => Arc::new(pipeline),
        Err(problems) => {
            match arguments.format {
                Format::Json => observe::print_json(&problems)?,
                Format::Text => observe::print_problems(&problems),
            }
            return Ok(false);
        }
    };
    let warnings = warnings(&arguments.folder, &pipeline)?;
    if arguments.format == Format::Text {
        tell(&arguments.folder, &pipeline, &warnings)?;
    }
    let found = match &arguments.nats {
        Some(url) => Some(on_server(arguments, url, &pipeline)?),
        None => None,
    };
    if arguments.format == Format::Json {
        let warnings: Vec<_> = warnings.into_iter().map(|problem| Warning { severity: "warning", problem }).collect();
        match &found {
            Some(found) => observe::print_json(&json!({ "problems": warnings, "server": found }))?,
            None => observe::print_json(&warnings)?,
        }
    } else if let Some(found) = &found {
        found.iter().for_each(|finding| say!("{finding}"));
    }
    Ok(!found.iter().flatten().any(|finding| finding.state == State::Missing))
}

/// The pipeline in a folder, or all problems of it and of its test cases.
fn checked(folder: &Path) -> Result<Pipeline, Problems> {
    let pipeline = check_kept(folder, Folder::check(folder)?)?;
    let mut problems = Vec::new();
    for case in &Folder::read(folder)?.cases {
        let source = Source::read(case)?;
        problems.extend(
            trial::check(&pipeline, &source.text)
                .into_iter()
                .map(|flaw| source.problem_at(flaw.span, flaw.message).suggest_some(flaw.suggestion)),
        );
    }
    Problems::check(problems)?;
    Ok(pipeline)
}

/// Says what the pipeline is, and what is risky in it.
fn tell(folder: &Path, pipeline: &Pipeline, warnings: &[Problem]) -> anyhow::Result<()> {
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
    if let Some(line) = verified_line(folder, pipeline)? {
        say!("  {line}");
    }
    for (column, largest) in id_limits(pipeline)? {
        say!(
            "  model: column {column} is an id from 0 to {largest}; a row with a larger one has no score, a negative one counts from the end"
        );
    }
    if let Some(train) = &pipeline.train {
        train.inventory.to_string().lines().for_each(|line| say!("  {line}"));
    }
    for warning in warnings {
        say!("warning: {}", warning.render(std::io::stdout().is_terminal()));
    }
    match warnings.len() {
        0 => say!("no problems"),
        count => say!("no problems, {count} warning(s)"),
    }
    Ok(())
}

/// What a start would find on the server.
fn on_server(arguments: &Arguments, url: &str, pipeline: &Arc<Pipeline>) -> anyhow::Result<Vec<Finding>> {
    let state = Folder::read(&arguments.folder)?.settings.state_folder();
    runtime()?.block_on(async {
        let bus = broker::connect(&arguments.identity, url).await?;
        let found = foreseen::findings(&bus, pipeline, &state).await;
        bus.close().await?;
        Ok(found)
    })
}

/// What is risky in a folder without problems, and what speaks against its model.
fn warnings(folder: &Path, pipeline: &Pipeline) -> anyhow::Result<Vec<Problem>> {
    let mut warnings = risks(folder, pipeline);
    if let Some((doubt, advice)) = verified(folder, pipeline)?.and_then(|(verified, file)| verified.doubt(&file)) {
        let place = Verified::path(&Folder::read(folder)?).unwrap_or_else(|| folder.to_owned());
        warnings.push(Problem::new(&place, doubt).suggest(advice));
    }
    Ok(warnings)
}

/// That the model gives what its owner expects, where that was compared.
fn verified_line(folder: &Path, pipeline: &Pipeline) -> anyhow::Result<Option<String>> {
    let found = verified(folder, pipeline)?.filter(|(verified, file)| verified.doubt(file).is_none());
    Ok(found.map(|(verified, _)| format!("model: gives what its owner expects, {}", verified::told(&verified.verdict))))
}

/// The verdict beside the folder's model, and the version that this is now.
fn verified(folder: &Path, pipeline: &Pipeline) -> anyhow::Result<Option<(Verified, ModelVersion)>> {
    let Some(model) = &pipeline.model else { return Ok(None) };
    let verified = Verified::read(&Folder::read(folder)?)?;
    Ok(verified.map(|verified| (verified, ModelVersion::of(&model.bytes))))
}

/// The columns that are ids of a table inside the model, with the last row of the table.
fn id_limits(pipeline: &Pipeline) -> anyhow::Result<Vec<(String, u64)>> {
    let scorer = load_model(pipeline)?;
    Ok(scorer.map(|mut scorer| model::id_limits(&mut scorer)).transpose()?.unwrap_or_default())
}
