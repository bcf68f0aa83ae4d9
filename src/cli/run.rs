//! `tidewheel run`: a pipeline in the foreground.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::broker::Broker;
use super::{BrokerArguments, assemble, observe};
use crate::engine::{EngineError, Run, RunSettings, Training, TrainingOptions};
use crate::query::serve_sql;

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
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let (folder, pipeline) = assemble(&arguments.folder)?;
    runtime()?.block_on(async {
        if let Some(address) = arguments.metrics {
            observe::serve_metrics(address)?;
        }
        let state = folder.settings.state_folder();
        let broker = Broker::open(&arguments.broker, &state).await?;
        let name = pipeline.name.clone();
        let pipeline = Arc::new(pipeline);
        let copies = Some(state.join("models"));
        let settings = RunSettings { copies: copies.clone(), history: Some(state.join("history")), ..settings() };
        // Until all is started there is nothing to drain: what was answered so far survives as it would a crash.
        let mut interrupted = pin!(interrupted());
        let start = async {
            let running = Run::start(Arc::clone(&pipeline), &broker.bus, &settings).await?;
            let training = match pipeline.train.is_some() && !arguments.no_train {
                true => {
                    let options = TrainingOptions { copies, ..TrainingOptions::default() };
                    Some(Training::start(Arc::clone(&pipeline), &broker.bus, options).await?)
                }
                false => None,
            };
            let sql = serve_sql(&broker.bus, &name, running.snapshots()).await?;
            anyhow::Ok((running, training, sql))
        };
        let started = tokio::select! {
            started = start => Some(started?),
            () = &mut interrupted => None,
        };
        let Some((mut running, mut training, sql)) = started else {
            broker.close().await?;
            tracing::info!("stopped before it ran");
            return Ok(true);
        };
        tracing::info!(pipeline = name, "running; Ctrl-C stops");
        let outcome = tokio::select! {
            error = running.failed() => Err(error),
            error = training_failed(training.as_mut()) => Err(error),
            () = &mut interrupted => {
                tracing::info!("draining");
                drop(sql);
                let stopped = running.stop().await;
                match training {
                    Some(training) => training.stop().await.and(stopped),
                    None => stopped,
                }
            }
        };
        broker.close().await?;
        outcome?;
        tracing::info!("stopped");
        Ok(true)
    })
}

/// The async part of a verb.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

pub(super) fn settings() -> RunSettings {
    RunSettings { version: env!("CARGO_PKG_VERSION").to_owned(), ..RunSettings::default() }
}

/// Waits until training ends by itself; for ever where there is none.
pub(super) async fn training_failed(training: Option<&mut Training>) -> EngineError {
    match training {
        Some(training) => training.failed().await,
        None => std::future::pending().await,
    }
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
