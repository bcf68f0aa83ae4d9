//! Whether somebody else does the same work already: a question over the bus.
//!
//! Asking is the polite half, with an answer that names the other; it can't be relied on, since whoever is there may be
//! asleep. What decides is elsewhere: the fence of the output stream, and compare-and-set in the registry.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::bus::{Bus, BusError, EndpointSpec, ServiceSpec, Subject};
use crate::commit::CommitError;
use crate::pipeline::Names;

/// How long somebody who is there may take to say so.
const ANSWER: Duration = Duration::from_secs(1);
/// The code of a service that has no time for a question.
const BUSY: u16 = 503;
/// How often it is then asked again, because it may be ending, and after which pause each.
const AGAIN: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);
/// Questions that wait for an answer.
const QUESTIONS: usize = 16;

/// What somebody says of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Of this start, and of no other.
    pub(super) worker: String,
    /// Machine and process, for people.
    pub(super) host: String,
}

/// A piece of work that one process at a time does.
#[derive(Clone)]
pub(crate) struct Presence {
    bus: Bus,
    /// [`WORKER`](crate::pipeline::WORKER) or [`TRAINER`](crate::pipeline::TRAINER).
    role: &'static str,
    pipeline: String,
    pub(super) identity: Identity,
}

impl Presence {
    pub(crate) fn new(bus: &Bus, role: &'static str, pipeline: &str) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let identity = Identity {
            worker: format!("{:016x}", rand::rng().random::<u64>()),
            host: format!("{host}, process {}", std::process::id()),
        };
        Self { bus: bus.clone(), role, pipeline: pipeline.to_owned(), identity }
    }

    fn subject(&self) -> Subject {
        Names::of(&self.pipeline).presence(self.role)
    }

    /// Fails when somebody answers.
    pub(crate) async fn ask_others(&self) -> Result<(), CommitError> {
        for _ in 0..AGAIN {
            match self.bus.request(&self.subject(), Bytes::new(), ANSWER).await {
                Err(BusError::Refused { code: BUSY, .. }) => tokio::time::sleep(PAUSE).await,
                answer => return self.judge(answer),
            }
        }
        self.judge(self.bus.request(&self.subject(), Bytes::new(), ANSWER).await)
    }

    fn judge(&self, answer: Result<Bytes, BusError>) -> Result<(), CommitError> {
        match answer {
            Ok(answer) => match serde_json::from_slice::<Identity>(&answer) {
                Ok(other) => Err(CommitError::AlreadyRunning {
                    role: self.role,
                    pipeline: self.pipeline.clone(),
                    host: other.host,
                }),
                // A stream that takes every subject acknowledges the question.
                Err(_) => Ok(()),
            },
            Err(BusError::TimedOut { .. } | BusError::Refused { code: BUSY, .. }) => {
                tracing::warn!(role = self.role, "another one is connected and does not answer: taking over from it");
                Ok(())
            }
            Err(BusError::NoResponders { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Answers others that ask, until told to stop.
    pub(crate) async fn answer_others(
        &self,
        stop: CancellationToken,
    ) -> Result<impl Future<Output = Result<(), CommitError>> + use<>, CommitError> {
        let spec = ServiceSpec {
            name: Names::of(&self.pipeline).presence_service(self.role),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: format!("The {} of the pipeline {}", self.role, self.pipeline),
            endpoints: vec![EndpointSpec { name: self.role.to_owned(), subject: self.subject() }],
        };
        let mut service = self.bus.serve(spec, QUESTIONS).await?;
        let answer =
            serde_json::to_vec(&self.identity).map_err(|source| CommitError::Marker { sequence: 0, source })?;
        let answer = Bytes::from(answer);
        Ok(async move {
            loop {
                let question = tokio::select! {
                    () = stop.cancelled() => break,
                    question = service.next() => question,
                };
                let Some(question) = question else { break };
                if let Err(error) = question.respond(Ok(answer.clone())).await {
                    tracing::debug!(%error, "whoever asked is not there any more");
                }
            }
            service.stop().await;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::testing;
    use crate::pipeline::{TRAINER, WORKER};

    #[tokio::test]
    async fn a_second_one_is_told_who_the_first_is_until_that_one_stops() {
        let (server, bus) = testing::server().await;
        let first = Presence::new(&bus, WORKER, "shop");
        first.ask_others().await.unwrap();
        let stop = CancellationToken::new();
        let answering = tokio::spawn(first.answer_others(stop.clone()).await.unwrap());
        let second = Presence::new(&bus, WORKER, "shop");
        let error = second.ask_others().await.unwrap_err().to_string();
        assert!(
            error.starts_with("the worker of pipeline shop is ") && error.contains(&first.identity.host),
            "{error}"
        );
        Presence::new(&bus, TRAINER, "shop").ask_others().await.unwrap();
        stop.cancel();
        answering.await.unwrap().unwrap();
        second.ask_others().await.unwrap();
        server.stop().await.unwrap();
    }

    /// The next one's start failed with "busy".
    #[tokio::test]
    async fn one_that_is_ending_is_waited_for() {
        let (server, bus) = testing::server().await;
        let ending = Presence::new(&bus, WORKER, "shop");
        let endpoint = EndpointSpec { name: WORKER.to_owned(), subject: ending.subject() };
        let spec = ServiceSpec {
            name: "ending".to_owned(),
            version: "0.1.0".to_owned(),
            description: "takes no question any more".to_owned(),
            endpoints: vec![endpoint],
        };
        let mut service = bus.serve(spec, 1).await.unwrap();
        let (other, subject) = (bus.clone(), ending.subject());
        let unanswered = tokio::spawn(async move { other.request(&subject, Bytes::new(), ANSWER).await });
        // From the moment on at which one waits, others are refused.
        while !matches!(bus.request(&ending.subject(), Bytes::new(), PAUSE).await, Err(BusError::Refused { .. })) {}
        let next = Presence::new(&bus, WORKER, "shop");
        let (asked, ()) = tokio::join!(next.ask_others(), async {
            tokio::time::sleep(PAUSE).await;
            service.stop().await;
        });
        asked.unwrap();
        unanswered.await.unwrap().unwrap_err();
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_stream_that_takes_the_question_is_nobody() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("ALL", "tidewheel.>")).await.unwrap();
        Presence::new(&bus, WORKER, "shop").ask_others().await.unwrap();
        server.stop().await.unwrap();
    }
}
