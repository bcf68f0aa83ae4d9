//! `tidewheel train`: a pipeline's training as a process of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::broker::Broker;
use super::observe::LogFormat;
use super::run::{interrupted, runtime};
use super::{BrokerArguments, assemble};
use crate::engine::{Training, TrainingOptions};

/// How often progress is told.
const TOLD: Duration = Duration::from_secs(10);

/// Arguments of `train`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The pipeline's folder.
    folder: PathBuf,
    #[command(flatten)]
    broker: BrokerArguments,
    /// How the log is written.
    #[arg(long, value_enum, default_value_t, env = "TIDEWHEEL_LOG_FORMAT")]
    pub(super) log_format: LogFormat,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let (folder, pipeline) = assemble(&arguments.folder)?;
    let state = folder.settings.state_folder();
    runtime()?.block_on(async {
        let bus = Broker::find(&arguments.broker, &state).await?;
        let options = TrainingOptions { copies: Some(state.join("models")), ..TrainingOptions::default() };
        let name = pipeline.name.clone();
        let training = Training::start(Arc::new(pipeline), &bus, options).await?;
        tracing::info!(pipeline = name, "training; Ctrl-C stops");
        let mut ticks = tokio::time::interval(TOLD);
        let outcome = loop {
            tokio::select! {
                // What it has learnt is saved, if that can be.
                error = training.stopped() => break training.stop().await.and(Err(error)),
                () = interrupted() => {
                    tracing::info!("saving");
                    break training.stop().await;
                }
                _ = ticks.tick() => {
                    let at = training.progress();
                    tracing::info!(at.examples, at.position, at.steps, at.promoted, stopped = at.stopped, "learnt");
                }
            }
        };
        bus.close().await?;
        outcome?;
        Ok(true)
    })
}
