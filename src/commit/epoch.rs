//! An epoch that fills: outputs of whole steps, until it is time to commit them in one batch.
//!
//! ```text
//!   step ─▶ fits? ──yes──▶ wait for more ──due, or a snapshot──▶ batch + marker
//!            └──no──▶ batch of what waited + marker, then the step by itself;
//!                     more than a batch holds ─▶ batches whose markers say that the step is unfinished
//! ```
//!
//! A tick and what it gave are always in one batch: it is never more than that holds.

use std::collections::HashMap;
use std::mem;

use super::halves::PART;
use super::letter::identity;
use super::marker::Unfinished;
use super::outputs::{self, EXAMPLE};
use super::progress::{Progress, Run};
use crate::bus::Outgoing;
use crate::step::Tick;

/// Outputs of one batch; the broker takes 1,000 messages with the marker.
pub(super) const MOST_OUTPUTS: usize = 990;
/// Bytes of one batch, about: the broker holds a batch back until it is whole.
const MOST_BYTES: usize = 4 << 20;

/// Outputs that are ready to be committed, and what their marker says.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) outputs: Vec<Outgoing>,
    pub(super) steps: Vec<Run>,
    /// Rankings that were not made.
    pub(super) unscored: Vec<String>,
    pub(super) ticks: Vec<Tick>,
    /// How far the outputs are complete after this batch; unchanged where absent.
    pub(super) progress: Option<Progress>,
    /// The step that goes on in the next batch.
    pub(super) unfinished: Option<Run>,
    /// The step that another worker left unfinished, while it is being done again.
    pub(super) resumed: Option<Unfinished>,
}

/// What a name takes in a marker beside its letters.
const NAME_BYTES: usize = 3;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Epoch {
    outputs: Vec<Outgoing>,
    bytes: usize,
    steps: Vec<Run>,
    unscored: Vec<String>,
    ticks: Vec<Tick>,
    progress: Option<Progress>,
    stored: Stored,
}

/// Outputs of an unfinished step that are stored already: they are left out when the step is done again.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// How often each is there. A dead letter that stands for an output is known by the id of that output: under another limit
    /// of the broker, one may come for the other.
    by_id: HashMap<String, u32>,
    /// Those that are parts of a message of examples.
    parts: Vec<String>,
    /// The step, and what the marker says of it.
    unfinished: Option<Unfinished>,
}

impl Stored {
    /// What was read back of an unfinished step.
    pub(super) fn new(unfinished: Unfinished, ids: impl Iterator<Item = String>) -> Self {
        let mut by_id = HashMap::new();
        ids.for_each(|id| *by_id.entry(identity(&id)).or_insert(0) += 1);
        let is_part = |id: &&String| id.starts_with(EXAMPLE) && id.contains(PART);
        let parts = by_id.keys().filter(is_part).cloned().collect();
        Self { by_id, parts, unfinished: Some(unfinished) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether the output of this id is stored, or a dead letter that stands for it.
    pub(super) fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(&identity(id))
    }

    /// Whether parts of the output of this id are stored: see [`halves`](super::halves).
    pub(super) fn has_part_of(&self, id: &str) -> bool {
        self.parts.iter().any(|stored| stored.strip_prefix(id).is_some_and(|rest| rest.starts_with(PART)))
    }

    fn leave_out(&mut self, outputs: &mut Vec<Outgoing>) {
        if self.by_id.is_empty() {
            return;
        }
        outputs.retain(|output| {
            let Some(left) = outputs::id(output).and_then(|id| self.by_id.get_mut(&identity(id))) else { return true };
            let is_stored = *left > 0;
            *left = left.saturating_sub(1);
            !is_stored
        });
    }
}

impl Epoch {
    /// An empty one; what is `stored` of an unfinished step is left out.
    pub(crate) fn new(stored: Stored) -> Self {
        Self { stored, ..Self::default() }
    }

    /// Whether there is nothing to be committed.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_outputs() && self.progress.is_none()
    }

    /// Outputs of an unfinished step that are stored already.
    pub(super) fn stored(&self) -> &Stored {
        &self.stored
    }

    /// How many steps its marker has to tell of.
    pub(super) fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Whether somebody may wait for what is in it.
    pub(super) fn has_outputs(&self) -> bool {
        !self.outputs.is_empty() || !self.ticks.is_empty()
    }

    /// Takes a tick and what it gave, and gives the batch that is full now, if one is.
    pub(super) fn take_tick(&mut self, outputs: Vec<Outgoing>, tick: Tick) -> Vec<Batch> {
        let bytes: usize = outputs.iter().map(size).sum();
        let full = (!self.fits(outputs.len(), bytes) && !self.is_empty()).then(|| self.close());
        self.bytes += bytes;
        self.outputs.extend(outputs);
        self.ticks.push(tick);
        full.into_iter().collect()
    }

    /// Remembers rankings that the step which is taken next does not have, because a model failed on them, and gives batches
    /// for those that its marker has no room for beside `most_bytes` of names. A marker may say it sooner than the step is
    /// complete: who does the step anew does not ask.
    pub(super) fn note_unscored(&mut self, rankings: Vec<String>, most_bytes: usize) -> Vec<Batch> {
        let mut batches = Vec::new();
        for ranking in rankings {
            let bytes: usize = self.unscored.iter().map(|name| name.len() + NAME_BYTES).sum();
            if bytes + ranking.len() > most_bytes && !self.unscored.is_empty() {
                let resumed = self.stored.unfinished;
                let unscored = mem::take(&mut self.unscored);
                // A step before must be complete first: its marker would be taken for the end of this one.
                batches.extend((!self.is_empty()).then(|| self.close()));
                batches.push(Batch { unscored, resumed, ..Batch::default() });
            }
            self.unscored.push(ranking);
        }
        batches
    }

    /// Takes a step, and gives the batches that are full now. `run` is absent where it read nothing.
    pub(super) fn take(
        &mut self,
        mut outputs: Vec<Outgoing>,
        run: Option<Run>,
        progress: Option<Progress>,
    ) -> Vec<Batch> {
        if run.is_some() {
            self.stored.leave_out(&mut outputs);
        }
        let bytes: usize = outputs.iter().map(size).sum();
        let mut batches = Vec::new();
        if !self.fits(outputs.len(), bytes) && !self.is_empty() {
            batches.push(self.close());
        }
        if let Some(run) = run {
            self.add_run(run);
        }
        for output in outputs {
            if self.outputs.len() == MOST_OUTPUTS
                || (self.bytes + size(&output) > MOST_BYTES && !self.outputs.is_empty())
            {
                let outputs = mem::take(&mut self.outputs);
                self.bytes = 0;
                // Outputs of requests alone follow from no step: each batch of them is complete.
                let resumed = self.stored.unfinished;
                let unscored = mem::take(&mut self.unscored);
                batches.push(Batch { outputs, unscored, unfinished: run, resumed, ..Batch::default() });
            }
            self.bytes += size(&output);
            self.outputs.push(output);
        }
        if let Some(progress) = progress {
            let step = self.stored.unfinished.map(|unfinished| unfinished.step);
            if step.is_some_and(|step| progress.sequence(step.stream) >= step.until) {
                self.stored = Stored::default();
            }
            self.progress = Some(progress);
        }
        batches
    }

    /// Ends the epoch: what is to be committed, which may be nothing.
    pub(super) fn close(&mut self) -> Batch {
        self.bytes = 0;
        Batch {
            outputs: mem::take(&mut self.outputs),
            steps: mem::take(&mut self.steps),
            unscored: mem::take(&mut self.unscored),
            ticks: mem::take(&mut self.ticks),
            progress: self.progress.take(),
            unfinished: None,
            resumed: self.stored.unfinished,
        }
    }

    /// Whether so much more still is one batch.
    fn fits(&self, outputs: usize, bytes: usize) -> bool {
        self.outputs.len() + outputs <= MOST_OUTPUTS && self.bytes + bytes <= MOST_BYTES
    }

    /// Steps of one stream after another are one run: steps give the same however they are cut.
    fn add_run(&mut self, run: Run) {
        match self.steps.last_mut() {
            Some(last) if last.goes_on_in(run) => last.until = run.until,
            _ => self.steps.push(run),
        }
    }
}

fn size(output: &Outgoing) -> usize {
    output.payload.len() + output.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Subject;
    use crate::commit::progress::InputMark;
    use crate::pipeline::StreamIndex;
    use crate::step::{Counts, Shown};

    fn outputs(ids: std::ops::Range<usize>, bytes: usize) -> Vec<Outgoing> {
        let subject = Subject::new("out.a").unwrap();
        ids.map(|id| Outgoing::new(subject.clone(), vec![0; bytes].into()).header(outputs::ID, id.to_string()))
            .collect()
    }

    fn progress(sequence: u64) -> Progress {
        let input = InputMark { sequence, ..InputMark::start("clicks", 7) };
        Progress { inputs: vec![input], counts: Counts::default() }
    }

    fn run(stream: usize, until: u64) -> Run {
        Run { stream: StreamIndex(stream), until, is_present: true }
    }

    /// Outputs, last sequence if complete, unfinished step.
    fn shapes(batches: &[Batch]) -> Vec<(usize, Option<u64>, Option<Run>)> {
        let shape = |batch: &Batch| {
            (
                batch.outputs.len(),
                batch.progress.as_ref().map(|progress| progress.sequence(StreamIndex(0))),
                batch.unfinished,
            )
        };
        batches.iter().map(shape).collect()
    }

    #[test]
    fn steps_wait_for_one_another_until_they_no_longer_fit() {
        let mut epoch = Epoch::default();
        assert!(epoch.is_empty());
        assert!(epoch.take(outputs(0..500, 1), Some(run(0, 5)), Some(progress(5))).is_empty());
        assert!(epoch.take(outputs(0..490, 1), Some(run(0, 6)), Some(progress(6))).is_empty());
        let full = epoch.take(outputs(0..1, 1), Some(run(0, 7)), Some(progress(7)));
        assert_eq!(shapes(&full), [(990, Some(6), None)]);
        assert_eq!(full[0].steps, [run(0, 6)]);
        assert_eq!(shapes(&[epoch.close()]), [(1, Some(7), None)]);
    }

    #[test]
    fn a_step_of_many_outputs_is_unfinished_until_its_last_batch() {
        let mut epoch = Epoch::default();
        epoch.take(outputs(0..3, 1), Some(run(0, 4)), Some(progress(4)));
        let full = epoch.take(outputs(0..2_000, 1), Some(run(0, 9)), Some(progress(9)));
        assert_eq!(shapes(&full), [(3, Some(4), None), (990, None, Some(run(0, 9))), (990, None, Some(run(0, 9)))]);
        assert_eq!(shapes(&[epoch.close()]), [(20, Some(9), None)]);
        let large = epoch.take(outputs(0..5, 3 << 20), Some(run(0, 10)), Some(progress(10)));
        assert_eq!(large.len(), 4, "bytes count too");
    }

    #[test]
    fn outputs_of_an_unfinished_step_that_are_stored_are_left_out_once_each() {
        let unfinished = Unfinished { since: 40, step: run(0, 9) };
        let ids = ["1", "2", "2"].map(str::to_owned).into_iter();
        let mut epoch = Epoch::new(Stored::new(unfinished, ids));
        let twice = [outputs(0..3, 1), outputs(2..4, 1)].concat();
        assert!(epoch.take(twice, Some(run(0, 6)), Some(progress(6))).is_empty());
        let batch = epoch.close();
        assert_eq!(batch.resumed, Some(unfinished), "the step goes on to 9");
        let ids: Vec<String> = batch.outputs.iter().map(|output| outputs::id(output).unwrap().to_owned()).collect();
        assert_eq!(ids, ["0", "3"]);
        epoch.take(outputs(1..3, 1), None, None);
        assert_eq!(epoch.close().outputs.len(), 2, "requests are not of the step");
        epoch.take(outputs(7..8, 1), Some(run(0, 9)), Some(progress(9)));
        assert_eq!(epoch.close().resumed, None);
    }

    #[test]
    fn a_tick_and_what_it_gave_are_in_one_batch_with_the_steps_before_it() {
        let tick = |after| Tick { after, shown: Shown::default(), clock_micros: 5, most: 7 };
        let mut epoch = Epoch::default();
        epoch.take(outputs(0..980, 1), Some(run(0, 4)), Some(progress(4)));
        assert!(epoch.take_tick(outputs(0..10, 1), tick(4)).is_empty());
        let full = epoch.take_tick(outputs(0..7, 512 << 10), tick(4));
        assert_eq!((shapes(&full), full[0].ticks.as_slice()), (vec![(990, Some(4), None)], &[tick(4)][..]));
        let full = epoch.take(outputs(0..2_000, 1), Some(run(0, 9)), Some(progress(9)));
        assert_eq!(shapes(&full)[..2], [(7, None, None), (990, None, Some(run(0, 9)))]);
        assert_eq!(full.iter().map(|batch| batch.ticks.len()).collect::<Vec<_>>(), [1, 0, 0]);
        epoch.close();
        assert!(epoch.take_tick(Vec::new(), tick(9)).is_empty() && epoch.has_outputs(), "all were sampled out");
        assert_eq!(epoch.close().ticks, [tick(9)]);
    }

    /// Names without a bound made a marker that no broker takes, at each start again.
    #[test]
    fn names_that_one_marker_has_no_room_for_are_in_markers_of_their_own_after_the_step_before() {
        let mut epoch = Epoch::default();
        epoch.take(outputs(0..3, 1), Some(run(0, 4)), Some(progress(4)));
        let names: Vec<String> = (0..5).map(|name| format!("ranking-{name}")).collect();
        let full = epoch.note_unscored(names.clone(), 26);
        assert_eq!(shapes(&full), [(3, Some(4), None), (0, None, None), (0, None, None)]);
        epoch.take(outputs(0..1, 1), Some(run(0, 9)), Some(progress(9)));
        let told: Vec<String> = full.into_iter().chain([epoch.close()]).flat_map(|batch| batch.unscored).collect();
        assert_eq!(told, names);
    }

    #[test]
    fn runs_of_streams_that_interleave_are_kept_in_their_order() {
        let mut epoch = Epoch::default();
        let absent = Run { is_present: false, ..run(0, 7) };
        for run in [run(0, 3), run(0, 5), run(1, 2), run(0, 6), absent, run(0, 8)] {
            epoch.take(Vec::new(), Some(run), Some(progress(run.until)));
        }
        assert_eq!(epoch.close().steps, [run(0, 5), run(1, 2), run(0, 6), absent, run(0, 8)]);
    }
}
