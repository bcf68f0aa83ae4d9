//! The first act: whoever writes the next marker has the pipeline.

use std::sync::Arc;

use super::startup::Startup;
use crate::bus::{AtomicPublisher, StreamRole, StreamSequence};
use crate::commit::{Claimed, Input, Marker, Stored, Usable, Worker, claim, read_heads};
use crate::engine::EngineError;
use crate::pipeline::{output_spec, reserved};
use crate::snapshot::SnapshotStore;

/// A claimed pipeline.
pub(super) struct Claim {
    pub(super) worker: Worker,
    pub(super) store: Option<Arc<SnapshotStore>>,
    /// Snapshots that may be what to go on from, the newest first.
    pub(super) usable: Vec<Usable>,
    pub(super) publisher: AtomicPublisher,
    /// This worker's own marker.
    pub(super) marker: Marker,
    /// Where it is in the output stream.
    pub(super) last: StreamSequence,
    pub(super) streams: Vec<Input>,
    /// Outputs of an unfinished step.
    pub(super) stored: Stored,
}

impl Startup<'_> {
    /// Claims the pipeline.
    ///
    /// # Errors
    /// When another worker is there, or what was committed is not there any more.
    pub(super) async fn claim(&self) -> Result<Claim, EngineError> {
        let (pipeline, settings) = (&self.pipeline, self.settings);
        let worker = Worker::new(pipeline, self.bus);
        worker.presence.ask_others().await?;
        let store = match &settings.snapshots {
            Some(location) => Some(Arc::new(SnapshotStore::open(location).await?)),
            None => None,
        };
        let usable = match &store {
            Some(store) => read_heads(store).await?,
            None => Vec::new(),
        };
        let heads: Vec<_> = usable.iter().map(|usable| usable.head.clone()).collect();
        let claimed = claim(pipeline, self.bus, &worker, &heads, settings.on_loss, settings.from_scratch).await?;
        let Claimed { publisher, marker, last, inputs: streams, stored } = claimed;
        tracing::info!(epoch = marker.epoch, position = %marker.progress.position(), "claimed the pipeline");
        self.tell_reserved();
        self.warn_of_durability().await?;
        Ok(Claim { worker, store, usable, publisher, marker, last, streams, stored })
    }

    /// Says how much room the broker sets aside.
    fn tell_reserved(&self) {
        let reserved = reserved(&self.pipeline);
        let streams: Vec<String> =
            reserved.iter().map(|(stream, bytes)| format!("{stream} {}", gibibytes(*bytes))).collect();
        let all = gibibytes(reserved.iter().map(|(_, bytes)| bytes).sum());
        tracing::info!(
            streams = streams.join(", "),
            "the broker sets {all} of its disk aside for this pipeline, used or not: `max_bytes` in [streams.NAME], [output] and \
             [labels] says how much"
        );
    }

    /// Says in what ways the broker keeps the pipeline's streams less safely than they need.
    async fn warn_of_durability(&self) -> Result<(), EngineError> {
        let inputs = self.pipeline.streams.iter().map(|stream| {
            let role = if stream.source.is_some() { StreamRole::Source } else { StreamRole::Input };
            (stream.bus(self.bus), stream.held_in.clone(), role)
        });
        let output = (self.bus.clone(), output_spec(&self.pipeline).name, StreamRole::Output);
        for (bus, stream, role) in inputs.chain([output]) {
            for warning in bus.durability(&stream, role).await? {
                tracing::warn!(fix = warning.fix, "{}", warning.finding);
            }
        }
        Ok(())
    }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)
}
