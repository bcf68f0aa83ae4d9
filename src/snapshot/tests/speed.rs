//! What snapshots of 100 MB cost. Run with `cargo test --release --lib snapshot::tests::speed -- --ignored --nocapture`.

use std::io::{Read as _, Write as _};
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::snapshot::testing::{noise, sound};
use crate::snapshot::{Figures, Location, SnapshotStore};

const BYTES: usize = 100_000_000;

/// The processor time of this process, all threads, milliseconds.
fn cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

async fn measured(name: &str, store: &SnapshotStore, bytes: Vec<u8>) -> (Vec<u8>, Figures) {
    let (cpu, start) = (cpu_ms(), Instant::now());
    let mut draft = store.begin().unwrap();
    let filled = tokio::task::spawn_blocking(move || {
        let mut writer = draft.part("state").unwrap();
        bytes.chunks(64 * 1_024).for_each(|piece| writer.write_all(piece).unwrap());
        writer.finish().unwrap();
        (draft, bytes)
    });
    let (draft, bytes) = filled.await.unwrap();
    let cut = start.elapsed();
    let written = draft.write("").await.unwrap();
    let durable = start.elapsed();
    store.publish(&written).await.unwrap();
    let published = start.elapsed();
    let figures = written.figures();
    drop(written);
    store.prune().await.unwrap();
    let pruned = start.elapsed();
    let cpu = cpu_ms() - cpu;
    eprintln!(
        "{name}: {:.1} MB written; parts {cut:?}, durable {durable:?}, published {published:?}, pruned {pruned:?}; {:.0} ms of processor time, {:.0} MB/s to publication",
        figures.written_bytes as f64 / 1e6,
        cpu,
        BYTES as f64 / 1e6 / published.as_secs_f64(),
    );
    (bytes, figures)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn a_hundred_megabytes() {
    let place = tempfile::tempdir().unwrap();
    let location = Location::folder(place.path());
    let store = SnapshotStore::open(&location).await.unwrap();
    let mut bytes = noise(1, BYTES);
    for _ in 0..3 {
        (bytes, _) = measured("new", &store, bytes).await;
        (bytes, _) = measured("unchanged", &store, bytes).await;
        (bytes, _) = measured("unchanged", &store, bytes).await;
        bytes[40_000_000..45_000_000].copy_from_slice(&noise(2, 5_000_000));
        (bytes, _) = measured("5 % in one place", &store, bytes).await;
        for edit in 0..100 {
            let at = edit * 1_000_000;
            bytes[at..at + 50_000].copy_from_slice(&noise(3 + edit as u64, 50_000));
        }
        (bytes, _) = measured("5 % in 100 places", &store, bytes).await;
        for _ in 0..3 {
            let store = SnapshotStore::open(&location).await.unwrap();
            let (cpu, start) = (cpu_ms(), Instant::now());
            let generation = sound(&store).await.remove(0);
            let mut back = Vec::with_capacity(BYTES);
            let read = tokio::task::spawn_blocking(move || {
                generation.part("state").unwrap().read_to_end(&mut back).unwrap();
                back
            });
            let back = read.await.unwrap();
            let (elapsed, cpu) = (start.elapsed(), cpu_ms() - cpu);
            assert!(back == bytes);
            eprintln!("read: {elapsed:?}, {cpu:.0} ms of processor time");
        }
        bytes = noise(bytes.iter().map(|byte| u64::from(*byte)).sum(), BYTES);
    }
}
