//! The producer: publishes events at a rate, each message exactly once, through whatever happens to the broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidewheel::bus::{Bus, Outgoing, Publisher, Subject};
use tokio::task::JoinHandle;

use super::events::Generator;
use super::site::PATIENCE;

/// Messages without an acknowledgement: what is sent again comes behind at most so many others, which is less event time
/// than the streams' disorder allows for.
const OUTSTANDING: usize = 50;
const TICK: Duration = Duration::from_millis(10);
/// Event time begins so long before now: it passes faster than time does.
const HEAD_START: Duration = Duration::from_secs(12 * 3_600);

/// Publishes until it is told to stop.
pub struct Producer {
    task: JoinHandle<(Generator, Publisher, u64)>,
    stop: Arc<AtomicBool>,
    /// Messages a second.
    rate: Arc<AtomicU64>,
    seed: u64,
}

impl Producer {
    /// Publishes so many messages a second.
    pub async fn start(bus: &Bus, seed: u64, rate: u64) -> Self {
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().checked_sub(HEAD_START).unwrap();
        let generator = Generator::new(seed, start.as_millis() as u64);
        let publisher = bus.publisher(OUTSTANDING).await.unwrap();
        let publisher = publisher.ack_wait(Duration::from_millis(500)).tries(10_000);
        let (stop, rate) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(rate)));
        let task = tokio::spawn(produce(generator, publisher, seed, Arc::clone(&stop), Arc::clone(&rate)));
        Self { task, stop, rate, seed }
    }

    /// From now on so many messages a second.
    pub fn set_rate(&self, rate: u64) {
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// Stops, closes all windows, and tells how many messages are in the input streams because of it.
    pub async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let stored =
            tokio::time::timeout(PATIENCE, self.task).await.expect("the broker takes what is still to be published");
        let (mut generator, mut publisher, mut count) = stored.unwrap();
        // Everything is stored before event time leaps: nothing that is sent again comes after that.
        publisher.settle().await.unwrap();
        for sent in generator.closing() {
            count += 1;
            publish(&mut publisher, self.seed, count, sent.kind.subject(), sent.payload).await;
            publisher.settle().await.unwrap();
        }
        count
    }
}

async fn produce(
    mut generator: Generator,
    mut publisher: Publisher,
    seed: u64,
    stop: Arc<AtomicBool>,
    rate: Arc<AtomicU64>,
) -> (Generator, Publisher, u64) {
    let (mut count, mut due) = (0_u64, 0.0);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        due += rate.load(Ordering::Relaxed) as f64 * TICK.as_secs_f64();
        while due >= 1.0 && !stop.load(Ordering::Relaxed) {
            due -= 1.0;
            count += 1;
            let sent = generator.next();
            publish(&mut publisher, seed, count, sent.kind.subject(), sent.payload).await;
        }
    }
    (generator, publisher, count)
}

async fn publish(publisher: &mut Publisher, seed: u64, count: u64, subject: &str, payload: Vec<u8>) {
    let message = Outgoing::new(Subject::new(subject).unwrap(), payload.into());
    publisher.publish(message.message_id(format!("{seed}-{count}"))).await.unwrap();
}
