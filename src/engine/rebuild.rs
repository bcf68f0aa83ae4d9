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
//!
//! The start waits for it, or goes on [beside](super::remaking) it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::EngineError;
use super::input::Input;
use super::keeping::HistoryQueue;
use super::past::open_sources;
use super::replay::{compare, next_step, replay};
use super::source::Source;
use crate::bus::{Bus, Message, ReadLimits, StreamSequence};
use crate::clock;
use crate::commit::{Input as InputStream, Marker, OnLoss, Progress, Run, Stretch, from_nothing, steps_between};
use crate::pipeline::{Pipeline, StreamIndex, TableIndex};
use crate::step::{Misfit, Step};
use crate::window::References;

/// Batches of messages that wait for the thread.
pub(super) const QUEUED: usize = 4;
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

/// Tables that can be made again: what is to be read, and what it is given to.
pub(super) struct Begun {
    pub(super) sources: Vec<Source>,
    /// The steps up to the snapshot.
    pub(super) steps: Vec<Run>,
    pub(super) work: Work,
}

/// The sum of the streams' positions.
fn read(progress: &Progress) -> u64 {
    progress.inputs.iter().map(|input| input.sequence).sum()
}

/// How much there is to read.
#[derive(Debug, Clone, Copy)]
struct Left {
    /// The sum of the streams' positions before the first message.
    first: u64,
    /// From there to where the other tables are.
    messages: u64,
}

impl Left {
    /// How long it will take from here, as fast as it went so far; nothing before anything was read.
    fn time(self, at: u64, after: Duration) -> Option<Duration> {
        let read = at.saturating_sub(self.first).min(self.messages);
        let left = (self.messages - read) as f64;
        (read > 0).then(|| Duration::from_secs((after.as_secs_f64() * left / read as f64).round() as u64))
    }
}

/// Tables on their way to where the others are, on a thread of their own.
pub(super) struct Work {
    pub(super) step: Step,
    pub(super) tables: Vec<TableIndex>,
    pub(super) progress: Progress,
    /// What the snapshot has read.
    until: Progress,
    left: Left,
    on_loss: OnLoss,
    history: Option<HistoryQueue>,
    began: Instant,
    reported: Instant,
}

impl Rebuild<'_> {
    /// Finds what is to be read for the tables of `misfits`.
    ///
    /// # Errors
    /// When the streams no longer hold what was read, or the broker gives no answer.
    pub(super) async fn begin(self, misfits: &[Misfit], references: References) -> Result<Begun, EngineError> {
        let Self { pipeline, bus, inputs, until, limits, on_loss, .. } = self;
        let tables: Vec<TableIndex> = misfits.iter().flat_map(|misfit| &misfit.tables).copied().collect();
        let mut marker = self.marker.clone();
        marker.progress = until.clone();
        let mut progress = from_nothing(&marker, inputs);
        let sources = open_sources(bus, inputs, &mut progress, &marker, limits, on_loss).await?;
        let beginning = Stretch { state: &progress, covered: StreamSequence(0), marker: &marker, last: self.covered };
        let mut steps = steps_between(pipeline, bus, &beginning).await?.steps;
        let first = read(&progress);
        let messages = read(until).saturating_sub(first);
        for misfit in misfits {
            let names = misfit.tables.iter().map(|table| pipeline.table(*table).plan.name()).collect::<Vec<_>>();
            let tables = names.join(", ");
            tracing::info!(tables, messages, reason = %misfit, "made again from the streams; the others are kept");
        }
        // The markers may go on behind the snapshot, where its own has expired.
        steps.iter_mut().for_each(|run| run.until = run.until.min(until.sequence(run.stream)));
        let step = Step::of_tables(pipeline, references, &tables)?;
        let (began, until) = (clock::now(), until.clone());
        let left = Left { first, messages };
        let work = Work { step, tables, progress, until, left, on_loss, history: None, began, reported: began };
        Ok(Begun { sources, steps, work })
    }
}

impl Begun {
    /// Makes the tables again in `step`, and gives the queue of rows back.
    ///
    /// # Errors
    /// When the streams no longer hold what was read, or the broker gives no answer.
    pub(super) async fn wait(
        self,
        step: &mut Step,
        history: Option<HistoryQueue>,
    ) -> Result<Option<HistoryQueue>, EngineError> {
        let Self { mut sources, steps, work } = self;
        let work = Work { history, ..work };
        let (sender, batches) = mpsc::channel(QUEUED);
        let thread = tokio::task::spawn_blocking(move || work.follow(batches));
        let read = replay(&mut sources, &steps, false, &sender).await;
        if let Ok(true) = read {
            // Where the thread has ended, it says why.
            let _gone = sender.send(Input::Replayed).await.is_err();
        }
        drop(sender);
        let Work { step: mut made, tables, history, .. } =
            thread.await.unwrap_or(Err(EngineError::Thread("rebuild")))?;
        read?;
        step.take_over(&mut made, &tables);
        Ok(history)
    }
}

impl Work {
    /// Applies what comes until nothing does any more.
    ///
    /// # Errors
    /// When what was read is not what the snapshot has read.
    pub(super) fn follow(mut self, mut batches: mpsc::Receiver<Input>) -> Result<Self, EngineError> {
        while let Some(input) = batches.blocking_recv() {
            match input {
                Input::Events { stream, messages, is_present, .. } => {
                    self.step.set_present(is_present.unwrap_or(false));
                    self.events(stream, messages)?;
                }
                Input::Replayed => {
                    compare(&mut self.progress, &self.until, self.on_loss)?;
                    let took = self.began.elapsed();
                    tracing::info!(position = %self.until.position(), ?took, "the tables are where the snapshot is");
                }
                Input::Reference(table) => self.step.set_reference(table),
                _ => {}
            }
            if self.reported.elapsed() > REPORT_EVERY {
                self.reported = clock::now();
                let (after, position) = (self.began.elapsed(), self.progress.position());
                let left = self.left.time(read(&self.progress), after);
                tracing::info!(%position, ?after, ?left, "reading the streams");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_follows_from_the_messages_that_are() {
        let left = Left { first: 200, messages: 1_000 };
        assert_eq!(left.time(200, Duration::from_secs(10)), None);
        assert_eq!(left.time(450, Duration::from_secs(10)), Some(Duration::from_secs(30)));
        assert_eq!(left.time(1_800, Duration::from_secs(10)), Some(Duration::ZERO));
    }
}
