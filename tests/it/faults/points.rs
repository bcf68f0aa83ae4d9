//! The worker ends itself at every named place of its commit, its snapshots and its recovery.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::compare::compare;
use super::outputs::read;
use super::producer::Producer;
use super::site::{Site, patiently};
use super::worker::{Start, restored};
use super::{alone, number};

/// Each with the last passage that a worker may live to see; they come by at very different rates.
const PLACES: [(&str, u64); 10] = [
    ("claim:sent", 1),
    ("commit:filled", 12),
    ("commit:sent", 12),
    ("commit:answered", 12),
    ("snapshot:saved", 3),
    ("snapshot:written", 3),
    ("snapshot:published", 3),
    ("snapshot:pruned", 3),
    ("recover:restored", 1),
    ("recover:replayed", 1),
];
const RATE: u64 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_a_worker_ends_the_next_one_goes_on_as_if_nothing_had_happened() {
    let _alone = alone().await;
    let seed = number("SEED", 1);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let site = Site::new().await;
    let producer = Producer::start(&site.bus, seed, RATE).await;
    for round in 0..2 {
        for (place, most) in PLACES {
            // The first passage finds whatever the start does differently, a later one the steady state.
            let passage = if round == 0 { 1 } else { random.random_range(1..=most) };
            site.start(&Start::crashing(place, passage)).crashed().await;
        }
    }
    let sent = producer.finish().await;
    let mut worker = site.start(&Start::default());
    site.caught_up(&mut worker).await;
    worker.stop().await;
    compare(&site, sent).await.must_be_clean();
    assert!(restored(&site.logs()) >= PLACES.len(), "{}", site.logs());
    site.close().await;
}

/// Steps of thousands of events, and batches of hundreds of outputs: the places between the batches of one step.
const WITHIN_A_STEP: [(&str, u64); 9] = [
    ("commit:sent", 2),
    ("commit:filled", 3),
    ("commit:answered", 2),
    ("commit:sent", 1),
    ("recover:replayed", 1),
    ("commit:sent", 3),
    ("commit:answered", 1),
    ("claim:sent", 1),
    ("commit:filled", 2),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_many_batches_is_gone_on_with_where_it_was_broken_off() {
    let _alone = alone().await;
    let site = Site::new().await;
    // All that is there before anybody reads comes in steps as large as there are.
    let producer = Producer::start(&site.bus, 8, 20_000).await;
    patiently("a backlog", async || (site.input_ends().await.iter().sum::<u64>() > 12_000).then_some(())).await;
    let sent = producer.finish().await;
    for (place, passage) in WITHIN_A_STEP {
        site.start(&Start::crashing(place, passage)).crashed().await;
    }
    let outputs = read(&site).await;
    assert!(outputs.markers.iter().any(|(_, marker)| !marker.complete), "no step had more than a batch holds");
    let mut worker = site.start(&Start::default());
    site.caught_up(&mut worker).await;
    worker.stop().await;
    compare(&site, sent).await.must_be_clean();
    site.close().await;
}
