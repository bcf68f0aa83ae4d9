//! Rows as they were evaluated, and what they displaced, as the columns of a section, and back.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};

use super::columns::Columns;
use super::{Named, longs, numbered, slots_column};
use crate::window::WindowError;
use crate::window::asof::plan::FeaturePlan;
use crate::window::asof::recent::{DistinctInput, LastInput, MergedInput, RecentBatch, Values};

pub(super) fn recent_columns(batch: &RecentBatch) -> Named {
    let mut columns = vec![longs(batch.times.to_vec()), slots_column(batch.slots.clone())];
    columns.extend(batch.running.iter().map(|running| longs(running.clone())));
    let values = |values: &Values| -> [ArrayRef; 2] {
        [longs(values.words.clone()), Arc::new(BooleanArray::new(values.is_valid.clone(), None))]
    };
    for input in &batch.distinct {
        columns.extend(values(&input.values));
        columns.push(longs(input.before.clone()));
    }
    for input in &batch.last {
        columns.extend(values(&input.values));
        columns.extend([longs(input.evicted_times.clone()), longs(input.evicted_words.clone())]);
    }
    for input in &batch.merged {
        columns.extend(input.arguments.iter().cloned());
        if let Some(filter) = &input.filter {
            columns.push(Arc::new(filter.clone()));
        }
    }
    numbered("column", columns)
}

pub(super) fn read_recent(plan: &FeaturePlan, columns: &mut Columns, keys: usize) -> Result<RecentBatch, WindowError> {
    let (times, slots) = (columns.longs()?, columns.slots(keys, true)?);
    let mut running = Vec::with_capacity(plan.running.len());
    for _ in &plan.running {
        running.push(columns.longs()?);
    }
    let mut distinct = Vec::with_capacity(plan.distinct.len());
    for _ in &plan.distinct {
        distinct.push(DistinctInput { values: columns.values()?, before: columns.longs()? });
    }
    let mut last = Vec::with_capacity(plan.last.len());
    for _ in &plan.last {
        let values = columns.values()?;
        last.push(LastInput { values, evicted_times: columns.longs()?, evicted_words: columns.longs()? });
    }
    let mut merged = Vec::with_capacity(plan.merged.len());
    for aggregate in &plan.merged {
        let arguments: Result<_, WindowError> = aggregate.arguments.iter().map(|_| columns.next().cloned()).collect();
        let filter = aggregate.filter.as_ref().map(|_| columns.booleans().cloned()).transpose()?;
        merged.push(MergedInput { arguments: arguments?, filter });
    }
    Ok(RecentBatch::new(times, slots, running, distinct, last, merged))
}
