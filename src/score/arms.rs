//! The models that serve: the active one, and for a share of the people another one, to compare with.

use std::borrow::Cow;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::isolate::{Rows, score_rows, score_together};
use super::job::Job;
use super::scored::Scored;
use crate::feature::Matrix;
use crate::model::{Link, ModelError, ModelVersion, Scorer};

/// Which model serves a ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm {
    /// The promoted one.
    Active,
    /// The one that the control group keeps.
    Control,
}

/// The model or models in service. A person stays in one arm: the arm follows from who is asked for.
pub struct Arms {
    active: Scorer,
    control: Option<(Scorer, f64)>,
}

impl Arms {
    /// One model for everybody.
    pub fn new(active: Scorer) -> Self {
        Self { active, control: None }
    }

    /// Serves a share of the people, 0 to 1, with another model.
    #[must_use]
    pub fn with_control(mut self, control: Scorer, share: f64) -> Self {
        self.control = Some((control, share));
        self
    }

    /// Whether there is a control group.
    pub fn has_control(&self) -> bool {
        self.control.is_some()
    }

    /// Which model an arm is.
    pub fn version(&self, arm: Arm) -> &ModelVersion {
        match (&self.control, arm) {
            (Some((control, _)), Arm::Control) => control.version(),
            _ => self.active.version(),
        }
    }

    /// What makes scores of an arm's outputs.
    pub(super) fn link(&self, arm: Arm) -> Link {
        match (&self.control, arm) {
            (Some((control, _)), Arm::Control) => control.link(),
            _ => self.active.link(),
        }
    }

    /// Scores a job, at most `batch_rows` rows at a time; group by group where rows of a batch depend on one another. `width` is
    /// a vector's, in words. No model sees a row whose vector is not complete; rows that a model fails on are
    /// named, and cost no others their scores.
    ///
    /// # Errors
    /// A defect of this program.
    pub(super) fn score(&mut self, job: &Job, width: usize, batch_rows: usize) -> Result<Scored, ModelError> {
        let share = self.control.as_ref().map_or(0.0, |(_, share)| *share);
        let arms: Vec<Arm> = job.groups.iter().map(|group| arm_of(group.user.as_deref(), share)).collect();
        let mut scored = Scored { outputs: Vec::with_capacity(job.matrix.rows), ..Scored::default() };
        let (mut first_row, mut first_group) = (0, 0);
        // Neighbours of one arm are scored together.
        for run in arms.chunk_by(|one, other| one == other) {
            let groups = &job.groups[first_group..first_group + run.len()];
            first_group += run.len();
            let count = groups.iter().map(|group| group.rows).sum::<usize>();
            let rows = first_row..first_row + count;
            let scorer = match (&mut self.control, run.first()) {
                (Some((control, _)), Some(Arm::Control)) => control,
                _ => &mut self.active,
            };
            let vectors = scorable(&job.matrix, &rows, width);
            let mut left = Rows { vectors: &vectors, width };
            if scorer.mixes().is_some() {
                for group in groups {
                    let rows = first_row..first_row + group.rows;
                    first_row = rows.end;
                    let (together, after) = left.split(group.rows - job.matrix.unscorable_in(&rows).len());
                    left = after;
                    score_together(scorer, together, &mut scored)?;
                }
            } else {
                left.chunks(batch_rows).try_for_each(|chunk| score_rows(scorer, chunk, &mut scored))?;
            }
            first_row = rows.end;
            spread(&mut scored, &job.matrix, rows);
        }
        scored.arms = arms;
        Ok(scored)
    }
}

/// The vectors of those of these rows that can be scored.
fn scorable<'a>(matrix: &'a Matrix, rows: &Range<usize>, width: usize) -> Cow<'a, [f32]> {
    let values = &matrix.values[rows.start * width..rows.end * width];
    let unscorable = matrix.unscorable_in(rows);
    if unscorable.is_empty() {
        return Cow::Borrowed(values);
    }
    let mut kept = Vec::with_capacity(values.len() - unscorable.len() * width);
    let mut from = 0;
    for bad in unscorable {
        let at = (bad.row - rows.start) * width;
        kept.extend_from_slice(&values[from..at]);
        from = at + width;
    }
    kept.extend_from_slice(&values[from..]);
    Cow::Owned(kept)
}

/// Moves what was said of [`scorable`] rows, the newest, to the places of their rows.
fn spread(scored: &mut Scored, matrix: &Matrix, rows: Range<usize>) {
    let unscorable = matrix.unscorable_in(&rows);
    if unscorable.is_empty() {
        return;
    }
    let outputs = scored.outputs.split_off(rows.start);
    let known = scored.failed.partition_point(|failed| failed.row < rows.start);
    let mut failed = scored.failed.iter_mut().skip(known).peekable();
    let mut outputs = (rows.start..).zip(outputs);
    let mut unscorable = unscorable.iter().peekable();
    for row in rows {
        if unscorable.next_if(|bad| bad.row == row).is_some() {
            scored.outputs.push(f32::NAN);
            continue;
        }
        let (place, output) = outputs.next().unwrap_or((row, f32::NAN));
        scored.outputs.push(output);
        if let Some(failed) = failed.next_if(|failed| failed.row == place) {
            failed.row = row;
        }
    }
}

/// The arm of a person, given as JSON, when this share of the people is in the control group. Who asks for nobody in
/// particular is in no control group.
pub(crate) fn arm_of(user: Option<&str>, share: f64) -> Arm {
    // Two to the power of 53: every such number is a float of its own.
    const STEPS: u64 = 1 << 53;
    let point = user.map(|user| (xxh3_64(user.as_bytes()) % STEPS) as f64 / STEPS as f64);
    if point.is_some_and(|point| point < share) { Arm::Control } else { Arm::Active }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_group_has_its_share_of_the_people_and_nobody_changes_sides_when_it_grows() {
        let in_control = |share| -> Vec<bool> {
            (0..10_000).map(|user: u32| arm_of(Some(&user.to_string()), share) == Arm::Control).collect()
        };
        let (small, large) = (in_control(0.1), in_control(0.5));
        let count = |group: &[bool]| group.iter().filter(|is_in| **is_in).count();
        // Four standard deviations.
        assert!(count(&small).abs_diff(1_000) < 120 && count(&large).abs_diff(5_000) < 200);
        assert!(small.iter().zip(&large).all(|(small, large)| *large || !small));
        assert_eq!((count(&in_control(0.0)), count(&in_control(1.0))), (0, 10_000));
        assert_eq!(arm_of(None, 1.0), Arm::Active);
    }
}
