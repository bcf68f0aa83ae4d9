//! Rows on their way through a model: all at once, or so many at a time where its file fixes how many.
//!
//! ```text
//!   5 rows, a model of any batch     [0 1 2 3 4]             one run
//!   5 rows, a model of 2 rows        [0 1] [2 3] [4 4]       the last run is filled up with copies, whose outputs are left out
//! ```

use super::{ModelError, feeding::Feeding, session::Run, signature::TensorSpec};
use crate::feature::Inputs;

/// The most rows that a file may fix: one request of one candidate costs as many.
const MOST_ROWS: u64 = 4_096;

/// How many rows a model takes, whatever there is to score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FixedBatch {
    /// The input that says so.
    pub(crate) input: String,
    /// How many; one at least.
    pub(crate) rows: usize,
}

/// How many rows inputs take where that is not free, or why none can be given.
pub(super) fn fixed_batch(inputs: &[TensorSpec]) -> Result<Option<FixedBatch>, String> {
    let mut fixed: Option<(&str, u64)> = None;
    for input in inputs {
        let Some(Some(rows)) = input.dims.as_deref().and_then(<[_]>::first) else { continue };
        match fixed {
            Some((other, known)) if known != *rows => {
                return Err(format!(
                    "input {other:?} takes exactly {known} row(s) and input {:?} {rows}: export the model with one size for the \
                     first dimension of all, or with none ({})",
                    input.name,
                    free_batch(&input.name)
                ));
            }
            _ => fixed = Some((&input.name, *rows)),
        }
    }
    match fixed {
        Some((input, rows @ 1..=MOST_ROWS)) => Ok(Some(FixedBatch { input: input.to_owned(), rows: rows as usize })),
        Some((input, rows)) => Err(format!(
            "input {input:?} takes exactly {rows} rows, 1 to {MOST_ROWS} are possible: export the model with a first dimension \
             that is free ({})",
            free_batch(input)
        )),
        None => Ok(None),
    }
}

/// How exporters are told to leave the batch free.
pub(crate) fn free_batch(input: &str) -> String {
    format!(
        "torch.onnx.export(..., dynamic_axes={{\"{input}\": {{0: \"batch\"}}}}), with dynamo=True dynamic_shapes={{\"{input}\": \
         {{0: torch.export.Dim(\"batch\")}}}}; skl2onnx FloatTensorType([None, ...]); tf2onnx TensorSpec([None, ...])"
    )
}

/// A model and the way into it.
#[derive(Debug)]
pub(super) struct Batches {
    run: Run,
    feeding: Feeding,
    fixed: Option<FixedBatch>,
    /// The rows of a run that had to be filled up, kept for their memory.
    filled: Vec<f32>,
}

/// How many rows a run had.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowsRun {
    /// Those that were asked for, which come first.
    pub(super) wanted: usize,
    /// All of them.
    pub(super) all: usize,
}

impl Batches {
    pub(super) fn new(run: Run, feeding: Feeding, fixed: Option<FixedBatch>) -> Self {
        Self { run, feeding, fixed, filled: Vec::new() }
    }

    /// The types of the vectors' columns.
    pub(super) fn inputs(&self) -> &Inputs {
        self.feeding.inputs()
    }

    /// How many rows each run has, where the file says so.
    pub(super) fn fixed(&self) -> Option<&FixedBatch> {
        self.fixed.as_ref()
    }

    /// Runs the model on `rows` vectors and hands the shape and values of its output to `take`: once, or once for each run of
    /// a model that takes a number of its own.
    ///
    /// # Errors
    /// [`ModelError::MatrixSize`], [`ModelError::NotWhole`], [`ModelError::NotHeld`], [`ModelError::Run`], or what `take` fails
    /// with.
    pub(super) fn run(
        &mut self,
        matrix: &[f32],
        rows: usize,
        mut take: impl FnMut(&[i64], &[f32], RowsRun) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let Some(FixedBatch { rows: size, .. }) = self.fixed else {
            self.feeding.fill(matrix, rows)?;
            if rows == 0 {
                return Ok(());
            }
            let count = RowsRun { wanted: rows, all: rows };
            return self.run.run(&self.feeding.feeds(matrix), |shape, values| take(shape, values, count))?;
        };
        self.feeding.check_size(matrix, rows)?;
        let width = self.feeding.width().max(1);
        for part in matrix.chunks(size * width) {
            let wanted = part.len() / width;
            let part = if wanted == size { part } else { fill_up(&mut self.filled, part, width, size) };
            self.feeding.fill(part, size)?;
            let count = RowsRun { wanted, all: size };
            self.run.run(&self.feeding.feeds(part), |shape, values| take(shape, values, count))??;
        }
        Ok(())
    }
}

/// Rows, and copies of the last of them until there are `size`.
fn fill_up<'a>(filled: &'a mut Vec<f32>, rows: &[f32], width: usize, size: usize) -> &'a [f32] {
    filled.clear();
    filled.extend_from_slice(rows);
    let last = rows.get(rows.len().saturating_sub(width)..).unwrap_or_default();
    while filled.len() < size * width {
        filled.extend_from_slice(last);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::gradient::Loss;
    use crate::model::onnx::{
        Dimension::{self, Fixed, Named},
        Document, GraphBuilder,
        proto::data_type::{FLOAT, INT64},
    };
    use crate::model::optimiser::OptimizerSpec;
    use crate::model::train::{TrainSettings, Trainer};
    use crate::model::{Binding, Mixing, ScoreOutput, Scorer, Session, try_rows};

    /// `10 a + item`, of inputs and an output with these first dimensions; `b` is scored where `mixes` adds up the batch.
    fn scorer(rows: Dimension<'_>, out: Dimension<'_>, mixes: bool) -> Result<Scorer, ModelError> {
        let mut graph = GraphBuilder::new("fixed");
        graph.input("a", FLOAT, &[rows, Fixed(1)]);
        graph.input("item", INT64, &[rows]);
        graph.initializer("ten", &[1], &[10.0]);
        graph.whole_initializer("axis", &[1], &[1]);
        graph.node_with("Cast", &["item"], "number", &[("to", i64::from(FLOAT))]);
        graph.node("Unsqueeze", &["number", "axis"], "column");
        graph.node("Mul", &["a", "ten"], "tens");
        graph.node("Add", &["tens", "column"], "sum");
        graph.node("ReduceMean", &["sum"], "mean");
        graph.node(if mixes { "Sub" } else { "Identity" }, if mixes { &["sum", "mean"] } else { &["sum"] }, "score");
        graph.output("score", FLOAT, &[out, Fixed(1)]);
        let columns = ["a", "item"].map(str::to_owned);
        let output = Some(ScoreOutput::default());
        let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output };
        Session::from_bytes(&Document::new(graph.finish()).write(), 1).unwrap().bind(&binding)
    }

    #[test]
    fn a_model_of_any_fixed_batch_gives_the_scores_of_one_that_is_free() {
        let matrix: Vec<f32> = (0..7).flat_map(|row| [row as f32 / 4.0, (row * 3) as f32]).collect();
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        for size in [1, 2, 3, 7, 16] {
            let (mut free, mut fixed) =
                (scorer(Named("n"), Named("n"), false).unwrap(), scorer(Fixed(size), Fixed(size), false).unwrap());
            try_rows(&mut fixed).unwrap();
            for rows in 0..=7 {
                free.score(&matrix[..rows * 2], rows, &mut expected).unwrap();
                fixed.score(&matrix[..rows * 2], rows, &mut found).unwrap();
                assert_eq!(found, expected, "{rows} rows, {size} at a time");
            }
            assert_eq!(fixed.fixed_batch().map(|batch| batch.rows), Some(size as usize));
            assert!(fixed.score(&matrix, 6, &mut found).is_err(), "14 numbers are 7 rows");
            fixed.with_mixing(Mixing::Refuse).unwrap();
        }
    }

    #[test]
    fn an_output_may_leave_the_size_open_and_not_have_another() {
        assert!(scorer(Fixed(2), Named("n"), false).is_ok());
        let refused = scorer(Fixed(2), Fixed(3), false).unwrap_err().to_string();
        assert!(refused.starts_with("no score in the model: "), "{refused}");
    }

    #[test]
    fn rows_that_depend_on_one_another_are_not_filled_up() {
        let refused = scorer(Fixed(4), Fixed(4), true).unwrap().with_mixing(Mixing::PerRequest).unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains("takes exactly 4 rows") && refused.contains("dynamic_axes"), "{refused}");
    }

    #[test]
    fn a_model_of_a_fixed_batch_is_not_trained_and_told_how_to_free_it() {
        let mut graph = GraphBuilder::new("fixed");
        graph.input("x", FLOAT, &[Fixed(1), Fixed(1)]);
        graph.initializer("w", &[1, 1], &[0.5]);
        graph.node("MatMul", &["x", "w"], "score");
        graph.output("score", FLOAT, &[Fixed(1), Fixed(1)]);
        let columns = ["a".to_owned()];
        let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
        let settings = TrainSettings {
            loss: Loss::MeanSquaredError,
            optimizer: OptimizerSpec::Sgd { learning_rate: 0.1, momentum: 0.0, nesterov: false },
            clip_norm: None,
            freeze: Vec::new(),
            unfreeze: Vec::new(),
            dropout: false,
            threads: 1,
            output: None,
            activation: None,
        };
        let refused = Trainer::new(Document::new(graph.finish()), &binding, &settings).unwrap_err().to_string();
        assert!(
            refused.starts_with("input \"x\" takes exactly 1 row(s), and training takes as many as there are"),
            "{refused}"
        );
        assert!(refused.contains("dynamic_axes={\"x\": {0: \"batch\"}}"), "{refused}");
    }

    #[test]
    fn sizes_that_no_run_can_have_are_refused_with_the_inputs() {
        let input = |name: &str, rows| TensorSpec {
            name: name.to_owned(),
            element: crate::model::ElementType::Float32,
            dims: Some(vec![rows, Some(2)]),
        };
        assert_eq!(fixed_batch(&[input("x", None), input("y", None)]), Ok(None));
        let fixed = fixed_batch(&[input("x", None), input("y", Some(8))]).unwrap().unwrap();
        assert_eq!((fixed.input.as_str(), fixed.rows), ("y", 8));
        let two = fixed_batch(&[input("x", Some(1)), input("y", Some(2))]).unwrap_err();
        assert!(two.starts_with("input \"x\" takes exactly 1 row(s) and input \"y\" 2: "), "{two}");
        for rows in [0, 4_097] {
            let refused = fixed_batch(&[input("x", Some(rows))]).unwrap_err();
            assert!(refused.contains("1 to 4096 are possible"), "{refused}");
        }
    }
}
