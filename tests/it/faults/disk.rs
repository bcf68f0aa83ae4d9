//! Disks that are full, and snapshots that are no longer what was written.
//!
//! Small disks are file systems in memory, which only root may mount: without the right to, those tests say that they were
//! left out.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::alone;
use super::cluster::{Server, free_ports};
use super::compare::compare;
use super::pipeline::Changes;
use super::producer::Producer;
use super::site::{Site, patiently};
use super::worker::{Start, Worker, restored};

/// Messages a second.
const RATE: u64 = 400;

/// A small disk of its own. Dropping it takes it away.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// So many MiB; nothing where mounting is not permitted.
    fn mount(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]).arg(folder.path());
        if !command.status().is_ok_and(|status| status.success()) {
            eprintln!("LEFT OUT: a small disk can't be mounted here, so nothing is known about full disks");
            return None;
        }
        Some(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes all the space that is left.
    fn fill(&self) {
        let mut filler = File::options().append(true).create(true).open(self.filler()).unwrap();
        let block = vec![0; 64 << 10];
        while filler.write(&block).is_ok_and(|written| written > 0) {}
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // At once for whoever looks, even while something is open in it.
        Command::new("umount").arg("-l").arg(self.path()).status().ok();
    }
}

/// The names in the folder of manifests or packs, oldest first.
fn names(state: &Path, folder: &str) -> Vec<PathBuf> {
    let folder = state.join("snapshots").join(folder);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    names.retain(|name| name.extension().is_none());
    names.sort_unstable();
    names
}

/// Waits for a snapshot that is not there yet.
async fn saved(state: &Path, worker: &mut Worker) {
    let known = names(state, "manifests").pop();
    patiently("another snapshot", async || {
        worker.must_run();
        (names(state, "manifests").pop() > known).then_some(())
    })
    .await;
}

/// Waits until a worker says that it could not save.
async fn unsaved(worker: &mut Worker) {
    patiently("a snapshot to fail", async || {
        worker.must_run();
        worker.log().contains("no snapshot: a restart has more to replay").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_snapshots_and_nothing_else_and_they_go_on_when_there_is_room() {
    let _alone = alone().await;
    let Some(disk) = Disk::mount(4) else { return };
    let state = disk.path().join("state");
    let site = Site::with(&Changes { state: Some(state.clone()), ..Changes::default() }).await;
    let producer = Producer::start(&site.bus, 3, RATE).await;
    let mut worker = site.start(&Start::default());
    saved(&state, &mut worker).await;

    disk.fill();
    let full = names(&state, "manifests").pop();
    unsaved(&mut worker).await;
    site.runs(&mut worker).await;
    // A worker that starts now has what was saved before, and nothing to write to.
    disk.fill();
    worker.kill().await;
    let mut worker = site.start(&Start::default());
    site.runs(&mut worker).await;
    unsaved(&mut worker).await;
    site.runs(&mut worker).await;
    assert_eq!(names(&state, "manifests").pop(), full, "it was full");

    disk.free();
    saved(&state, &mut worker).await;
    worker.kill().await;
    let mut worker = site.start(&Start::default());
    let sent = producer.finish().await;
    site.caught_up(&mut worker).await;
    worker.stop().await;
    assert_eq!(restored(&site.logs()), 2, "{}", site.logs());
    compare(&site, sent).await.must_be_clean();
    site.close().await;
}

/// What may happen to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// Only this share of it is left, in hundredths.
    Truncated(usize),
    /// One bit is another one, at this share of it.
    Flipped(usize),
    /// Nothing but zeros, as after a power cut.
    Zeroed,
    Gone,
}

impl Damage {
    fn inflict(self, file: &Path) {
        let mut bytes = fs::read(file).unwrap();
        let at = |share: usize| (bytes.len() * share / 100).min(bytes.len().saturating_sub(1));
        match self {
            Self::Truncated(share) => bytes.truncate(at(share)),
            Self::Flipped(share) => {
                let place = at(share);
                bytes[place] ^= 0x10;
            }
            Self::Zeroed => bytes.fill(0),
            Self::Gone => return fs::remove_file(file).unwrap(),
        }
        fs::write(file, bytes).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_snapshots_are_found_out_and_an_older_one_or_the_streams_stand_in() {
    let _alone = alone().await;
    let site = Site::new().await;
    let state = site.path().join("state");
    let mut random = ChaCha8Rng::seed_from_u64(super::number("SEED", 1));
    let producer = Producer::start(&site.bus, 4, RATE).await;
    let kinds = [
        Damage::Flipped(0),
        Damage::Flipped(35),
        Damage::Flipped(70),
        Damage::Flipped(100),
        Damage::Truncated(0),
        Damage::Truncated(60),
        Damage::Truncated(99),
        Damage::Zeroed,
        Damage::Gone,
    ];
    let mut rounds = 0;
    for folder in ["manifests", "packs"] {
        for damage in kinds {
            let mut worker = site.start(&Start::default());
            site.runs(&mut worker).await;
            saved(&state, &mut worker).await;
            saved(&state, &mut worker).await;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
            worker.kill().await;
            let mut files = names(&state, folder);
            // The newest one, or now and then all.
            if random.random_bool(0.6) {
                files = files.split_off(files.len() - 1);
            }
            files.iter().for_each(|file| damage.inflict(file));
            let mut worker = site.start(&Start::default());
            site.runs(&mut worker).await;
            rounds += 1;
            worker.kill().await;
        }
    }
    let mut worker = site.start(&Start::default());
    let sent = producer.finish().await;
    site.caught_up(&mut worker).await;
    worker.stop().await;
    let report = compare(&site, sent).await;
    let logs = site.logs();
    let said = |what: &str| {
        logs.lines().filter(|line| line.contains("looking for an older one") && line.contains(what)).count()
    };
    let (manifests, packs) = (said("error=manifests/"), said(" of the state: "));
    println!(
        "{rounds} damages: {manifests} manifests and {packs} parts refused, {} restored; {report:?}",
        restored(&logs)
    );
    report.must_be_clean();
    // A pack may hold nothing that a snapshot is made of: the worker was killed before it said so.
    assert!(manifests >= kinds.len() && packs > 0, "{manifests} manifests, {packs} parts");
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_disk_is_full_loses_nothing_that_it_has_acknowledged() {
    let _alone = alone().await;
    let Some(disk) = Disk::mount(48) else { return };
    let folder = tempfile::tempdir().unwrap();
    let [port] = free_ports();
    let mut server = Server::start("small", port, &folder.path().join("server"), &disk.path().join("store"), "");
    let url = server.url();
    patiently("the server to listen", async || async_nats::connect(&url).await.ok()).await;
    let site = Site::at(folder, None, url, &Changes::default()).await;
    let producer = Producer::start(&site.bus, 5, RATE).await;
    let mut worker = site.start(&Start::default());
    site.runs(&mut worker).await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    disk.fill();
    tokio::time::sleep(Duration::from_secs(4)).await;
    worker.must_run();
    disk.free();
    // It may not find back by itself; what it said to have stored must be there however it ends.
    server.kill();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.restart();
    site.runs(&mut worker).await;
    let sent = producer.finish().await;
    site.caught_up(&mut worker).await;
    worker.stop().await;
    let report = compare(&site, sent).await;
    println!("{report:?}");
    report.must_be_clean();
    site.close().await;
    drop(server);
}
