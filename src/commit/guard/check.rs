//! Compares what a marker says was read with the streams, and sets the marks.

use super::decide::{Decision, decide};
use super::facts::read;
use super::input::Input;
use super::on_loss::OnLoss;
use crate::bus::{Bus, FedBy, StreamSequence};
use crate::commit::progress::InputMark;
use crate::commit::{CommitError, Progress};

/// Compares what a marker says was read with the streams. Where losses are accepted, the marks are set to what is there.
pub(in crate::commit) async fn check_inputs(
    bus: &Bus,
    inputs: &mut [Input],
    progress: &mut Progress,
    on_loss: OnLoss,
) -> Result<(), CommitError> {
    for (input, mark) in inputs.iter_mut().zip(&mut progress.inputs) {
        check_origin(bus, input, mark, on_loss).await?;
        let facts = read(bus, input, mark).await?;
        match decide(&facts, on_loss) {
            Decision::Same => {}
            Decision::Begin(beginning) => *mark = beginning,
            Decision::Restored(restored) => {
                let (stream, sequence) = (&input.name, restored.sequence);
                tracing::warn!(
                    stream,
                    sequence,
                    "the stream was put back from a backup that holds all that was read: going on. The broker has forgotten \
                     message ids: what a publisher repeats is stored again, and found by the event's `id`, where it has one"
                );
                *mark = restored;
            }
            Decision::SetMark { replacement, lost } => {
                tracing::error!(error = %lost, "going on with what the stream holds, as was asked for");
                *mark = replacement;
                input.is_other = true;
            }
            Decision::Stop(lost) => return Err(lost),
        }
    }
    Ok(())
}

/// A mirror whose origin is another one by now lacks what that has taken. Who begins anew is only told.
async fn check_origin(bus: &Bus, input: &Input, mark: &InputMark, on_loss: OnLoss) -> Result<(), CommitError> {
    if input.state.fed_by != FedBy::Origin {
        return Ok(());
    }
    let Some(what) = input.bus(bus).strayed(&input.name).await? else { return Ok(()) };
    let strayed = CommitError::strayed(&input.name, &what);
    if on_loss == OnLoss::Stop && mark.known() > StreamSequence(0) {
        return Err(strayed);
    }
    tracing::error!(error = %strayed, "going on with what the mirror holds");
    Ok(())
}
