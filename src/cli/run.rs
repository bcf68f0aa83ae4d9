//! `tidewheel run`: a pipeline in the foreground.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::broker::Broker;
use super::{BrokerArguments, assemble, observe};
use crate::engine::{Run, RunSettings};
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
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let (folder, pipeline) = assemble(&arguments.folder)?;
    runtime()?.block_on(async {
        if let Some(address) = arguments.metrics {
            observe::serve_metrics(address)?;
        }
        let broker = Broker::open(&arguments.broker, &folder.settings.state_folder()).await?;
        let name = pipeline.name.clone();
        let mut running = Run::start(Arc::new(pipeline), &broker.bus, &settings()).await?;
        let sql = serve_sql(&broker.bus, &name, running.snapshots()).await?;
        tracing::info!(pipeline = name, "running; Ctrl-C stops");
        let outcome = tokio::select! {
            error = running.failed() => Err(error),
            () = interrupted() => {
                tracing::info!("draining");
                drop(sql);
                running.stop().await
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
    RunSettings { version: env!("CARGO_PKG_VERSION").to_owned() }
}

/// Returns at Ctrl-C or SIGTERM.
pub(super) async fn interrupted() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => {
            if let Err(error) = outcome {
                tracing::warn!(%error, "Ctrl-C cannot be caught");
            }
        }
        () = terminate => {}
    }
}
