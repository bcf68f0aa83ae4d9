//! The fourth act: what was read before is read again, and then everything after it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::startup::Startup;
use crate::commit::Run as StepRun;
use crate::engine::EngineError;
use crate::engine::input::Input;
use crate::engine::looking::Looker;
use crate::engine::replay::replay;
use crate::engine::run::Run;
use crate::engine::silence::Listener;
use crate::engine::source::{Source, hand_on};
use crate::pipeline::StreamIndex;

/// What is read, and in which order its beginning was read before.
pub(super) struct Reading {
    pub(super) sources: Vec<Source>,
    /// The steps after the state up to the marker.
    pub(super) again: Vec<StepRun>,
    /// The step that the marker has only a part of.
    pub(super) unfinished: Option<StepRun>,
}

impl Startup<'_> {
    /// Starts to read, and to listen for the silence of feedback.
    pub(super) fn feed(&self, run: &mut Run, reading: Reading) {
        if let Some(labels) = &self.pipeline.labels {
            let listener = Listener::new(&self.pipeline, labels, self.bus);
            run.spawn_task(listener.listen(run.settled(), run.inputs(), run.stopping()));
        }
        for (index, _) in self.pipeline.streams.iter().enumerate().filter(|(_, stream)| stream.source.is_some()) {
            let looker = Looker {
                pipeline: Arc::clone(&self.pipeline),
                stream: StreamIndex(index),
                bus: self.bus.clone(),
                seen: self.seen.clone(),
                settled: run.settled(),
                inputs: run.inputs(),
                on_loss: self.settings.on_loss,
            };
            run.spawn_task(looker.look(run.stopping()));
        }
        tracing::debug!(pipeline = self.pipeline.name, steps = reading.again.len(), "reading again up to the marker");
        run.spawn_task(reading.follow(run.inputs(), run.stopping()));
    }
}

impl Reading {
    /// Reads again what follows the state up to the marker, then everything after it, until told to stop.
    async fn follow(self, inputs: mpsc::Sender<Input>, stop: CancellationToken) -> Result<(), EngineError> {
        let Self { mut sources, again, unfinished } = self;
        let replayed = async {
            let goes_on = replay(&mut sources, &again, false, &inputs).await?
                && inputs.send(Input::Replayed).await.is_ok()
                && replay(&mut sources, unfinished.as_slice(), true, &inputs).await?;
            Ok::<_, EngineError>(goes_on)
        };
        let goes_on = tokio::select! {
            () = stop.cancelled() => false,
            goes_on = replayed => goes_on?,
        };
        if goes_on {
            let follow = |(stream, source): (usize, _)| {
                let stream = StreamIndex(stream);
                let wrap = move |messages| Input::Events { stream, messages, emits: true, is_present: None };
                hand_on(source, inputs.clone(), wrap, stop.clone())
            };
            futures::future::try_join_all(sources.into_iter().enumerate().map(follow)).await?;
        }
        Ok(())
    }
}
