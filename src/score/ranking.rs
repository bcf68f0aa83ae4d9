//! Scores → rankings.

use std::borrow::Cow;
use std::io::Write;

use bytes::Bytes;

use super::arms::{Arm, Arms};
use super::job::{Group, Job};
use super::scored::Failed;
use crate::feature::Unscorable;
use crate::model::{ModelError, ModelVersion};

/// Candidates that are named where they are left out: a ranking of which most are must not outgrow one of which none is.
const MOST_NAMED: usize = 100;

/// One ranking, ready to be sent.
#[derive(Debug)]
pub struct Ranked {
    /// `{"request_id", "user_id", "model", "as_of", "items": [{"item_id", "score"}, ...]}`, best first; with a control
    /// group also `"arm"`, `active` or `control`. Where candidates were left out also
    /// `"left_out": [{"item_id", "reason"}, ...]`, at most 100 of them, and `"left_out_in_all"` where there are more.
    pub payload: Bytes,
    /// The model that made it.
    pub model: ModelVersion,
    /// Rows of the job that have a score, best first.
    pub order: Vec<usize>,
    /// Why candidates were left out, if any were: the first of them.
    pub left_out: Option<String>,
    /// On how many of them the model failed, though their vectors were complete.
    pub failed: usize,
}

/// A candidate that has no score.
struct LeftOut<'a> {
    row: usize,
    reason: Cow<'a, str>,
}

/// Scores a job, at most `batch_rows` rows at a time: one ranking per group, in their order. `width` is a vector's, in words.
///
/// # Errors
/// A defect of this program: what a model fails on is left out of its ranking.
pub fn rank(arms: &mut Arms, job: &Job, width: usize, batch_rows: usize) -> Result<Vec<Ranked>, ModelError> {
    let scored = arms.score(job, width, batch_rows)?;
    let mut first = 0;
    let mut rankings = Vec::with_capacity(job.groups.len());
    for (group, arm) in job.groups.iter().zip(&scored.arms) {
        let rows = first..first + group.rows;
        first = rows.end;
        let failed = scored.failed_in(&rows);
        let left_out = left_out(job.matrix.unscorable_in(&rows), failed);
        let mut bad = left_out.iter().peekable();
        let mut order: Vec<usize> = rows.filter(|row| bad.next_if(|bad| bad.row == *row).is_none()).collect();
        // Equal outputs keep the order of the candidates.
        order.sort_by(|a, b| scored.outputs[*b].total_cmp(&scored.outputs[*a]));
        let mut out = Vec::with_capacity(96 + 40 * order.len());
        write_head(&mut out, arms, *arm, group);
        write_items(&mut out, job, &order, |row| arms.link(*arm).score(scored.outputs[row]));
        write_left_out(&mut out, job, &left_out);
        out.push(b'}');
        let left_out = left_out.into_iter().next().map(|first| first.reason.into_owned());
        let model = arms.version(*arm).clone();
        rankings.push(Ranked { payload: out.into(), model, order, left_out, failed: failed.len() });
    }
    Ok(rankings)
}

/// All that are left out, in the order of their rows.
fn left_out<'a>(unscorable: &'a [Unscorable], failed: &'a [Failed]) -> Vec<LeftOut<'a>> {
    let unscorable = unscorable.iter().map(|bad| LeftOut { row: bad.row, reason: Cow::from(&bad.reason) });
    let failed = failed.iter().map(|bad| LeftOut { row: bad.row, reason: Cow::from(&bad.reason) });
    let mut left_out: Vec<LeftOut<'_>> = unscorable.chain(failed).collect();
    left_out.sort_by_key(|bad| bad.row);
    left_out
}

fn write_head(out: &mut Vec<u8>, arms: &Arms, arm: Arm, group: &Group) {
    out.extend_from_slice(b"{\"request_id\":");
    to_memory(&serde_json::to_writer(&mut *out, &group.request_id));
    if let Some(user) = &group.user {
        out.extend_from_slice(b",\"user_id\":");
        out.extend_from_slice(user.as_bytes());
    }
    to_memory(&write!(out, ",\"model\":\"{}\"", arms.version(arm)));
    if arms.has_control() {
        out.extend_from_slice(if arm == Arm::Control { b",\"arm\":\"control\"" } else { b",\"arm\":\"active\"" });
    }
    to_memory(&write!(out, ",\"as_of\":{},\"items\":[", group.at.micros() / 1_000));
}

fn write_items(out: &mut Vec<u8>, job: &Job, order: &[usize], score: impl Fn(usize) -> f32) {
    for (place, row) in order.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"{\"item_id\":" } else { b",{\"item_id\":" });
        job.items.write_json(*row, out);
        to_memory(&write!(out, ",\"score\":{}}}", score(*row)));
    }
    out.push(b']');
}

fn write_left_out(out: &mut Vec<u8>, job: &Job, left_out: &[LeftOut<'_>]) {
    if left_out.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"left_out\":[");
    for (place, bad) in left_out.iter().take(MOST_NAMED).enumerate() {
        out.extend_from_slice(if place == 0 { b"{\"item_id\":" } else { b",{\"item_id\":" });
        job.items.write_json(bad.row, out);
        out.extend_from_slice(b",\"reason\":");
        to_memory(&serde_json::to_writer(&mut *out, &bad.reason));
        out.push(b'}');
    }
    out.push(b']');
    if left_out.len() > MOST_NAMED {
        to_memory(&write!(out, ",\"left_out_in_all\":{}", left_out.len()));
    }
}

/// Takes the outcome of writing to memory, which cannot fail.
fn to_memory<E>(written: &Result<(), E>) {
    debug_assert!(written.is_ok(), "writing to memory failed");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;
    use crate::feature::Matrix;
    use crate::model::onnx::{Dimension, Document, GraphBuilder, proto::data_type::FLOAT};
    use crate::model::{Binding, MlpSpec, Scorer, Session, build_mlp};
    use crate::score::ItemIds;
    use crate::time::EventTime;

    fn columns() -> Vec<String> {
        ["price", "views"].map(str::to_owned).to_vec()
    }

    fn scorer(seed: u64) -> Scorer {
        let spec = MlpSpec { columns: columns(), hidden: vec![4], dropout: 0.0, seed, fingerprint: "8a21".to_owned() };
        let binding = Binding { inputs: None, columns: &spec.columns, fingerprint: None, output: None };
        Session::from_bytes(&build_mlp(&spec).unwrap(), 1).unwrap().bind(&binding).unwrap()
    }

    /// Rankings of these sizes, over items 10, 11 and so on with these prices.
    fn job(prices: &[f32], sizes: &[usize]) -> Job {
        let bad = |(row, price): (usize, &f32)| {
            (!price.is_finite()).then_some(Unscorable { row, reason: format!("feature `price` is {price}") })
        };
        let group = |(nth, rows): (usize, &usize)| Group {
            request_id: format!("r{nth}"),
            user: Some(nth.to_string()),
            at: EventTime(0),
            shown: EventTime(0),
            arrived: EventTime(0),
            rows: *rows,
        };
        Job {
            matrix: Matrix {
                values: prices.iter().flat_map(|price| [*price, 1.0]).collect(),
                rows: prices.len(),
                unscorable: prices.iter().enumerate().filter_map(bad).collect(),
            },
            groups: sizes.iter().enumerate().map(group).collect(),
            items: ItemIds::new(Some(Arc::new(Int64Array::from_iter_values(10..10 + prices.len() as i64)))),
        }
    }

    /// By item.
    fn scores(reply: &serde_json::Value) -> BTreeMap<i64, f64> {
        let items = reply["items"].as_array().unwrap().iter();
        items.map(|item| (item["item_id"].as_i64().unwrap(), item["score"].as_f64().unwrap())).collect()
    }

    fn replies(arms: &mut Arms, job: &Job, batch_rows: usize) -> Vec<serde_json::Value> {
        let ranked = rank(arms, job, 2, batch_rows).unwrap();
        ranked.iter().map(|ranking| serde_json::from_slice(&ranking.payload).unwrap()).collect()
    }

    /// A model gave infinities and no numbers for such a row, which was taken for a failure of the whole batch.
    #[test]
    fn a_row_that_is_not_finite_is_left_out_and_named_and_all_others_keep_their_scores() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let flawed = job(&[inf, 1.0, 2.0, nan, -inf, 3.0, nan, 4.0, inf], &[4, 1, 2, 2]);
        let flawless = job(&[0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 0.0, 4.0, 0.0], &[4, 1, 2, 2]);
        let kept: [&[i64]; 4] = [&[11, 12], &[], &[15], &[17]];
        for batch_rows in [1, 2, 256] {
            for share in [0.0, 0.5, 1.0] {
                let mut arms = Arms::new(scorer(1)).with_control(scorer(2), share);
                let expected = replies(&mut arms, &flawless, batch_rows);
                let found = replies(&mut arms, &flawed, batch_rows);
                for ((items, expected), found) in kept.iter().zip(&expected).zip(&found) {
                    let (expected, found) = (scores(expected), scores(found));
                    assert_eq!(found.keys().copied().collect::<Vec<_>>(), *items);
                    for (item, score) in found {
                        assert!((score - expected[&item]).abs() < 1e-5, "{item}: {score}, not {}", expected[&item]);
                    }
                }
            }
        }
        let mut arms = Arms::new(scorer(1));
        let left_out = replies(&mut arms, &flawed, 256).swap_remove(0)["left_out"].to_string();
        insta::assert_snapshot!(left_out, @r#"[{"item_id":10,"reason":"feature `price` is inf"},{"item_id":13,"reason":"feature `price` is NaN"}]"#);
        let ranked = rank(&mut arms, &flawed, 2, 256).unwrap();
        let orders: Vec<_> = ranked.iter().map(|ranking| (ranking.order.len(), ranking.left_out.is_some())).collect();
        assert_eq!(orders, [(2, true), (0, true), (1, true), (1, true)]);
    }

    /// The probability of what costs `price`.
    fn sigmoid_of_the_price() -> Scorer {
        let mut graph = GraphBuilder::new("sigmoid");
        graph.input("price", FLOAT, &[Dimension::Named("batch")]);
        graph.input("views", FLOAT, &[Dimension::Named("batch")]);
        graph.initializer("none", &[1], &[0.0]);
        graph.node("Mul", &["views", "none"], "nothing");
        graph.node("Add", &["price", "nothing"], "logit");
        graph.node("Sigmoid", &["logit"], "score");
        graph.output("score", FLOAT, &[Dimension::Named("batch")]);
        let binding = Binding { inputs: None, columns: &columns(), fingerprint: None, output: None };
        Session::from_bytes(&Document::new(graph.finish()).write(), 1).unwrap().bind(&binding).unwrap()
    }

    /// From a logit of 15.84 on all candidates had one score, 1.0000001, and below -15.84 all had none.
    #[test]
    fn candidates_are_ranked_by_their_logits_also_where_their_probabilities_are_all_but_the_same() {
        let prices = [-30.0, 20.0, 40.0, -16.5, 30.0, -16.0, 0.5];
        let reply = replies(&mut Arms::new(sigmoid_of_the_price()), &job(&prices, &[7]), 256).swap_remove(0);
        insta::assert_snapshot!(reply["items"].to_string(), @r#"[{"item_id":12,"score":1},{"item_id":14,"score":1},{"item_id":11,"score":1},{"item_id":16,"score":0.62245935},{"item_id":15,"score":1.1253516e-7},{"item_id":13,"score":6.825603e-8},{"item_id":10,"score":9.357623e-14}]"#);
    }

    #[test]
    fn as_many_as_can_be_read_are_named_and_all_are_counted() {
        for (bad, in_all) in [(MOST_NAMED, None), (MOST_NAMED + 1, Some(MOST_NAMED + 1))] {
            let prices: Vec<f32> = std::iter::once(1.0).chain(std::iter::repeat_n(f32::INFINITY, bad)).collect();
            let reply = replies(&mut Arms::new(scorer(1)), &job(&prices, &[prices.len()]), 256).swap_remove(0);
            assert_eq!(reply["left_out"].as_array().unwrap().len(), MOST_NAMED);
            assert_eq!(reply["left_out_in_all"].as_u64(), in_all.map(|count| count as u64));
            assert_eq!(scores(&reply).keys().copied().collect::<Vec<_>>(), [10]);
        }
    }

    #[test]
    fn nothing_is_said_of_what_was_left_out_where_nothing_was() {
        let ranked = rank(&mut Arms::new(scorer(1)), &job(&[1.0], &[1]), 2, 256).unwrap();
        let payload = String::from_utf8(ranked[0].payload.to_vec()).unwrap();
        assert!(payload.starts_with(r#"{"request_id":"r0","user_id":0,"model":""#), "{payload}");
        assert!(payload.ends_with("}]}") && !payload.contains("left_out"), "{payload}");
        assert!(ranked[0].left_out.is_none());
    }
}
