//! What tables of windows have emitted, beside what a test case expects.

use arrow::array::RecordBatch;

use super::case::Emits;
use super::error::TrialError;
use super::value::shown;
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
    let mut found: Vec<(&str, &RecordBatch, usize)> = Vec::new();
    for emission in emissions.iter().filter(|emission| emission.table == table) {
        let kind = if emission.is_removal { "removed" } else { emission.kind.as_str() };
        if expected.kind.as_deref().is_none_or(|wanted| wanted == kind) {
            found.extend((0..emission.rows.num_rows()).map(|row| (kind, &emission.rows, row)));
        }
    }
    let name = &expected.table;
    for (number, wanted) in expected.expect.iter().enumerate() {
        let place = number + 1;
        let Some((kind, rows, row)) = found.get(number) else {
            let wanted: Vec<String> = wanted.iter().map(|(column, value)| format!("{column}: {value}")).collect();
            faults.push(format!("{name}: row {place} is missing: {{{}}}", wanted.join(", ")));
            continue;
        };
        for (column, value) in wanted {
            let emitted = rows.column_by_name(column).ok_or_else(|| TrialError::NoColumn(column.clone()))?;
            if !value.is_in(emitted, *row)? {
                let emitted = shown(emitted, *row)?;
                faults.push(format!("{name}: row {place} ({kind}): {column}: expected {value}, found {emitted}"));
            }
        }
    }
    for (kind, rows, row) in found.iter().skip(expected.expect.len()) {
        let mut columns = Vec::new();
        for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            columns.push(format!("{}: {}", field.name(), shown(column, *row)?));
        }
        faults.push(format!("{name}: emitted and not expected ({kind}): {{{}}}", columns.join(", ")));
    }
    Ok(())
}
