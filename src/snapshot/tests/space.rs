//! The place does not grow without bound, whatever changes.

use std::sync::Arc;

use object_store::memory::InMemory;
use rand::{RngExt as _, SeedableRng as _};

use crate::snapshot::SnapshotStore;
use crate::snapshot::testing::{Parts, listing, noise, parts, read, save, sound};

/// The most bytes and packs there were, of a state that is changed and saved again and again.
async fn most(rounds: u64, mut state: Parts, mut change: impl FnMut(u64, &mut Parts)) -> (u64, usize) {
    let objects = Arc::new(InMemory::new());
    let store = SnapshotStore::open_on(objects.clone(), "").await.unwrap();
    let (mut most_bytes, mut most_packs) = (0, 0);
    for round in 0..rounds {
        save(&store, &state).await;
        store.prune().await.unwrap();
        let packs = listing(&*objects, "packs").await;
        most_bytes = most_bytes.max(packs.iter().map(|(_, bytes)| bytes).sum());
        most_packs = most_packs.max(packs.len());
        if round + 1 < rounds {
            change(round, &mut state);
        }
    }
    assert!(read(&sound(&store).await[0]).await.unwrap() == state);
    (most_bytes, most_packs)
}

const STATE: usize = 24_000_000;

#[tokio::test]
async fn scattered_changes_keep_within_the_bound() {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let (bytes, _) = most(30, parts([("a", noise(1, STATE))]), |round, state| {
        let bytes = state.get_mut("a").unwrap();
        for edit in 0..8 {
            let at = random.random_range(0..STATE - 300_000);
            bytes[at..at + 300_000].copy_from_slice(&noise(100 * round + edit, 300_000));
        }
    })
    .await;
    eprintln!("10 % scattered changes: {:.2} times the state", bytes as f64 / STATE as f64);
    assert!(bytes <= 3 * STATE as u64, "{bytes}");
}

#[tokio::test]
async fn a_moving_window_keeps_within_the_bound() {
    let (bytes, _) = most(40, parts([("a", noise(1, STATE))]), |round, state| {
        let bytes = state.get_mut("a").unwrap();
        bytes.drain(..1_000_000);
        bytes.extend(noise(1_000 + round, 1_000_000));
    })
    .await;
    eprintln!("a moving window: {:.2} times the state", bytes as f64 / STATE as f64);
    assert!(bytes <= 3 * STATE as u64, "{bytes}");
}

#[tokio::test]
async fn all_new_each_time_costs_two_generations() {
    let (bytes, _) = most(4, parts([("a", noise(1, STATE))]), |round, state| {
        *state.get_mut("a").unwrap() = noise(50 + round, STATE);
    })
    .await;
    assert_eq!(bytes, 2 * STATE as u64);
}

#[tokio::test]
async fn small_changes_do_not_leave_ever_more_packs() {
    let (bytes, packs) = most(80, parts([("a", noise(1, 2_000_000))]), |round, state| {
        state.get_mut("a").unwrap()[(round as usize * 70_001) % 2_000_000] ^= 1;
    })
    .await;
    assert!(packs <= 2 * 17, "{packs} packs");
    assert!(bytes <= 8_000_000, "{bytes}");
}
