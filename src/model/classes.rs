//! Whether two numbers per row are the probabilities of two classes, or the scores of two tasks: it shows when the model is
//! run on vectors that differ.

use super::{Link, ModelError, batches::Batches, scorer::TRIAL_ROWS};

/// How far the two may be from adding up to 1, and each from being a probability.
const ROUNDING: f32 = 1e-3;

/// Refuses an output of two numbers per row that are not the probabilities of two classes. Outputs of other shapes pass.
///
/// # Errors
/// [`ModelError::NotTwoClasses`], or what a run on zeros failed with.
pub(super) fn check(batches: &mut Batches, (output, link): (&str, Link)) -> Result<(), ModelError> {
    let columns = batches.inputs().len();
    let zeros = vec![0.0; TRIAL_ROWS * batches.inputs().width()];
    let Some(doubt) = doubt(batches, link, &zeros, TRIAL_ROWS)? else { return Ok(()) };
    // Whatever the weights, two sigmoids of zeros are 0.5 each. Ids of 0 and 1 are in every table worth the name.
    let every_other = |first: usize| -> Vec<f32> {
        (0..columns).map(|column| if (column + first).is_multiple_of(2) { 0.0 } else { 1.0 }).collect()
    };
    let mut differing = Vec::new();
    for numbers in [vec![1.0; columns], every_other(0), every_other(1)] {
        batches.inputs().append_row(&numbers, &mut differing);
    }
    let reason = match (doubt, self::doubt(batches, link, &differing, 3)) {
        (Doubt::Row(reason), _) | (_, Ok(Some(Doubt::Row(reason)))) => reason,
        (_, Err(error)) => format!("which can't be shown: {error}"),
        (Doubt::None, Ok(_)) => return Ok(()),
    };
    Err(ModelError::NotTwoClasses { output: output.to_owned(), reason })
}

/// What a run says of two numbers per row.
enum Doubt {
    None,
    /// The first row that is no pair of probabilities.
    Row(String),
}

/// Runs the model on vectors; nothing where it gives another shape than two numbers per row.
fn doubt(batches: &mut Batches, link: Link, matrix: &[f32], rows: usize) -> Result<Option<Doubt>, ModelError> {
    let mut found = None;
    batches.run(matrix, rows, |shape, values, _| {
        if let [_, 2, rest @ ..] = shape
            && rest.iter().all(|dim| *dim == 1)
            && !matches!(found, Some(Doubt::Row(_)))
        {
            let mut pairs = values.as_chunks::<2>().0.iter().map(|pair| pair.map(|output| link.score(output)));
            found = Some(pairs.find_map(row_in_doubt).map_or(Doubt::None, Doubt::Row));
        }
        Ok(())
    })?;
    Ok(found)
}

fn row_in_doubt([one, other]: [f32; 2]) -> Option<String> {
    let is_probability = |number: f32| (-ROUNDING..=1.0 + ROUNDING).contains(&number);
    let are_classes = is_probability(one) && is_probability(other) && (one + other - 1.0).abs() <= ROUNDING;
    (!are_classes).then(|| format!("such as {one} and {other}"))
}

#[cfg(test)]
mod tests {
    use super::row_in_doubt;
    use crate::model::onnx::{
        Dimension::{Fixed, Named},
        Document, GraphBuilder,
        proto::data_type::FLOAT,
    };
    use crate::model::{Binding, Class, ModelError, ScoreOutput, Session};

    /// Two numbers per row: an operator over `x [batch, 2]` times weights.
    fn scores(operator: &str, class: Option<usize>) -> Result<Vec<f32>, ModelError> {
        let mut graph = GraphBuilder::new("two");
        graph.input("x", FLOAT, &[Named("batch"), Fixed(2)]);
        graph.initializer("weights", &[2, 2], &[1.0, -2.0, 3.0, 0.5]);
        graph.node("MatMul", &["x", "weights"], "logits");
        graph.node(operator, &["logits"], "two");
        graph.output("two", FLOAT, &[Named("batch"), Fixed(2)]);
        let columns = ["a", "b"].map(str::to_owned);
        let class = class.map(Class::At);
        let output = Some(ScoreOutput { name: None, class: class.as_ref() });
        let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output };
        let mut scorer = Session::from_bytes(&Document::new(graph.finish()).write(), 1).unwrap().bind(&binding)?;
        let mut scores = Vec::new();
        scorer.score(&[1.0, 0.0, 0.0, 1.0], 2, &mut scores)?;
        Ok(scores)
    }

    fn sigmoid(logit: f32) -> f32 {
        1.0 / (1.0 + (-logit).exp())
    }

    fn assert_near(scores: &[f32], expected: [f32; 2]) {
        let near = scores.iter().zip(expected).all(|(score, expected)| (score - expected).abs() < 1e-5);
        assert!(near && scores.len() == 2, "{scores:?} {expected:?}");
    }

    #[test]
    fn of_two_classes_the_second_is_the_score_unless_the_first_is_named() {
        // A softmax of two is a sigmoid of the difference.
        let second = [sigmoid(-3.0), sigmoid(-2.5)];
        assert_near(&scores("Softmax", None).unwrap(), second);
        assert_near(&scores("Softmax", Some(1)).unwrap(), second);
        assert_near(&scores("Softmax", Some(0)).unwrap(), second.map(|probability| 1.0 - probability));
    }

    /// The second of two tasks was taken for the probability of class 1.
    #[test]
    fn two_tasks_are_not_taken_for_two_classes() {
        let error = scores("Sigmoid", None).unwrap_err();
        assert!(matches!(error, ModelError::NotTwoClasses { .. }), "{error}");
        let (said, way_out) = (error.to_string(), "say which is the score with class = 0 or class = 1 under [model]");
        assert!(
            said.starts_with("output \"two\"") && said.contains("such as 0.98") && said.ends_with(way_out),
            "{said}"
        );
        assert_near(&scores("Sigmoid", Some(0)).unwrap(), [sigmoid(1.0), sigmoid(3.0)]);
        assert_near(&scores("Sigmoid", Some(1)).unwrap(), [sigmoid(-2.0), sigmoid(0.5)]);
    }

    /// Three of three columns, which add up to one.
    #[test]
    fn of_many_columns_the_one_that_is_named_is_the_score() {
        let mut graph = GraphBuilder::new("three");
        graph.input("x", FLOAT, &[Named("batch"), Fixed(3)]);
        graph.node_with("Softmax", &["x"], "three", &[("axis", 1)]);
        graph.output("three", FLOAT, &[Named("batch"), Fixed(3)]);
        let bytes = Document::new(graph.finish()).write();
        let columns = ["a", "b", "c"].map(str::to_owned);
        let x = [1.0_f32, 2.0, 4.0, 0.5, 0.0, -1.0];
        let mut all = Vec::new();
        for class in (0..3).map(Class::At) {
            let output = Some(ScoreOutput { name: None, class: Some(&class) });
            let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output };
            let mut scores = Vec::new();
            Session::from_bytes(&bytes, 1).unwrap().bind(&binding).unwrap().score(&x, 2, &mut scores).unwrap();
            all.push(scores);
        }
        for (row, x) in x.chunks(3).enumerate() {
            let total: f32 = x.iter().map(|x| x.exp()).sum();
            assert!((0..3).all(|class| (all[class][row] - x[class].exp() / total).abs() < 1e-6), "{all:?}");
        }
        let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
        let refused = Session::from_bytes(&bytes, 1).unwrap().bind(&binding).unwrap_err().to_string();
        assert!(refused.contains("say which with class under [model]"), "{refused}");
    }

    #[test]
    fn a_pair_is_of_probabilities_where_it_adds_up_to_one() {
        for pair in [[0.0, 1.0], [0.5, 0.5], [0.300_000_1, 0.7], [1.000_000_1, 0.0]] {
            assert_eq!(row_in_doubt(pair), None);
        }
        for pair in [[0.5, 0.6], [-1.0, 2.0], [f32::NAN, 1.0], [0.0, 0.0], [f32::INFINITY, 1.0]] {
            assert!(row_in_doubt(pair).is_some(), "{pair:?}");
        }
    }
}
