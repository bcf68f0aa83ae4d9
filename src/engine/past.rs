//! From a claimed pipeline to a state, and to sources that read on from there.

use std::sync::Arc;

use super::EngineError;
use super::source::Source;
use crate::bus::{Bus, ReadLimits, StreamSequence};
use crate::commit::{
    Crossing, Gap, Head, Input, Marker, OnLoss, Place, Progress, Since, Usable, from_nothing, from_snapshot, pass,
    recorded,
};
use crate::pipeline::Pipeline;
use crate::snapshot::{Generation, SaveError, SnapshotStore};
use crate::step::{Labeller, Misfit, Recorded, Resumed, Shown, Step, StepError, tables_gone};
use crate::window::References;

/// A state and how far it has come.
pub(super) struct Restored {
    pub(super) step: Step,
    pub(super) labeller: Option<Labeller>,
    pub(super) progress: Progress,
    /// The message of the output stream whose marker covers it.
    pub(super) covered: StreamSequence,
    /// Tables that are empty, and have to be made again up to there.
    pub(super) misfits: Vec<Misfit>,
}

/// What a state is restored from.
pub(super) struct Past<'a> {
    pub(super) bus: &'a Bus,
    pub(super) store: Option<&'a SnapshotStore>,
    /// Newest first.
    pub(super) snapshots: Vec<Usable>,
    /// Where the state is to be brought to.
    pub(super) marker: &'a Marker,
    pub(super) inputs: &'a [Input],
    /// This worker, in the names of what it shows.
    pub(super) writer: &'a str,
}

/// The state of the newest snapshot that a marker covers and that can be read; the empty one where there is none.
pub(super) async fn restore(
    pipeline: &Arc<Pipeline>,
    references: &References,
    past: Past<'_>,
) -> Result<Restored, EngineError> {
    let Past { bus, store, snapshots, marker, inputs, writer } = past;
    for Usable { generation, head } in snapshots {
        let number = generation.number();
        let Some(progress) = from_snapshot(&head, marker, inputs) else {
            tracing::info!(number, "a snapshot is not of what the broker holds: looking for an older one");
            continue;
        };
        let (plan, references) = (Arc::clone(pipeline), references.clone());
        let gone = tables_gone(pipeline, generation.parts().map(|(part, _)| part));
        let read = tokio::task::spawn_blocking(move || read_state(&plan, references, &generation));
        match read.await.unwrap_or(Err(EngineError::Thread("restore"))) {
            Ok((Resumed { step, misfits }, labeller)) => {
                tracing::info!(number, position = %progress.position(), "state restored from its snapshot");
                if !gone.is_empty() {
                    tracing::info!(
                        tables = gone.join(", "),
                        "gone from the pipeline: the next snapshot has them no more"
                    );
                }
                let labeller = open_labeller(pipeline, bus, labeller, (&head, marker), writer).await?;
                pass(Place::Restored);
                return Ok(Restored { step, labeller, progress, covered: StreamSequence(head.output), misfits });
            }
            Err(error) => {
                match is_change(&error) {
                    true => {
                        let messages = progress.inputs.iter().map(|input| input.sequence).sum::<u64>();
                        tracing::info!(number, reason = %error, messages, "a change makes everything again from the streams");
                    }
                    false => tracing::error!(number, %error, "a snapshot can't be used: looking for an older one"),
                }
                // It must not be what the next snapshot builds on, nor one of the two that are kept.
                if let Some(store) = store {
                    store.distrust(number);
                }
            }
        }
    }
    let mut step = Step::new(Arc::clone(pipeline))?;
    step.set_references(references.clone());
    let (covered, held) = (StreamSequence(0), &Shown::default());
    let (recorded, until) = recorded(pipeline, bus, Since { held, covered, marker }).await?;
    let shown = Shown { until: until.0, writer: writer.to_owned(), ordinal: 0 };
    let labeller = Labeller::new(pipeline, recorded, shown).map_err(StepError::from)?;
    Ok(Restored { step, labeller, progress: from_nothing(marker, inputs), covered, misfits: Vec::new() })
}

/// Reads the parts of a snapshot, several at once; on a thread that may wait for them. A table that its part does not fit
/// stays empty; the label join goes on without what waits in it where that is of a vector that no longer is.
fn read_state(
    pipeline: &Arc<Pipeline>,
    references: References,
    generation: &Generation,
) -> Result<(Resumed, Option<Labeller>), EngineError> {
    std::thread::scope(|scope| {
        let labeller = scope.spawn(|| Labeller::restore(pipeline, generation));
        let resumed = Step::restore(pipeline, references, |part| Ok(generation.find(part)));
        let labeller = labeller.join().unwrap_or(Err(StepError::Thread));
        let resumed = resumed?;
        let is_shown = |misfit: &&Misfit| misfit.tables.iter().any(|table| pipeline.shows(*table));
        // What waits in the join was shown by events, which are in the stream: it is made again with them.
        if let Some(misfit) = resumed.misfits.iter().find(is_shown)
            && pipeline.labels_what_it_scores()
        {
            return Err(EngineError::ScoredBefore { misfit: misfit.to_string() });
        }
        Ok((resumed, kept_or_new(pipeline, labeller)?))
    })
}

/// What waits for feedback; a join that begins anew where it waits under other settings.
fn kept_or_new(
    pipeline: &Pipeline,
    labeller: Result<Option<Labeller>, StepError>,
) -> Result<Option<Labeller>, EngineError> {
    let error = match labeller {
        Ok(labeller) => return Ok(labeller),
        Err(error) => error,
    };
    let Some(reason) = Labeller::forgets(&error) else { return Err(error.into()) };
    tracing::info!(reason, "what waited for feedback is forgotten: examples are made of what is shown from now on");
    Ok(Labeller::new(pipeline, Recorded::new(), Shown::default()).map_err(StepError::from)?)
}

/// Whether a state is of no use because the pipeline has changed, and not because it is damaged.
fn is_change(error: &EngineError) -> bool {
    match error {
        EngineError::ScoredBefore { .. } => true,
        EngineError::Step(StepError::State { source, .. }) => {
            matches!(source, SaveError::Foreign { .. } | SaveError::Absent)
        }
        _ => false,
    }
}

/// Gives a restored label join what was recorded since.
async fn open_labeller(
    pipeline: &Pipeline,
    bus: &Bus,
    labeller: Option<Labeller>,
    (head, marker): (&Head, &Marker),
    writer: &str,
) -> Result<Option<Labeller>, EngineError> {
    let Some(mut labeller) = labeller else { return Ok(None) };
    let (covered, held) = (StreamSequence(head.output), &head.impressions);
    let (recorded, until) = recorded(pipeline, bus, Since { held, covered, marker }).await?;
    labeller.resume(recorded, Shown { until: until.0, writer: writer.to_owned(), ordinal: 0 });
    Ok(Some(labeller))
}

/// Readers that go on after a state.
///
/// # Errors
/// When what has to be read again up to the marker is not there.
pub(super) async fn open_sources(
    bus: &Bus,
    inputs: &[Input],
    progress: &mut Progress,
    marker: &Marker,
    limits: ReadLimits,
    on_loss: OnLoss,
) -> Result<Vec<Source>, EngineError> {
    let mut sources = Vec::new();
    for ((input, mark), marked) in inputs.iter().zip(&mut progress.inputs).zip(&marker.progress.inputs) {
        let gap = Gap { stream: &input.name, state: mark, marked };
        let is_last_there = match gap.last() {
            Some(last) => input.bus(bus).message_at(&input.name, last).await?.is_some(),
            None => false,
        };
        match gap.decide(is_last_there, on_loss) {
            Crossing::AfterState => {}
            Crossing::AfterMarker(differ) => {
                tracing::error!(error = %differ, "going on with what the stream holds, as was asked for");
                *mark = marked.clone();
            }
            Crossing::Stop(differ) => return Err(differ.into()),
        }
        let is_fresh = mark.sequence == 0;
        let mut reader = input.reader(bus, StreamSequence(mark.sequence).next(), limits);
        if !is_fresh {
            reader = reader.expecting(mark.anchor());
        }
        sources.push(Source::new(reader, &input.name, on_loss, is_fresh));
    }
    Ok(sources)
}
