//! What has been counted of each table, by its name; in earlier versions by its place among all.

use std::io::{Read, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use xxhash_rust::xxh3::xxh3_64;

use crate::pipeline::Pipeline;
use crate::snapshot::{SaveError, SectionReader, SectionWriter};

const COUNTS: &str = "counts";
const COUNTERS: &str = "counters";

/// Changes when the columns do.
const FORM: u64 = 1;

/// Late and emitted rows of each table, in the order of the pipeline.
pub(super) struct Counted {
    pub(super) late: Vec<u64>,
    pub(super) emitted: Vec<u64>,
}

pub(in crate::step) fn save_counts(
    pipeline: &Pipeline,
    (late, emitted): (&[u64], &[u64]),
    output: &mut dyn Write,
) -> Result<(), SaveError> {
    let mut writer = SectionWriter::new(output, COUNTS, FORM)?;
    let names = pipeline.tables.iter().map(|table| Some(table.plan.name()));
    let column = |counts: &[u64]| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(counts.iter().map(|count| count.cast_signed())))
    };
    let names: ArrayRef = Arc::new(names.collect::<StringArray>());
    let columns = [("table", names), ("late", column(late)), ("emitted", column(emitted))];
    let rows = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)));
    let rows = rows.map_err(|source| SaveError::Batch { section: COUNTS.to_owned(), source })?;
    writer.section(COUNTS, &[rows])?;
    writer.finish()
}

/// The counts of the tables that were there; those of others begin at none.
pub(super) fn restore_counts(pipeline: &Pipeline, input: &mut dyn Read) -> Result<Counted, SaveError> {
    let mut reader = SectionReader::new(input, COUNTS, FORM)?;
    let rows = reader.batch(COUNTS)?;
    reader.finish()?;
    let names = rows.column_by_name("table").and_then(|column| column.as_string_opt::<i32>());
    let counts = |name| rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let (Some(names), Some(late), Some(emitted)) = (names, counts("late"), counts("emitted")) else {
        let (found, expected) = ("something else in counts".to_owned(), "tables and their counts".to_owned());
        return Err(SaveError::Unexpected { found, expected });
    };
    let mut counted = Counted { late: Vec::new(), emitted: Vec::new() };
    for table in &pipeline.tables {
        let row = (0..names.len()).find(|row| names.value(*row) == table.plan.name());
        counted.late.push(row.map_or(0, |row| late.value(row).cast_unsigned()));
        counted.emitted.push(row.map_or(0, |row| emitted.value(row).cast_unsigned()));
    }
    Ok(counted)
}

/// The counts of the same tables in the same order, as earlier versions saved them.
pub(super) fn restore_counters(pipeline: &Pipeline, input: &mut dyn Read) -> Result<Counted, SaveError> {
    let mut reader = SectionReader::new(input, COUNTERS, counters_fingerprint(pipeline))?;
    let tables = pipeline.tables.len();
    let numbers = reader.numbers(COUNTERS, 2 * tables)?;
    reader.finish()?;
    let (late, emitted) = numbers.split_at(tables);
    let counts = |numbers: &[i64]| numbers.iter().map(|count| count.cast_unsigned()).collect();
    Ok(Counted { late: counts(late), emitted: counts(emitted) })
}

pub(super) fn counters_fingerprint(pipeline: &Pipeline) -> u64 {
    let names: Vec<&str> = pipeline.tables.iter().map(|table| table.plan.name()).collect();
    xxh3_64(names.join("\n").as_bytes())
}
