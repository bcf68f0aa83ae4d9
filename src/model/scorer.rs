//! Vectors in, scores out.

use super::{
    Activation, Link, Mixing, ModelError, ModelVersion,
    batches::{Batches, FixedBatch, free_batch},
    classes,
    feeding::Feeding,
    fit::Fit,
    mixing,
    session::{Facts, Run},
    trial::TrialError,
};
use crate::feature::Inputs;

/// Rows of the run that shows whether a model keeps to its declared shapes: more than one, so that an output that
/// ignores the batch is noticed.
pub(super) const TRIAL_ROWS: usize = 2;

/// A model bound to a vector: scores one batch at a time, on the thread that owns it.
#[derive(Debug)]
pub struct Scorer {
    batches: Batches,
    columns: Vec<String>,
    output: String,
    class: Option<usize>,
    version: ModelVersion,
    link: Link,
    /// What makes a row's score depend on its batch, once that was looked for.
    mixes: Option<String>,
}

impl Scorer {
    pub(super) fn new(
        run: Run,
        fit: Fit,
        (columns, inputs): (Vec<String>, Inputs),
        facts: Facts,
    ) -> Result<Self, ModelError> {
        let batches = Batches::new(run, Feeding::new(fit.routes, &columns, inputs), fit.batch);
        let Facts { version, link, mixes } = facts;
        let mut scorer = Self { batches, columns, output: fit.output, class: fit.class, version, link, mixes };
        let zeros = vec![0.0; TRIAL_ROWS * scorer.inputs().width()];
        scorer.evaluate(&zeros, TRIAL_ROWS, &mut Vec::new())?;
        if scorer.class.is_none() {
            let output = (scorer.output.as_str(), scorer.link);
            classes::check(&mut scorer.batches, output)?;
        }
        Ok(scorer)
    }

    /// The same model, whose scores are made of its output by `activation`.
    #[must_use]
    pub fn with_activation(self, activation: Option<Activation>) -> Self {
        Self { link: activation.map_or(self.link, Activation::link), ..self }
    }

    /// Scores `rows` vectors.
    ///
    /// `matrix` has `rows` vectors, row after row, as the [`Inputs`] that were bound say: of numbers alone, `rows` times the number
    /// of columns. `scores` is replaced by one score per row; on
    /// an error it is left empty, and the scorer can go on with the next batch. Of an output `[batch, columns]` the column that
    /// the binding names is the score, else the second of two: the probability of class 1 as classifiers export it.
    ///
    /// # Errors
    /// [`ModelError::MatrixSize`], [`ModelError::NotWhole`], [`ModelError::NotHeld`], [`ModelError::Run`],
    /// [`ModelError::OutputShape`], or
    /// [`ModelError::NotFinite`] when any score is NaN or infinite.
    pub fn score(&mut self, matrix: &[f32], rows: usize, scores: &mut Vec<f32>) -> Result<(), ModelError> {
        self.evaluate(matrix, rows, scores)?;
        into_scores(self.link, scores)
    }

    /// Gives one output per row, by which rows are ranked: what [`link`](Self::link) makes scores of. Like
    /// [`score`](Self::score), but what is no score is there as it is.
    ///
    /// # Errors
    /// [`ModelError::MatrixSize`], [`ModelError::NotWhole`], [`ModelError::NotHeld`], [`ModelError::Run`] or
    /// [`ModelError::OutputShape`].
    pub fn evaluate(&mut self, matrix: &[f32], rows: usize, outputs: &mut Vec<f32>) -> Result<(), ModelError> {
        outputs.clear();
        let (output, class) = (&self.output, self.class);
        let taken = self.batches.run(matrix, rows, |shape, values, count| {
            let before = outputs.len();
            collect_scores(output, class, shape, values, count.all, outputs)?;
            outputs.truncate(before + count.wanted);
            Ok(())
        });
        if taken.is_err() {
            outputs.clear();
        }
        taken
    }

    /// What makes scores of outputs.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// Looks whether a row's score depends on the rows that are scored with it, by the operators of the graph and by trial,
    /// and goes on as `mixing` says.
    ///
    /// # Errors
    /// [`ModelError::Mixes`] when it does, and that is refused; [`TrialError::FilledUp`] when the file fixes how many those are.
    pub fn with_mixing(mut self, mixing: Mixing) -> Result<Self, ModelError> {
        self.mixes = self.mixes.take().or_else(|| mixing::by_trial(&mut self));
        match (mixing, &self.mixes, self.batches.fixed()) {
            (_, Some(found), Some(FixedBatch { input, rows })) if *rows > 1 => {
                let remedy = free_batch(input);
                Err(TrialError::FilledUp { found: found.clone(), input: input.clone(), rows: *rows, remedy }.into())
            }
            (Mixing::Refuse, Some(found), _) => Err(ModelError::Mixes { found: found.clone() }),
            _ => Ok(self),
        }
    }

    /// What was found to make a row's score depend on the rows that are scored with it.
    #[must_use]
    pub fn mixes(&self) -> Option<&str> {
        self.mixes.as_deref()
    }

    /// Which model gives these scores.
    #[must_use]
    pub fn version(&self) -> &ModelVersion {
        &self.version
    }

    /// The columns of the vector, in its order.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Their types, and where in a row they are.
    #[must_use]
    pub fn inputs(&self) -> &Inputs {
        self.batches.inputs()
    }

    /// How many rows the model takes at once, where its file says so.
    pub(crate) fn fixed_batch(&self) -> Option<&FixedBatch> {
        self.batches.fixed()
    }

    /// The output that the scores are of.
    pub(crate) fn output(&self) -> &str {
        &self.output
    }
}

/// Makes scores of outputs; passes on all or none.
pub(super) fn into_scores(link: Link, outputs: &mut Vec<f32>) -> Result<(), ModelError> {
    let (rows, count) = (outputs.len(), outputs.iter().filter(|output| !link.is_score(**output)).count());
    if count > 0 {
        outputs.clear();
        return Err(ModelError::NotFinite { count, rows });
    }
    if link == Link::Logistic {
        outputs.iter_mut().for_each(|output| *output = link.score(*output));
    }
    Ok(())
}

/// Appends the numbers of `[rows]` or `[rows, 1]`, or a column of `[rows, columns]`, to `scores`: the one that `class` says, or
/// the second of two. Dimensions of 1 at the end count for nothing.
pub(super) fn collect_scores(
    output: &str,
    class: Option<usize>,
    shape: &[i64],
    values: &[f32],
    rows: usize,
    scores: &mut Vec<f32>,
) -> Result<(), ModelError> {
    let batch = rows as i64;
    let shape_error = || ModelError::OutputShape { output: output.to_owned(), shape: shape.to_vec(), rows };
    match shape {
        [n] | [n, 1] if *n == batch && class.is_none() => scores.extend_from_slice(values),
        [n, columns, rest @ ..] if *n == batch && rest.iter().all(|dim| *dim == 1) => {
            let columns = usize::try_from(*columns).unwrap_or_default();
            match (class, columns) {
                (None, 1) => scores.extend_from_slice(values),
                (None, 2) => scores.extend(values.iter().skip(1).step_by(2)),
                (Some(class), 2..) if class < columns => scores.extend(values.iter().skip(class).step_by(columns)),
                _ => return Err(shape_error()),
            }
        }
        _ => return Err(shape_error()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Binding, Session,
        onnx::{
            Dimension::{Fixed, Named},
            Document, GraphBuilder,
            proto::data_type::{FLOAT, INT64},
        },
    };

    fn bind(graph: GraphBuilder, columns: &[&str]) -> Result<Scorer, ModelError> {
        let bytes = Document::new(graph.finish()).write();
        let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        Session::from_bytes(&bytes, 1).unwrap().bind(&Binding {
            inputs: None,
            columns: &columns,
            fingerprint: None,
            output: None,
        })
    }

    /// One float32 input `x [batch, 1]`; the score is `operator(x)`.
    fn unary(operator: &str) -> GraphBuilder {
        let mut graph = GraphBuilder::new("unary");
        graph.input("x", FLOAT, &[Named("batch"), Fixed(1)]);
        graph.node(operator, &["x"], "score");
        graph.output("score", FLOAT, &[Named("batch"), Fixed(1)]);
        graph
    }

    /// price - count, of inputs in another order, types and shapes than the columns.
    fn per_column() -> GraphBuilder {
        let mut graph = GraphBuilder::new("per column");
        graph.input("count", INT64, &[Named("batch"), Fixed(1)]);
        graph.input("price", FLOAT, &[Named("batch")]);
        graph.node_with("Cast", &["count"], "count_float", &[("to", i64::from(FLOAT))]);
        graph.initializer("one", &[1], &[1.0]);
        graph.node_with("Flatten", &["price"], "price_column", &[("axis", 1)]);
        graph.node("Sub", &["price_column", "count_float"], "score");
        graph.output("score", FLOAT, &[Named("batch"), Fixed(1)]);
        graph
    }

    #[test]
    fn inputs_per_column_receive_their_columns() {
        let mut scorer = bind(per_column(), &["price", "count"]).unwrap();
        let mut scores = vec![99.0];
        scorer.score(&[10.5, 1.0, 20.5, 2.0, 30.5, 3.0], 3, &mut scores).unwrap();
        assert_eq!(scores, [9.5, 18.5, 27.5]);
        scorer.score(&[7.0, -16_777_216.0], 1, &mut scores).unwrap();
        assert_eq!(scores, [16_777_223.0]);
    }

    #[test]
    fn a_value_that_an_int64_input_cannot_take_is_named() {
        let mut scorer = bind(per_column(), &["price", "count"]).unwrap();
        let mut scores = Vec::new();
        insta::assert_snapshot!(
            scorer.score(&[1.0, 1.0, 1.0, 0.5], 2, &mut scores).unwrap_err(),
            @r#"column "count" is 0.5 in row 1, its model input is int64: only whole numbers up to 16777216 either way pass"#
        );
        for value in [f32::NAN, f32::INFINITY, 16_777_218.0] {
            assert!(scorer.score(&[1.0, value], 1, &mut scores).is_err(), "{value}");
        }
        assert!(scorer.score(&[1.0, 1.0], 1, &mut scores).is_ok());
    }

    #[test]
    fn scores_that_are_not_finite_are_counted_and_none_is_passed_on() {
        let mut scorer = bind(unary("Sqrt"), &["a"]).unwrap();
        let mut scores = Vec::new();
        insta::assert_snapshot!(
            scorer.score(&[4.0, -1.0, f32::INFINITY], 3, &mut scores).unwrap_err(),
            @"2 of 3 scores are NaN or infinite"
        );
        assert!(scores.is_empty());
        scorer.score(&[4.0, 9.0], 2, &mut scores).unwrap();
        assert_eq!(scores, [2.0, 3.0]);
    }

    #[test]
    fn a_matrix_of_another_size_is_refused_and_no_rows_give_no_scores() {
        let mut scorer = bind(unary("Relu"), &["a"]).unwrap();
        let mut scores = vec![1.0];
        insta::assert_snapshot!(
            scorer.score(&[1.0, 2.0], 3, &mut scores).unwrap_err(),
            @"the matrix has 2 values, 3 rows of 1 columns were announced"
        );
        assert!(scorer.score(&[1.0], usize::MAX, &mut scores).is_err());
        scorer.score(&[], 0, &mut scores).unwrap();
        assert!(scores.is_empty());
    }

    #[test]
    fn a_model_that_breaks_its_declared_shape_is_refused_when_bound() {
        let mut graph = GraphBuilder::new("mean");
        graph.input("x", FLOAT, &[Named("batch"), Named("width")]);
        graph.node_with("ReduceMean", &["x"], "score", &[("keepdims", 1)]);
        graph.output("score", FLOAT, &[Named("rows"), Named("columns")]);
        insta::assert_snapshot!(
            bind(graph, &["a"]).unwrap_err(),
            @r#"output "score" has shape [1, 1] for 2 rows: a score is [2] or [2, 1], or [2, columns] where class under [model] may name one"#
        );
    }
}
