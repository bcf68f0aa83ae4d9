//! What the operator sees beside results: logs, problems, metrics.

use std::io::IsTerminal;
use std::net::SocketAddr;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use super::output::say;
use crate::config::Problems;

/// What Delta Lake tells at `info` is of use to its developers only.
const DELTA: &str = "buoyant_kernel=warn,deltalake_core=warn";

/// Where it is said which logs are wanted, in this order.
const VARIABLES: [&str; 2] = ["TIDEWHEEL_LOG", "RUST_LOG"];

/// Logs go to standard error; `TIDEWHEEL_LOG` or else `RUST_LOG` says which (`debug` for every batch), else the verb's own
/// `level`.
///
/// # Errors
/// When a variable says what is no filter.
pub(super) fn start_logs(level: &str) -> anyhow::Result<()> {
    let said =
        VARIABLES.iter().find_map(|name| Some((*name, std::env::var(name).ok().filter(|text| !text.is_empty())?)));
    let filter = match said {
        Some((name, text)) => EnvFilter::try_new(&text).with_context(|| {
            format!("{name} is {text:?}; write a level (`debug`), or levels of parts (`info,async_nats=debug`)")
        })?,
        None => EnvFilter::new(format!("{level},async_nats=warn,ort=warn,{DELTA}")),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
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
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
