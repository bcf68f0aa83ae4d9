//! `tidewheel run`: a pipeline in the foreground.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::broker::Broker;
use super::observe::LogFormat;
use super::{BrokerArguments, assemble, observe};
use crate::commit::OnLoss;
use crate::engine::{Run, RunSettings, Training, TrainingOptions, serve_status};
use crate::pipeline::Pipeline;
use crate::query::serve_sql;
use crate::snapshot::Location;

/// Arguments of `run`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The pipeline's folder.
    folder: PathBuf,
    #[command(flatten)]
    broker: BrokerArguments,
    /// Serves Prometheus metrics on this address.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Leaves training to a `tidewheel train` of its own.
    #[arg(long)]
    no_train: bool,
    /// Goes on when the broker no longer holds what was read or committed, or dropped events before they were read: with
    /// the features as they are and what the streams hold. Without it the pipeline stops and says what is missing.
    #[arg(long)]
    accept_loss: bool,
    /// Forgets what was committed and begins anew with what the streams hold: outputs are made again.
    #[arg(long, conflicts_with = "accept_loss")]
    from_scratch: bool,
    /// Logs what has happened so often; `0s` for never.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    status_every: Duration,
    /// How the log is written.
    #[arg(long, value_enum, default_value_t, env = "TIDEWHEEL_LOG_FORMAT")]
    pub(super) log_format: LogFormat,
    /// How long to drain and save at Ctrl-C or SIGTERM before giving up; what is not committed then is done after the next
    /// start.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    stop_within: Duration,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let (folder, pipeline) = assemble(&arguments.folder)?;
    runtime()?.block_on(async {
        // Until all is started there is nothing to drain: what was answered so far survives as it would a crash.
        let mut interrupted = pin!(interrupted());
        if let Some(address) = arguments.metrics {
            observe::serve_metrics(address)?;
        }
        let state = folder.settings.state_folder();
        let broker = Broker::open(&arguments.broker, &state).await?;
        let name = pipeline.name.clone();
        let pipeline = Arc::new(pipeline);
        let settings = run_settings(arguments, &pipeline, &state);
        let start = async {
            let running = Run::start(Arc::clone(&pipeline), &broker.bus, &settings).await?;
            let training = match pipeline.train.is_some() && !arguments.no_train {
                true => {
                    let options = TrainingOptions { copies: settings.copies.clone(), ..TrainingOptions::default() };
                    Some(Training::start(Arc::clone(&pipeline), &broker.bus, options).await?)
                }
                false => None,
            };
            let sql = serve_sql(&broker.bus, &pipeline.names, running.views()).await?;
            let every = arguments.status_every;
            let status = serve_status(&broker.bus, &pipeline, &running, training.as_ref(), every).await?;
            anyhow::Ok((running, training, (sql, status)))
        };
        let started = tokio::select! {
            started = start => Some(started?),
            () = &mut interrupted => None,
        };
        let Some((mut running, training, doors)) = started else {
            broker.close().await?;
            tracing::info!("stopped before it ran");
            return Ok(true);
        };
        tracing::info!(pipeline = name, "running; Ctrl-C stops");
        let outcome = tokio::select! {
            // That training has stopped is said where it does, and serving goes on.
            error = running.failed() => Err(error),
            () = &mut interrupted => {
                tracing::info!("draining");
                drop(doors);
                let drained = async {
                    let stopped = running.stop().await;
                    match training {
                        Some(training) => training.stop().await.and(stopped),
                        None => stopped,
                    }
                };
                match tokio::time::timeout(arguments.stop_within, drained).await {
                    Ok(stopped) => stopped,
                    Err(_) => {
                        let within = humantime::format_duration(arguments.stop_within);
                        tracing::error!("not drained within {within}: what is left is done after the next start");
                        // Threads of the pipeline may still wait for the broker.
                        std::process::exit(1);
                    }
                }
            }
        };
        broker.close().await?;
        outcome?;
        tracing::info!("stopped");
        Ok(true)
    })
}

/// What the arguments and the pipeline say of how it runs; `state` is the folder of its own files.
fn run_settings(arguments: &Arguments, pipeline: &Pipeline, state: &Path) -> RunSettings {
    let snapshots = pipeline.state.snapshots.clone();
    RunSettings {
        copies: Some(state.join("models")),
        history: Some(state.join("history")),
        snapshots: Some(snapshots.unwrap_or_else(|| Location::folder(state.join("snapshots")))),
        on_loss: if arguments.accept_loss { OnLoss::Accept } else { OnLoss::Stop },
        from_scratch: arguments.from_scratch,
        ..settings()
    }
}

/// The async part of a verb.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

pub(super) fn settings() -> RunSettings {
    RunSettings { version: env!("CARGO_PKG_VERSION").to_owned(), ..RunSettings::default() }
}

/// Ends at Ctrl-C or SIGTERM, from the moment of the call on.
pub(super) fn interrupted() -> impl Future<Output = ()> {
    let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    async move {
        tokio::select! {
            () = received(interrupt) => {}
            () = received(terminate) => {}
        }
    }
}

async fn received(signal: std::io::Result<Signal>) {
    match signal {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => {
            tracing::warn!(%error, "a signal can't be caught");
            std::future::pending().await
        }
    }
}
