//! Tables that are made again beside the step, which answers requests meanwhile.
//!
//! ```text
//!   step's thread ──── each step it has taken ───▶ task: reads the same messages ─▶ thread: these tables alone
//!        ▲  └────────── tables changed ──────────▶                                          │
//!        ├───── "nearly there": the thread has been given all that the step has taken ◀─────┤
//!        └───── between two steps: the tables, once the last of these are in ◀──────────────┘
//! ```
//!
//! What the step tells is where its steps ended, and not the messages: those are in the streams. Until it has taken the tables
//! over there is no snapshot, so that a crash leaves the one that the start began with.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::input::Input;
use super::rebuild::{Begun, QUEUED};
use super::replay::replay;
use crate::commit::Run;
use crate::pipeline::TableIndex;
use crate::reference::ReferenceTable;
use crate::step::Step;

/// Steps that the tables may be behind; then the step waits.
const MOST_BEHIND: usize = 1 << 16;

/// What has happened to the step.
pub(crate) enum Change {
    /// It has read messages.
    Read(Run),
    /// Events are joined with this table from now on.
    Reference(Arc<ReferenceTable>),
}

/// The step's end of it.
pub(crate) struct Remaking {
    tables: Vec<TableIndex>,
    changes: mpsc::Sender<Change>,
    made: oneshot::Receiver<Step>,
}

impl Remaking {
    /// Makes tables again in a task, which ends when the pipeline is told to stop.
    pub(super) fn beside(
        begun: Begun,
        inputs: mpsc::Sender<Input>,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = Result<(), EngineError>> + use<>) {
        let (sender, changes) = mpsc::channel(MOST_BEHIND);
        let (give, made) = oneshot::channel();
        let remaking = Self { tables: begun.work.tables.clone(), changes: sender, made };
        let task = async move {
            tokio::select! {
                () = stop.cancelled() => Ok(()),
                step = make(begun, changes, inputs) => {
                    // The step's thread may have ended.
                    let _gone = give.send(step?).is_err();
                    stop.cancelled().await;
                    Ok(())
                }
            }
        };
        (remaking, task)
    }

    /// The tables, which are empty in the step until then.
    pub(super) fn tables(&self) -> &[TableIndex] {
        &self.tables
    }

    /// Tells what has happened to the step; false when nobody takes it any more.
    pub(super) fn tell(&self, change: Change) -> bool {
        self.changes.blocking_send(change).is_ok()
    }

    /// Waits until the tables are where the step is, and gives them to it; false when they have been given up.
    pub(super) fn finish(self, step: &mut Step) -> bool {
        let Self { tables, changes, made } = self;
        drop(changes);
        let Ok(made) = made.blocking_recv() else { return false };
        step.take_over(made, &tables);
        true
    }
}

/// The tables where the step is, once it tells no more.
async fn make(
    begun: Begun,
    mut changes: mpsc::Receiver<Change>,
    inputs: mpsc::Sender<Input>,
) -> Result<Step, EngineError> {
    let Begun { mut sources, steps, work } = begun;
    let (sender, batches) = mpsc::channel(QUEUED);
    let thread = tokio::task::spawn_blocking(move || work.follow(batches));
    let mut goes_on = replay(&mut sources, &steps, false, &sender).await? && sender.send(Input::Replayed).await.is_ok();
    let mut place = pin!(inputs.reserve_owned());
    let (mut is_near, mut is_told) = (false, false);
    while goes_on {
        is_near |= changes.is_empty();
        goes_on = tokio::select! {
            change = changes.recv() => match change {
                Some(Change::Read(run)) => replay(&mut sources, &[run], false, &sender).await?,
                Some(Change::Reference(table)) => sender.send(Input::Reference(table)).await.is_ok(),
                None => false,
            },
            // The step then waits for the few that are behind.
            place = &mut place, if is_near && !is_told => {
                is_told = true;
                place.map(|place| place.send(Input::Remade)).is_ok()
            }
        };
    }
    drop(sender);
    Ok(thread.await.unwrap_or(Err(EngineError::Thread("rebuild")))?.step)
}
