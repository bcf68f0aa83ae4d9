//! What `tidewheel doctor` says about a server: how safely it keeps what it has acknowledged.

use std::path::Path;

use super::broker::Broker;
use super::finding::Finding;
use super::run::runtime;
use super::{BrokerArguments, assemble};
use crate::bus::{Bus, BusError, DurabilityWarning, SYNC_ADVICE, StreamFit, StreamRole, StreamSpec};
use crate::pipeline::{Pipeline, StreamPlan, impressions_spec, input_spec, output_spec};

const SERVER: &str = "server";
const STREAM: &str = "stream";

const FIX_SOURCE: &str = "see `source` in [streams.NAME], and ask whoever keeps that stream";

const FIX: &str = "make the stream as the folder says, or the folder as the stream is; else look at the server's log";

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

/// How safely a server keeps what it takes, and what a start would make of each stream of the pipeline.
pub(super) async fn look(bus: &Bus, pipeline: Option<&Pipeline>) -> Vec<Finding> {
    let mut findings = judged(SERVER, "it takes atomic batches", bus.server_durability());
    let Some(pipeline) = pipeline else { return findings };
    for (spec, role) in streams(pipeline) {
        let looked = look_at(bus, &spec, role).await;
        findings.extend(looked.unwrap_or_else(|error| vec![Finding::missing(STREAM, error.to_string(), FIX)]));
    }
    for stream in sources(pipeline) {
        let looked = look_at_source(bus, stream).await;
        findings.extend(looked.unwrap_or_else(|error| vec![Finding::missing(STREAM, error.to_string(), FIX_SOURCE)]));
    }
    findings
}

/// The streams that a pipeline makes, besides those of its registry.
pub(super) fn streams(pipeline: &Pipeline) -> Vec<(StreamSpec, StreamRole)> {
    let made = pipeline.streams.iter().filter(|stream| stream.source.is_none());
    let inputs = made.map(|stream| (input_spec(pipeline, stream), StreamRole::Input));
    let shown = impressions_spec(pipeline).map(|spec| (spec, StreamRole::Shown));
    inputs.chain([(output_spec(pipeline), StreamRole::Output)]).chain(shown).collect()
}

/// The streams that a pipeline reads and that are somebody else's.
pub(super) fn sources(pipeline: &Pipeline) -> impl Iterator<Item = &StreamPlan> {
    pipeline.streams.iter().filter(|stream| stream.source.is_some())
}

/// Whether `tidewheel run` can read a stream that is somebody else's, and what that lacks.
async fn look_at_source(bus: &Bus, stream: &StreamPlan) -> Result<Vec<Finding>, BusError> {
    let (name, bus) = (&stream.held_in, stream.bus(bus));
    bus.bind(name, &stream.subjects).await?;
    let subjects = stream.subjects.join(", ");
    let fine = format!("{name} is somebody else's: `tidewheel run` reads {subjects} of it and alters nothing");
    let mut findings = vec![Finding::ok(STREAM, fine)];
    let warnings = bus.durability(name, StreamRole::Source).await?.into_iter();
    if let Some(what) = bus.strayed(name).await? {
        findings.push(Finding::warn(STREAM, format!("{name}: {what}"), "delete the mirror and make it anew"));
    }
    findings.extend(warnings.map(|warning| Finding::warn(STREAM, warning.finding, warning.fix)));
    Ok(findings)
}

/// Whether `tidewheel run` takes a stream as it is, and how safely it is kept.
async fn look_at(bus: &Bus, spec: &StreamSpec, role: StreamRole) -> Result<Vec<Finding>, BusError> {
    let name = &spec.name;
    let lacks = match bus.stream_fit(spec).await? {
        StreamFit::Missing => {
            return Ok(vec![Finding::ok(STREAM, format!("{name} is not there yet: `tidewheel run` creates it"))]);
        }
        StreamFit::Fits(_) => Vec::new(),
        StreamFit::Extends(_, lacks) => lacks,
    };
    let lacks = lacks.iter().map(|lack| Finding::ok(STREAM, format!("{name}: {lack}; `tidewheel run` extends it")));
    let mut findings: Vec<Finding> = lacks.collect();
    let warnings = bus.durability(name, role).await?;
    if findings.is_empty() || !warnings.is_empty() {
        findings.extend(judged(STREAM, &format!("{name} is kept as it should be"), warnings));
    }
    Ok(findings)
}

fn judged(name: &'static str, fine: &str, warnings: Vec<DurabilityWarning>) -> Vec<Finding> {
    if warnings.is_empty() {
        return vec![Finding::ok(name, fine)];
    }
    warnings.into_iter().map(|warning| Finding::warn(name, warning.finding, warning.fix)).collect()
}
