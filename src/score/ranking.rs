//! Scores → rankings.

use std::io::Write;

use bytes::Bytes;

use super::arms::{Arm, Arms};
use super::job::{Group, Job};
use crate::feature::Unscorable;
use crate::model::ModelError;

/// Candidates that are named where they are left out: a ranking of which most are must not outgrow one of which none is.
const MOST_NAMED: usize = 100;

/// One ranking, ready to be sent.
#[derive(Debug)]
pub struct Ranked {
    /// `{"request_id", "user_id", "model", "as_of", "items": [{"item_id", "score"}, ...]}`, best first; with a control
    /// group also `"arm"`, `active` or `control`. Where candidates were left out also
    /// `"left_out": [{"item_id", "reason"}, ...]`, at most 100 of them, and `"left_out_in_all"` where there are more.
    pub payload: Bytes,
    /// Rows of the job that have a score, best first.
    pub order: Vec<usize>,
    /// Why candidates were left out, if any were: the first of them.
    pub left_out: Option<String>,
}

/// Scores a job, at most `batch_rows` rows at a time: one ranking per group, in their order. `columns` are the vector's.
///
/// # Errors
/// When the model fails on the whole batch.
pub fn rank(arms: &mut Arms, job: &Job, columns: &[String], batch_rows: usize) -> Result<Vec<Ranked>, ModelError> {
    let (mut scores, mut arm_of_group) = (Vec::with_capacity(job.matrix.rows), Vec::with_capacity(job.groups.len()));
    arms.score(job, columns.len(), batch_rows, &mut scores, &mut arm_of_group)?;
    let mut first = 0;
    let mut rankings = Vec::with_capacity(job.groups.len());
    for (group, arm) in job.groups.iter().zip(arm_of_group) {
        let rows = first..first + group.rows;
        first = rows.end;
        let unscorable = job.matrix.unscorable_in(&rows);
        let mut bad = unscorable.iter().peekable();
        let mut order: Vec<usize> = rows.filter(|row| bad.next_if(|bad| bad.row == *row).is_none()).collect();
        // Equal scores keep the order of the candidates.
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let mut out = Vec::with_capacity(96 + 40 * order.len());
        write_head(&mut out, arms, arm, group);
        write_items(&mut out, job, &order, &scores);
        write_left_out(&mut out, job, unscorable, columns);
        out.push(b'}');
        let left_out = unscorable.first().map(|bad| bad.reason(columns));
        rankings.push(Ranked { payload: out.into(), order, left_out });
    }
    Ok(rankings)
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

fn write_items(out: &mut Vec<u8>, job: &Job, order: &[usize], scores: &[f32]) {
    for (place, row) in order.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"{\"item_id\":" } else { b",{\"item_id\":" });
        job.items.write_json(*row, out);
        to_memory(&write!(out, ",\"score\":{}}}", scores[*row]));
    }
    out.push(b']');
}

fn write_left_out(out: &mut Vec<u8>, job: &Job, unscorable: &[Unscorable], columns: &[String]) {
    if unscorable.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"left_out\":[");
    for (place, bad) in unscorable.iter().take(MOST_NAMED).enumerate() {
        out.extend_from_slice(if place == 0 { b"{\"item_id\":" } else { b",{\"item_id\":" });
        job.items.write_json(bad.row, out);
        out.extend_from_slice(b",\"reason\":");
        to_memory(&serde_json::to_writer(&mut *out, &bad.reason(columns)));
        out.push(b'}');
    }
    out.push(b']');
    if unscorable.len() > MOST_NAMED {
        to_memory(&write!(out, ",\"left_out_in_all\":{}", unscorable.len()));
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
    use crate::model::{Binding, MlpSpec, Scorer, Session, build_mlp};
    use crate::score::ItemIds;
    use crate::time::EventTime;

    fn columns() -> Vec<String> {
        ["price", "views"].map(str::to_owned).to_vec()
    }

    fn scorer(seed: u64) -> Scorer {
        let spec = MlpSpec { columns: columns(), hidden: vec![4], dropout: 0.0, seed, fingerprint: "8a21".to_owned() };
        let binding = Binding { columns: &spec.columns, fingerprint: None, output: None };
        Session::from_bytes(&build_mlp(&spec).unwrap(), 1).unwrap().bind(&binding).unwrap()
    }

    /// Rankings of these sizes, over items 10, 11 and so on with these prices.
    fn job(prices: &[f32], sizes: &[usize]) -> Job {
        let bad = |(row, price): (usize, &f32)| {
            (!price.is_finite()).then_some(Unscorable { row, column: 0, value: Some(*price) })
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
        let ranked = rank(arms, job, &columns(), batch_rows).unwrap();
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
        let ranked = rank(&mut arms, &flawed, &columns(), 256).unwrap();
        let orders: Vec<_> = ranked.iter().map(|ranking| (ranking.order.len(), ranking.left_out.is_some())).collect();
        assert_eq!(orders, [(2, true), (0, true), (1, true), (1, true)]);
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
        let ranked = rank(&mut Arms::new(scorer(1)), &job(&[1.0], &[1]), &columns(), 256).unwrap();
        let payload = String::from_utf8(ranked[0].payload.to_vec()).unwrap();
        assert!(payload.starts_with(r#"{"request_id":"r0","user_id":0,"model":""#), "{payload}");
        assert!(payload.ends_with("}]}") && !payload.contains("left_out"), "{payload}");
        assert!(ranked[0].left_out.is_none());
    }
}
