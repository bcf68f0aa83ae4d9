//! What `tidewheel doctor` says about a server: how safely it keeps what it has acknowledged.

use std::path::Path;

use super::broker::Broker;
use super::finding::Finding;
use super::run::runtime;
use super::{BrokerArguments, assemble};
use crate::bus::{Bus, BusError, DurabilityWarning, SYNC_ADVICE, StreamRole};
use crate::pipeline::{Pipeline, input_spec, output_spec};

const SERVER: &str = "server";
const STREAM: &str = "stream";

/// Looks at the server of the arguments, or of the pipeline that runs, and at the pipeline's streams in it. Without either
/// there is only what is known of every server.
///
/// # Errors
/// When the pipeline's folder can't be read.
pub(super) fn findings(broker: &BrokerArguments, folder: Option<&Path>) -> anyhow::Result<Vec<Finding>> {
    let fix = "where that matters, use --nats with a server that has `sync_interval: always` in its jetstream section";
    let advice = Finding::warn("sync_interval", SYNC_ADVICE, fix);
    let (state, pipeline) = match folder {
        Some(folder) => {
            let (folder, pipeline) = assemble(folder)?;
            (Some(folder.settings.state_folder()), Some(pipeline))
        }
        None => (None, None),
    };
    if broker.nats.is_none() && state.is_none() {
        return Ok(vec![advice]);
    }
    runtime()?.block_on(async {
        let state = state.unwrap_or_default();
        let mut findings = match Broker::find(broker, &state).await {
            Ok(bus) => look(&bus, pipeline.as_ref()).await,
            Err(error) => vec![Finding::missing(SERVER, format!("{error:#}"), "start it, or name another with --nats")],
        };
        findings.push(advice);
        Ok(findings)
    })
}

async fn look(bus: &Bus, pipeline: Option<&Pipeline>) -> Vec<Finding> {
    let mut findings = judged(SERVER, "it takes atomic batches", bus.server_durability());
    let streams = pipeline.into_iter().flat_map(|pipeline| {
        let inputs = pipeline.streams.iter().map(|stream| (input_spec(pipeline, stream).name, StreamRole::Input));
        inputs.chain([(output_spec(pipeline).name, StreamRole::Output)])
    });
    for (name, role) in streams {
        match bus.durability(&name, role).await {
            Ok(warnings) => findings.extend(judged(STREAM, &format!("{name} is kept as it should be"), warnings)),
            Err(BusError::StreamNotFound { .. }) => {
                findings.push(Finding::ok(STREAM, format!("{name} is not there yet: `tidewheel run` creates it")));
            }
            Err(error) => findings.push(Finding::missing(STREAM, error.to_string(), "look at the server's log")),
        }
    }
    findings
}

fn judged(name: &'static str, fine: &str, warnings: Vec<DurabilityWarning>) -> Vec<Finding> {
    if warnings.is_empty() {
        return vec![Finding::ok(name, fine)];
    }
    warnings.into_iter().map(|warning| Finding::warn(name, warning.finding, warning.fix)).collect()
}
