//! Claims a pipeline: reads what was, decides where to go on, and puts a marker there.

use std::sync::Arc;

use futures::StreamExt;

use super::decide::{Accepted, Recovery, decide};
use super::facts::read;
use super::marks::{in_present_terms, with_losses};
use crate::bus::{AtomicPublisher, Bus, StreamSequence};
use crate::commit::epoch::Stored;
use crate::commit::guard::{check_inputs, open_inputs};
use crate::commit::marker::{Marker, Unfinished};
use crate::commit::outputs::ID;
use crate::commit::worker::{Claim, Worker};
use crate::commit::{CommitError, Head, Input, OnLoss, Progress};
use crate::pipeline::{Pipeline, impressions_spec, output_spec};

/// Outputs that are asked for at once.
const READ_AT_ONCE: usize = 64;

/// What a worker that has claimed its pipeline knows of the past.
pub(crate) struct Claimed {
    pub(crate) publisher: AtomicPublisher,
    /// This worker's own marker.
    pub(crate) marker: Marker,
    /// Where it is in the output stream.
    pub(crate) last: StreamSequence,
    pub(crate) inputs: Vec<Input>,
    /// Outputs of an unfinished step.
    pub(crate) stored: Stored,
}

/// Claims a pipeline. With `is_fresh` a new lineage begins, whatever was there.
pub(crate) async fn claim(
    pipeline: &Arc<Pipeline>,
    bus: &Bus,
    worker: &Worker,
    heads: &[Head],
    on_loss: OnLoss,
    is_fresh: bool,
) -> Result<Claimed, CommitError> {
    let mut inputs = open_inputs(pipeline, bus).await?;
    bus.ensure_stream(&output_spec(pipeline)).await?;
    if let Some(spec) = impressions_spec(pipeline) {
        bus.ensure_stream(&spec).await?;
    }
    for _ in 0..Worker::claims() {
        let facts = read(pipeline, bus, heads, is_fresh).await?;
        let decision = decide(&facts, on_loss, is_fresh);
        decision.accepted.iter().for_each(report);
        let recorded = match decision.recovery {
            Recovery::GoOn(marker) | Recovery::GoOnFromSnapshot(marker) => marker,
            Recovery::BeginAnew => Marker::first(new_lineage(), Progress::default()),
            Recovery::LookAgain => continue,
            Recovery::Stop(reason) => return Err(reason),
        };
        let mut marker = in_present_terms(recorded, &pipeline.streams);
        check_inputs(bus, &mut inputs, &mut marker.progress, on_loss).await?;
        let marker = with_losses(marker, &inputs);
        let stored = match marker.unfinished {
            Some(unfinished) => read_stored(bus, &facts.stream, unfinished, facts.last).await?,
            None => Stored::default(),
        };
        if let Some(Claim { publisher, marker, last }) = worker.claim(&marker, facts.last).await? {
            return Ok(Claimed { publisher, marker, last, inputs, stored });
        }
    }
    Err(CommitError::Contended { pipeline: pipeline.name.clone() })
}

fn new_lineage() -> String {
    format!("{:016x}", rand::random::<u64>())
}

fn report(accepted: &Accepted) {
    match accepted {
        Accepted::Lost(error) => tracing::error!(%error, "going on from the newest snapshot, as was asked for"),
        Accepted::Foreign(error) => tracing::error!(%error, "going on from the newest marker, as was asked for"),
    }
}

/// What is stored of an unfinished step.
async fn read_stored(
    bus: &Bus,
    stream: &str,
    unfinished: Unfinished,
    last: StreamSequence,
) -> Result<Stored, CommitError> {
    let sequences = unfinished.since + 1..=last.0;
    let messages = futures::stream::iter(sequences.map(|sequence| bus.message_at(stream, StreamSequence(sequence))));
    let mut messages = std::pin::pin!(messages.buffered(READ_AT_ONCE));
    let mut ids = Vec::new();
    while let Some(message) = messages.next().await {
        ids.extend(message?.and_then(|message| message.header(ID).map(str::to_owned)));
    }
    Ok(Stored::new(unfinished, ids.into_iter()))
}
