//! A case from its file to what does not hold in it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::case::{Case, ExpectedCounts};
use super::emits::check_emits;
use super::error::TrialError;
use super::events::{messages, received};
use super::rows::check_row;
use super::scores::check_score;
use super::vectors::check_vector;
use crate::engine::load_model;
use crate::pipeline::Pipeline;
use crate::score::{Arms, Job, rank};
use crate::step::{Counts, Emitted, FAILED, Step};

/// Failures of expressions that a case which does not hold tells.
const TOLD: usize = 5;

/// What came of a case.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What the case is about.
    pub(crate) about: String,
    /// What does not hold, a sentence each; nothing when all is well.
    pub(crate) faults: Vec<String>,
}

/// What the events of a case gave.
#[derive(Default)]
struct Applied {
    counts: Counts,
    /// What was to be scored of events and can't be: by its vector, or because the model fails on it.
    unscorable: u64,
    /// Dead letters of events that a table left out.
    failed: u64,
    /// The first of them, in words.
    failures: Vec<String>,
    emissions: Vec<Emitted>,
}

impl Applied {
    fn fail(&mut self, detail: String) {
        self.failed += 1;
        if self.failures.len() < TOLD {
            self.failures.push(detail);
        }
    }
}

/// Tells a pipeline the case in a file.
///
/// # Errors
/// When the case cannot be told.
pub(crate) fn run(pipeline: &Arc<Pipeline>, file: &Path) -> Result<Outcome, TrialError> {
    let case: Case = toml::from_str(&fs::read_to_string(file)?)?;
    let mut step = Step::new(Arc::clone(pipeline))?;
    let applied = apply(&case, pipeline, &mut step)?;
    let mut faults = Vec::new();
    if let Some(expected) = &case.counts {
        check_counts(expected, &applied, &mut faults);
    }
    for emits in &case.emits {
        check_emits(pipeline, &applied.emissions, emits, &mut faults)
            .map_err(TrialError::within(format!("rows of `{}`", emits.table)))?;
    }
    for row in &case.rows {
        check_row(pipeline, &mut step, row, &mut faults)
            .map_err(TrialError::within(format!("row of `{}`", row.table)))?;
    }
    for vector in &case.vectors {
        check_vector(pipeline, &mut step, vector, &mut faults).map_err(TrialError::within("vector"))?;
    }
    let mut scorer = if case.scores.is_empty() { None } else { load_model(pipeline)?.map(Arms::new) };
    for score in &case.scores {
        let scorer = scorer.as_mut().ok_or(TrialError::NoModel)?;
        check_score(pipeline, &mut step, scorer, score, &mut faults).map_err(TrialError::within("score"))?;
    }
    if !faults.is_empty() {
        faults.extend(applied.failures);
    }
    Ok(Outcome { about: case.about, faults })
}

/// Hands the events to the step, in their order.
fn apply(case: &Case, pipeline: &Pipeline, step: &mut Step) -> Result<Applied, TrialError> {
    let (mut sequence, mut applied) = (0, Applied::default());
    let mut scorer = match &case.counts {
        Some(ExpectedCounts { unscorable: Some(_), .. }) => load_model(pipeline)?.map(Arms::new),
        _ => None,
    };
    let mut received = received(case, pipeline).into_iter();
    // A case is told whole: a stream that is silent in it is silent.
    step.reach_present();
    for events in &case.events {
        let stream =
            pipeline.stream_named(&events.stream).ok_or_else(|| TrialError::NoStream(events.stream.clone()))?;
        let messages = messages(events, pipeline.stream(stream), &mut received, &mut sequence)?;
        let output = step.events(stream, &messages, true)?;
        applied.emissions.extend(output.emissions);
        applied.counts.add(&output.counts);
        applied.unscorable += match &mut scorer {
            Some(scorer) => unscorable(pipeline, scorer, &output.job)?,
            None => output.job.matrix.unscorable.len() as u64,
        };
        let failed = output.dead.into_iter().filter(|letter| letter.reason == FAILED);
        failed.for_each(|letter| applied.fail(letter.detail));
    }
    if case.end {
        let emissions = step.close_windows()?;
        for failed in emissions.iter().flat_map(|emission| &emission.failed).map(|row| &row.failed) {
            applied.fail(format!("`{}` fails with {}", failed.expression, failed.reason));
        }
        applied.emissions.extend(emissions);
    }
    Ok(applied)
}

/// How many rows of a job have no score.
fn unscorable(pipeline: &Pipeline, scorer: &mut Arms, job: &Job) -> Result<u64, TrialError> {
    let (Some(vector), Some(score)) = (&pipeline.vector, &pipeline.score) else { return Ok(0) };
    let ranked = rank(scorer, job, vector.inputs().width(), score.batch_rows)?;
    let scored: usize = ranked.iter().map(|ranked| ranked.order.len()).sum();
    Ok((job.matrix.rows - scored) as u64)
}

fn check_counts(expected: &ExpectedCounts, applied: &Applied, faults: &mut Vec<String>) {
    let found = &applied.counts;
    let pairs = [
        ("counted", expected.counted, found.counted),
        ("late", expected.late, found.late),
        ("rejected", expected.rejected, found.rejected),
        ("duplicate", expected.duplicate, found.duplicate),
        ("unscorable", expected.unscorable, applied.unscorable),
        ("failed", expected.failed, applied.failed),
    ];
    for (name, expected, found) in pairs {
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            faults.push(format!("{name}: expected {expected}, found {found}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_are_not_named_are_not_compared() {
        let expected = ExpectedCounts {
            counted: Some(2),
            late: Some(1),
            rejected: None,
            duplicate: None,
            unscorable: Some(1),
            failed: None,
        };
        let counts = Counts { counted: 2, late: 3, rejected: 4, ..Counts::default() };
        let found = Applied { counts, unscorable: 2, failed: 1, ..Applied::default() };
        let mut faults = Vec::new();
        check_counts(&expected, &found, &mut faults);
        assert_eq!(faults, ["late: expected 1, found 3", "unscorable: expected 1, found 2"]);
    }
}
