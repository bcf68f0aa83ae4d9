//! The second act: the state as it was committed, the models that serve, and what has to be read again.

use std::sync::Arc;
use std::time::Duration;

use futures::TryFutureExt;
use tokio::sync::mpsc;

use super::claim::Claim;
use super::feed::Reading;
use super::startup::Startup;
use crate::bus::{ReadLimits, StreamSequence};
use crate::commit::{Again, Marker, Progress, Stretch, steps_between};
use crate::engine::EngineError;
use crate::engine::input::Input;
use crate::engine::keeping::{HistoryQueue, open_history};
use crate::engine::past::{Past, Restored, open_sources, restore};
use crate::engine::rebuild::{Begun, Rebuild};
use crate::engine::references::{OpenReference, follow_reference};
use crate::engine::remaking::Remaking;
use crate::engine::run::Run;
use crate::engine::serve::{follow, load_arms, open_registry};
use crate::engine::source::{Aggregate, Source};
use crate::engine::upkeep::keep_up;
use crate::pipeline::StreamIndex;
use crate::score::Arms;
use crate::step::{Labeller, Step};
use crate::window::References;

/// Messages of one step.
const STEP_ROWS: usize = 4_096;
/// Models that wait to be swapped in.
const QUEUED_SWAPS: usize = 4;

/// What the threads begin with.
pub(super) struct State {
    pub(super) step: Step,
    pub(super) labeller: Option<Labeller>,
    /// How far the streams have been read.
    pub(super) progress: Progress,
    /// The models in service, where there is anything to score.
    pub(super) arms: Option<Arms>,
    /// Models that are to serve from now on.
    pub(super) swaps: mpsc::Receiver<Arms>,
    pub(super) reading: Reading,
    /// What takes rows for the Delta tables.
    pub(super) history: Option<HistoryQueue>,
    /// Tables that are made again beside the step.
    pub(super) remaking: Option<Remaking>,
}

impl Startup<'_> {
    /// Brings the state to where a snapshot leaves it, and opens the streams there.
    ///
    /// # Errors
    /// When there is no model that can serve, a reference table can't be read, or what has to be read again is not there.
    pub(super) async fn restore(&self, run: &mut Run, claim: &mut Claim) -> Result<State, EngineError> {
        let (pipeline, bus, stop) = (&self.pipeline, self.bus, run.stopping());
        run.spawn_task(claim.worker.presence.answer_others(stop.clone()).await?.err_into());
        let models = open_registry(pipeline, bus, self.settings.copies.clone()).await?;
        let references = self.open_references(run).await?;
        let arms = async {
            let Some((registry, pointer)) = &models else { return Ok(None) };
            load_arms(pipeline, registry, pointer).await.map(Some)
        };
        let past = Past {
            bus,
            store: claim.store.as_deref(),
            snapshots: std::mem::take(&mut claim.usable),
            marker: &claim.marker,
            inputs: &claim.streams,
            writer: claim.worker.id(),
        };
        let (arms, restored) = tokio::try_join!(arms, restore(pipeline, &references, past))?;
        let (swap, swaps) = mpsc::channel(QUEUED_SWAPS);
        if let Some((registry, pointer)) = models {
            run.spawn_task(follow(Arc::clone(pipeline), registry, pointer, swap, stop));
        }
        let Restored { mut step, mut labeller, mut progress, covered, misfits } = restored;
        let limits = ReadLimits { rows: self.settings.step_rows.unwrap_or(STEP_ROWS), linger: Duration::ZERO };
        let on_loss = self.settings.on_loss;
        let mut history = self.keep_rows(run, &claim.marker).await?;
        let mut remaking = None;
        if !misfits.is_empty() {
            let (inputs, marker, until) = (&claim.streams, &claim.marker, &progress);
            let rebuild = Rebuild { pipeline, bus, inputs, marker, until, covered, limits, on_loss };
            let begun = rebuild.begin(&misfits, references.clone()).await?;
            match self.answers_meanwhile(&begun) {
                true => remaking = Some(begin_beside(run, &mut step, begun)),
                false => history = begun.wait(&mut step, history).await?,
            }
        }
        let mut sources = open_sources(bus, &claim.streams, &mut progress, &claim.marker, limits, on_loss).await?;
        self.watch_aggregates(&mut sources, claim);
        let stretch = Stretch { state: &progress, covered, marker: &claim.marker, last: claim.last };
        let Again { steps: again, unscored } = steps_between(pipeline, bus, &stretch).await?;
        if let Some(labeller) = &mut labeller {
            labeller.leave_out(unscored);
        }
        let unfinished = claim.marker.unfinished.map(|unfinished| unfinished.step);
        run.stats().restore(&progress.counts);
        Ok(State {
            step,
            labeller,
            progress,
            arms,
            swaps,
            reading: Reading { sources, again, unfinished },
            history,
            remaking,
        })
    }

    /// Whether requests are answered while these tables are made again.
    fn answers_meanwhile(&self, begun: &Begun) -> bool {
        if !self.pipeline.state.answers_while_rebuilding {
            return false;
        }
        let answers = self.pipeline.goes_on_without(&begun.work.tables);
        match answers {
            true => tracing::warn!("requests are answered meanwhile, as if these tables had never seen anything"),
            false => tracing::warn!("requests wait for them: tables of windows are among them"),
        }
        answers
    }

    /// Has streams looked at that take messages from others: whether those are the ones that are known.
    fn watch_aggregates(&self, sources: &mut [Source], claim: &Claim) {
        let marks = claim.streams.iter().zip(&claim.marker.progress.inputs);
        for (index, (source, (input, mark))) in sources.iter_mut().zip(marks).enumerate() {
            let Some(end) = input.aggregate_end() else { continue };
            let (stream, read) = (StreamIndex(index), StreamSequence(mark.sequence));
            let aggregate = Aggregate {
                stream,
                has_ids: self.pipeline.stream(stream).ids.is_some(),
                fresh_until: if mark.sequence == 0 { end } else { StreamSequence(0) },
                seen: self.seen.clone(),
            };
            source.watch(aggregate, mark.sources.clone(), read);
        }
    }

    /// Opens the Delta tables, if there are any.
    async fn keep_rows(&self, run: &mut Run, marker: &Marker) -> Result<Option<HistoryQueue>, EngineError> {
        let Some(folder) = &self.settings.history else { return Ok(None) };
        let writer = marker.history_writer(&self.pipeline.name);
        let Some((queue, task)) = open_history(&self.pipeline, folder, writer, run.settled()).await? else {
            return Ok(None);
        };
        run.spawn_task(task);
        run.spawn_task(keep_up(&self.pipeline, folder, run.stopping()));
        Ok(Some(queue))
    }

    /// Reads the reference tables, and follows them from now on.
    async fn open_references(&self, run: &mut Run) -> Result<References, EngineError> {
        let mut references = References::default();
        for plan in &self.pipeline.references {
            let reference = OpenReference::open(&self.pipeline.name, plan, self.bus).await?;
            references.set(reference.table());
            let (inputs, stop) = (run.inputs(), run.stopping());
            run.spawn_task(follow_reference(reference, inputs, Input::Reference, stop));
        }
        Ok(references)
    }
}

/// Begins to make tables again beside the step, in which they are empty.
fn begin_beside(run: &mut Run, step: &mut Step, begun: Begun) -> Remaking {
    step.leave_empty(&begun.work.tables);
    let (remaking, task) = Remaking::beside(begun, run.inputs(), run.stopping());
    run.spawn_task(task);
    remaking
}
