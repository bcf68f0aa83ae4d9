//! A model that serves and is slow at it, or that does not do what its settings say: what `check` warns of.

use crate::feature::IfNull;
use crate::model::{FixedBatch, Scorer, Session, free_batch};
use crate::pipeline::Pipeline;

/// What is risky about the model, each with advice.
pub(super) fn of_model(pipeline: &Pipeline) -> Vec<(String, String)> {
    let (Some(model), Some(vector)) = (&pipeline.model, &pipeline.vector) else { return Vec::new() };
    // It has been bound before: what can't be is a problem, and no risk.
    let bound = Session::from_bytes(&model.bytes, 1).and_then(|session| session.bind(&model.binding(vector)));
    let Ok(mut scorer) = bound else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(FixedBatch { input, rows }) = scorer.fixed_batch() {
        found.push((
            format!(
                "input {input:?} takes exactly {rows} row(s): the model is run once for every {rows}, which is slower than one run \
                 for the whole batch"
            ),
            format!("export the model with a first dimension that is free: {}", free_batch(input)),
        ));
    }
    let columns = vector.described().iter().map(|column| column.if_null);
    for name in refused_nan(&mut scorer, columns).into_iter().filter_map(|number| vector.columns().get(number)) {
        found.push((
            format!("column \"{name}\": the model gives no score where it is NaN, so rows in which it is NULL have none"),
            format!(
                "take \"{name}\" out of `missing` and say with coalesce(...) in vector.sql what NULL becomes, or export a model \
                 that was trained with missing values"
            ),
        ));
    }
    found
}

/// The columns that may be NaN, and for which the model then has no score whatever the others hold.
fn refused_nan(scorer: &mut Scorer, columns: impl Iterator<Item = IfNull>) -> Vec<usize> {
    let columns: Vec<IfNull> = columns.collect();
    let mut refused = Vec::new();
    for (number, _) in columns.iter().enumerate().filter(|(_, if_null)| if_null.is_nan()) {
        let mut has_score = |others: f32| {
            let numbers = (0..columns.len()).map(|column| if column == number { f32::NAN } else { others });
            let (numbers, mut row, mut scores) = (numbers.collect::<Vec<_>>(), Vec::new(), Vec::new());
            scorer.inputs().append_row(&numbers, &mut row);
            scorer.score(&row, 1, &mut scores).is_ok()
        };
        if !has_score(0.0) && !has_score(1.0) {
            refused.push(number);
        }
    }
    refused
}
