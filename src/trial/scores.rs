//! Rankings, beside what a case expects of them whatever the model's weights are.

use serde_json::Value;

use super::case::Score;
use super::error::TrialError;
use super::events::micros;
use super::json_rows::check_exact;
use super::moment::other_moment;
use crate::pipeline::Pipeline;
use crate::score::{Arms, rank};
use crate::step::Step;
use crate::time::EventTime;

/// Asks for a ranking as a client would.
pub(super) fn check_score(
    pipeline: &Pipeline,
    step: &mut Step,
    scorer: &mut Arms,
    score: &Score,
    faults: &mut Vec<String>,
) -> Result<(), TrialError> {
    let plan = pipeline.score.as_ref().ok_or(TrialError::NoScore)?;
    if let Some((_, contract)) = &plan.service {
        check_exact(contract.schema(), &score.request)?;
    }
    let mut request = score.request.clone();
    let at = micros(&score.at)?;
    request.entry(plan.time.column.clone()).or_insert_with(|| Value::from(at / plan.time.unit.micros()));
    let output = step.requests(&[serde_json::to_vec(&request)?.into()], EventTime(at))?;
    if let Some((_, reason)) = output.refused.into_iter().next() {
        return Err(TrialError::Refused(reason));
    }
    let as_of = |index: &usize| pipeline.tables.get(*index).is_some_and(|table| table.plan.as_of().is_some());
    let tables: Vec<usize> = pipeline.vector.iter().flat_map(|vector| vector.tables()).filter(as_of).collect();
    if let Some(group) = output.job.groups.first()
        && let Some(fault) = other_moment(pipeline, step, tables, group.at)
    {
        faults.push(format!("ranking of {:?} at {}: {fault}", score.request, group.at));
        return Ok(());
    }
    let width = pipeline.vector.as_ref().map_or(0, |vector| vector.inputs().width());
    let rankings = rank(scorer, &output.job, width, plan.batch_rows)?;
    let ranking = rankings.first().ok_or(TrialError::NoRanking)?;
    let reply: Value = serde_json::from_slice(&ranking.payload)?;
    let scores: Vec<f64> =
        reply["items"].as_array().into_iter().flatten().filter_map(|item| item["score"].as_f64()).collect();
    if scores.len() != score.expect.items {
        faults.push(format!(
            "ranking of {:?}: expected {} items, found {}",
            score.request,
            score.expect.items,
            scores.len()
        ));
    }
    if !scores.is_sorted_by(|a, b| a >= b) {
        faults.push(format!("ranking of {:?} is not in descending order: {scores:?}", score.request));
    }
    Ok(())
}
