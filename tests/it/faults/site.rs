//! Where a fault happens: a folder, a broker with its streams, the pipeline, and workers that come and go.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tidewheel::bus::{Bus, ConnectSettings, EmbeddedServer, ServerBinary};
use tidewheel::pipeline::{Pipeline, input_spec, output_spec};

use super::outputs::{Marker, ask_for_marker, newest_marker};
use super::pipeline::{self, Changes};
use super::worker::{Start, Worker};

/// How long anything may take before the test gives up.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// See the module. Its folder stays, and is named, when the test fails.
pub struct Site {
    folder: Option<tempfile::TempDir>,
    pub server: Option<EmbeddedServer>,
    pub bus: Bus,
    /// Where workers connect.
    pub url: String,
    pub pipeline: Arc<Pipeline>,
    pub pipeline_folder: PathBuf,
    started: AtomicUsize,
}

impl Site {
    /// A broker of its own with the input streams in it, and the pipeline as it is shipped.
    pub async fn new() -> Self {
        Self::with(&Changes::default()).await
    }

    /// A broker of its own with the input streams in it, and the pipeline with changes.
    pub async fn with(changes: &Changes) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server =
            EmbeddedServer::start(&ServerBinary::find().unwrap(), &folder.path().join("broker")).await.unwrap();
        let url = server.url();
        Self::at(folder, Some(server), url, changes).await
    }

    /// The same over a broker that somebody else runs.
    pub async fn at(folder: tempfile::TempDir, server: Option<EmbeddedServer>, url: String, changes: &Changes) -> Self {
        let bus = Bus::connect(&ConnectSettings::to_url(url.clone())).await.unwrap();
        let pipeline_folder = pipeline::prepare(folder.path(), changes);
        let pipeline = pipeline::read(&pipeline_folder);
        let site =
            Self { folder: Some(folder), server, bus, url, pipeline, pipeline_folder, started: AtomicUsize::new(0) };
        site.open_streams().await;
        site
    }

    /// Creates what is not there of the pipeline's streams, as a shop would before anybody reads them.
    pub async fn open_streams(&self) {
        for stream in &self.pipeline.streams {
            self.bus.ensure_stream(&input_spec(&self.pipeline, stream)).await.unwrap();
        }
        self.bus.ensure_stream(&output_spec(&self.pipeline)).await.unwrap();
    }

    /// The folder of everything.
    pub fn path(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// The folder of the broker.
    pub fn broker_folder(&self) -> PathBuf {
        self.path().join("broker")
    }

    /// Starts a worker.
    pub fn start(&self, start: &Start) -> Worker {
        let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        Worker::spawn(start, &self.pipeline_folder, &self.url, &self.path().join(format!("worker-{number:03}.log")))
    }

    /// What all workers have said.
    pub fn logs(&self) -> String {
        let count = self.started.load(Ordering::Relaxed);
        let log = |number| std::fs::read_to_string(self.path().join(format!("worker-{number:03}.log")));
        (1..=count).filter_map(|number| log(number).ok()).collect()
    }

    /// Sends a signal to the broker.
    pub fn signal_broker(&self, signal: Signal) {
        let id = self.server.as_ref().unwrap().process_id().unwrap();
        kill_process(Pid::from_raw(id as i32).unwrap(), signal).unwrap();
    }

    /// Ends the broker at once, without a word to anybody.
    pub fn kill_broker(&self) {
        self.signal_broker(Signal::KILL);
    }

    /// Starts the broker again, on the same port and folder.
    pub async fn restart_broker(&mut self) {
        self.server.as_mut().unwrap().restart().await.unwrap();
    }

    /// Where the input streams end.
    pub async fn input_ends(&self) -> Vec<u64> {
        let mut ends = Vec::new();
        for stream in &self.pipeline.streams {
            let name = input_spec(&self.pipeline, stream).name;
            ends.push(
                patiently("the state of a stream", async || self.bus.stream_state(&name).await.ok()).await.last.0,
            );
        }
        ends
    }

    /// Waits until this worker runs and a marker covers everything that is in the input streams now. Another one's marker may
    /// have done so before this one has even begun to listen to signals.
    pub async fn caught_up(&self, worker: &mut Worker) -> Marker {
        let ends = self.input_ends().await;
        patiently("the worker to catch up", async || {
            worker.must_run();
            let marker = newest_marker(&self.bus, &self.pipeline).await.filter(|_| worker.is_running())?;
            let has_reached = marker.inputs.iter().zip(&ends).all(|(input, end)| input.sequence >= *end);
            (marker.complete && has_reached).then_some(marker)
        })
        .await
    }

    /// Waits until this worker has committed a step. What another one had under way may be stored meanwhile, and a broker
    /// that does not answer yet may hold markers.
    pub async fn runs(&self, worker: &mut Worker) -> Marker {
        let ask = async || ask_for_marker(&self.bus, &self.pipeline).await.ok();
        let before = patiently("the newest marker", ask).await.map_or(0, |marker| marker.epoch);
        patiently("the worker to commit", async || {
            worker.must_run();
            let newest = newest_marker(&self.bus, &self.pipeline).await;
            newest.filter(|marker| marker.epoch > before && marker.is_step_of(worker.id()))
        })
        .await
    }

    /// Ends the broker in order.
    pub async fn close(mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await.unwrap();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("what happened is in {}", folder.keep().display());
        }
    }
}

/// Waits for a condition.
pub async fn patiently<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
