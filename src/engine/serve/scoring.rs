//! The scoring thread: owns the models' sessions, turns jobs into rankings and feedback into examples.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::scored::{Scored, Scoring};
use crate::bus::{Message, ServiceError, ServiceRequest, StreamSequence};
use crate::clock;
use crate::commit::{
    Given, Place, Position, Publication, Published, Replaced, Run, Save, messages as emitted_messages, pass,
    record_replaced,
};
use crate::engine::EngineError;
use crate::engine::stats::Stats;
use crate::engine::telemetry::{Queue, Waiting, record_labels, record_left_out, record_model, record_scores};
use crate::pipeline::Pipeline;
use crate::score::{Arm, Arms, Ranked, rank};
use crate::step::{DeadLetter, Labelled, Labeller, Origin, Silence, StepError, StepOutput, UNSCORABLE};

/// Requests with their answers.
type Replies = Vec<(ServiceRequest, Result<Bytes, ServiceError>)>;

/// What the scoring thread works with.
pub(crate) struct ScoringThread {
    pub(crate) pipeline: Arc<Pipeline>,
    /// The models in service, where there is anything to score.
    pub(crate) arms: Option<Arms>,
    /// Models that are to serve from now on; each was loaded and tried on another thread.
    pub(crate) swaps: mpsc::Receiver<Arms>,
    pub(crate) labeller: Option<Labeller>,
    pub(crate) stats: Arc<Stats>,
}

impl ScoringThread {
    /// Scores until the steps end.
    pub(crate) fn run(
        mut self,
        mut steps: mpsc::Receiver<Scoring>,
        publications: &mpsc::Sender<Publication>,
    ) -> Result<(), EngineError> {
        let waiting = Waiting::of(&self.pipeline.name, Queue::Steps);
        self.note_serving();
        while let Some(step) = steps.blocking_recv() {
            waiting.record(steps.len());
            self.swap();
            let publication = match step {
                Scoring::Step(step) => Some(Publication::Step(Box::new(self.take(*step)?))),
                Scoring::Save(save) => self.save(save).map(Publication::Save),
                Scoring::Silence(silence) => {
                    if !self.tick(silence, publications)? {
                        return Ok(());
                    }
                    None
                }
            };
            if let Some(publication) = publication
                && publications.blocking_send(publication).is_err()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Adds this thread's part of a snapshot.
    fn save(&mut self, mut save: Box<Save>) -> Option<Box<Save>> {
        let start = clock::now();
        if let Some(labeller) = &mut self.labeller {
            let caught_up = labeller.catch_up(read(&self.pipeline, &save.progress.position()));
            if let Err(error) = caught_up.map_err(StepError::from) {
                tracing::error!(%error, "no snapshot: a restart has more to replay");
                return None;
            }
            save.labels = Some(labeller.view());
            save.impressions = labeller.shown();
        }
        save.paused = save.paused.max(start.elapsed());
        pass(Place::SnapshotSaved);
        Some(save)
    }

    /// The feedback's stream is silent: windows that have ended by the clock close. False when nobody takes what it gives.
    fn tick(&mut self, silence: Silence, publications: &mpsc::Sender<Publication>) -> Result<bool, EngineError> {
        let Some(labeller) = &mut self.labeller else { return Ok(true) };
        for part in 0.. {
            let Some(Labelled { examples, tick, .. }) = labeller.tick(silence, part)? else { break };
            self.stats.set_labels(&labeller.counts());
            record_labels(&self.pipeline.name, &labeller.counts());
            let given = Some(Given { examples, tick, ..Given::default() });
            let published = Published { given, ..Published::default() };
            if publications.blocking_send(Publication::Step(Box::new(published))).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Between two batches: the newest models take over.
    fn swap(&mut self) {
        while let Ok(arms) = self.swaps.try_recv() {
            self.arms = Some(arms);
            self.note_serving();
        }
    }

    fn note_serving(&self) {
        if let Some(arms) = &self.arms {
            let (version, now) = (arms.version(Arm::Active), clock::unix_micros());
            self.stats.set_serving(version, now);
            record_model(&self.pipeline.name, version, now);
        }
    }

    fn take(&mut self, step: Scored) -> Result<Published, EngineError> {
        let Scored { mut output, mut requests, messages, unkept, before, run, after } = step;
        let mut replies = Replies::new();
        for (index, reason) in output.refused.drain(..) {
            if let Some(request) = requests.get_mut(index).and_then(Option::take) {
                replies.push((request, Err(ServiceError { code: 400, message: reason })));
            }
        }
        let mut ranked = self.rank(&output)?;
        let unscored = self.bury(&mut output, &ranked, &messages, run);
        self.refuse_outsize(&mut ranked, &output.origins, &mut requests, &mut replies);
        let labelled = match &mut self.labeller {
            Some(labeller) => {
                let stood = (before.to_string(), read(&self.pipeline, &before));
                let labelled = labeller.take(&output, &ranked, (&stood.0, stood.1))?;
                self.stats.set_labels(&labeller.counts());
                self.stats.set_unmatched(labelled.unmatched);
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
                // What clients call their requests must not look like what events are called.
                let kind = if matches!(origin, Origin::Request(_)) { "request" } else { "ranking" };
                rankings.push((format!("{kind}-{}", group.request_id), ranking.payload));
            }
        }
        let Labelled { examples, impressions, tick, .. } = labelled;
        let model =
            self.arms.as_ref().filter(|_| !rankings.is_empty()).map(|arms| arms.version(Arm::Active).to_string());
        let given = match output.is_replay {
            true => None,
            false => {
                record_replaced(&self.pipeline.name, Replaced::History, unkept.len());
                let mut emitted = emitted_messages(&self.pipeline, &output.emissions);
                emitted.extend(unkept);
                Some(Given { rankings, examples, emitted, dead: output.dead, unscored, tick })
            }
        };
        Ok(Published { replies, impressions, given, model, run, after })
    }

    /// A ranking that fits no reply is an error for who asked, and was shown to nobody.
    fn refuse_outsize(
        &self,
        ranked: &mut [Ranked],
        origins: &[Origin],
        requests: &mut [Option<ServiceRequest>],
        replies: &mut Replies,
    ) {
        for (ranking, origin) in ranked.iter_mut().zip(origins) {
            let Origin::Request(index) = origin else { continue };
            let bytes = ranking.payload.len();
            let is_outsize = |request: &mut ServiceRequest| bytes > request.most_bytes();
            if let Some(request) = requests.get_mut(*index).and_then(|request| request.take_if(is_outsize)) {
                record_replaced(&self.pipeline.name, Replaced::Reply, 1);
                let error = ServiceError::too_large(bytes, request.most_bytes());
                replies.push((request, Err(error)));
                ranking.order.clear();
            }
        }
    }

    fn rank(&mut self, output: &StepOutput) -> Result<Vec<Ranked>, EngineError> {
        let (Some(arms), Some(vector), Some(score)) = (&mut self.arms, &self.pipeline.vector, &self.pipeline.score)
        else {
            return Ok(Vec::new());
        };
        if output.is_replay || output.job.groups.is_empty() {
            return Ok(Vec::new());
        }
        let start = clock::now();
        let ranked = rank(arms, &output.job, vector.inputs().width(), score.batch_rows)?;
        let scored: usize = ranked.iter().map(|ranking| ranking.order.len()).sum();
        let made = ranked.iter().filter(|ranking| !ranking.order.is_empty()).count();
        self.stats.add_rankings(made as u64, scored as u64);
        record_scores(&self.pipeline.name, made as u64, scored as u64, start.elapsed());
        let failed = ranked.iter().map(|ranking| ranking.failed as u64).sum();
        record_left_out(&self.pipeline.name, output.job.matrix.unscorable.len() as u64, failed);
        Ok(ranked)
    }

    /// Makes dead letters of the events that the model failed on; those without a vector have theirs. Gives the names of their
    /// rankings where the label join has to know them after a restart: what is read again is not scored again.
    fn bury(&self, output: &mut StepOutput, ranked: &[Ranked], messages: &[Message], run: Option<Run>) -> Vec<String> {
        let mut unscored = Vec::new();
        let Some(Run { stream, .. }) = run else { return unscored };
        let StepOutput { job, origins, dead, .. } = output;
        for ((ranking, group), origin) in
            ranked.iter().zip(&job.groups).zip(origins).filter(|((one, _), _)| one.failed > 0)
        {
            let (Origin::Event(sequence), Some(reason)) = (*origin, &ranking.left_out) else { continue };
            if let Ok(place) = messages.binary_search_by_key(&sequence, |message| message.sequence)
                && let Some(message) = messages.get(place)
            {
                let (detail, bytes) = (reason.clone(), message.contents().clone());
                dead.push(DeadLetter { stream, sequence, reason: UNSCORABLE, detail, bytes, place: None });
            }
            if self.pipeline.labels_what_it_scores() {
                unscored.push(group.request_id.clone());
            }
        }
        unscored
    }
}

/// How far the feedback's stream had been read at a position.
fn read(pipeline: &Pipeline, position: &Position) -> StreamSequence {
    pipeline.labels.as_ref().map_or(StreamSequence(0), |labels| position.of(labels.stream))
}

fn reply(ranking: &Ranked) -> Result<Bytes, ServiceError> {
    match (&ranking.left_out, ranking.order.len()) {
        (Some(reason), 0) => Err(ServiceError { code: 422, message: format!("nothing could be scored: {reason}") }),
        _ => Ok(ranking.payload.clone()),
    }
}
