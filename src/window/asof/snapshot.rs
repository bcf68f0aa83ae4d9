//! A table's state as sections, and back.
//!
//! ```text
//!  table     newest time, disorder, counters, and how many of everything that follows
//!  keys      the key columns by slot                          (parts of 65,536 keys)
//!  cells     the records by slot, horizon by horizon          (parts of 65,536 keys)
//!  distinct  slot, value, newest time, by the step of that     (parts)
//!  last      lengths by slot; times and words of all          (parts of 65,536 keys)
//!  recent    one section per batch: rows as they were evaluated, and what they displaced
//!  waiting   one section per step: rows as they were evaluated, whose time is yet to come
//!  level     closed until, starts of runs; one section per run, and one per sparse column; named by their start
//! ```
//!
//! What has not changed is the same bytes as the last time, wherever it then stands: the store keeps it once.
//!
//! Cells are saved rather than computed anew: a sum of floats depends on the order it was made in, and what follows must
//! be what would have followed. Counts of distinct values, chains and buckets are made again from what they index.

mod columns;
mod rows;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int16Array, Int32Array, Int64Array, NullArray, RecordBatch, UInt8Array, UInt32Array,
};
use arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type, UInt8Type};

use columns::{Columns, unexpected};
use rows::{read_recent, recent_columns};

use super::cells::Sources;
use super::column::Column;
use super::plan::FeaturePlan;
use super::run::Run;
use super::table::FeatureTable;
use crate::snapshot::{Header, SaveError, SectionReader, SectionWriter};
use crate::window::{Budget, WindowError};

/// The second form, which has rows that wait.
const KIND: &str = "as-of table 2";

/// Keys, or entries, of one section: what is held in memory beside the table while it is saved.
const PART: usize = 1 << 16;

impl FeatureTable {
    /// Writes the whole state, between two steps.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn save(&self, output: &mut dyn Write) -> Result<(), WindowError> {
        let sources = Sources { levels: &self.levels, recent: &self.recent };
        let mut writer = SectionWriter::new(output, KIND, self.plan.fingerprint())?;
        let recent = self.recent.batches().count();
        let distinct: Vec<usize> = (0..self.distinct.len()).map(|index| self.distinct.entry_count(index)).collect();
        let mut numbers = vec![self.newest, self.disorder, self.compacted as i64, self.evicted.cast_signed()];
        let waiting = self.waiting.saved(self.newest)?;
        numbers.extend([self.keys.len() as i64, recent as i64, waiting.len() as i64]);
        numbers.extend(distinct.iter().map(|entries| *entries as i64));
        numbers.extend(self.distinct.expired());
        numbers.extend(self.levels.all().iter().map(|level| level.runs().len() as i64));
        writer.numbers("table", &numbers)?;
        for (part, slots) in parts(self.keys.len()) {
            let name = format!("keys {part}");
            let slots: Vec<u32> = (slots.start as u32..slots.end as u32).collect();
            write(&mut writer, &name, numbered("key", self.keys.columns(&slots)?))?;
        }
        for (part, slots) in parts(self.keys.len()) {
            for (index, words) in self.cells.record_parts().iter().enumerate() {
                let saved = longs(self.cells.save(words, slots.clone(), sources));
                write(&mut writer, &format!("cells {part}.{index}"), numbered("words", [saved]))?;
            }
        }
        for (index, count) in distinct.into_iter().enumerate() {
            let mut entries = self.distinct.entries(index);
            for (part, range) in parts(count) {
                let (mut slots, mut values, mut newest) = (Vec::new(), Vec::new(), Vec::new());
                for (slot, value, seen) in entries.by_ref().take(range.len()) {
                    slots.push(slot);
                    values.push(value);
                    newest.push(seen);
                }
                let columns = [slots_column(slots), longs(values), longs(newest)];
                write(&mut writer, &format!("distinct {index}.{part}"), numbered("column", columns))?;
            }
        }
        for index in 0..self.last.len() {
            for (part, slots) in parts(self.keys.len()) {
                let lists = slots.map(|slot| self.last.entries(index, slot));
                let lengths = lists.clone().map(|list| list.len() as u32).collect();
                write(&mut writer, &format!("last {index}.{part}"), numbered("length", [slots_column(lengths)]))?;
                let (times, words) = lists.flatten().copied().unzip();
                let columns = [longs(times), longs(words)];
                write(&mut writer, &format!("last {index}.{part} values"), numbered("column", columns))?;
            }
        }
        for (index, batch) in self.recent.batches().enumerate() {
            write(&mut writer, &format!("recent {index}"), recent_columns(batch))?;
        }
        for (index, batch) in waiting.iter().enumerate() {
            write(&mut writer, &format!("waiting {index}"), recent_columns(batch))?;
        }
        for (index, level) in self.levels.all().iter().enumerate() {
            let mut numbers = vec![level.bounds().closed_until];
            numbers.extend(level.runs().iter().map(|run| run.start));
            writer.numbers(&format!("level {index}"), &numbers)?;
            let mut names = RunNames::default();
            for run in level.runs() {
                write_run(&mut writer, &names.next(index, run.start), run)?;
            }
        }
        Ok(writer.finish()?)
    }

    /// Whether a state is one of this table.
    ///
    /// # Errors
    /// With what differs.
    pub(crate) fn check(&self, header: &Header) -> Result<(), SaveError> {
        header.check(KIND, &self.plan.fingerprints())
    }

    /// The table that was saved, under the same plan and disorder; everything that follows is what would have followed.
    ///
    /// # Errors
    /// When the input is damaged, truncated, or the state of another plan: the message names the section.
    pub fn restore(
        plan: Arc<FeaturePlan>,
        disorder_micros: i64,
        budget: Budget,
        input: &mut dyn Read,
    ) -> Result<Self, WindowError> {
        let mut reader = SectionReader::of_any(input, KIND, &plan.fingerprints())?;
        let mut table = Self::new(plan, disorder_micros, budget)?;
        let (sets, levels) = (table.distinct.len(), table.levels.all().len());
        let numbers = reader.numbers("table", 7 + 2 * sets + levels)?;
        if numbers[1] != disorder_micros {
            let (found, expected) = (numbers[1].to_string(), disorder_micros.to_string());
            return Err(SaveError::Foreign { what: "the disorder", found, expected }.into());
        }
        table.newest = numbers[0];
        table.compacted = numbers[2] as usize;
        table.evicted = numbers[3].cast_unsigned();
        let (keys, recent, waiting) = (numbers[4] as usize, numbers[5] as usize, numbers[6]);
        table.restore_keys(&mut reader, keys)?;
        for index in 0..sets {
            table.restore_distinct(&mut reader, index, numbers[7 + index] as usize, numbers[7 + sets + index])?;
        }
        if table.newest != i64::MIN {
            table.distinct.restore_left(table.watermark());
        }
        for index in 0..table.last.len() {
            table.restore_last(&mut reader, index)?;
        }
        for index in 0..recent {
            let name = format!("recent {index}");
            let batch = reader.batch(&name)?;
            let batch = read_recent(&table.plan, &mut Columns::of(&name, &batch), keys)?;
            table.recent.push(batch, keys);
            table.recent.link_all();
        }
        for index in 0..waiting {
            let name = format!("waiting {index}");
            let batch = reader.batch(&name)?;
            table.waiting.restore(read_recent(&table.plan, &mut Columns::of(&name, &batch), keys)?);
        }
        for (index, runs) in numbers[7 + 2 * sets..].iter().enumerate() {
            let numbers = reader.numbers(&format!("level {index}"), 1 + *runs as usize)?;
            let mut restored = VecDeque::with_capacity(numbers.len());
            let mut names = RunNames::default();
            for start in &numbers[1..] {
                let name = names.next(index, *start);
                restored.push_back(Arc::new(read_run(&mut reader, &table.plan, &name, *start, keys)?));
            }
            if let Some(level) = table.levels.all_mut().get_mut(index) {
                level.restore(numbers[0], restored);
            }
        }
        reader.finish()?;
        Ok(table)
    }

    fn restore_keys(&mut self, reader: &mut SectionReader, keys: usize) -> Result<(), WindowError> {
        let mut slots = Vec::new();
        for (part, range) in parts(keys) {
            let batch = reader.batch(&format!("keys {part}"))?;
            self.keys.intern(batch.columns(), batch.num_rows(), |_| true, &mut slots)?;
            if self.keys.len() != range.end {
                return Err(unexpected(&format!("keys {part}"), "as many different keys as the table had"));
            }
        }
        self.make_room();
        self.recent.resize(keys);
        if self.newest != i64::MIN {
            self.cells.restore_tails(self.newest);
        }
        for (part, slots) in parts(keys) {
            for (index, words) in self.cells.record_parts().iter().enumerate() {
                let name = format!("cells {part}.{index}");
                let batch = reader.batch(&name)?;
                if !self.cells.restore(words, slots.clone(), Columns::of(&name, &batch).words()?) {
                    return Err(unexpected(&name, "a record of each key"));
                }
            }
        }
        Ok(())
    }

    fn restore_distinct(
        &mut self,
        reader: &mut SectionReader,
        index: usize,
        count: usize,
        expired: i64,
    ) -> Result<(), WindowError> {
        let (newest, keys) = (self.newest, self.keys.len());
        self.distinct.reserve(index, count);
        for (part, _) in parts(count) {
            let name = format!("distinct {index}.{part}");
            let batch = reader.batch(&name)?;
            let mut columns = Columns::of(&name, &batch);
            let (slots, values, seen) = (columns.slots(keys, false)?, columns.words()?, columns.words()?);
            let entries = slots.iter().zip(values).zip(seen).map(|((slot, value), seen)| (*slot, *value, *seen));
            self.distinct.restore(index, newest, expired, entries);
        }
        if newest != i64::MIN {
            self.distinct.restore(index, newest, expired, std::iter::empty());
        }
        Ok(())
    }

    fn restore_last(&mut self, reader: &mut SectionReader, index: usize) -> Result<(), WindowError> {
        for (part, slots) in parts(self.keys.len()) {
            let name = format!("last {index}.{part}");
            let lengths = reader.batch(&name)?;
            let lengths = Columns::of(&name, &lengths).slots(usize::MAX, false)?;
            let name = format!("last {index}.{part} values");
            let batch = reader.batch(&name)?;
            let mut columns = Columns::of(&name, &batch);
            let (times, words) = (columns.words()?, columns.words()?);
            let mut entries = times.iter().copied().zip(words.iter().copied());
            for (slot, length) in slots.zip(lengths) {
                self.last.restore(index, slot, entries.by_ref().take(length as usize));
            }
        }
        Ok(())
    }
}

/// Names of the runs of a level: by the start of their tile, so that they stay when older ones go.
#[derive(Default)]
struct RunNames {
    start: i64,
    /// Runs of that start so far.
    count: usize,
}

impl RunNames {
    fn next(&mut self, level: usize, start: i64) -> String {
        self.count = if start == self.start { self.count + 1 } else { 1 };
        self.start = start;
        format!("level {level} run {start}.{}", self.count)
    }
}

fn parts(count: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    (0..count.div_ceil(PART)).map(move |part| (part, part * PART..count.min((part + 1) * PART)))
}

type Named = Vec<(String, ArrayRef)>;

fn numbered(name: &str, columns: impl IntoIterator<Item = ArrayRef>) -> Named {
    columns.into_iter().enumerate().map(|(index, column)| (format!("{name} {index}"), column)).collect()
}

fn write(writer: &mut SectionWriter, name: &str, columns: Named) -> Result<(), WindowError> {
    Ok(writer.section(name, &[RecordBatch::try_from_iter(columns)?])?)
}

fn longs(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

fn slots_column(values: Vec<u32>) -> ArrayRef {
    Arc::new(UInt32Array::from(values))
}

fn write_run(writer: &mut SectionWriter, name: &str, run: &Run) -> Result<(), WindowError> {
    let mut columns: Named = vec![("slot".to_owned(), slots_column(run.slots.to_vec()))];
    for (index, column) in run.columns.iter().enumerate() {
        let Some(column) = column else { continue };
        let array: ArrayRef = match column.as_ref() {
            Column::Empty => Arc::new(NullArray::new(run.slots.len())),
            Column::Bytes(values) => Arc::new(UInt8Array::from(values.clone())),
            Column::Shorts(values) => Arc::new(Int16Array::from(values.clone())),
            Column::Integers(values) => Arc::new(Int32Array::from(values.clone())),
            Column::Longs(values) => longs(values.clone()),
            // Beside the others, as it has fewer rows; its place is kept by a column of nothing under another name.
            Column::Sparse { .. } => {
                columns.push((format!("sparse {index}"), Arc::new(NullArray::new(run.slots.len()))));
                continue;
            }
        };
        columns.push((format!("running {index}"), array));
    }
    for (index, states) in run.merged.iter().enumerate() {
        for (place, state) in states.iter().flatten().enumerate() {
            columns.push((format!("merged {index}.{place}"), Arc::clone(state)));
        }
    }
    write(writer, name, columns)?;
    for (index, column) in run.columns.iter().enumerate() {
        if let Some(Column::Sparse { rows, values }) = column.as_deref() {
            let columns = [slots_column(rows.clone()), longs(values.clone())];
            write(writer, &format!("{name} sparse {index}"), numbered("column", columns))?;
        }
    }
    Ok(())
}

fn read_run(
    reader: &mut SectionReader,
    plan: &FeaturePlan,
    name: &str,
    start: i64,
    keys: usize,
) -> Result<Run, WindowError> {
    let batch = reader.batch(name)?;
    let slots = Columns::of(name, &batch).slots(keys, false)?;
    if !slots.is_sorted_by(|left, right| left < right) {
        return Err(unexpected(name, "slots in order"));
    }
    let rows = slots.len();
    let mut columns = Vec::with_capacity(plan.running.len());
    for index in 0..plan.running.len() {
        if batch.column_by_name(&format!("sparse {index}")).is_some() {
            let name = format!("{name} sparse {index}");
            let batch = reader.batch(&name)?;
            let mut sparse = Columns::of(&name, &batch);
            columns.push(Some(Arc::new(Column::Sparse { rows: sparse.slots(rows, false)?, values: sparse.longs()? })));
            continue;
        }
        let array = batch.column_by_name(&format!("running {index}"));
        columns.push(array.map(|array| read_column(name, array).map(Arc::new)).transpose()?);
    }
    let merged = (0..plan.merged.len()).map(|index| {
        let states: Vec<ArrayRef> =
            (0..).map_while(|place| batch.column_by_name(&format!("merged {index}.{place}")).cloned()).collect();
        (!states.is_empty()).then_some(states)
    });
    let merged = merged.collect();
    Ok(Run::new(start, slots, columns, merged))
}

fn read_column(name: &str, array: &ArrayRef) -> Result<Column, WindowError> {
    Ok(match array.data_type() {
        DataType::Null => Column::Empty,
        DataType::UInt8 => Column::Bytes(array.as_primitive::<UInt8Type>().values().to_vec()),
        DataType::Int16 => Column::Shorts(array.as_primitive::<Int16Type>().values().to_vec()),
        DataType::Int32 => Column::Integers(array.as_primitive::<Int32Type>().values().to_vec()),
        DataType::Int64 => Column::Longs(array.as_primitive::<Int64Type>().values().to_vec()),
        other => return Err(unexpected(&format!("{other} in {name}"), "a column of numbers")),
    })
}
