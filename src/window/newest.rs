//! The newest emitted row of each key of a table of windows: what SQL and vectors see of it.
//!
//! ```text
//!  emissions ─▶ batches, kept by reference ◀── (batch, row) of each key: the latest window, then the latest emission
//!                    │ mostly replaced? ─▶ the rows in use, copied into one
//! ```
//!
//! A row is dropped when HAVING takes it back, and when its window ended longer ago than the retention.

mod save;
mod view;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{interleave, interleave_record_batch};

use super::WindowError;
use super::closed::{Emission, WindowPlan};
use super::keys::{KeyIndex, NO_SLOT};
use super::paged::Paged;
use crate::time::EventTime;

pub(crate) use view::RowsView;

/// Batches are rewritten when they hold more rows than this and twice those in use.
const LEAST_REWRITTEN: usize = 1 << 14;

/// See the module.
pub struct NewestRows {
    plan: Arc<WindowPlan>,
    retention: i64,
    keys: KeyIndex,
    /// Per slot; a batch without a number is no row.
    rows: Paged<Row>,
    batches: BTreeMap<u64, Arc<RecordBatch>>,
    next_batch: u64,
    /// Rows in all batches.
    held: usize,
    /// Keys with a row.
    used: usize,
    watermark: i64,
    swept: i64,
    slots: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Row {
    batch: u64,
    row: u32,
    end: i64,
}

/// A key without a row.
const NO_ROW: Row = Row { batch: u64::MAX, row: 0, end: i64::MIN };

/// Rows that were looked up: they stay what they were while the table moves on.
#[derive(Default)]
pub struct RowReads {
    batches: Vec<(u64, RecordBatch)>,
    /// Per look-up the batch, from one, and the row; zero is no row.
    picks: Vec<(usize, usize)>,
}

impl RowReads {
    /// Forgets all look-ups.
    pub fn clear(&mut self) {
        self.batches.clear();
        self.picks.clear();
    }

    /// How many look-ups there are.
    pub(crate) fn len(&self) -> usize {
        self.picks.len()
    }
}

impl NewestRows {
    /// No rows yet. A row is kept for `retention` microseconds after the end of its window.
    pub fn new(plan: Arc<WindowPlan>, retention: i64) -> Result<Self, WindowError> {
        Ok(Self {
            keys: KeyIndex::new(&plan.key_types())?,
            plan,
            retention,
            rows: Paged::new(1),
            batches: BTreeMap::new(),
            next_batch: 0,
            held: 0,
            used: 0,
            watermark: i64::MIN,
            swept: i64::MIN,
            slots: Vec::new(),
        })
    }

    /// Takes what the table has emitted, in the order in which it did.
    pub fn take(&mut self, emission: &Emission<impl Sized>) -> Result<(), WindowError> {
        let count = emission.rows.num_rows();
        let mut slots = std::mem::take(&mut self.slots);
        self.keys.intern(&columns(&emission.keys, count), count, |_| true, &mut slots)?;
        self.rows.resize(self.keys.len(), &[NO_ROW]);
        let batch = self.next_batch;
        let mut is_used = false;
        for (row, (slot, (_, end))) in slots.iter().zip(&emission.windows).enumerate() {
            let known = *self.rows.get(*slot as usize);
            let had_row = known.batch != NO_ROW.batch;
            if emission.is_removal {
                if had_row && known.end == *end {
                    *self.rows.get_mut(*slot as usize) = NO_ROW;
                    self.used -= 1;
                }
            } else if *end >= known.end {
                *self.rows.get_mut(*slot as usize) = Row { batch, row: row as u32, end: *end };
                self.used += usize::from(!had_row);
                is_used = true;
            }
        }
        self.slots = slots;
        if is_used {
            self.batches.insert(batch, Arc::new(emission.rows.clone()));
            self.next_batch += 1;
            self.held += count;
        }
        Ok(())
    }

    /// Gives the keys of an emission that will be taken their slots, so that look-ups made before find its rows.
    pub fn reserve(&mut self, emission: &Emission<impl Sized>) -> Result<(), WindowError> {
        let count = emission.rows.num_rows();
        let mut slots = std::mem::take(&mut self.slots);
        self.keys.intern(&columns(&emission.keys, count), count, |_| true, &mut slots)?;
        self.slots = slots;
        self.rows.resize(self.keys.len(), &[NO_ROW]);
        Ok(())
    }

    /// Moves the watermark on: rows whose windows ended too long before it are no longer seen.
    pub fn advance(&mut self, watermark: EventTime) {
        self.watermark = self.watermark.max(watermark.micros());
    }

    /// Ends a step: frees what is no longer seen. Slots that were looked up are of no use afterwards.
    pub fn settle(&mut self) -> Result<(), WindowError> {
        // Reads look at the watermark themselves: sweeping only frees memory.
        if self.watermark < self.swept.saturating_add(self.retention / 8) {
            return self.rewrite();
        }
        self.swept = self.watermark;
        for slot in 0..self.rows.len() {
            let row = *self.rows.get(slot);
            if row.batch != NO_ROW.batch && !self.is_seen(row) {
                *self.rows.get_mut(slot) = NO_ROW;
                self.used -= 1;
            }
        }
        self.rewrite()
    }

    /// Slots of keys for [`Self::read`], one per row of the key columns; unknown keys get a slot that reads as missing.
    pub fn look_up(&mut self, keys: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<(), WindowError> {
        self.keys.look_up(&columns(keys, rows), rows, slots)
    }

    /// Looks up the row of a key as it is now.
    pub fn read(&self, slot: u32, reads: &mut RowReads) {
        let found = self.row(slot).filter(|row| self.is_seen(*row));
        let Some((row, batch)) = found.and_then(|row| Some((row, self.batches.get(&row.batch)?))) else {
            return reads.picks.push((0, 0));
        };
        // Neighbours are often of one batch.
        let known = reads.batches.iter().rposition(|(number, _)| *number == row.batch);
        let place = known.unwrap_or_else(|| {
            reads.batches.push((row.batch, RecordBatch::clone(batch)));
            reads.batches.len() - 1
        });
        reads.picks.push((place + 1, row.row as usize));
    }

    /// Whether the row of a key may hold events later than `t`: its window goes on after it, and the watermark has passed it.
    pub(crate) fn holds_later(&self, slot: u32, t: EventTime) -> bool {
        let row = self.row(slot).filter(|row| self.is_seen(*row));
        row.is_some_and(|row| t.micros() < row.end.min(self.watermark))
    }

    /// The later one of `t` and the watermark.
    pub(crate) fn moment(&self, t: EventTime) -> EventTime {
        t.max(EventTime(self.watermark))
    }

    /// The rows of the look-ups in `reads`, in their order; a missing one is all NULL.
    pub fn evaluate(&self, reads: &RowReads) -> Result<RecordBatch, WindowError> {
        let schema = self.plan.schema();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for (index, field) in schema.fields().iter().enumerate() {
            let missing = new_null_array(field.data_type(), 1);
            let mut parts: Vec<&dyn arrow::array::Array> = vec![missing.as_ref()];
            parts.extend(reads.batches.iter().map(|(_, batch)| batch.column(index).as_ref()));
            columns.push(interleave(&parts, &reads.picks)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(reads.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }

    /// The rows of all keys, in the order in which the keys came.
    pub fn scan(&self) -> Result<RecordBatch, WindowError> {
        self.scan_slots(0..u32::MAX)
    }

    /// The rows of the keys with these slots, likewise.
    fn scan_slots(&self, slots: Range<u32>) -> Result<RecordBatch, WindowError> {
        let mut reads = RowReads::default();
        let end = slots.end.min(self.rows.len() as u32);
        for slot in (slots.start..end).filter(|slot| self.is_seen(*self.rows.get(*slot as usize))) {
            self.read(slot, &mut reads);
        }
        self.evaluate(&reads)
    }

    /// The row of a slot; none for one that is no key's.
    fn row(&self, slot: u32) -> Option<Row> {
        ((slot as usize) < self.rows.len()).then(|| *self.rows.get(slot as usize))
    }

    /// Keys with a row.
    pub fn key_count(&self) -> usize {
        self.used
    }

    /// Memory held, bytes.
    pub fn size(&self) -> usize {
        let batches: usize = self.batches.values().map(|batch| batch.get_array_memory_size()).sum();
        batches + self.keys.size() + size_of::<Row>() * self.rows.len()
    }

    fn is_seen(&self, row: Row) -> bool {
        row.batch != NO_ROW.batch && row.end.saturating_add(self.retention) > self.watermark
    }

    /// Copies the rows in use into one batch, and forgets keys without one, when most of what is held is of no use.
    fn rewrite(&mut self) -> Result<(), WindowError> {
        if self.held.max(self.keys.len()) < LEAST_REWRITTEN.max(2 * self.used) {
            return Ok(());
        }
        let alive: Vec<bool> = self.rows.iter().map(|row| row.batch != NO_ROW.batch).collect();
        let places: BTreeMap<u64, usize> =
            self.batches.keys().enumerate().map(|(place, batch)| (*batch, place)).collect();
        let mut picks = Vec::with_capacity(self.used);
        for row in self.rows.iter().filter(|row| row.batch != NO_ROW.batch) {
            picks.extend(places.get(&row.batch).map(|place| (*place, row.row as usize)));
        }
        let batches: Vec<&RecordBatch> = self.batches.values().map(Arc::as_ref).collect();
        let copied = if picks.is_empty() { None } else { Some(interleave_record_batch(&batches, &picks)?) };
        let moved = self.keys.retain(&alive);
        let mut rows = Paged::new(1);
        // In the order of the new slots.
        for (row, slot) in self.rows.iter().zip(&moved).filter(|(_, slot)| **slot != NO_SLOT) {
            rows.push(&[Row { batch: self.next_batch, row: *slot, end: row.end }]);
        }
        drop(self.rows.replace(rows));
        self.batches.clear();
        self.batches.extend(copied.map(|copied| (self.next_batch, Arc::new(copied))));
        self.next_batch += 1;
        self.held = self.used;
        Ok(())
    }
}

/// The columns that a key is told apart by; a window over everything has one key.
fn columns(keys: &[ArrayRef], rows: usize) -> Vec<ArrayRef> {
    match keys.is_empty() {
        true => vec![Arc::new(Int64Array::from_value(0, rows))],
        false => keys.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use crate::window::WindowIndex;
    use std::collections::BTreeMap;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
    use proptest::prelude::*;

    use super::*;
    use crate::window::{EmissionKind, Horizon, TableForm, WindowSettings};

    const SQL: &str = "SELECT user_id, count(*) AS events FROM clicks GROUP BY user_id, tumble(ts, '1 minute')";

    pub(super) fn plan() -> Arc<WindowPlan> {
        let planner = crate::window::planner();
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
        let schema = Schema::new(vec![Field::new("user_id", DataType::Int64, true), Field::new("ts", time, true)]);
        planner.add_relation("clicks", Arc::new(schema)).unwrap();
        let settings = WindowSettings::default();
        match TableForm::plan(&planner, "t", SQL, "ts", Horizon::new(1), settings).unwrap() {
            TableForm::Windows(plan) => Arc::new(plan),
            TableForm::AsOf(_) => unreachable!("a window is in GROUP BY"),
        }
    }

    pub(super) fn emission(plan: &WindowPlan, rows: &[(i64, i64, i64)], is_removal: bool) -> Emission {
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2)));
        let batch = RecordBatch::try_new(Arc::clone(plan.schema()), vec![Arc::clone(&keys), values]).unwrap();
        let windows = rows.iter().map(|(_, end, _)| (end - 60, *end)).collect();
        Emission {
            table: WindowIndex(0),
            kind: EmissionKind::Final,
            at: EventTime(0),
            rows: batch,
            keys: vec![keys],
            windows,
            is_removal,
            failed: Vec::new(),
        }
    }

    fn seen(rows: &NewestRows) -> BTreeMap<i64, i64> {
        let batch = rows.scan().unwrap();
        let values = batch.column(1).as_primitive::<Int64Type>().values();
        batch.column(0).as_primitive::<Int64Type>().values().iter().copied().zip(values.iter().copied()).collect()
    }

    #[test]
    fn the_latest_window_counts_then_the_latest_emission() {
        let plan = plan();
        let mut rows = NewestRows::new(Arc::clone(&plan), 1_000).unwrap();
        rows.take(&emission(&plan, &[(1, 120, 5), (2, 120, 6)], false)).unwrap();
        rows.take(&emission(&plan, &[(1, 60, 9), (2, 120, 7)], false)).unwrap();
        assert_eq!(seen(&rows), BTreeMap::from([(1, 5), (2, 7)]), "a late row of an earlier window changes nothing");
        rows.take(&emission(&plan, &[(1, 60, 9), (2, 120, 7)], true)).unwrap();
        assert_eq!(seen(&rows), BTreeMap::from([(1, 5)]), "what HAVING takes back is gone");
    }

    #[test]
    fn a_look_up_keeps_its_row_while_the_table_moves_on() {
        let plan = plan();
        let mut rows = NewestRows::new(Arc::clone(&plan), 1_000).unwrap();
        rows.take(&emission(&plan, &[(1, 60, 5)], false)).unwrap();
        let (mut slots, mut reads) = (Vec::new(), RowReads::default());
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 3]));
        rows.look_up(&[keys], 2, &mut slots).unwrap();
        slots.iter().for_each(|slot| rows.read(*slot, &mut reads));
        rows.take(&emission(&plan, &[(1, 120, 8)], false)).unwrap();
        rows.read(slots[0], &mut reads);
        let found = rows.evaluate(&reads).unwrap();
        let values: Vec<_> = found.column(1).as_primitive::<Int64Type>().iter().collect();
        assert_eq!(values, [Some(5), None, Some(8)]);
        rows.advance(EventTime(120 + 999));
        rows.settle().unwrap();
        assert_eq!(rows.key_count(), 1);
        rows.advance(EventTime(120 + 1_000));
        assert_eq!(seen(&rows).len(), 0, "not seen before it is swept");
        rows.advance(EventTime(120 + 1_200));
        rows.settle().unwrap();
        assert_eq!((rows.key_count(), seen(&rows).len()), (0, 0));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_map(
            steps in prop::collection::vec((prop::collection::vec((0_i64..8, 1_i64..6), 1..40), any::<bool>()), 1..40),
        ) {
            let plan = plan();
            let mut rows = NewestRows::new(Arc::clone(&plan), 150).unwrap();
            let mut naive: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
            let mut count = 0;
            for (step, (changes, is_removal)) in steps.iter().enumerate() {
                let mut changed: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
                for (key, end) in changes {
                    count += 1;
                    changed.insert(*key, (end * 60, count));
                }
                let emitted: Vec<_> = changed.iter().map(|(key, (end, value))| (*key, *end, *value)).collect();
                rows.take(&emission(&plan, &emitted, *is_removal)).unwrap();
                for (key, end, value) in emitted {
                    match naive.get(&key).copied() {
                        Some((known, _)) if *is_removal => { if known == end { naive.remove(&key); } }
                        Some((known, _)) if known > end => {}
                        _ if *is_removal => {}
                        _ => { naive.insert(key, (end, value)); }
                    }
                }
                let watermark = step as i64 * 10;
                rows.advance(EventTime(watermark));
                rows.settle().unwrap();
                naive.retain(|_, (end, _)| *end + 150 > watermark);
                let expected: BTreeMap<_, _> = naive.iter().map(|(key, (_, value))| (*key, *value)).collect();
                prop_assert_eq!(seen(&rows), expected);
            }
        }
    }
}
