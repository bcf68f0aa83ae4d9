//! The scoring thread: owns the models' sessions, turns jobs into rankings and feedback into examples.

use std::time::Instant;

use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::mpsc;

use super::EngineError;
use super::deadletter::DeadLetter;
use super::emitted::messages;
use super::label::{Labelled, Labeller};
use super::pipeline::Pipeline;
use super::position::Position;
use super::stats::Stats;
use super::step::{Origin, StepOutput};
use super::telemetry::{record_labels, record_scores};
use crate::bus::{Outgoing, ServiceError, ServiceRequest};
use crate::score::{Arms, Ranked, rank};

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
    pub(super) replies: Vec<(ServiceRequest, Result<Bytes, ServiceError>)>,
    pub(super) dead: Vec<DeadLetter>,
    pub(super) labelled: Labelled,
    /// Rows of tables of windows.
    pub(super) emitted: Vec<Outgoing>,
    pub(super) before: Arc<str>,
    pub(super) after: Position,
}

/// What the scoring thread works with.
pub(super) struct ScoringThread {
    pub(super) pipeline: Arc<Pipeline>,
    /// The models in service, where there is anything to score.
    pub(super) arms: Option<Arms>,
    /// Models that are to serve from now on; each was loaded and tried on another thread.
    pub(super) swaps: mpsc::Receiver<Arms>,
    pub(super) labeller: Option<Labeller>,
    pub(super) stats: Arc<Stats>,
}

impl ScoringThread {
    /// Scores until the steps end.
    pub(super) fn run(
        mut self,
        mut steps: mpsc::Receiver<Scoring>,
        publications: &mpsc::Sender<Publication>,
    ) -> Result<(), EngineError> {
        while let Some(step) = steps.blocking_recv() {
            self.swap();
            let publication = self.take(step)?;
            if publications.blocking_send(publication).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Between two batches: the newest models take over.
    fn swap(&mut self) {
        while let Ok(arms) = self.swaps.try_recv() {
            self.arms = Some(arms);
        }
    }

    fn take(&mut self, step: Scoring) -> Result<Publication, EngineError> {
        let Scoring { mut output, mut requests, before, after } = step;
        let mut replies = Vec::new();
        for (index, reason) in output.refused.drain(..) {
            if let Some(request) = requests.get_mut(index).and_then(Option::take) {
                replies.push((request, Err(ServiceError { code: 400, message: reason })));
            }
        }
        let ranked = self.rank(&output)?;
        let labelled = match &mut self.labeller {
            Some(labeller) => {
                let labelled = labeller.take(&output, &ranked, &before)?;
                self.stats.set_labels(&labeller.counts());
                if !output.is_replay {
                    record_labels(&self.pipeline.name, &labeller.counts());
                }
                labelled
            }
            None => Labelled::default(),
        };
        let mut rankings = Vec::new();
        for ((ranking, group), origin) in ranked.into_iter().zip(output.job.groups).zip(output.origins) {
            let is_empty = ranking.order.is_empty();
            if let Origin::Request(index) = origin
                && let Some(request) = requests.get_mut(index).and_then(Option::take)
            {
                replies.push((request, reply(&ranking)));
            }
            if !is_empty {
                rankings.push((group.request_id, ranking.payload));
            }
        }
        let emitted = if output.is_replay { Vec::new() } else { messages(&self.pipeline, &output.emissions)? };
        Ok(Publication { rankings, replies, dead: output.dead, labelled, emitted, before, after })
    }

    fn rank(&mut self, output: &StepOutput) -> Result<Vec<Ranked>, EngineError> {
        let (Some(arms), Some(vector), Some(score)) = (&mut self.arms, &self.pipeline.vector, &self.pipeline.score)
        else {
            return Ok(Vec::new());
        };
        if output.is_replay || output.job.groups.is_empty() {
            return Ok(Vec::new());
        }
        let start = Instant::now();
        let ranked = rank(arms, &output.job, vector.columns(), score.batch_rows)?;
        let scored: usize = ranked.iter().map(|ranking| ranking.order.len()).sum();
        let made = ranked.iter().filter(|ranking| !ranking.order.is_empty()).count();
        self.stats.add_rankings(made as u64, scored as u64);
        record_scores(&self.pipeline.name, made as u64, scored as u64, start.elapsed());
        Ok(ranked)
    }
}

fn reply(ranking: &Ranked) -> Result<Bytes, ServiceError> {
    match (&ranking.left_out, ranking.order.len()) {
        (Some(reason), 0) => Err(ServiceError { code: 422, message: format!("nothing could be scored: {reason}") }),
        _ => Ok(ranking.payload.clone()),
    }
}
