//! Starting a pipeline, in five acts.
//!
//! ```text
//!   claim ─▶ restore ───────────────▶ spawn ──────────▶ feed ─────────────────▶ serve
//!   marker   tables, labels, models   threads, tasks    what was read before,   once that is read
//!                                                       then what is new
//! ```
//!
//! An act that fails ends the start, and what the acts before it have spawned ends with it. A start that only got no answer
//! from the broker is tried again from its beginning, for a minute.

mod claim;
mod columns;
mod feed;
mod restore;
mod serve;
mod spawn;
mod startup;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use self::spawn::Ends;
use self::startup::{QUEUED_STEPS, Startup};
use super::EngineError;
use super::patience::Patience;
use super::run::{Run, RunSettings};
use super::telemetry::begin as begin_metrics;
use crate::bus::Bus;
use crate::commit::Seen;
use crate::pipeline::Pipeline;

impl Run {
    /// Claims the pipeline, brings its state to where it was committed, and starts to serve: a pipeline that answers requests
    /// is ready for them when this returns.
    pub async fn start(pipeline: Arc<Pipeline>, bus: &Bus, settings: &RunSettings) -> Result<Self, EngineError> {
        let startup = Startup { pipeline, bus, settings, seen: Seen::default() };
        // What is at hand between two waits is large.
        Patience::to_start().insist("start", || Box::pin(startup.begin())).await
    }
}

impl Startup<'_> {
    async fn begin(&self) -> Result<Run, EngineError> {
        self.check_history().await?;
        let mut claim = self.claim().await?;
        let (inputs, taken) = mpsc::channel(QUEUED_STEPS);
        let (settles, settled) = watch::channel(claim.marker.progress.position());
        let mut run = Run::new(inputs, settled, claim.store.clone());
        begin_metrics(&self.pipeline);
        // These two hold much between two waits, too.
        let restored = Box::pin(self.restore(&mut run, &mut claim)).await?;
        let ends = Ends { inputs: taken, settled: settles };
        let spawned = Box::pin(self.spawn(&mut run, claim, restored, ends)).await?;
        self.feed(&mut run, spawned.reading);
        self.serve(&mut run, spawned.rebuilt).await?;
        Ok(run)
    }
}
