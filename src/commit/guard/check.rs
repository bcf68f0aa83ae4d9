//! Compares what a marker says was read with the streams, and sets the marks.

use super::decide::{Decision, decide};
use super::facts::read;
use super::input::Input;
use super::on_loss::OnLoss;
use crate::bus::Bus;
use crate::commit::{CommitError, Progress};

/// Compares what a marker says was read with the streams. Where losses are accepted, the marks are set to what is there.
pub(in crate::commit) async fn check_inputs(
    bus: &Bus,
    inputs: &mut [Input],
    progress: &mut Progress,
    on_loss: OnLoss,
) -> Result<(), CommitError> {
    for (input, mark) in inputs.iter_mut().zip(&mut progress.inputs) {
        let facts = read(bus, input, mark).await?;
        match decide(&facts, on_loss) {
            Decision::Same => {}
            Decision::Begin(beginning) => *mark = beginning,
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
