//! What the operator sees beside results: logs, problems, metrics.

use std::io::IsTerminal;
use std::net::SocketAddr;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::config::Problems;

/// What Delta Lake tells at `info` is of use to its developers only.
const DELTA: &str = "buoyant_kernel=warn,deltalake_core=warn";

/// Logs go to standard error; `TIDEWHEEL_LOG` says which (`debug` for every batch), else the verb's own `level`.
pub(super) fn start_logs(level: &str) {
    let filter = EnvFilter::try_from_env("TIDEWHEEL_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},async_nats=warn,ort=warn,{DELTA}")));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// Serves metrics for Prometheus at `http://ADDRESS/metrics`.
pub(super) fn serve_metrics(address: SocketAddr) -> anyhow::Result<()> {
    PrometheusBuilder::new()
        .with_http_listener(address)
        .install()
        .with_context(|| format!("metrics cannot be served on {address}"))?;
    crate::engine::describe_metrics();
    tracing::info!(%address, "serving metrics at /metrics");
    Ok(())
}

/// Problems to standard error, in colour on a terminal.
pub(super) fn print_problems(problems: &Problems) {
    eprintln!("{}", problems.render(std::io::stderr().is_terminal()));
}

/// A value as JSON to standard output.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
