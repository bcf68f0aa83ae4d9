//! The task that looks every second, tells the log, and answers on `tidewheel.status.<pipeline>`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::alarms::Alarms;
use super::observer::{Observed, Observer};
use super::period::Talk;
use super::status::Status;
use crate::bus::{Bus, BusError, EndpointSpec, ServiceError, ServiceHandle, ServiceSpec};
use crate::clock;
use crate::engine::run::Run;
use crate::engine::train::Training;
use crate::pipeline::{Names, Pipeline};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);
/// How often the broker is asked about its streams, and the step's thread about its tables.
const ASK: Duration = Duration::from_secs(5);
/// Questions that wait for an answer.
const QUESTIONS: usize = 8;

/// Somebody who looks, until it is dropped.
pub struct StatusDoor(#[expect(dead_code, reason = "held: dropping it ends the task")] JoinSet<()>);

/// Watches a running pipeline: warns at once of what goes wrong with events, logs a line every `every` (none where that is
/// zero), and answers who asks on `tidewheel.status.<pipeline>` with a [`Status`] as JSON.
///
/// # Errors
/// When the service can't be registered.
pub async fn serve_status(
    bus: &Bus,
    pipeline: &Arc<Pipeline>,
    run: &Run,
    training: Option<&Training>,
    every: Duration,
) -> Result<StatusDoor, BusError> {
    let names = Names::of(&pipeline.name);
    let spec = ServiceSpec {
        name: names.status_service(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        description: format!("How the pipeline {} does", pipeline.name),
        endpoints: vec![EndpointSpec { name: "status".to_owned(), subject: names.status() }],
    };
    let service = bus.serve(spec, QUESTIONS).await?;
    let observer = Observer::new(Observed {
        bus,
        pipeline,
        stats: run.stats(),
        settled: run.settled(),
        inputs: run.views().0,
        training: training.map(Training::reports),
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(watch(Watch::new(observer, every), service));
    Ok(StatusDoor(tasks))
}

/// What is remembered between two looks.
struct Watch {
    observer: Observer,
    alarms: Alarms,
    talk: Talk,
    /// Zero for never.
    every: Duration,
    asked: Option<Instant>,
    /// The status at the last line.
    before: Status,
    told: Instant,
}

impl Watch {
    fn new(observer: Observer, every: Duration) -> Self {
        let before = observer.status();
        let alarms = Alarms::beginning_with(&before);
        Self { observer, alarms, talk: Talk::default(), every, asked: None, before, told: clock::now() }
    }

    async fn look(&mut self) {
        let now = clock::now();
        if self.asked.is_none_or(|asked| now.duration_since(asked) >= ASK) {
            self.asked = Some(now);
            self.observer.look_at_tables().await;
            self.observer.look_at_streams().await;
        }
        self.observer.note();
        let status = self.observer.status();
        for alarm in self.alarms.due(&status, now) {
            alarm.tell(&status.pipeline);
        }
        if !self.every.is_zero() && now.duration_since(self.told) >= self.every {
            self.talk.tell(&self.before, &status, now);
            (self.before, self.told) = (status, now);
        }
    }

    async fn answer(&mut self) -> Result<Bytes, ServiceError> {
        self.observer.look_at_tables().await;
        self.observer.look_at_streams().await;
        self.observer.note();
        match serde_json::to_vec(&self.observer.status()) {
            Ok(status) => Ok(status.into()),
            Err(error) => Err(ServiceError { code: 500, message: error.to_string() }),
        }
    }
}

async fn watch(mut watch: Watch, mut service: ServiceHandle) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            request = service.next() => {
                let Some(request) = request else { return };
                let answer = watch.answer().await;
                if let Err(error) = request.respond(answer).await {
                    tracing::debug!(%error, "whoever asked is not there any more");
                }
            }
            _ = looks.tick() => watch.look().await,
        }
    }
}
