//! `tidewheel sql`: a query over the live tables of a running pipeline.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::broker::Broker;
use super::output::say;
use super::run::runtime;
use super::{BrokerArguments, Format};
use crate::config::Folder;
use crate::pipeline::Names;
use crate::query::{self, Answer};

/// How long to wait for the answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Arguments of `sql`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The pipeline's folder.
    folder: PathBuf,
    /// One SELECT over the feature tables.
    query: String,
    #[command(flatten)]
    broker: BrokerArguments,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let folder = Folder::read(&arguments.folder)?;
    let subject = Names::of(folder.settings.name.as_str()).queries();
    runtime()?.block_on(async {
        let bus = Broker::find(&arguments.broker, &folder.settings.state_folder()).await?;
        let reply = bus.request(&subject, arguments.query.clone().into(), PATIENCE).await;
        let reply = reply.with_context(|| format!("pipeline `{}`", folder.settings.name))?;
        let answer = Answer::from_ipc(&reply)?;
        let format = match arguments.format {
            Format::Text => query::Format::Table,
            Format::Json => query::Format::Json,
        };
        say!("{}", answer.render(format)?);
        if answer.truncated {
            eprintln!("note: there are more rows; add a LIMIT or a condition");
        }
        Ok(true)
    })
}
