//! Reading again what was read before: the steps after a snapshot up to the marker, in the order they were made in.

use tokio::sync::mpsc;

use super::EngineError;
use super::input::Input;
use super::source::Source;
use crate::bus::StreamSequence;
use crate::commit::Run;

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
