//! The scoring thread: owns the model's session, turns jobs into rankings.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::EngineError;
use super::deadletter::DeadLetter;
use super::pipeline::Pipeline;
use super::position::Position;
use super::stats::Stats;
use super::step::{Origin, StepOutput};
use super::telemetry::record_scores;
use crate::bus::ServiceRequest;
use crate::model::{Binding, Scorer, Session};
use crate::score::rank;

/// A step's output on its way to the model, with the requests that wait for it.
pub(super) struct Scoring {
    pub(super) output: StepOutput,
    pub(super) requests: Vec<Option<ServiceRequest>>,
    /// Where the streams stood before the step.
    pub(super) before: Arc<str>,
    /// Where they stand after it.
    pub(super) after: Position,
}

/// What is to be published for one step.
pub(super) struct Publication {
    pub(super) rankings: Vec<(String, Bytes)>,
    pub(super) replies: Vec<(ServiceRequest, Result<Bytes, crate::bus::ServiceError>)>,
    pub(super) dead: Vec<DeadLetter>,
    pub(super) before: Arc<str>,
    pub(super) after: Position,
}

/// The model of a pipeline, bound to its vector.
pub fn load_model(pipeline: &Pipeline) -> Result<Option<Scorer>, EngineError> {
    let (Some(model), Some(vector)) = (&pipeline.model, &pipeline.vector) else { return Ok(None) };
    let binding = Binding {
        columns: vector.columns(),
        fingerprint: Some(vector.fingerprint().as_str()),
        output: model.output.as_deref(),
    };
    Ok(Some(Session::from_bytes(&model.bytes, 1)?.bind(&binding)?))
}

/// Scores until the steps end.
pub(super) fn score_all(
    pipeline: &Pipeline,
    mut scorer: Option<Scorer>,
    stats: &Stats,
    mut steps: mpsc::Receiver<Scoring>,
    publications: &mpsc::Sender<Publication>,
) -> Result<(), EngineError> {
    let columns = pipeline.vector.as_ref().map(|vector| vector.columns().to_vec()).unwrap_or_default();
    let batch_rows = pipeline.score.as_ref().map_or(1, |score| score.batch_rows);
    while let Some(step) = steps.blocking_recv() {
        let Scoring { mut output, mut requests, before, after } = step;
        let mut publication =
            Publication { rankings: Vec::new(), replies: Vec::new(), dead: output.dead, before, after };
        for (index, reason) in output.refused.drain(..) {
            if let Some(request) = requests.get_mut(index).and_then(Option::take) {
                let error = crate::bus::ServiceError { code: 400, message: reason };
                publication.replies.push((request, Err(error)));
            }
        }
        if let Some(scorer) = scorer.as_mut().filter(|_| !output.job.groups.is_empty()) {
            let start = Instant::now();
            let rankings = rank(scorer, &output.job, &columns, batch_rows)?;
            let scored: usize = rankings.iter().map(|ranking| ranking.scored).sum();
            let made = rankings.iter().filter(|ranking| ranking.scored > 0).count();
            for ((ranking, group), origin) in rankings.into_iter().zip(output.job.groups).zip(output.origins) {
                if let Origin::Request(index) = origin
                    && let Some(request) = requests.get_mut(index).and_then(Option::take)
                {
                    let reply = match (&ranking.left_out, ranking.scored) {
                        (Some(reason), 0) => Err(crate::bus::ServiceError {
                            code: 422,
                            message: format!("nothing could be scored: {reason}"),
                        }),
                        _ => Ok(ranking.payload.clone()),
                    };
                    publication.replies.push((request, reply));
                }
                if ranking.scored > 0 {
                    publication.rankings.push((group.request_id, ranking.payload));
                }
            }
            stats.add_rankings(made as u64, scored as u64);
            record_scores(&pipeline.name, made as u64, scored as u64, start.elapsed());
        }
        if publications.blocking_send(publication).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
