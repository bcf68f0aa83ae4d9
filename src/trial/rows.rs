//! Rows of feature tables, beside what a case expects.

use std::collections::BTreeMap;

use arrow::datatypes::Schema;

use super::case::Row;
use super::error::TrialError;
use super::events::micros;
use super::json_rows::{as_json, one_row, same};
use crate::feature::LiveReads;
use crate::pipeline::Pipeline;
use crate::step::Step;
use crate::time::EventTime;

/// Looks a row up as a vector would.
pub(super) fn check_row(
    pipeline: &Pipeline,
    step: &mut Step,
    row: &Row,
    faults: &mut Vec<String>,
) -> Result<(), TrialError> {
    let index = pipeline.tables.iter().position(|table| table.plan.name() == row.table).ok_or(TrialError::NoTable)?;
    let plan = &pipeline.tables[index].plan;
    let mut keys = Vec::new();
    for (key, place) in plan.keys()? {
        let value = row.key.get(key).ok_or_else(|| TrialError::NoKey(key.to_owned()))?;
        let field = plan.schema().field(place).clone();
        keys.extend(one_row(&Schema::new(vec![field]), &BTreeMap::from([(key.to_owned(), value.clone())]))?);
    }
    let table = &mut step.tables_mut()[index];
    let (mut slots, mut reads) = (Vec::new(), LiveReads::default());
    table.look_up(&keys, 1, &mut slots)?;
    let at = match (&row.at, plan.as_of()) {
        (Some(at), _) => EventTime(micros(at)?),
        (None, None) => EventTime::default(),
        (None, Some(_)) => return Err(TrialError::NoTime),
    };
    table.read(slots[0], at, &mut reads);
    let found = as_json(&table.evaluate(&reads)?)?.pop().ok_or(TrialError::NoRow)?;
    let label = format!("{} {:?} at {}", row.table, row.key, row.at.as_deref().unwrap_or("the end"));
    let exists = found.values().any(|value| !value.is_null());
    if row.missing == exists {
        faults.push(format!("{label}: {}", if exists { "there is a row" } else { "there is no row" }));
    }
    for (column, expected) in &row.expect {
        let value = found.get(column).ok_or_else(|| TrialError::NoColumn(column.clone()))?;
        if !same(expected, value) {
            faults.push(format!("{label}: {column}: expected {expected}, found {value}"));
        }
    }
    Ok(())
}
