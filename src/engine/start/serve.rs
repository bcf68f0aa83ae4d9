//! The fifth act: requests are answered, once the features are as they were.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::startup::Startup;
use crate::bus::{EndpointSpec, ServiceError, ServiceHandle, ServiceSpec};
use crate::clock;
use crate::engine::EngineError;
use crate::engine::input::Input;
use crate::engine::run::Run;
use crate::engine::telemetry::{Queue, Waiting};
use crate::pipeline::Names;

/// Requests taken into one step.
const STEP_REQUESTS: usize = 64;

impl Startup<'_> {
    /// Serves rankings, where the pipeline has a service.
    ///
    /// # Errors
    /// That of a part which ended while the features were rebuilt; when the broker refuses.
    pub(super) async fn serve(&self, run: &mut Run, rebuilt: oneshot::Receiver<()>) -> Result<(), EngineError> {
        let Some(score) = &self.pipeline.score else { return Ok(()) };
        let Some((subject, _)) = &score.service else { return Ok(()) };
        // An answer from half of the features would be wrong, and what it showed would be labelled by old events.
        tokio::select! {
            Ok(()) = rebuilt => {}
            error = run.failed() => return Err(error),
        }
        let spec = ServiceSpec {
            name: Names::of(&self.pipeline.name).ranking_service(),
            version: self.settings.version.clone(),
            description: format!("Rankings of the pipeline {}", self.pipeline.name),
            endpoints: vec![EndpointSpec { name: "score".to_owned(), subject: subject.clone() }],
        };
        let service = self.bus.serve(spec, score.queue).await?;
        run.stats().set_replies(service.replies());
        let waiting = Waiting::of(&self.pipeline.name, Queue::Requests);
        let (inputs, stop) = (run.inputs(), run.stopping());
        run.spawn_task(hand_on_requests(service, inputs, score.linger, stop, waiting));
        Ok(())
    }
}

/// Hands requests on in batches until told to stop; those that wait then are told so.
async fn hand_on_requests(
    mut service: ServiceHandle,
    inputs: mpsc::Sender<Input>,
    linger: Duration,
    stop: CancellationToken,
    waiting: Waiting,
) -> Result<(), EngineError> {
    loop {
        let first = tokio::select! {
            () = stop.cancelled() => break,
            first = service.next() => first,
        };
        let Some(first) = first else { return Ok(()) };
        let mut requests = vec![first];
        let deadline = clock::task_now() + linger;
        while requests.len() < STEP_REQUESTS {
            match service.next_ready() {
                Some(request) => requests.push(request),
                // While the step is busy, waiting costs nothing and fills the batch.
                None if inputs.capacity() == 0 => match tokio::time::timeout_at(deadline, service.next()).await {
                    Ok(Some(request)) => requests.push(request),
                    _ => break,
                },
                None => break,
            }
        }
        waiting.record(service.waiting());
        if inputs.send(Input::Requests(requests)).await.is_err() {
            return Ok(());
        }
    }
    service.stop().await;
    while let Some(request) = service.next_ready() {
        let stopping = ServiceError { code: 503, message: "stopping".to_owned() };
        request.respond(Err(stopping)).await?;
    }
    Ok(())
}
