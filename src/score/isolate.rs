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
    /// Words of a row.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::feature::{Matrix, Unscorable};
    use crate::model::onnx::proto::data_type::{FLOAT, INT64};
    use crate::model::onnx::{Dimension, Document, GraphBuilder};
    use crate::model::{Binding, Mixing, Session};
    use crate::score::{Arm, Arms, Group, Job};
    use crate::time::EventTime;

    /// `sqrt(price) + table[item]`, minus the mean over the batch where it `mixes`.
    fn scorer(table: [f32; 4], mixes: bool) -> Scorer {
        let mut graph = GraphBuilder::new("table");
        graph.input("item", INT64, &[Dimension::Named("batch")]);
        graph.input("price", FLOAT, &[Dimension::Named("batch")]);
        graph.initializer("table", &[4], &table);
        graph.node("Gather", &["table", "item"], "known");
        graph.node("Sqrt", &["price"], "root");
        graph.node("Add", &["known", "root"], "sum");
        graph.node("ReduceMean", &["sum"], "mean");
        graph.node(if mixes { "Sub" } else { "Identity" }, if mixes { &["sum", "mean"] } else { &["sum"] }, "score");
        graph.output("score", FLOAT, &[Dimension::Named("batch")]);
        let columns = ["item", "price"].map(str::to_owned);
        let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
        let bound = Session::from_bytes(&Document::new(graph.finish()).write(), 1).unwrap().bind(&binding);
        bound.unwrap().with_mixing(Mixing::PerRequest).unwrap()
    }

    /// Rows of these items and prices, in groups of these sizes, of which every third person is in the control group.
    fn job(rows: &[(f32, f32)], sizes: &[usize]) -> Job {
        let bad = |(row, (_, price)): (usize, &(f32, f32))| {
            (!price.is_finite()).then_some(Unscorable { row, reason: format!("feature `price` is {price}") })
        };
        let mut left = rows.len();
        let mut groups: Vec<Group> = Vec::new();
        for size in sizes.iter().copied().chain([usize::MAX]) {
            let name = groups.len().to_string();
            let rows = size.min(left);
            left -= rows;
            groups.push(Group {
                request_id: name.clone(),
                user: Some(name),
                at: EventTime(0),
                shown: EventTime(0),
                arrived: EventTime(0),
                rows,
            });
        }
        Job {
            matrix: Matrix {
                values: rows.iter().flat_map(|(item, price)| [*item, *price]).collect(),
                rows: rows.len(),
                unscorable: rows.iter().enumerate().filter_map(bad).collect(),
            },
            groups,
            ..Job::default()
        }
    }

    /// Good ones, an item that the table does not have, one that is no whole number, a price without a root, and one that no
    /// model sees.
    fn row() -> impl Strategy<Value = (f32, f32)> {
        prop_oneof![
            12 => (0_u8..4, 0_u8..100).prop_map(|(item, price)| (f32::from(item), f32::from(price))),
            1 => Just((4.0, 1.0)),
            1 => Just((0.5, 1.0)),
            1 => Just((1.0, -1.0)),
            1 => Just((2.0, f32::INFINITY)),
        ]
    }

    /// Every row alone.
    fn one_by_one(scorer: &mut Scorer, job: &Job, row: usize) -> Option<f32> {
        let vector = &job.matrix.values[row * 2..row * 2 + 2];
        let mut output = Vec::new();
        let is_scored = vector[1].is_finite() && scorer.evaluate(vector, 1, &mut output).is_ok();
        output.first().copied().filter(|output| is_scored && output.is_finite())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn halving_leaves_out_the_rows_that_fail_alone_and_no_others(
            rows in prop::collection::vec(row(), 0..70), sizes in prop::collection::vec(0_usize..9, 0..12),
            batch_rows in 1_usize..80, share in prop_oneof![Just(0.0), Just(0.4), Just(1.0)],
        ) {
            let job = job(&rows, &sizes);
            let mut alone = [scorer([1.0, 2.0, 3.0, 4.0], false), scorer([-1.0, 0.0, 7.0, 9.0], false)];
            let mut arms = Arms::new(scorer([1.0, 2.0, 3.0, 4.0], false));
            arms = arms.with_control(scorer([-1.0, 0.0, 7.0, 9.0], false), share);
            let scored = arms.score(&job, 2, batch_rows).unwrap();
            prop_assert_eq!((scored.outputs.len(), scored.arms.len()), (rows.len(), job.groups.len()));
            let of_row = job.groups.iter().zip(&scored.arms).flat_map(|(group, arm)| vec![*arm; group.rows]);
            let mut failed = Vec::new();
            for (row, arm) in of_row.enumerate() {
                match one_by_one(&mut alone[usize::from(arm == Arm::Control)], &job, row) {
                    Some(expected) => prop_assert_eq!(scored.outputs[row], expected, "row {}", row),
                    None if rows[row].1.is_finite() => failed.push(row),
                    None => {}
                }
            }
            prop_assert_eq!(scored.failed.iter().map(|failed| failed.row).collect::<Vec<_>>(), failed);
        }

        #[test]
        fn where_rows_depend_on_one_another_a_request_is_scored_as_if_it_were_alone_and_without_what_fails(
            rows in prop::collection::vec(row(), 1..40), sizes in prop::collection::vec(1_usize..9, 1..8),
        ) {
            let job = job(&rows, &sizes);
            let scored = Arms::new(scorer([1.0, 2.0, 3.0, 4.0], true)).score(&job, 2, 3).unwrap();
            let mut plain = scorer([1.0, 2.0, 3.0, 4.0], false);
            let mut first = 0;
            for group in &job.groups {
                let group = first..first + group.rows;
                first = group.end;
                let sums: Vec<(usize, f32)> = group.filter_map(|row| Some((row, one_by_one(&mut plain, &job, row)?))).collect();
                let mean = sums.iter().map(|(_, sum)| f64::from(*sum)).sum::<f64>() / sums.len() as f64;
                for (row, sum) in sums {
                    prop_assert!((f64::from(scored.outputs[row]) - (f64::from(sum) - mean)).abs() < 1e-4, "row {}", row);
                }
            }
        }
    }

    #[test]
    fn what_a_model_failed_on_is_named_with_the_reason() {
        let job = job(&[(0.0, 4.0), (4.0, 1.0), (0.5, 1.0), (1.0, -1.0)], &[]);
        let failed = Arms::new(scorer([1.0; 4], false)).score(&job, 2, 256).unwrap().failed;
        assert!(failed[0].reason.contains("Gather") && failed[0].reason.contains("idx=4"), "{failed:?}");
        assert!(failed[1].reason.contains(r#"column "item" is 0.5"#), "{failed:?}");
        assert_eq!((failed[2].row, failed[2].reason.as_str()), (3, "the model's score is NaN"));
    }
}
