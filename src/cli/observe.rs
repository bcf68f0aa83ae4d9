//! What the operator sees beside results: logs, problems, metrics.

use std::io::IsTerminal;
use std::net::SocketAddr;

use anyhow::Context;
use clap::ValueEnum;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use super::output::{say, tell};
use super::progress::Above;
use crate::config::Problems;

/// What Delta Lake tells at `info` is of use to its developers only.
const DELTA: &str = "buoyant_kernel=warn,deltalake_core=warn";

/// Where it is said which logs are wanted, in this order.
const VARIABLES: [&str; 2] = ["TIDEWHEEL_LOG", "RUST_LOG"];

/// How a log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line, for programs.
    Json,
}

/// Logs go to standard error; `TIDEWHEEL_LOG` or else `RUST_LOG` says which (`debug` for every batch), else the verb's own
/// `level`.
///
/// # Errors
/// When a variable says what is no filter.
pub(super) fn start_logs(level: &str, format: LogFormat) -> anyhow::Result<()> {
    let said =
        VARIABLES.iter().find_map(|name| Some((*name, std::env::var(name).ok().filter(|text| !text.is_empty())?)));
    let filter = match said {
        Some((name, text)) => EnvFilter::try_new(&text).with_context(|| {
            format!("{name} is {text:?}; write a level (`debug`), or levels of parts (`info,async_nats=debug`)")
        })?,
        None => EnvFilter::new(format!("{level},async_nats=warn,ort=warn,{DELTA}")),
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Above).with_target(false);
    match format {
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => logs.json().flatten_event(true).with_ansi(false).init(),
    }
    Ok(())
}

/// Bounds of the buckets of all durations, in seconds: from the copying of a few pointers to a snapshot of a large state.
/// Buckets, unlike quantiles, can be added up over workers.
const DURATIONS: [f64; 20] = [
    1e-5, 2.5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0,
];

/// Serves metrics for Prometheus at `http://ADDRESS/metrics`.
pub(super) fn serve_metrics(address: SocketAddr) -> anyhow::Result<()> {
    PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets(&DURATIONS)?
        .install()
        .with_context(|| format!("metrics cannot be served on {address}"))?;
    crate::engine::describe_metrics();
    tracing::info!(%address, "serving metrics at /metrics");
    Ok(())
}

/// Problems to standard error, in colour on a terminal.
pub(super) fn print_problems(problems: &Problems) {
    tell!("{}", problems.render(std::io::stderr().is_terminal()));
}

/// A value as JSON to standard output.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
