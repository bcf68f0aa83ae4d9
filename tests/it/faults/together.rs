//! Broker and worker die at once, in the midst of large batches: nobody is left who knows what was under way.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::compare::compare;
use super::producer::Producer;
use super::site::{Site, patiently};
use super::worker::Start;
use super::{alone, number};

/// As long as a worker may live, milliseconds: batch follows batch meanwhile.
const LIFE_MS: std::ops::Range<u64> = 100..900;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_together_with_the_broker_leaves_nothing_by_half() {
    let _alone = alone().await;
    let (deaths, seed) = (number("DEATHS", 8), number("SEED", 1));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut site = Site::new().await;
    let producer = Producer::start(&site.bus, seed, 20_000).await;
    for _ in 0..deaths {
        // Enough that it is at work for as long as it lives.
        let ends = site.input_ends().await.iter().sum::<u64>();
        producer.set_rate(20_000);
        patiently("a backlog", async || (site.input_ends().await.iter().sum::<u64>() > ends + 5_000).then_some(()))
            .await;
        producer.set_rate(300);
        let worker = site.start(&Start::default());
        tokio::time::sleep(Duration::from_millis(random.random_range(LIFE_MS))).await;
        site.kill_broker();
        worker.kill().await;
        site.restart_broker().await;
    }
    let sent = producer.finish().await;
    let mut worker = site.start(&Start::default());
    site.caught_up(&mut worker).await;
    worker.stop().await;
    compare(&site, sent).await.must_be_clean();
    site.close().await;
}
