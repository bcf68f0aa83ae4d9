//! What tables of windows have emitted, beside what a test case expects.

use serde_json::{Map, Value};

use super::case::Emits;
use super::error::TrialError;
use super::json_rows::{as_json, same};
use crate::pipeline::Pipeline;
use crate::step::Emitted;

/// Compares the rows of a table, in the order in which they were emitted.
pub(super) fn check_emits(
    pipeline: &Pipeline,
    emissions: &[Emitted],
    expected: &Emits,
    faults: &mut Vec<String>,
) -> Result<(), TrialError> {
    let table = pipeline.table_named(&expected.table);
    let table = table.ok_or(TrialError::NoTable)?;
    if pipeline.table(table).plan.windows().is_none() {
        return Err(TrialError::EmitsNothing);
    }
    let mut found: Vec<(&str, Map<String, Value>)> = Vec::new();
    for emission in emissions.iter().filter(|emission| emission.table == table) {
        let kind = if emission.is_removal { "removed" } else { emission.kind.as_str() };
        if expected.kind.as_deref().is_none_or(|wanted| wanted == kind) {
            found.extend(as_json(&emission.rows)?.into_iter().map(|row| (kind, row)));
        }
    }
    let name = &expected.table;
    for (number, row) in expected.expect.iter().enumerate() {
        let Some((kind, values)) = found.get(number) else {
            faults.push(format!("{name}: row {} is missing: {row:?}", number + 1));
            continue;
        };
        for (column, value) in row {
            let emitted = values.get(column).ok_or_else(|| TrialError::NoColumn(column.clone()))?;
            if !same(value, emitted) {
                let place = number + 1;
                faults.push(format!("{name}: row {place} ({kind}): {column}: expected {value}, found {emitted}"));
            }
        }
    }
    for (kind, row) in found.iter().skip(expected.expect.len()) {
        faults.push(format!("{name}: emitted and not expected ({kind}): {}", Value::Object(row.clone())));
    }
    Ok(())
}
