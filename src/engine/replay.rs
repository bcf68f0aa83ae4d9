//! Reading again what was read before: the steps after a snapshot up to the marker, in the order they were made in.

use tokio::sync::mpsc;

use super::EngineError;
use super::input::Input;
use super::keeping::HistoryQueue;
use super::source::Source;
use crate::bus::{Message, StreamSequence};
use crate::commit::{CommitError, OnLoss, Progress, Run};
use crate::pipeline::StreamIndex;
use crate::step::Step;

/// Hands the messages of steps on, stream by stream as they interleaved. False when nobody takes them any more.
///
/// `emits` is off while their outputs are known to be stored.
pub(super) async fn replay(
    sources: &mut [Source],
    steps: &[Run],
    emits: bool,
    inputs: &mpsc::Sender<Input>,
) -> Result<bool, EngineError> {
    for Run { stream, until, is_present } in steps.iter().copied() {
        let Some(source) = sources.get_mut(stream.0) else { continue };
        while source.position() <= StreamSequence(until) {
            let messages = source.next_until(StreamSequence(until)).await?;
            if messages.is_empty() {
                break;
            }
            let input = Input::Events { stream, messages, emits, is_present: Some(is_present) };
            if inputs.send(input).await.is_err() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Takes the messages of the next step off those that wait. What is in a Delta table already ends with a step, so that no step
/// is in it by half; so does what was read before another stream was silent for too long.
pub(super) fn next_step(
    step: &Step,
    history: Option<&HistoryQueue>,
    stream: StreamIndex,
    waiting: &mut Vec<Message>,
) -> Vec<Message> {
    let first = waiting.first().map_or(StreamSequence(0), |message| message.sequence);
    let end = history.and_then(|history| history.next_end(stream, first));
    let count = end.map_or(waiting.len(), |end| waiting.partition_point(|message| message.sequence <= end));
    let count = count.min(step.until_silence(stream, &*waiting));
    let after = waiting.split_off(count.max(1).min(waiting.len()));
    std::mem::replace(waiting, after)
}

/// What was read again must be what was read before. Where losses are accepted, it counts as that.
pub(super) fn compare(found: &mut Progress, marked: &Progress, on_loss: OnLoss) -> Result<(), CommitError> {
    for (found, marked) in found.inputs.iter_mut().zip(&marked.inputs) {
        if found.has_read_what(marked) {
            *found = marked.clone();
            continue;
        }
        let differ =
            CommitError::InputsDiffer { stream: marked.stream.clone(), until: StreamSequence(marked.sequence) };
        match on_loss {
            OnLoss::Stop => return Err(differ),
            OnLoss::Accept => {
                tracing::error!(error = %differ, "going on with what the stream holds, as was asked for");
            }
        }
        *found = marked.clone();
    }
    Ok(())
}
