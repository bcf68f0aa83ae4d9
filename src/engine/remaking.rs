//! Tables that are made again beside the step, which answers requests meanwhile.
//!
//! ```text
//!   step's thread ──── each step it has taken ───▶ task: reads the same messages ─▶ thread: these tables alone
//!        ▲  └────────── tables changed ──────────▶                                          │
//!        ├───── "nearly there": the thread has been given all that the step has taken ◀─────┤
//!        └───── between two steps: the tables, once the last of these are in ◀──────────────┘
//! ```
//!
//! What the step tells is where its steps ended, and not the messages: those are in the streams, and the digest of what both
//! have read must be one before the step takes the tables. Each event is then in them once, whenever it came.
//!
//! Meanwhile the tables are empty in the step, but say which events they leave out. They have no rows for SQL, which is told
//! so. Nothing is learnt from vectors that read them: a model would learn that people whom it knows well were never seen.
//! There is no snapshot until the step has taken them, so that a crash leaves the one that the start began with, and the next
//! start does the same.
//!
//! Tables of windows are not made so: whether an event is late for all, and which rows are to be published, could not be told
//! without them.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::input::Input;
use super::rebuild::{Begun, QUEUED, Work};
use super::replay::{compare, replay};
use super::telemetry::record_incomplete;
use super::viewing::free;
use crate::commit::{OnLoss, Progress, Run};
use crate::pipeline::{Pipeline, TableIndex};
use crate::reference::ReferenceTable;
use crate::step::{Step, StepOutput};

/// Steps that the tables may be behind, some 40 MB; then the step waits for them.
const MOST_BEHIND: usize = 1 << 20;

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
    /// None once it has been asked for the tables.
    ends: Option<Ends>,
}

struct Ends {
    changes: mpsc::Sender<Change>,
    made: oneshot::Receiver<Work>,
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
        let remaking = Self { tables: begun.work.tables.clone(), ends: Some(Ends { changes: sender, made }) };
        let task = async move {
            tokio::select! {
                () = stop.cancelled() => Ok(()),
                made = make(begun, changes, inputs) => {
                    // The step's thread may have ended.
                    let _gone = give.send(made?).is_err();
                    stop.cancelled().await;
                    Ok(())
                }
            }
        };
        (remaking, task)
    }

    /// Tells what has happened to the step. That nobody takes it any more is said where they have ended.
    pub(super) fn tell(&self, change: Change) {
        if let Some(Ends { changes, .. }) = &self.ends {
            let _gone = changes.blocking_send(change).is_err();
        }
    }

    /// Waits until the tables are where the step is, and gives them to it. False when they have been given up, which is said
    /// where that happened: then they stay empty.
    ///
    /// # Errors
    /// When they have not read what the step has read.
    pub(super) fn finish(
        &mut self,
        step: &mut Step,
        progress: &Progress,
        on_loss: OnLoss,
    ) -> Result<bool, EngineError> {
        let Some(Ends { changes, made }) = self.ends.take() else { return Ok(false) };
        drop(changes);
        let Ok(mut made) = made.blocking_recv() else { return Ok(false) };
        compare(&mut made.progress, progress, on_loss)?;
        step.take_over(&mut made.step, &self.tables);
        free(made);
        Ok(true)
    }

    /// Counts vectors that were made without the tables. Feedback does not find them.
    pub(super) fn note_incomplete(&self, pipeline: &Pipeline, output: &mut StepOutput) {
        let rows = output.job.matrix.rows;
        if rows > 0 && !output.is_replay && self.tables.iter().any(|table| pipeline.shows(*table)) {
            output.keys.fill(None);
            record_incomplete(&pipeline.name, rows);
        }
    }

    /// Refuses to show one of the tables.
    ///
    /// # Errors
    /// When it is among `names`.
    pub(super) fn refuse(&self, pipeline: &Pipeline, names: &[String]) -> Result<(), EngineError> {
        let mut tables = self.tables.iter().map(|table| pipeline.table(*table).plan.name());
        match tables.find(|table| names.iter().any(|name| name == table)) {
            Some(table) => Err(EngineError::BeingMade { table: table.to_owned() }),
            None => Ok(()),
        }
    }
}

/// The tables where the step is, once it tells no more.
async fn make(
    begun: Begun,
    mut changes: mpsc::Receiver<Change>,
    inputs: mpsc::Sender<Input>,
) -> Result<Work, EngineError> {
    let Begun { mut sources, steps, work } = begun;
    let (sender, batches) = mpsc::channel(QUEUED);
    let thread = tokio::task::spawn_blocking(move || work.follow(batches));
    let mut goes_on = replay(&mut sources, &steps, false, &sender).await? && sender.send(Input::Replayed).await.is_ok();
    let mut place = pin!(inputs.reserve_owned());
    let (mut is_near, mut is_asked) = (false, false);
    while goes_on {
        goes_on = tokio::select! {
            change = changes.recv() => match change {
                Some(Change::Read(run)) => replay(&mut sources, &[run], false, &sender).await?,
                Some(Change::Reference(table)) => sender.send(Input::Reference(table)).await.is_ok(),
                None => false,
            },
            // The thread has nothing left to do.
            all = sender.reserve_many(QUEUED), if !is_near && changes.is_empty() => {
                is_near = true;
                all.is_ok()
            }
            // The step then waits for the few steps that it has taken meanwhile.
            place = &mut place, if is_near && !is_asked => {
                is_asked = true;
                place.map(|place| place.send(Input::Remade)).is_ok()
            }
        };
    }
    drop(sender);
    thread.await.unwrap_or(Err(EngineError::Thread("rebuild")))
}
