//! A row that a model fails on, found among others.
//!
//! ```text
//!   256 rows ─ error ─▶ 128 ─ ok
//!                       128 ─ error ─▶ 64 ─ … ─▶ 1 row ─ error ─▶ failed, with the reason
//! ```
//!
//! A score that is no number is a failure of its row. Where rows of a batch depend on one another, one failure can spoil all of
//! them: then those that are left are scored together once more, so that what is left out leaves no trace.

use super::scored::{Failed, Scored};
use crate::fault::{Judged, Judgement};
use crate::model::{ModelError, Scorer};

/// Vectors that follow one another, row after row.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) vectors: &'a [f32],
    /// Numbers of a row.
    pub(super) width: usize,
}

impl<'a> Rows<'a> {
    fn count(self) -> usize {
        self.vectors.len() / self.width.max(1)
    }

    fn halves(self) -> [Self; 2] {
        let (left, right) = self.split(self.count() / 2);
        [left, right]
    }

    fn row(self, row: usize) -> &'a [f32] {
        self.vectors.get(row * self.width..(row + 1) * self.width).unwrap_or_default()
    }

    /// The first rows, and those after them.
    pub(super) fn split(self, rows: usize) -> (Self, Self) {
        let (left, right) = self.vectors.split_at((rows * self.width).min(self.vectors.len()));
        (Self { vectors: left, ..self }, Self { vectors: right, ..self })
    }

    /// At most so many rows at once.
    pub(super) fn chunks(self, rows: usize) -> impl Iterator<Item = Self> + use<'a> {
        let width = self.width;
        self.vectors.chunks(rows.max(1) * width.max(1)).map(move |vectors| Self { vectors, width })
    }
}

/// Appends an output for each row: what is no score for those that the model fails on, which are named.
///
/// # Errors
/// A defect of this program; what the model fails on is no error.
pub(super) fn score_rows(scorer: &mut Scorer, rows: Rows<'_>, scored: &mut Scored) -> Result<(), ModelError> {
    match run(scorer, rows, scored)? {
        None => Ok(()),
        Some(reason) if rows.count() <= 1 => {
            scored.fail(reason);
            Ok(())
        }
        Some(_) => rows.halves().into_iter().try_for_each(|half| score_rows(scorer, half, scored)),
    }
}

/// [`score_rows`] for rows that depend on one another: those that are scored are scored together.
pub(super) fn score_together(scorer: &mut Scorer, rows: Rows<'_>, scored: &mut Scored) -> Result<(), ModelError> {
    let (first, known) = (scored.outputs.len(), scored.failed.len());
    score_rows(scorer, rows, scored)?;
    let failed: Vec<usize> = scored.failed.iter().skip(known).map(|failed| failed.row - first).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let left: Vec<usize> = (0..rows.count()).filter(|row| failed.binary_search(row).is_err()).collect();
    let vectors: Vec<f32> = left.iter().flat_map(|row| rows.row(*row)).copied().collect();
    let mut again = Scored::default();
    score_rows(scorer, Rows { vectors: &vectors, ..rows }, &mut again)?;
    for (row, output) in left.iter().zip(&again.outputs) {
        if let Some(place) = scored.outputs.get_mut(first + row) {
            *place = *output;
        }
    }
    let of_row = |failed: Failed| Some(Failed { row: first + left.get(failed.row)?, ..failed });
    scored.failed.extend(again.failed.into_iter().filter_map(of_row));
    scored.failed.sort_by_key(|failed| failed.row);
    Ok(())
}

/// Runs the model on all rows. Where it fails on some of them, why, and then nothing was appended.
fn run(scorer: &mut Scorer, rows: Rows<'_>, scored: &mut Scored) -> Result<Option<String>, ModelError> {
    match scorer.evaluate(rows.vectors, rows.count(), &mut scored.part) {
        Err(error) if error.judgement() == Judgement::DEFECT => return Err(error),
        Err(error) => return Ok(Some(error.to_string())),
        Ok(()) => {}
    }
    let link = scorer.link();
    let no_score = |output: f32| format!("the model's score is {output}");
    let first = scored.outputs.len();
    for (row, output) in (first..).zip(&scored.part).filter(|(_, output)| !link.is_score(**output)) {
        if scorer.mixes().is_some() && rows.count() > 1 {
            return Ok(Some(no_score(*output)));
        }
        scored.failed.push(Failed { row, reason: no_score(*output) });
    }
    scored.outputs.extend_from_slice(&scored.part);
    Ok(None)
}
