//! Trial runs: whether a model takes 1, 2 and 3 rows, which ids it takes, and what it makes of rows of all kinds.
//!
//! ```text
//!   a ─▶ 1 output       b, c ─▶ 2 outputs       a, b, c ─▶ 3 outputs       how many rows wait together is chance
//! ```
//!
//! Whether a row's output is the same alone and beside others is looked at in `mixing`. The rows hold zeros and ones only, because a column may be an id and every table has a row 0 and a row 1. A model that takes
//! no such rows is tried on zeros alone.

use super::{ModelError, Scorer};
use crate::fault::{Judged, Judgement};

/// Rows of a trial batch at most.
const ROWS: usize = 3;
/// So many columns are tried one at a time.
const MOST_SINGLE: usize = 64;
/// The largest whole number up to which float32 represents every whole number: 2^24.
const LARGEST_ID: u64 = 1 << 24;

/// Why a model does not score rows one by one.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum TrialError {
    /// The output has not one score per row.
    #[error(
        "output {output:?} has shape {shape:?} for {rows} row(s), a score is [{rows}], [{rows}, 1] or [{rows}, 2]: the model \
         squeezes, flattens or mixes its batch dimension; export it so that Squeeze names its axes and Reshape keeps the first \
         dimension"
    )]
    Shape {
        /// The output.
        output: String,
        /// Its shape in this run.
        shape: Vec<i64>,
        /// Rows given.
        rows: usize,
    },
    /// The model fails on a batch of this size, and not on others.
    #[error(
        "the model fails on a batch of {rows} row(s): {reason}; batches have any number of rows: export it with a batch dimension \
         that is free all the way through"
    )]
    Size {
        /// Rows given.
        rows: usize,
        /// What ONNX Runtime said.
        reason: String,
    },
    /// Rows that depend on one another, in runs that must be filled up.
    #[error(
        "a row's score depends on the rows that are scored with it ({found}), and input {input:?} takes exactly {rows} rows, which \
         are filled up with copies: export the model with a first dimension that is free ({remedy})"
    )]
    FilledUp {
        /// The node or the trial that shows it.
        found: String,
        /// The input that fixes the number of rows.
        input: String,
        /// How many.
        rows: usize,
        /// How exporters are told.
        remedy: String,
    },
    /// No row of the trial has a score that is a number.
    #[error(
        "output {output:?} is NaN or infinite for every row that was tried, of zeros, of ones and of both: nothing could be \
         scored; look for weights that are NaN"
    )]
    NeverFinite {
        /// The output.
        output: String,
    },
}

impl Judged for TrialError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Shape { .. } | Self::Size { .. } | Self::FilledUp { .. } | Self::NeverFinite { .. } => {
                Judgement::OPERATOR
            }
        }
    }
}

/// Runs a model on 1, 2 and 3 rows: one output for each row, whatever their number, and a number for one of them at least.
///
/// # Errors
/// A [`TrialError`], or what a run on zeros fails with in any batch.
pub(crate) fn try_rows(scorer: &mut Scorer) -> Result<(), ModelError> {
    let columns = scorer.columns().len();
    let varied = varied_rows(columns);
    let width = scorer.inputs().width();
    let mut rows = Vec::with_capacity(ROWS * width);
    varied.chunks(columns.max(1)).for_each(|numbers| scorer.inputs().append_row(numbers, &mut rows));
    // What can't be run at all on such rows says nothing of batches.
    let is_runnable = rows.chunks(width.max(1)).all(|row| outputs(scorer, row, 1).is_ok());
    let rows = if is_runnable { rows } else { vec![0.0; ROWS * width] };
    let mut is_finite = false;
    for count in 1..=ROWS {
        // Every row is once the first and once the last of a batch.
        for first in 0..=ROWS - count {
            let part = rows.get(first * width..(first + count) * width).unwrap_or_default();
            is_finite |= outputs(scorer, part, count)?.iter().any(|score| score.is_finite());
        }
    }
    if is_finite { Ok(()) } else { Err(TrialError::NeverFinite { output: scorer.output().to_owned() }.into()) }
}

/// The columns that hold ids, by name, with the largest that the model takes: a table ends there, and another id fails.
///
/// # Errors
/// What a run on zeros fails with.
pub(crate) fn id_limits(scorer: &mut Scorer) -> Result<Vec<(String, u64)>, ModelError> {
    let names = scorer.columns().to_vec();
    outputs(scorer, &vec![0.0; scorer.inputs().width()], 1)?;
    let mut numbers = vec![0.0; names.len()];
    let mut limits = Vec::new();
    for (column, name) in names.into_iter().enumerate() {
        let mut takes = |id: u64| {
            let mut row = Vec::new();
            numbers.iter_mut().skip(column).take(1).for_each(|number| *number = id as f32);
            scorer.inputs().append_row(&numbers, &mut row);
            numbers.iter_mut().skip(column).take(1).for_each(|number| *number = 0.0);
            // What a type does not hold says nothing of a table.
            !matches!(outputs(scorer, &row, 1), Err(error) if !matches!(error, ModelError::NotHeld { .. }))
        };
        if takes(LARGEST_ID) {
            continue;
        }
        let (mut taken, mut refused) = (0, LARGEST_ID);
        while refused - taken > 1 {
            let middle = taken.midpoint(refused);
            if takes(middle) { taken = middle } else { refused = middle }
        }
        limits.push((name, taken));
    }
    Ok(limits)
}

/// The score of each row by itself, given as the number of each column; NaN where the model fails on it.
///
/// # Errors
/// What a run on zeros fails with.
pub(super) fn scores_alone(scorer: &mut Scorer, rows: &[Vec<f32>]) -> Result<Vec<f32>, ModelError> {
    outputs(scorer, &vec![0.0; scorer.inputs().width()], 1)?;
    let mut score = |numbers: &Vec<f32>| {
        let mut row = Vec::new();
        scorer.inputs().append_row(numbers, &mut row);
        outputs(scorer, &row, 1).ok().and_then(|scores| scores.first().copied())
    };
    Ok(rows.iter().map(|row| score(row).unwrap_or(f32::NAN)).collect())
}

/// Rows of zeros, of ones, and of numbers of all sizes and both signs.
pub(super) fn wide_rows(columns: usize) -> Vec<Vec<f32>> {
    const SIZES: [f32; 8] = [1.0, -1.0, 7.5, -7.5, 300.0, -300.0, 1e4, -1e4];
    let alternating = |size: f32, step: usize| {
        (0..columns).map(move |column| if (column / step).is_multiple_of(2) { size } else { -size / 3.0 }).collect()
    };
    let alike = SIZES.iter().map(|size| vec![*size; columns]);
    let mixed = SIZES.iter().flat_map(|size| [1, 2, 3].map(|step| alternating(*size, step)));
    // One column at a time, for those beside ids that take small numbers only.
    let single = (0..columns.min(MOST_SINGLE)).flat_map(|column| {
        SIZES.map(|size| (0..columns).map(|other| if other == column { size } else { 0.0 }).collect())
    });
    let ones = varied_rows(columns);
    let small = ones.chunks(columns.max(1)).map(<[f32]>::to_vec);
    small.chain(alike).chain(mixed).chain(single).collect()
}

/// Zeros; ones; and both by turns.
fn varied_rows(columns: usize) -> Vec<f32> {
    let value = |row: usize, column: usize| match row {
        0 => 0.0,
        1 => 1.0,
        _ => f32::from(u8::from(column.is_multiple_of(2))),
    };
    (0..ROWS).flat_map(|row| (0..columns).map(move |column| value(row, column))).collect()
}

/// What the model gives for rows, finite or not.
fn outputs(scorer: &mut Scorer, matrix: &[f32], rows: usize) -> Result<Vec<f32>, ModelError> {
    let mut scores = Vec::new();
    match scorer.evaluate(matrix, rows, &mut scores) {
        Ok(()) => Ok(scores),
        Err(ModelError::OutputShape { output, shape, rows }) => Err(TrialError::Shape { output, shape, rows }.into()),
        Err(ModelError::Run { reason }) => Err(TrialError::Size { rows, reason }.into()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Binding, Session,
        onnx::{
            Dimension::{self, Fixed, Named},
            Document, GraphBuilder,
            proto::data_type::{FLOAT, INT64},
        },
    };

    /// `build` makes `score` of `x [batch, 2]`, or of its product `z [batch, 1]` with weights.
    fn scorer(shape: &[Dimension<'_>], build: impl Fn(&mut GraphBuilder)) -> Scorer {
        let mut graph = GraphBuilder::new("trial");
        graph.input("x", FLOAT, &[Named("batch"), Fixed(2)]);
        graph.initializer("w", &[2, 1], &[0.5, -1.5]);
        graph.node("MatMul", &["x", "w"], "z");
        build(&mut graph);
        graph.output("score", FLOAT, shape);
        bind(graph, &["a", "b"])
    }

    fn bind(graph: GraphBuilder, columns: &[&str]) -> Scorer {
        let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
        Session::from_bytes(&Document::new(graph.finish()).write(), 1).unwrap().bind(&binding).unwrap()
    }

    fn refusal(shape: &[Dimension<'_>], build: impl Fn(&mut GraphBuilder)) -> String {
        try_rows(&mut scorer(shape, build)).unwrap_err().to_string()
    }

    /// Tried on two rows only, it was found to have no problems and ended the worker at the first ranking of one item.
    #[test]
    fn a_model_that_squeezes_its_batch_away_is_refused() {
        insta::assert_snapshot!(
            refusal(&[Named("batch")], |graph| {
                graph.node("Sigmoid", &["z"], "p");
                graph.node("Squeeze", &["p"], "score");
            }),
            @r#"output "score" has shape [] for 1 row(s), a score is [1], [1, 1] or [1, 2]: the model squeezes, flattens or mixes its batch dimension; export it so that Squeeze names its axes and Reshape keeps the first dimension"#
        );
    }

    #[test]
    fn a_model_that_is_made_for_two_rows_is_refused() {
        let refused = refusal(&[Named("batch")], |graph| {
            graph.whole_initializer("pair", &[1], &[2]);
            graph.node("Reshape", &["z", "pair"], "score");
        });
        assert!(refused.starts_with("the model fails on a batch of 1 row(s): "), "{refused}");
    }

    #[test]
    fn models_that_keep_their_rows_pass_also_where_a_score_is_not_finite() {
        let column = [Named("batch"), Fixed(1)];
        for operator in ["Sigmoid", "Log", "Sqrt", "Reciprocal", "Identity"] {
            try_rows(&mut scorer(&column, |graph| graph.node(operator, &["z"], "score"))).unwrap();
        }
        try_rows(&mut scorer(&[Named("batch")], |graph| {
            graph.whole_initializer("last", &[1], &[1]);
            graph.node("Squeeze", &["z", "last"], "score");
        }))
        .unwrap();
    }

    #[test]
    fn a_model_that_gives_no_number_for_any_row_is_refused() {
        let refused = refusal(&[Named("batch"), Fixed(1)], |graph| {
            graph.initializer("bias", &[1], &[f32::NAN]);
            graph.node("Add", &["z", "bias"], "score");
        });
        insta::assert_snapshot!(refused, @r#"output "score" is NaN or infinite for every row that was tried, of zeros, of ones and of both: nothing could be scored; look for weights that are NaN"#);
    }

    #[test]
    fn a_column_that_a_table_ends_for_is_told_with_its_last_id() {
        for (rows, last) in [(1, 0), (2, 1), (500, 499)] {
            let mut graph = GraphBuilder::new("ids");
            graph.input("item", INT64, &[Named("batch")]);
            graph.input("price", FLOAT, &[Named("batch"), Fixed(1)]);
            graph.initializer("table", &[rows, 1], &vec![0.25; rows]);
            graph.node("Gather", &["table", "item"], "e");
            graph.node("Add", &["e", "price"], "score");
            graph.output("score", FLOAT, &[Named("batch"), Fixed(1)]);
            let mut scorer = bind(graph, &["price", "item"]);
            try_rows(&mut scorer).unwrap();
            assert_eq!(id_limits(&mut scorer).unwrap(), [("item".to_owned(), last)]);
        }
    }
}
