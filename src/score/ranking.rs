//! Scores → rankings.

use std::io::Write;

use bytes::Bytes;

use super::job::Job;
use crate::model::{ModelError, Scorer};

/// One ranking, ready to be sent.
#[derive(Debug)]
pub struct Ranked {
    /// `{"request_id", "user_id", "model", "as_of", "items": [{"item_id", "score"}, ...]}`, best first.
    pub payload: Bytes,
    /// How many candidates have a score.
    pub scored: usize,
    /// Why candidates were left out, if any were: the first of them.
    pub left_out: Option<String>,
}

/// Scores a job, at most `batch_rows` rows at a time: one ranking per group, in their order. `columns` are the vector's.
///
/// # Errors
/// When the model fails on the whole batch.
pub fn rank(scorer: &mut Scorer, job: &Job, columns: &[String], batch_rows: usize) -> Result<Vec<Ranked>, ModelError> {
    let mut scores = Vec::with_capacity(job.matrix.rows);
    let mut part = Vec::new();
    for values in job.matrix.values.chunks(batch_rows.max(1) * columns.len().max(1)) {
        scorer.score(values, values.len() / columns.len().max(1), &mut part)?;
        scores.extend_from_slice(&part);
    }
    let mut unscorable = job.matrix.unscorable.iter().peekable();
    let mut first = 0;
    let mut order: Vec<usize> = Vec::new();
    let mut rankings = Vec::with_capacity(job.groups.len());
    for group in &job.groups {
        let rows = first..first + group.rows;
        first = rows.end;
        let mut left_out = None;
        order.clear();
        order.extend(rows.clone());
        while let Some(bad) = unscorable.next_if(|bad| rows.contains(&bad.row)) {
            order.retain(|row| *row != bad.row);
            let column = columns.get(bad.column).map_or("?", String::as_str);
            let value = bad.value.map_or_else(|| "NULL".to_owned(), |value| value.to_string());
            left_out.get_or_insert_with(|| format!("feature `{column}` is {value}"));
        }
        // Equal scores keep the order of the candidates.
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let mut out = Vec::with_capacity(96 + 40 * order.len());
        write_ranking(&mut out, scorer, job, group, &order, &scores);
        rankings.push(Ranked { payload: out.into(), scored: order.len(), left_out });
    }
    Ok(rankings)
}

fn write_ranking(
    out: &mut Vec<u8>,
    scorer: &Scorer,
    job: &Job,
    group: &super::job::Group,
    order: &[usize],
    scores: &[f32],
) {
    out.extend_from_slice(b"{\"request_id\":");
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(&mut *out, &group.request_id).is_ok();
    if let Some(user) = &group.user {
        out.extend_from_slice(b",\"user_id\":");
        out.extend_from_slice(user.as_bytes());
    }
    let _ =
        write!(out, ",\"model\":\"{}\",\"as_of\":{},\"items\":[", scorer.version(), group.at_micros / 1_000).is_ok();
    for (place, row) in order.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"{\"item_id\":" } else { b",{\"item_id\":" });
        job.items.write_json(*row, out);
        let _ = write!(out, ",\"score\":{}}}", scores[*row]).is_ok();
    }
    out.extend_from_slice(b"]}");
}
