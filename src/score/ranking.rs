//! Scores → rankings.

use std::io::Write;

use bytes::Bytes;

use super::arms::{Arm, Arms};
use super::job::{Group, Job};
use crate::model::ModelError;

/// One ranking, ready to be sent.
#[derive(Debug)]
pub struct Ranked {
    /// `{"request_id", "user_id", "model", "as_of", "items": [{"item_id", "score"}, ...]}`, best first; with a control
    /// group also `"arm"`, `active` or `control`.
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
    let mut unscorable = job.matrix.unscorable.iter().peekable();
    let mut first = 0;
    let mut rankings = Vec::with_capacity(job.groups.len());
    for (group, arm) in job.groups.iter().zip(arm_of_group) {
        let rows = first..first + group.rows;
        first = rows.end;
        let mut left_out = None;
        let mut order: Vec<usize> = rows.clone().collect();
        while let Some(bad) = unscorable.next_if(|bad| rows.contains(&bad.row)) {
            order.retain(|row| *row != bad.row);
            let column = columns.get(bad.column).map_or("?", String::as_str);
            let value = bad.value.map_or_else(|| "NULL".to_owned(), |value| value.to_string());
            left_out.get_or_insert_with(|| format!("feature `{column}` is {value}"));
        }
        // Equal scores keep the order of the candidates.
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let mut out = Vec::with_capacity(96 + 40 * order.len());
        write_head(&mut out, arms, arm, group);
        write_items(&mut out, job, &order, &scores);
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
    to_memory(&write!(out, ",\"as_of\":{},\"items\":[", group.at_micros / 1_000));
}

fn write_items(out: &mut Vec<u8>, job: &Job, order: &[usize], scores: &[f32]) {
    for (place, row) in order.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"{\"item_id\":" } else { b",{\"item_id\":" });
        job.items.write_json(*row, out);
        to_memory(&write!(out, ",\"score\":{}}}", scores[*row]));
    }
    out.extend_from_slice(b"]}");
}

/// Takes the outcome of writing to memory, which cannot fail.
fn to_memory<E>(written: &Result<(), E>) {
    debug_assert!(written.is_ok(), "writing to memory failed");
}
