//! Before a worker goes on: are the input streams still those that it read?
//!
//! A broker can lose the end of a stream and use its sequences again, be restored from a backup, or be wiped. None of that
//! shows in sequences alone, so the stream's time of creation and its message at the recorded sequence are compared.

use super::progress::{InputMark, Progress};
use crate::bus::{Bus, StreamSequence, StreamState};
use crate::commit::CommitError;
use crate::pipeline::{Pipeline, input_spec};
use xxhash_rust::xxh3::xxh3_64;

/// What to do about messages that were read and are not there any more, or are gone unread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// Stop and let a person choose.
    #[default]
    Stop,
    /// Go on with what is there. What was counted stays counted, what is gone is not.
    Accept,
}

/// An input stream as it is now.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) state: StreamState,
    /// Whether it is not what was read; possible only where losses are accepted.
    pub(crate) is_other: bool,
}

/// The streams of a pipeline, created where they are missing.
pub(crate) async fn open_inputs(pipeline: &Pipeline, bus: &Bus) -> Result<Vec<Input>, CommitError> {
    let mut inputs = Vec::new();
    for stream in &pipeline.streams {
        let spec = input_spec(pipeline, stream);
        let state = bus.ensure_stream(&spec).await?;
        inputs.push(Input { name: spec.name, state, is_other: false });
    }
    Ok(inputs)
}

/// Compares what a marker says was read with the streams. Where losses are accepted, the marks are set to what is there.
pub(crate) async fn check_inputs(
    bus: &Bus,
    inputs: &mut [Input],
    progress: &mut Progress,
    on_loss: OnLoss,
) -> Result<(), CommitError> {
    for (input, mark) in inputs.iter_mut().zip(&mut progress.inputs) {
        if mark.sequence == 0 && mark.created_micros == 0 {
            mark.created_micros = input.state.created_micros;
            continue;
        }
        let Some((what, replacement)) = difference(bus, input, mark).await? else { continue };
        let lost = CommitError::InputLost { stream: input.name.clone(), what };
        if on_loss == OnLoss::Stop {
            return Err(lost);
        }
        tracing::error!(error = %lost, "going on with what the stream holds, as was asked for");
        *mark = replacement;
        input.is_other = true;
    }
    Ok(())
}

/// What is not as recorded, and where to go on instead.
async fn difference(bus: &Bus, input: &Input, mark: &InputMark) -> Result<Option<(String, InputMark)>, CommitError> {
    let (name, state, read) = (&input.name, &input.state, mark.sequence);
    if mark.created_micros != state.created_micros {
        let what = format!("it is another stream than the one that was read up to {read}: it was created anew");
        return Ok(Some((what, InputMark::start(&mark.stream, state.created_micros))));
    }
    if read == 0 {
        return Ok(None);
    }
    if state.last.0 < read {
        let last = bus.stream_state_past(name, StreamSequence(read)).await?.last;
        if last.0 < read {
            let what = format!("it ends at {last}, but was read up to {read}: the broker lost its newest messages");
            return Ok(Some((what, mark_at(bus, name, mark, last).await?)));
        }
    }
    let found = bus.message_at(name, StreamSequence(read)).await?;
    match found {
        Some(found)
            if found.published_micros != mark.published_micros || xxh3_64(&found.payload) != mark.payload_hash =>
        {
            let what = format!(
                "its message {read} is not the one that was read: the broker lost messages and gave out their numbers again"
            );
            Ok(Some((what, mark_at(bus, name, mark, StreamSequence(read)).await?)))
        }
        // Expired or deleted after it was read.
        _ => Ok(None),
    }
}

/// A mark at a message as it is now. The digest goes on from what it was.
async fn mark_at(
    bus: &Bus,
    stream: &str,
    mark: &InputMark,
    sequence: StreamSequence,
) -> Result<InputMark, CommitError> {
    let found = bus.message_at(stream, sequence).await?;
    Ok(InputMark {
        sequence: sequence.0,
        published_micros: found.as_ref().map_or(0, |found| found.published_micros),
        payload_hash: found.as_ref().map_or(0, |found| xxh3_64(&found.payload)),
        ..mark.clone()
    })
}
