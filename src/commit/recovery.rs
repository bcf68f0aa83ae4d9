//! Where a worker goes on: the newest marker, the newest snapshot that it covers, and what has to be read again between
//! the two.
//!
//! ```text
//!   output stream ─▶ marker ─▶ are the inputs still those? ─▶ claim ─▶ newest usable snapshot ─▶ state
//!                                                                          │ none: the empty state
//!                                                     steps since ◀────────┘
//! ```

use std::sync::Arc;

use futures::StreamExt;

use super::epoch::Stored;
use super::guard::{Input, OnLoss, check_inputs, open_inputs};
use super::marker::{Marker, Unfinished};
use super::outputs::ID;
use super::progress::{InputMark, Progress, Run};
use super::save::{FORMAT, Head};
use super::worker::{Claim, Worker};
use crate::bus::{AtomicPublisher, Bus, ReadLimits, StreamSequence, StreamState};
use crate::commit::CommitError;
use crate::pipeline::{Pipeline, impressions_spec, output_spec};
use crate::snapshot::{Generation, SnapshotStore};

/// Markers that are read at once.
const READ_ROWS: usize = 1_024;
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

/// A snapshot that can be used.
pub(crate) struct Usable {
    pub(crate) generation: Generation,
    pub(crate) head: Head,
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
    let spec = output_spec(pipeline);
    bus.ensure_stream(&spec).await?;
    if let Some(spec) = impressions_spec(pipeline) {
        bus.ensure_stream(&spec).await?;
    }
    for _ in 0..Worker::claims() {
        let state = bus.stream_state(&spec.name).await?;
        let found = match is_fresh {
            true => None,
            false => match newest_marker(pipeline, bus, &state, heads, on_loss).await {
                // What a worker that is gone had sent was stored since we looked where the stream ends.
                Err(CommitError::ForeignOutput { marker, last, .. }) if marker > last => continue,
                found => found?,
            },
        };
        let lineage = || format!("{:016x}", rand::random::<u64>());
        let recorded = found.unwrap_or_else(|| Marker::first(lineage(), Progress::default()));
        let recorded = recorded.in_terms_of(&pipeline.streams);
        let unfinished = recorded.unfinished;
        let mut progress = Progress { inputs: marks(pipeline, &recorded.progress), counts: recorded.progress.counts };
        check_inputs(bus, &mut inputs, &mut progress, on_loss).await?;
        let losses = recorded.losses + u32::from(inputs.iter().any(|input| input.is_other));
        let marker = Marker { losses, progress, ..recorded };
        let ids = match unfinished {
            Some(unfinished) => stored_ids(bus, &spec.name, unfinished, state.last).await?,
            None => Vec::new(),
        };
        if let Some(Claim { publisher, marker, last }) = worker.claim(&marker, state.last).await? {
            let stored = unfinished.map_or_else(Stored::default, |unfinished| Stored::new(unfinished, ids.into_iter()));
            return Ok(Claimed { publisher, marker, last, inputs, stored });
        }
    }
    Err(CommitError::Contended { pipeline: pipeline.name.clone() })
}

/// The marks of the pipeline's present streams; new ones begin at their beginning.
fn marks(pipeline: &Pipeline, recorded: &Progress) -> Vec<InputMark> {
    let mark = |name: &str| recorded.inputs.iter().find(|input| input.stream == name).cloned();
    pipeline
        .streams
        .iter()
        .map(|stream| mark(&stream.name).unwrap_or_else(|| InputMark::start(&stream.name, 0)))
        .collect()
}

/// The newest marker; nothing where the output stream has never had a message.
async fn newest_marker(
    pipeline: &Pipeline,
    bus: &Bus,
    state: &StreamState,
    heads: &[Head],
    on_loss: OnLoss,
) -> Result<Option<Marker>, CommitError> {
    let spec = output_spec(pipeline);
    // The state knows of outputs that the broker does not: it is another one, was wiped, or was put back.
    let lost = |head: &Head| {
        let lost =
            CommitError::OutputLost { stream: spec.name.clone(), last: state.last, known: StreamSequence(head.output) };
        if on_loss == OnLoss::Stop {
            return Err(lost);
        }
        tracing::error!(error = %lost, "going on from the newest snapshot, as was asked for");
        Ok(Some(of_head(head)))
    };
    if state.last.0 == 0 {
        return heads.first().map_or(Ok(None), lost);
    }
    let found = bus.last_message(&spec.name, &Marker::subject(&pipeline.name)?).await?;
    let Some(found) = found else {
        // Expired with everything else, while nobody ran the pipeline. A snapshot of that very moment says as much.
        let head = heads.iter().find(|head| head.output == state.last.0);
        let head = head.ok_or_else(|| CommitError::MarkerLost { stream: spec.name.clone(), last: state.last })?;
        return Ok(Some(of_head(head)));
    };
    if found.sequence != state.last {
        let foreign =
            CommitError::ForeignOutput { stream: spec.name.clone(), marker: found.sequence, last: state.last };
        // A marker that was stored since we looked where the stream ends is looked at again.
        if on_loss == OnLoss::Stop || found.sequence > state.last {
            return Err(foreign);
        }
        tracing::error!(error = %foreign, "going on from the newest marker, as was asked for");
    }
    let marker = Marker::of(&found)?;
    match heads.iter().find(|head| head.lineage == marker.lineage && head.epoch > marker.epoch) {
        Some(head) => lost(head),
        None => Ok(Some(marker)),
    }
}

/// The marker that a snapshot was covered by.
fn of_head(head: &Head) -> Marker {
    Marker { epoch: head.epoch, ..Marker::first(head.lineage.clone(), head.progress.clone()) }
}

/// The names of what is stored of an unfinished step.
async fn stored_ids(
    bus: &Bus,
    stream: &str,
    unfinished: Unfinished,
    last: StreamSequence,
) -> Result<Vec<String>, CommitError> {
    let sequences = unfinished.since + 1..=last.0;
    let messages = futures::stream::iter(sequences.map(|sequence| bus.message_at(stream, StreamSequence(sequence))));
    let mut messages = std::pin::pin!(messages.buffered(READ_AT_ONCE));
    let mut ids = Vec::new();
    while let Some(message) = messages.next().await {
        ids.extend(message?.and_then(|message| message.header(ID).map(str::to_owned)));
    }
    Ok(ids)
}

/// What snapshots say of themselves, newest first; those that can't be read are reported.
pub(crate) async fn read_heads(store: &SnapshotStore) -> Result<Vec<Usable>, CommitError> {
    let mut usable = Vec::new();
    for generation in store.generations().await? {
        let generation = match generation {
            Ok(generation) => generation,
            Err(error) => {
                tracing::error!(%error, "a snapshot can't be used: looking for an older one");
                continue;
            }
        };
        match serde_json::from_slice::<Head>(generation.head()) {
            Ok(head) if head.format == FORMAT => usable.push(Usable { generation, head }),
            _ => tracing::error!(
                number = generation.number(),
                "a snapshot is of another version of the program: looking for an older one"
            ),
        }
    }
    Ok(usable)
}

/// Whether a state can be brought from a snapshot to where the marker is.
pub(crate) fn is_covered(head: &Head, marker: &Marker, inputs: &[Input]) -> bool {
    head.lineage == marker.lineage
        && head.epoch <= marker.epoch
        && head.progress.inputs.len() == marker.progress.inputs.len()
        && head.progress.inputs.iter().zip(&marker.progress.inputs).enumerate().all(|(place, (here, there))| {
            inputs.get(place).is_some_and(|input| input.is_other)
                || (here.stream == there.stream
                    && here.created_micros == there.created_micros
                    && here.sequence <= there.sequence)
        })
}

/// The steps between a state and the marker, in their order.
pub(crate) async fn steps_between(
    pipeline: &Pipeline,
    bus: &Bus,
    state: &Progress,
    (marker, last): (&Marker, StreamSequence),
    since: StreamSequence,
) -> Result<Vec<Run>, CommitError> {
    if pipeline.streams.len() < 2 {
        return Ok(vec![Run { stream: 0, until: marker.progress.sequence(0), is_present: true }]);
    }
    if state.inputs.iter().zip(&marker.progress.inputs).all(|(here, there)| here.sequence >= there.sequence) {
        return Ok(Vec::new());
    }
    let limits = ReadLimits { rows: READ_ROWS, linger: std::time::Duration::ZERO };
    let subject = Marker::subject(&pipeline.name)?;
    let mut reader = bus.reader_of(&output_spec(pipeline).name, &subject, since.next(), limits);
    let (mut steps, mut is_there) = (Vec::new(), false);
    while !is_there {
        for message in reader.next_batch().await? {
            let recorded = Marker::read(&message.payload, message.sequence.0)?;
            is_there |= message.sequence >= last;
            if recorded.lineage == marker.lineage {
                steps.extend(recorded.in_terms_of(&pipeline.streams).steps);
            }
        }
    }
    Ok(steps)
}
