//! Saving and restoring a group of tables: keys, panes, and per table where it is.
//!
//! Distinct counts are counted anew from the panes. Everything else comes back bit by bit, totals too: sums that were
//! made in another order might round another way.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{Field, Float64Type, Int64Type, Schema, UInt32Type};

use super::group::PaneGroup;
use super::member::Member;
use super::pane::{Column, Pairs, Pane};
use super::partial::{Chunk, Partial, Rows};
use super::running::Totals;
use crate::window::save::{SaveError, SectionReader, SectionWriter};

impl PaneGroup {
    /// Writes everything that later output depends on.
    pub(super) fn save(&self, writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
        let slots: Vec<u32> = (0..self.keys.len() as u32).collect();
        let keys = self.keys.columns(&slots).map_err(|error| SaveError::of("keys", error))?;
        writer.section("keys", &[batch("keys", keys)?])?;
        writer.numbers(
            "group",
            &[self.watermark, self.compacted as i64, self.evicted_keys.cast_signed(), self.panes.by_start.len() as i64],
        )?;
        for member in &self.members {
            member.save(writer)?;
        }
        for (start, pane) in &self.panes.by_start {
            pane.save(*start, writer)?;
        }
        for level in &self.panes.tiles.levels {
            writer.numbers("tiles", &[level.made_until, level.by_start.len() as i64])?;
            for (start, tile) in &level.by_start {
                let mut numbers = vec![*start];
                numbers.extend(tile.iter().map(|partial| partial.chunks.len() as i64));
                writer.numbers("tile", &numbers)?;
                save_partials(tile, writer)?;
            }
        }
        Ok(())
    }

    /// Takes over what [`Self::save`] wrote; the group is empty and of the same tables.
    pub(super) fn restore(&mut self, reader: &mut SectionReader<'_>) -> Result<(), SaveError> {
        let keys = reader.batch("keys")?;
        let mut slots = Vec::new();
        let interned = self.keys.intern(keys.columns(), keys.num_rows(), |_| true, &mut slots);
        interned.map_err(|error| SaveError::of("keys", error))?;
        let numbers = reader.numbers("group", 4)?;
        self.watermark = numbers[0];
        self.compacted = numbers[1].max(0) as usize;
        self.evicted_keys = numbers[2].cast_unsigned();
        let slots = self.keys.len();
        for member in &mut self.members {
            member.resize(slots);
            member.restore(slots, reader)?;
        }
        for _ in 0..numbers[3] {
            let (start, pane) = Pane::restore(&self.aggregates, slots, reader)?;
            self.panes.by_start.insert(start, pane);
        }
        let merged = self.aggregates.merged.len();
        for level in &mut self.panes.tiles.levels {
            let numbers = reader.numbers("tiles", 2)?;
            level.made_until = numbers[0];
            for _ in 0..numbers[1] {
                let numbers = reader.numbers("tile", 1 + merged)?;
                level.by_start.insert(numbers[0], restore_partials(&numbers[1..], slots, reader)?);
            }
        }
        Ok(())
    }
}

impl Member {
    fn save(&self, writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
        let (start, end) = self.running.window.unwrap_or((0, 0));
        let is_open = i64::from(self.running.window.is_some());
        let numbers = [self.late_rows.cast_signed(), is_open, start, end, self.running.included_until];
        writer.numbers("table", &numbers)?;
        writer.section("changed", &[batch("changed", vec![slots_column(&self.dirty)])?])?;
        writer.section("emitted", &[batch("emitted", vec![Arc::new(Int64Array::from(self.emitted.clone()))])?])?;
        let ends: ArrayRef = Arc::new(self.behind.iter().map(|(end, _)| Some(*end)).collect::<Int64Array>());
        let keys: ArrayRef = Arc::new(self.behind.iter().map(|(_, slot)| Some(*slot)).collect::<UInt32Array>());
        writer.section("behind", &[batch("behind", vec![ends, keys])?])?;
        let active = self.running.all_active();
        let mut totals = vec![slots_column(active)];
        let rows = || active.iter().map(|slot| *slot as usize);
        for column in self.running.additive.iter().flatten() {
            match column {
                Totals::Integers(values) => {
                    totals.push(Arc::new(Int64Array::from_iter_values(rows().map(|slot| values[slot]))));
                }
                Totals::Floats(values) => {
                    totals.push(Arc::new(Float64Array::from_iter_values(rows().map(|slot| values[slot].0))));
                    totals.push(Arc::new(Float64Array::from_iter_values(rows().map(|slot| values[slot].1))));
                }
            }
        }
        writer.section("totals", &[batch("totals", totals)?])
    }

    fn restore(&mut self, slots: usize, reader: &mut SectionReader<'_>) -> Result<(), SaveError> {
        let numbers = reader.numbers("table", 5)?;
        self.late_rows = numbers[0].cast_unsigned();
        let changed = slots_of("changed", &reader.batch("changed")?, 0, slots)?;
        let emitted = integers("emitted", &reader.batch("emitted")?, 0)?;
        self.set_changes(changed, emitted);
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
                        values[*slot as usize] = value;
                    }
                }
                Totals::Floats(values) => {
                    let (high, low) = (floats("totals", &totals, next)?, floats("totals", &totals, next + 1)?);
                    next += 1;
                    for (slot, pair) in active.iter().zip(high.into_iter().zip(low)) {
                        values[*slot as usize] = pair;
                    }
                }
            }
        }
        self.running.set_active(active);
        self.running.window = (numbers[1] == 1).then_some((numbers[2], numbers[3]));
        self.running.included_until = numbers[4];
        Ok(())
    }
}

impl Pane {
    fn save(&self, start: i64, writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
        let mut columns = vec![slots_column(&self.slots)];
        for column in &self.additive {
            columns.push(match column {
                Column::Integers(values) => Arc::new(Int64Array::from(values.clone())) as ArrayRef,
                Column::Floats(values) => Arc::new(Float64Array::from(values.clone())),
            });
        }
        let mut numbers = vec![start];
        numbers.extend(self.merged.iter().map(|partial| partial.chunks.len() as i64));
        writer.numbers("pane", &numbers)?;
        writer.section("additive", &[batch("additive", columns)?])?;
        for pairs in &self.distinct {
            let values: ArrayRef = Arc::new(Int64Array::from(pairs.values.clone()));
            writer.section("distinct", &[batch("distinct", vec![slots_column(&pairs.slots), values])?])?;
        }
        save_partials(&self.merged, writer)
    }

    fn restore(
        aggregates: &super::aggregate::Aggregates,
        slots: usize,
        reader: &mut SectionReader<'_>,
    ) -> Result<(i64, Self), SaveError> {
        let numbers = reader.numbers("pane", 1 + aggregates.merged.len())?;
        let rows = reader.batch("additive")?;
        let keys = slots_of("additive", &rows, 0, slots)?;
        let mut additive = Vec::with_capacity(aggregates.additive.len());
        for (aggregate, index) in aggregates.additive.iter().zip(1..) {
            additive.push(match Column::new(aggregate.kind) {
                Column::Integers(_) => Column::Integers(integers("additive", &rows, index)?),
                Column::Floats(_) => Column::Floats(floats("additive", &rows, index)?),
            });
        }
        let mut distinct = Vec::with_capacity(aggregates.distinct.len());
        for _ in &aggregates.distinct {
            let pairs = reader.batch("distinct")?;
            let (slots, values) = (slots_of("distinct", &pairs, 0, slots)?, integers("distinct", &pairs, 1)?);
            distinct.push(Pairs { slots, values });
        }
        let merged = restore_partials(&numbers[1..], slots, reader)?;
        Ok((numbers[0], Self::from_parts(keys, additive, distinct, merged)))
    }
}

fn save_partials(partials: &[Partial], writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
    for partial in partials {
        for chunk in &partial.chunks {
            writer.section("chunk", &[with_slots("chunk", &chunk.slots, &chunk.states)?])?;
        }
        let mut waiting = Vec::with_capacity(partial.waiting.len());
        for rows in &partial.waiting {
            waiting.push(with_slots("waiting", &rows.slots, &rows.arguments)?);
        }
        writer.section("waiting", &waiting)?;
    }
    Ok(())
}

/// As many partials as there are numbers of chunks.
fn restore_partials(chunks: &[i64], slots: usize, reader: &mut SectionReader<'_>) -> Result<Vec<Partial>, SaveError> {
    let mut partials = Vec::with_capacity(chunks.len());
    for chunks in chunks {
        let mut read = Vec::new();
        for _ in 0..*chunks {
            let (slots, states) = without_slots("chunk", &reader.batch("chunk")?, slots)?;
            read.push(Chunk { slots, states });
        }
        let mut waiting = Vec::new();
        for batch in reader.section("waiting")? {
            let (slots, arguments) = without_slots("waiting", &batch, slots)?;
            waiting.push(Rows { slots, arguments });
        }
        partials.push(Partial::from_parts(read, waiting));
    }
    Ok(partials)
}

/// Columns as a batch; their names are their places.
fn batch(section: &str, columns: Vec<ArrayRef>) -> Result<RecordBatch, SaveError> {
    let fields: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| Field::new(index.to_string(), column.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|source| SaveError::Batch { section: section.to_owned(), source })
}

fn slots_column(slots: &[u32]) -> ArrayRef {
    Arc::new(UInt32Array::from(slots.to_vec()))
}

fn with_slots(section: &str, slots: &[u32], columns: &[ArrayRef]) -> Result<RecordBatch, SaveError> {
    let mut all = vec![slots_column(slots)];
    all.extend(columns.iter().cloned());
    batch(section, all)
}

#[expect(clippy::type_complexity, reason = "keys and the columns beside them")]
fn without_slots(section: &str, batch: &RecordBatch, slots: usize) -> Result<(Vec<u32>, Vec<ArrayRef>), SaveError> {
    Ok((slots_of(section, batch, 0, slots)?, batch.columns().get(1..).unwrap_or_default().to_vec()))
}

/// A column of slots, each below `slots`.
fn slots_of(section: &str, batch: &RecordBatch, index: usize, slots: usize) -> Result<Vec<u32>, SaveError> {
    let column = batch.columns().get(index).and_then(|column| column.as_primitive_opt::<UInt32Type>());
    match column {
        Some(column) if column.values().iter().all(|slot| (*slot as usize) < slots) => Ok(column.values().to_vec()),
        Some(_) => Err(SaveError::Damaged { section: section.to_owned() }),
        None => Err(missing(section, index)),
    }
}

fn integers(section: &str, batch: &RecordBatch, index: usize) -> Result<Vec<i64>, SaveError> {
    let column = batch.columns().get(index).and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.map(|column| column.values().to_vec()).ok_or_else(|| missing(section, index))
}

fn floats(section: &str, batch: &RecordBatch, index: usize) -> Result<Vec<f64>, SaveError> {
    let column = batch.columns().get(index).and_then(|column| column.as_primitive_opt::<Float64Type>());
    column.map(|column| column.values().to_vec()).ok_or_else(|| missing(section, index))
}

fn missing(section: &str, index: usize) -> SaveError {
    SaveError::Unexpected { found: section.to_owned(), expected: format!("column {index} of {section}") }
}
