//! The marker that ends every batch of the output stream: how far the inputs are committed, and by whom.
//!
//! Outputs and marker are stored together or not at all, so the newest marker is the truth after any crash. One step may
//! give more outputs than a batch holds; then the earlier batches end with markers that say which step is under way, and
//! from where in the output stream its outputs can be read back.

use serde::{Deserialize, Serialize};

use super::presence::Identity;
use super::progress::{Progress, Run};
use crate::bus::{Outgoing, StoredMessage, Subject};
use crate::commit::CommitError;
use crate::pipeline::{StreamIndex, StreamPlan};
use crate::step::Tick;

/// Changes when the meaning of a field does.
const FORMAT: u32 = 1;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    pub(super) format: u32,
    /// Which history of outputs it belongs to: a new one begins when a pipeline starts from scratch.
    pub(crate) lineage: String,
    /// How often losses were accepted in it: from then on, numbers of messages may mean others than before.
    #[serde(default)]
    pub(super) losses: u32,
    /// Counts markers of the lineage from 1.
    pub(crate) epoch: u64,
    /// The worker that wrote it.
    pub(super) writer: String,
    /// The machine and process of that worker, for people.
    pub(super) host: String,
    /// Whether every output of every step so far is in the stream.
    pub(super) complete: bool,
    /// How far the outputs are complete.
    #[serde(flatten)]
    pub(crate) progress: Progress,
    /// The steps of this epoch in their order, where the pipeline has several streams: how they interleaved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) steps: Vec<Run>,
    /// Rankings that a model failed to make, in the steps up to this marker and since the one before, where feedback is joined
    /// with what events were scored: done again, such an event was not shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unscored: Vec<String>,
    /// The step whose outputs are being written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unfinished: Option<Unfinished>,
    /// The model that made the newest rankings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    /// The newest message of the output stream whose marker has ticks, this one included; 0 where none has.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) ticked: u64,
    /// The ticks whose examples are in this epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ticks: Option<Ticks>,
}

/// Ticks of an epoch, and where older ones are: few markers have any, and so they are found without reading all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ticks {
    /// The message of the output stream whose marker has those before; 0 where there are none.
    pub(super) before: u64,
    /// In their order.
    pub(super) ticks: Vec<Tick>,
}

/// A step some of whose outputs are in the output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unfinished {
    /// Outputs of the step come after this message of the output stream.
    pub(super) since: u64,
    /// The step.
    pub(crate) step: Run,
}

impl Marker {
    /// The first one of a lineage, before anything was read.
    pub(super) fn first(lineage: String, progress: Progress) -> Self {
        Self {
            format: FORMAT,
            lineage,
            losses: 0,
            epoch: 0,
            writer: String::new(),
            host: String::new(),
            complete: true,
            progress,
            steps: Vec::new(),
            unscored: Vec::new(),
            unfinished: None,
            model: None,
            ticked: 0,
            ticks: None,
        }
    }

    /// The marker that a worker puts on top of this one.
    pub(super) fn claimed_by(&self, identity: &Identity) -> Self {
        Self {
            epoch: self.epoch + 1,
            writer: identity.worker.clone(),
            host: identity.host.clone(),
            steps: Vec::new(),
            unscored: Vec::new(),
            ticks: None,
            ..self.clone()
        }
    }

    /// Under which name rows go to Delta tables: numbers of messages are comparable under one name.
    pub(crate) fn history_writer(&self, pipeline: &str) -> String {
        format!("{pipeline}-{}-{}", self.lineage, self.losses)
    }

    /// As a message.
    pub(super) fn message(&self, subject: Subject) -> Result<Outgoing, CommitError> {
        let payload = serde_json::to_vec(self).map_err(|source| CommitError::Marker { sequence: 0, source })?;
        Ok(Outgoing::new(subject, payload.into()))
    }

    /// Reads a marker back.
    ///
    /// # Errors
    /// When it is no marker, or one of another version.
    pub(super) fn read(payload: &[u8], sequence: u64) -> Result<Self, CommitError> {
        let marker: Self =
            serde_json::from_slice(payload).map_err(|source| CommitError::Marker { sequence, source })?;
        if marker.format != FORMAT {
            return Err(CommitError::MarkerFormat { sequence, found: marker.format, expected: FORMAT });
        }
        Ok(marker)
    }

    /// With the steps' streams counted as a pipeline counts them now; steps of streams that it no longer reads are left out.
    pub(super) fn in_terms_of(mut self, streams: &[StreamPlan]) -> Self {
        let names: Vec<String> = self.progress.inputs.iter().map(|input| input.stream.clone()).collect();
        let now = |run: Run| {
            let name = names.get(run.stream.0)?;
            let stream = streams.iter().position(|plan| plan.name == *name).map(StreamIndex)?;
            Some(Run { stream, ..run })
        };
        self.steps = self.steps.into_iter().filter_map(now).collect();
        self.unfinished =
            self.unfinished.and_then(|unfinished| Some(Unfinished { step: now(unfinished.step)?, ..unfinished }));
        self
    }

    /// Reads a stored marker back.
    pub(super) fn of(message: &StoredMessage) -> Result<Self, CommitError> {
        Self::read(&message.payload, message.sequence.0)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(sequence: &u64) -> bool {
    *sequence == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::progress::InputMark;
    use crate::pipeline::Names;
    use crate::step::{Counts, Shown};

    #[test]
    fn a_marker_is_one_json_object_and_comes_back() {
        let progress = Progress {
            inputs: vec![InputMark { sequence: 9, digest: u64::MAX, ..InputMark::start("clicks", 7) }],
            counts: Counts { counted: 8, late: 1, ..Counts::default() },
        };
        let marker = Marker {
            epoch: 3,
            writer: "w".to_owned(),
            complete: false,
            steps: vec![Run { stream: StreamIndex(0), until: 9, is_present: true }],
            unfinished: Some(Unfinished {
                since: 4,
                step: Run { stream: StreamIndex(0), until: 12, is_present: false },
            }),
            ..Marker::first("l".to_owned(), progress)
        };
        let message = marker.message(Names::of("shop").commits()).unwrap();
        insta::assert_snapshot!(String::from_utf8_lossy(&message.payload));
        assert_eq!(Marker::read(&message.payload, 1).unwrap(), marker);
        let other = String::from_utf8_lossy(&message.payload).replace("\"format\":1", "\"format\":2");
        insta::assert_snapshot!(Marker::read(other.as_bytes(), 5).unwrap_err());
    }

    #[test]
    fn a_claim_is_the_next_marker_of_its_worker_and_changes_nothing_else() {
        let progress = Progress {
            inputs: vec![InputMark { sequence: 9, ..InputMark::start("clicks", 7) }],
            counts: Counts::default(),
        };
        let step = Run { stream: StreamIndex(0), until: 9, is_present: true };
        let tick = Tick { after: 9, shown: Shown::default(), clock_micros: 5, most: 7 };
        let before = Marker {
            ticked: 40,
            ticks: Some(Ticks { before: 30, ticks: vec![tick] }),
            losses: 2,
            epoch: 3,
            writer: "w".to_owned(),
            complete: false,
            steps: vec![step],
            unfinished: Some(Unfinished { since: 4, step }),
            ..Marker::first("l".to_owned(), progress)
        };
        let identity = Identity { worker: "us".to_owned(), host: "here".to_owned() };
        let (writer, host) = ("us".to_owned(), "here".to_owned());
        let claimed = Marker { epoch: 4, writer, host, steps: Vec::new(), ticks: None, ..before.clone() };
        assert_eq!(before.claimed_by(&identity), claimed);
    }
}
