//! Making tables again that a snapshot does not fit, while the others keep their state.
//!
//! ```text
//!   snapshot ─▶ the other tables ──────────────────────────────────────────────────┐
//!   streams, from their first messages, in the steps of then ─▶ these tables alone ─┴─▶ the state of the snapshot
//! ```
//!
//! The steps are those of the markers up to the one that covers the snapshot, and nothing of them is published: what they gave
//! has been, or is of a past in which these tables were others. Rows for Delta tables are handed on, each once, as whenever
//! the streams are read from their beginning. What was read is compared with what the snapshot has read. A crash in between
//! leaves nothing behind: the next start does the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::EngineError;
use super::input::Input;
use super::keeping::HistoryQueue;
use super::past::open_sources;
use super::replay::{compare, next_step, replay};
use crate::bus::{Bus, Message, ReadLimits, StreamSequence};
use crate::clock;
use crate::commit::{Input as InputStream, Marker, OnLoss, Progress, Stretch, from_nothing, steps_between};
use crate::pipeline::{Pipeline, StreamIndex, TableIndex};
use crate::step::{Misfit, Step};
use crate::window::References;

/// Batches of messages that wait for the thread.
const QUEUED: usize = 4;
/// How often the log says how far it has come.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// What tables are made again from.
pub(super) struct Rebuild<'a> {
    pub(super) pipeline: &'a Arc<Pipeline>,
    pub(super) bus: &'a Bus,
    pub(super) inputs: &'a [InputStream],
    pub(super) marker: &'a Marker,
    /// Where the other tables are.
    pub(super) until: &'a Progress,
    /// The message of the output stream whose marker covers them.
    pub(super) covered: StreamSequence,
    pub(super) limits: ReadLimits,
    pub(super) on_loss: OnLoss,
}

/// Tables on their way to where the others are, on a thread of their own.
struct Work {
    step: Step,
    tables: Vec<TableIndex>,
    progress: Progress,
    history: Option<HistoryQueue>,
    began: Instant,
    reported: Instant,
}

impl Rebuild<'_> {
    /// Makes the tables of `misfits` again in `step`, and gives the queue of rows back.
    ///
    /// # Errors
    /// When the streams no longer hold what was read, or the broker gives no answer.
    pub(super) async fn run(
        self,
        step: &mut Step,
        misfits: &[Misfit],
        references: References,
        history: Option<HistoryQueue>,
    ) -> Result<Option<HistoryQueue>, EngineError> {
        let Self { pipeline, bus, inputs, until, limits, on_loss, .. } = self;
        let tables: Vec<TableIndex> = misfits.iter().flat_map(|misfit| &misfit.tables).copied().collect();
        for misfit in misfits {
            let names = misfit.tables.iter().map(|table| pipeline.table(*table).plan.name()).collect::<Vec<_>>();
            tracing::warn!(tables = names.join(", "), reason = %misfit, "made again from the streams; the others are kept");
        }
        let mut marker = self.marker.clone();
        marker.progress = until.clone();
        let mut progress = from_nothing(&marker, inputs);
        let mut sources = open_sources(bus, inputs, &mut progress, &marker, limits, on_loss).await?;
        let beginning = Stretch { state: &progress, covered: StreamSequence(0), marker: &marker, last: self.covered };
        let mut steps = steps_between(pipeline, bus, &beginning).await?.steps;
        // The markers may go on behind the snapshot, where its own has expired.
        steps.iter_mut().for_each(|run| run.until = run.until.min(until.sequence(run.stream)));
        let alone = Step::of_tables(pipeline, references, &tables)?;
        let began = clock::now();
        let work = Work { step: alone, tables: tables.clone(), progress, history, began, reported: began };
        let (sender, batches) = mpsc::channel(QUEUED);
        let thread = tokio::task::spawn_blocking(move || work.follow(batches));
        let read = replay(&mut sources, &steps, false, &sender).await;
        drop(sender);
        let done = thread.await.unwrap_or(Err(EngineError::Thread("rebuild")));
        // Where the thread has failed, reading has only ended.
        let mut work = done?;
        read?;
        compare(&mut work.progress, until, on_loss)?;
        step.take_over(work.step, &tables);
        tracing::info!(position = %until.position(), took = ?began.elapsed(), "the tables are where the others are");
        Ok(work.history)
    }
}

impl Work {
    /// Applies what comes until nothing does any more.
    fn follow(mut self, mut batches: mpsc::Receiver<Input>) -> Result<Self, EngineError> {
        while let Some(input) = batches.blocking_recv() {
            let Input::Events { stream, messages, is_present, .. } = input else { continue };
            self.step.set_present(is_present.unwrap_or(false));
            self.events(stream, messages)?;
            if self.reported.elapsed() > REPORT_EVERY {
                self.reported = clock::now();
                tracing::info!(position = %self.progress.position(), after = ?self.began.elapsed(), "reading the streams");
            }
        }
        Ok(self)
    }

    fn events(&mut self, stream: StreamIndex, messages: Vec<Message>) -> Result<(), EngineError> {
        let mut rest = messages;
        while !rest.is_empty() {
            let part = next_step(&self.step, self.history.as_ref(), stream, &mut rest);
            let mut output = self.step.events(stream, &part, false)?;
            if let Some(input) = self.progress.inputs.get_mut(stream.0) {
                input.take(&part);
            }
            output.emissions.retain(|emission| self.tables.contains(&emission.table));
            if let Some(history) = &mut self.history {
                // What can't be kept was a dead letter then; where the task has ended, its own error says why.
                history.take(&output.emissions, &self.progress.position())?;
            }
        }
        Ok(())
    }
}
