//! `tidewheel status`: how a running pipeline does, by its own word.

mod table;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use self::table::table;
use super::broker::Broker;
use super::output::say;
use super::run::{interrupted, runtime};
use super::{BrokerArguments, Format, observe};
use crate::bus::{Bus, BusError};
use crate::config::Folder;
use crate::engine::Status;
use crate::pipeline::Names;

/// How long to wait for the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks of `--watch`.
const PAUSE: Duration = Duration::from_secs(1);
/// Empties a terminal and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Arguments of `status`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The pipeline's folder.
    folder: PathBuf,
    /// Looks again every second until Ctrl-C; as JSON, a line each time.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    broker: BrokerArguments,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Prints how the pipeline does; false where none runs there.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let folder = Folder::read(&arguments.folder)?;
    let name = folder.settings.name.as_str();
    runtime()?.block_on(async {
        let Some(bus) = find(arguments, &folder).await? else {
            return not_running(arguments.format, name, "no process of this folder's state is there");
        };
        loop {
            match ask(&bus, name).await? {
                Some(status) => print(arguments, &status)?,
                None => return not_running(arguments.format, name, "nobody answers for it on this server"),
            }
            if !arguments.watch {
                return Ok(true);
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = interrupted() => return Ok(true),
            }
        }
    })
}

/// The server that the pipeline uses; none where the pipeline has one of its own, and that is not there.
async fn find(arguments: &Arguments, folder: &Folder) -> anyhow::Result<Option<Bus>> {
    let state = folder.settings.state_folder();
    if arguments.broker.nats.is_some() {
        return Broker::find(&arguments.broker, &state).await.map(Some);
    }
    if !Broker::is_noted(&state) {
        return Ok(None);
    }
    match Broker::find(&arguments.broker, &state).await {
        // The address of a pipeline that was killed leads nowhere.
        Err(error) if error.downcast_ref().is_some_and(|error| matches!(error, BusError::Connect { .. })) => Ok(None),
        found => found.map(Some),
    }
}

/// What the pipeline says; none where nobody answers for it.
async fn ask(bus: &Bus, name: &str) -> anyhow::Result<Option<Status>> {
    match bus.request(&Names::of(name).status(), Vec::new().into(), PATIENCE).await {
        Ok(answer) => {
            Ok(Some(serde_json::from_slice(&answer).context("the answer is no status: is it another version?")?))
        }
        Err(BusError::NoResponders { .. }) => Ok(None),
        Err(error) => Err(anyhow::Error::from(error).context(format!("pipeline `{name}`"))),
    }
}

fn print(arguments: &Arguments, status: &Status) -> anyhow::Result<()> {
    match (arguments.format, arguments.watch) {
        (Format::Json, false) => return observe::print_json(status),
        (Format::Json, true) => say!("{}", serde_json::to_string(status)?),
        (Format::Text, watches) => {
            let clear = if watches && std::io::stdout().is_terminal() { CLEAR } else { "" };
            say!("{clear}{}", table(status));
        }
    }
    Ok(())
}

fn not_running(format: Format, name: &str, why: &str) -> anyhow::Result<bool> {
    match format {
        Format::Json => observe::print_json(&json!({ "pipeline": name, "running": false, "reason": why }))?,
        Format::Text => {
            say!("pipeline `{name}` does not run: {why}; start `tidewheel run`, or name its server with --nats");
        }
    }
    Ok(false)
}
