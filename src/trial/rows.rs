//! Rows of feature tables, beside what a case expects.

use std::collections::BTreeMap;

use arrow::array::Array;
use arrow::datatypes::Schema;

use super::case::Row;
use super::error::TrialError;
use super::events::micros;
use super::json_rows::one_row;
use super::moment::other_moment;
use super::value::shown;
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
    let at = match (&row.at, plan.as_of()) {
        (Some(at), _) => EventTime(micros(at)?),
        (None, None) => EventTime::default(),
        (None, Some(_)) => return Err(TrialError::NoTime),
    };
    let label = format!("{} {:?} at {}", row.table, row.key, row.at.as_deref().unwrap_or("the end"));
    // Without a moment, what is looked up is the newest row of the table, whenever that is.
    if row.at.is_some()
        && let Some(fault) = other_moment(pipeline, step, [index], at)
    {
        faults.push(format!("{label}: {fault}"));
        return Ok(());
    }
    let table = &mut step.tables_mut()[index];
    let (mut slots, mut reads) = (Vec::new(), LiveReads::default());
    table.look_up(&keys, 1, &mut slots)?;
    table.read(*slots.first().ok_or(TrialError::NoRow)?, at, &mut reads);
    let mut failed = Vec::new();
    let found = table.evaluate_noting(&reads, &mut failed)?;
    if found.num_rows() == 0 {
        return Err(TrialError::NoRow);
    }
    let exists = found.columns().iter().any(|column| column.is_valid(0));
    if row.missing == exists {
        faults.push(format!("{label}: {}", if exists { "there is a row" } else { "there is no row" }));
    }
    for (column, expected) in &row.expect {
        let (place, _) = found.schema().column_with_name(column).ok_or_else(|| TrialError::NoColumn(column.clone()))?;
        let value = found.column(place);
        if !expected.is_in(value, 0)? {
            let why = failed.iter().find(|failed| failed.column == place).map(|value| &value.failed);
            let why = why.map(|failed| format!(": `{}` fails with {}", failed.expression, failed.reason));
            let (found, why) = (shown(value, 0)?, why.unwrap_or_default());
            faults.push(format!("{label}: {column}: expected {expected}, found {found}{why}"));
        }
    }
    Ok(())
}
