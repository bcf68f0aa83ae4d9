//! Saving and restoring a group of tables: keys, panes, and per table where it is.
//!
//! Distinct counts are counted anew from what they had taken in of the panes. Everything else comes back bit by bit, totals too: sums that were
//! made in another order might round another way.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat, take_arrays};
use arrow::datatypes::{Field, Float64Type, Int64Type, Schema, UInt32Type};

use super::aggregate::Additive;
use super::emit::Column;
use super::group::{PaneGroup, Panes};
use super::member::Member;
use super::pane::{Content, Pairs, Pane, PaneColumn};
use super::partial::{Chunk, Partial, Rows};
use super::totals::Totals;
use crate::snapshot::{SaveError, SectionReader, SectionWriter};

impl PaneGroup {
    /// Writes everything that later output depends on.
    pub(super) fn save(&self, writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
        let slots: Vec<u32> = (0..self.keys.len() as u32).collect();
        let keys = self.keys.columns(&slots).map_err(|error| error.in_section("keys"))?;
        writer.section("keys", &[batch("keys", keys)?])?;
        writer.numbers("group", &[self.watermark, self.compacted as i64, self.evicted_keys.cast_signed()])?;
        for member in &self.members {
            member.save(writer)?;
        }
        self.save_panes(writer)?;
        for member in &self.members {
            member.save_caught(self.aggregates.distinct.len(), writer)?;
        }
        for level in &self.panes.tiles.levels {
            writer.numbers("tiles", &[level.made_until, level.by_start.len() as i64])?;
            writer.section("starts", &[batch("starts", vec![numbers(level.by_start.keys().copied())])?])?;
            for place in 0..self.aggregates.merged.len() {
                let partials: Vec<&Partial> = level.by_start.values().filter_map(|tile| tile.get(place)).collect();
                save_partials(&partials, writer)?;
            }
        }
        Ok(())
    }

    /// All panes in a few sections: there may be many of them.
    fn save_panes(&self, writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
        let panes: Vec<&Content> = self.panes.by_start.values().map(Pane::content).collect();
        writer.section("starts", &[batch("starts", vec![numbers(self.panes.by_start.keys().copied())])?])?;
        let rows =
            panes.iter().map(|pane| Part { slots: pane.slots.iter().copied().collect(), columns: pane.columns() });
        save_parts("rows", &rows.collect::<Vec<_>>(), writer)?;
        for place in 0..self.aggregates.distinct.len() {
            let pairs = panes.iter().map(|pane| {
                let pairs = &pane.distinct[place];
                let values = numbers(pairs.values().iter().copied());
                Part { slots: pairs.slots().iter().copied().collect(), columns: vec![values] }
            });
            save_parts("distinct", &pairs.collect::<Vec<_>>(), writer)?;
        }
        for place in 0..self.aggregates.merged.len() {
            let partials: Vec<&Partial> = panes.iter().map(|pane| &pane.merged[place]).collect();
            save_partials(&partials, writer)?;
        }
        Ok(())
    }

    fn restore_panes(&mut self, slots: usize, reader: &mut SectionReader<'_>) -> Result<(), SaveError> {
        let starts = integers("starts", &reader.batch("starts")?, 0)?;
        let rows = restore_parts("rows", starts.len(), slots, reader)?;
        let mut distinct: Vec<Vec<Pairs>> = starts.iter().map(|_| Vec::new()).collect();
        for _ in &self.aggregates.distinct {
            for (pane, part) in distinct.iter_mut().zip(restore_parts("distinct", starts.len(), slots, reader)?) {
                let values = match part.slots.is_empty() {
                    true => Vec::new(),
                    false => integers("distinct", &batch("distinct", part.columns)?, 0)?,
                };
                pane.push(Pairs::of(part.slots, values));
            }
        }
        let mut merged: Vec<Vec<Partial>> = starts.iter().map(|_| Vec::new()).collect();
        for _ in &self.aggregates.merged {
            for (pane, partial) in merged.iter_mut().zip(restore_partials(starts.len(), slots, reader)?) {
                pane.push(partial);
            }
        }
        for (((start, part), distinct), merged) in starts.into_iter().zip(rows).zip(distinct).zip(merged) {
            let columns = batch("rows", part.columns)?;
            let mut additive = Vec::with_capacity(self.aggregates.additive.len());
            for (aggregate, index) in self.aggregates.additive.iter().zip(0..) {
                additive.push(PaneColumn::restored(match aggregate.kind {
                    Additive::Float => Column::Floats(floats("rows", &columns, index)?),
                    Additive::Count | Additive::Integer(_) => Column::Integers(integers("rows", &columns, index)?),
                }));
            }
            let slots = part.slots.into_iter().collect();
            self.panes.by_start.insert(start, Pane::of(Content { slots, additive, distinct, merged }));
        }
        Ok(())
    }

    /// Takes over what [`Self::save`] wrote; the group is empty and of the same tables.
    pub(super) fn restore(&mut self, reader: &mut SectionReader<'_>) -> Result<(), SaveError> {
        let keys = reader.batch("keys")?;
        let mut slots = Vec::new();
        let interned = self.keys.intern(keys.columns(), keys.num_rows(), |_| true, &mut slots);
        interned.map_err(|error| error.in_section("keys"))?;
        let numbers = reader.numbers("group", 3)?;
        self.watermark = numbers[0];
        self.compacted = numbers[1].max(0) as usize;
        self.evicted_keys = numbers[2].cast_unsigned();
        let slots = self.keys.len();
        for member in &mut self.members {
            member.resize(slots);
            member.restore(slots, reader)?;
        }
        self.restore_panes(slots, reader)?;
        for member in &mut self.members {
            member.restore_caught(&self.panes, self.aggregates.distinct.len(), reader)?;
        }
        let merged = self.aggregates.merged.len();
        for level in &mut self.panes.tiles.levels {
            let numbers = reader.numbers("tiles", 2)?;
            level.made_until = numbers[0];
            let starts = integers("starts", &reader.batch("starts")?, 0)?;
            let mut tiles: Vec<Vec<Partial>> = starts.iter().map(|_| Vec::new()).collect();
            for _ in 0..merged {
                for (tile, partial) in tiles.iter_mut().zip(restore_partials(starts.len(), slots, reader)?) {
                    tile.push(partial);
                }
            }
            level.by_start = starts.into_iter().zip(tiles.into_iter().map(Arc::new)).collect();
        }
        Ok(())
    }
}

impl Member {
    fn save(&self, writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
        let (start, end) = self.running.window.unwrap_or((0, 0));
        let is_open = i64::from(self.running.window.is_some());
        let state = [self.late_rows.cast_signed(), is_open, start, end, self.running.included_until];
        writer.numbers("table", &state)?;
        let changed: Vec<u32> = self.dirty.iter().copied().collect();
        writer.section("changed", &[batch("changed", vec![slots_column(&changed)])?])?;
        let mut told: Vec<(i64, u32, bool)> = Vec::new();
        for (end, keys) in &self.told {
            told.extend(keys.iter().map(|(slot, is_current)| (*end, slot, is_current)));
        }
        let keys: Vec<u32> = told.iter().map(|(_, slot, _)| *slot).collect();
        let ends = numbers(told.iter().map(|(end, ..)| *end));
        let current = numbers(told.iter().map(|(.., is_current)| i64::from(*is_current)));
        writer.section("told", &[batch("told", vec![slots_column(&keys), ends, current])?])?;
        let ends: ArrayRef = Arc::new(self.behind.iter().map(|(end, _)| Some(*end)).collect::<Int64Array>());
        let keys: ArrayRef = Arc::new(self.behind.iter().map(|(_, slot)| Some(*slot)).collect::<UInt32Array>());
        writer.section("behind", &[batch("behind", vec![ends, keys])?])?;
        let active = self.running.all_active();
        let mut totals = vec![slots_column(&active)];
        let rows = || active.iter().map(|slot| *slot as usize);
        for column in self.running.additive.iter().flatten() {
            match column {
                Totals::Integers(values) => {
                    totals.push(Arc::new(Int64Array::from_iter_values(rows().map(|slot| *values.get(slot)))));
                }
                Totals::Floats(values) => {
                    totals.push(Arc::new(Float64Array::from_iter_values(rows().map(|slot| values.get(slot).0))));
                    totals.push(Arc::new(Float64Array::from_iter_values(rows().map(|slot| values.get(slot).1))));
                }
            }
        }
        writer.section("totals", &[batch("totals", totals)?])
    }

    /// How many pairs of each pane the distinct counts have taken in; the counts follow from them.
    fn save_caught(&self, width: usize, writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
        if width == 0 {
            return Ok(());
        }
        let caught = self.running.caught();
        let mut columns = vec![numbers(caught.keys().copied())];
        columns.extend((0..width).map(|place| numbers(caught.values().map(|counts| counts[place] as i64))));
        writer.section("caught", &[batch("caught", columns)?])
    }

    fn restore_caught(&mut self, panes: &Panes, width: usize, reader: &mut SectionReader<'_>) -> Result<(), SaveError> {
        if width == 0 {
            return Ok(());
        }
        let damaged = || SaveError::Damaged { section: "caught".to_owned() };
        let saved = reader.batch("caught")?;
        let counts: Result<Vec<_>, _> = (0..width).map(|place| integers("caught", &saved, 1 + place)).collect();
        let counts = counts?;
        for (row, start) in integers("caught", &saved, 0)?.into_iter().enumerate() {
            let caught = counts.iter().map(|counts| counts[row].max(0) as usize).collect();
            let pane = panes.by_start.get(&start).ok_or_else(damaged)?;
            if !self.running.restore_caught(start, panes.number(start), &pane.content().distinct, caught) {
                return Err(damaged());
            }
        }
        Ok(())
    }

    fn restore(&mut self, slots: usize, reader: &mut SectionReader<'_>) -> Result<(), SaveError> {
        let numbers = reader.numbers("table", 5)?;
        self.late_rows = numbers[0].cast_unsigned();
        let changed = slots_of("changed", &reader.batch("changed")?, 0, slots)?;
        self.set_changed(changed);
        let told = reader.batch("told")?;
        let keys = slots_of("told", &told, 0, slots)?.into_iter().zip(integers("told", &told, 2)?);
        for (end, (slot, is_current)) in integers("told", &told, 1)?.into_iter().zip(keys) {
            self.told.entry(end).or_default().insert(slot, is_current == 1);
        }
        let behind = reader.batch("behind")?;
        let keys = slots_of("behind", &behind, 1, slots)?;
        self.behind = integers("behind", &behind, 0)?.into_iter().zip(keys).collect();
        let totals = reader.batch("totals")?;
        let active = slots_of("totals", &totals, 0, slots)?;
        let mut next = 0;
        for column in self.running.additive.iter_mut().flatten() {
            next += 1;
            match column {
                Totals::Integers(values) => {
                    for (slot, value) in active.iter().zip(integers("totals", &totals, next)?) {
                        *values.get_mut(*slot as usize) = value;
                    }
                }
                Totals::Floats(values) => {
                    let (high, low) = (floats("totals", &totals, next)?, floats("totals", &totals, next + 1)?);
                    next += 1;
                    for (slot, pair) in active.iter().zip(high.into_iter().zip(low)) {
                        *values.get_mut(*slot as usize) = pair;
                    }
                }
            }
        }
        self.running.set_active(&active);
        self.running.window = (numbers[1] == 1).then_some((numbers[2], numbers[3]));
        self.running.included_until = numbers[4];
        Ok(())
    }
}

impl Content {
    fn columns(&self) -> Vec<ArrayRef> {
        let column = |column: &PaneColumn| -> ArrayRef {
            match column {
                PaneColumn::Integers(values) => numbers(values.iter().copied()),
                PaneColumn::Floats(values) => Arc::new(Float64Array::from_iter_values(values.iter().copied())),
            }
        };
        self.additive.iter().map(column).collect()
    }
}

/// Keys and the columns beside them.
struct Part {
    slots: Vec<u32>,
    columns: Vec<ArrayRef>,
}

/// As [`Part`], read back.
struct ReadPart {
    slots: Vec<u32>,
    columns: Vec<ArrayRef>,
}

/// Writes parts of the same columns behind one another.
fn save_parts(section: &str, parts: &[Part], writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
    let failed = |source| SaveError::Batch { section: section.to_owned(), source };
    let lengths = numbers(parts.iter().map(|part| part.slots.len() as i64));
    writer.section(section, &[batch(section, vec![lengths])?])?;
    let filled: Vec<&Part> = parts.iter().filter(|part| !part.slots.is_empty()).collect();
    let Some(first) = filled.first() else { return writer.section(section, &[]) };
    let slots: Vec<u32> = filled.iter().flat_map(|part| &part.slots).copied().collect();
    let mut columns = vec![slots_column(&slots)];
    for index in 0..first.columns.len() {
        let pieces: Vec<&dyn Array> = filled.iter().map(|part| part.columns[index].as_ref()).collect();
        columns.push(concat(&pieces).map_err(failed)?);
    }
    writer.section(section, &[batch(section, columns)?])
}

fn restore_parts(
    section: &str,
    parts: usize,
    slots: usize,
    reader: &mut SectionReader<'_>,
) -> Result<Vec<ReadPart>, SaveError> {
    let failed = |source| SaveError::Batch { section: section.to_owned(), source };
    let lengths = integers(section, &reader.batch(section)?, 0)?;
    let batches = reader.section(section)?;
    let rows: i64 = lengths.iter().sum();
    let found: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if lengths.len() != parts || lengths.iter().any(|length| *length < 0) || rows != found as i64 || batches.len() > 1 {
        return Err(SaveError::Damaged { section: section.to_owned() });
    }
    let Some(batch) = batches.first() else {
        return Ok(lengths.iter().map(|_| ReadPart { slots: Vec::new(), columns: Vec::new() }).collect());
    };
    let all = slots_of(section, batch, 0, slots)?;
    let mut first = 0;
    let mut read = Vec::with_capacity(parts);
    for length in lengths {
        let end = first + length as usize;
        // Copies: a slice would keep all parts in memory for as long as one of them.
        let rows = UInt32Array::from_iter_values(first as u32..end as u32);
        let columns = take_arrays(&batch.columns()[1..], &rows, None).map_err(failed)?;
        read.push(ReadPart { slots: all[first..end].to_vec(), columns });
        first = end;
    }
    Ok(read)
}

/// Writes the partial states of one aggregate in several panes or tiles.
fn save_partials(partials: &[&Partial], writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
    let counts = |count: &dyn Fn(&Partial) -> usize| numbers(partials.iter().map(|partial| count(partial) as i64));
    let counts = vec![counts(&|partial| partial.chunks.len()), counts(&|partial| partial.waiting.len())];
    writer.section("partials", &[batch("partials", counts)?])?;
    let chunks = partials.iter().flat_map(|partial| &partial.chunks);
    let chunks = chunks.map(|chunk| Part { slots: chunk.slots.clone(), columns: chunk.states.clone() });
    save_parts("chunks", &chunks.collect::<Vec<_>>(), writer)?;
    let waiting = partials.iter().flat_map(|partial| &partial.waiting);
    let waiting = waiting.map(|rows| Part { slots: rows.slots.clone(), columns: rows.arguments.clone() });
    save_parts("waiting", &waiting.collect::<Vec<_>>(), writer)
}

fn restore_partials(partials: usize, slots: usize, reader: &mut SectionReader<'_>) -> Result<Vec<Partial>, SaveError> {
    let counts = reader.batch("partials")?;
    let (chunk_counts, waiting_counts) = (integers("partials", &counts, 0)?, integers("partials", &counts, 1)?);
    let total = |counts: &[i64]| counts.iter().map(|count| (*count).max(0) as usize).sum();
    let mut chunks = restore_parts("chunks", total(&chunk_counts), slots, reader)?.into_iter();
    let mut waiting = restore_parts("waiting", total(&waiting_counts), slots, reader)?.into_iter();
    if chunk_counts.len() != partials {
        return Err(SaveError::Damaged { section: "partials".to_owned() });
    }
    let mut read = Vec::with_capacity(partials);
    for (chunk_count, waiting_count) in chunk_counts.into_iter().zip(waiting_counts) {
        let chunk = |part: ReadPart| Chunk { slots: part.slots, states: part.columns };
        let rows = |part: ReadPart| Rows { slots: part.slots, arguments: part.columns };
        let chunks = chunks.by_ref().take(chunk_count.max(0) as usize).map(chunk).collect();
        let waiting = waiting.by_ref().take(waiting_count.max(0) as usize).map(rows).collect();
        read.push(Partial::from_parts(chunks, waiting));
    }
    Ok(read)
}

fn numbers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// Columns as a batch; their names are their places.
pub(super) fn batch(section: &str, columns: Vec<ArrayRef>) -> Result<RecordBatch, SaveError> {
    let fields: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| Field::new(index.to_string(), column.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|source| SaveError::Batch { section: section.to_owned(), source })
}

pub(super) fn slots_column(slots: &[u32]) -> ArrayRef {
    Arc::new(UInt32Array::from(slots.to_vec()))
}

/// A column of slots, each below `slots`.
pub(super) fn slots_of(section: &str, batch: &RecordBatch, index: usize, slots: usize) -> Result<Vec<u32>, SaveError> {
    let column = batch.columns().get(index).and_then(|column| column.as_primitive_opt::<UInt32Type>());
    match column {
        Some(column) if column.values().iter().all(|slot| (*slot as usize) < slots) => Ok(column.values().to_vec()),
        Some(_) => Err(SaveError::Damaged { section: section.to_owned() }),
        None => Err(missing(section, index)),
    }
}

pub(super) fn integers(section: &str, batch: &RecordBatch, index: usize) -> Result<Vec<i64>, SaveError> {
    let column = batch.columns().get(index).and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.map(|column| column.values().to_vec()).ok_or_else(|| missing(section, index))
}

pub(super) fn floats(section: &str, batch: &RecordBatch, index: usize) -> Result<Vec<f64>, SaveError> {
    let column = batch.columns().get(index).and_then(|column| column.as_primitive_opt::<Float64Type>());
    column.map(|column| column.values().to_vec()).ok_or_else(|| missing(section, index))
}

pub(super) fn missing(section: &str, index: usize) -> SaveError {
    SaveError::Unexpected { found: section.to_owned(), expected: format!("column {index} of {section}") }
}
