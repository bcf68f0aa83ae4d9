//! What `tidewheel run` would find on a server: for `check`, which changes nothing there.

use std::path::Path;
use std::sync::Arc;

use super::durability::{look, sources, streams};
use super::explain::at_restart;
use super::finding::Finding;
use crate::bus::{Bus, BusError};
use crate::commit::{CommitError, Presence};
use crate::engine::foresee_model;
use crate::model::ModelVersion;
use crate::pipeline::{Pipeline, TableIndex, WORKER};
use crate::registry::Lineage;

const WORKERS: &str = "worker";
const STREAM: &str = "stream";
const MODEL: &str = "model";
const STATE: &str = "state";

/// What a start of the pipeline would find; `state` is the folder of its own files on this machine.
pub(super) async fn findings(bus: &Bus, pipeline: &Arc<Pipeline>, state: &Path) -> Vec<Finding> {
    let mut findings = vec![worker(bus, pipeline).await];
    findings.extend(look(bus, Some(pipeline.as_ref())).await);
    for (spec, _) in streams(pipeline) {
        findings.extend(held(bus, &spec.name).await);
    }
    for stream in sources(pipeline) {
        findings.extend(held(&stream.bus(bus), &stream.held_in).await);
    }
    findings.extend(model(bus, pipeline).await);
    findings.extend(tables(pipeline, state).await);
    findings
}

/// Whether somebody runs it already.
async fn worker(bus: &Bus, pipeline: &Pipeline) -> Finding {
    match Presence::new(bus, WORKER, &pipeline.name).ask_others().await {
        Ok(()) => Finding::ok(WORKERS, "none runs this pipeline there"),
        Err(CommitError::AlreadyRunning { host, .. }) => Finding::warn(
            WORKERS,
            format!("one runs this pipeline already, on {host}"),
            "stop it before another starts: a second one is refused",
        ),
        Err(error) => Finding::missing(WORKERS, error.to_string(), "look at the server's log"),
    }
}

/// How much a stream holds, where it is there.
async fn held(bus: &Bus, stream: &str) -> Option<Finding> {
    match bus.stream_state(stream).await {
        Ok(state) => Some(Finding::ok(STREAM, format!("{stream} holds {} message(s)", state.messages))),
        Err(BusError::StreamNotFound { .. }) => None,
        Err(error) => Some(Finding::missing(STREAM, error.to_string(), "look at the server's log")),
    }
}

/// Which model would serve.
async fn model(bus: &Bus, pipeline: &Pipeline) -> Option<Finding> {
    let file = ModelVersion::of(&pipeline.model.as_ref()?.bytes);
    let (lineage, active) = match foresee_model(pipeline, bus).await {
        Ok(Some(found)) => found,
        Ok(None) => return Some(Finding::ok(MODEL, format!("{file} of the folder is the first, and serves"))),
        Err(error) => {
            return Some(Finding::missing(
                MODEL,
                error.to_string(),
                "see `tidewheel model list`, and what the error names",
            ));
        }
    };
    Some(match lineage {
        Lineage::Begin => Finding::ok(MODEL, format!("{file} of the folder is the first, and serves")),
        Lineage::Keep | Lineage::Renew => Finding::ok(MODEL, format!("{active} goes on serving")),
        Lineage::Adopt => Finding::ok(MODEL, format!("the weights of {active} go on serving, for the vector of now")),
        Lineage::BeginAnew => Finding::warn(
            MODEL,
            format!("the folder has another model than the last start saw: {file} takes over from {active}"),
            "where that is not meant, put the earlier file back",
        ),
        Lineage::Refuse => Finding::missing(
            MODEL,
            format!("{active} was made for another vector"),
            "`tidewheel model adopt`, or another model in the folder",
        ),
    })
}

/// What becomes of each table.
async fn tables(pipeline: &Arc<Pipeline>, state: &Path) -> Vec<Finding> {
    let restart = match at_restart(pipeline, state).await {
        Ok(Some(restart)) => restart,
        Ok(None) => {
            return vec![Finding::ok(STATE, "no snapshot: tables are made from what the streams hold")];
        }
        Err(error) => {
            return vec![Finding::missing(STATE, format!("{error:#}"), "see `snapshots` under [state]")];
        }
    };
    let each = pipeline.tables.iter().enumerate().map(|(index, table)| {
        let (index, name) = (TableIndex(index), table.plan.name());
        let told = format!("{name}: {}", restart.of(pipeline, index));
        match restart.keeps(index) {
            true => Finding::ok(STATE, told),
            false => {
                Finding::warn(STATE, told, "that takes as long as the streams are long; put the file back to avoid it")
            }
        }
    });
    each.collect()
}
