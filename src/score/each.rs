//! The score of every row, for whoever compares them with others.

use super::arms::{Arm, Arms};
use super::job::{Group, Job};
use crate::feature::Matrix;
use crate::model::{ModelError, Scorer};
use crate::time::EventTime;

/// What a model says of vectors, row by row as it serves them: their scores, or why there is none. At most `batch_rows` of them are
/// scored at a time.
///
/// # Errors
/// A defect of this program.
pub(crate) fn score_each(
    scorer: Scorer,
    matrix: Matrix,
    batch_rows: usize,
) -> Result<Vec<Result<f32, String>>, ModelError> {
    let width = scorer.inputs().width();
    let mut arms = Arms::new(scorer);
    let time = EventTime(0);
    let all = Group { request_id: String::new(), user: None, at: time, shown: time, arrived: time, rows: matrix.rows };
    let job = Job { matrix, groups: vec![all], ..Job::default() };
    let scored = arms.score(&job, width, batch_rows)?;
    let link = arms.link(Arm::Active);
    let mut scores: Vec<_> = scored.outputs.iter().map(|output| Ok(link.score(*output))).collect();
    let bad = job.matrix.unscorable.iter().map(|bad| (bad.row, &bad.reason));
    for (row, reason) in bad.chain(scored.failed.iter().map(|failed| (failed.row, &failed.reason))) {
        if let Some(score) = scores.get_mut(row) {
            *score = Err(reason.clone());
        }
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature::Unscorable;
    use crate::model::onnx::{Dimension::Named, Document, GraphBuilder, proto::data_type::FLOAT};
    use crate::model::{Binding, Session};

    #[test]
    fn rows_without_a_score_say_why_and_the_others_are_probabilities_of_their_logits() {
        let mut graph = GraphBuilder::new("root");
        graph.input("x", FLOAT, &[Named("batch")]);
        graph.node("Sqrt", &["x"], "z");
        graph.node("Sigmoid", &["z"], "p");
        graph.output("p", FLOAT, &[Named("batch")]);
        let columns = ["x".to_owned()];
        let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
        let bytes = Document::new(graph.finish()).write();
        let scorer = Session::from_bytes(&bytes, 1).unwrap().bind(&binding).unwrap();
        let unscorable = vec![Unscorable { row: 1, reason: "feature `x` is NULL".to_owned() }];
        let matrix = Matrix { values: vec![4.0, 0.0, -1.0, 0.0], rows: 4, unscorable };
        let scores = score_each(scorer, matrix, 2).unwrap();
        let sure = 1.0 / (1.0 + (-2.0_f32).exp());
        assert!((scores[0].as_ref().unwrap() - sure).abs() < 1e-6);
        assert_eq!(scores[1], Err("feature `x` is NULL".to_owned()));
        assert_eq!(scores[2..], [Err("the model's score is NaN".to_owned()), Ok(0.5)]);
    }
}
