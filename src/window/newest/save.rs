//! The newest rows as sections, and back.
//!
//! ```text
//!  newest    retention, watermark, when it was swept, rows held, how many keys
//!  keys      the key columns by slot                             (parts of 65,536 keys)
//!  ends      by slot the end of the row's window, or NULL         (parts of 65,536 keys)
//!  rows      the rows of the keys that have one, in their order   (parts of 65,536 keys)
//! ```
//!
//! Rows of no use are left out. How many rows are held is saved as it is: it decides when keys without a row are forgotten,
//! and so the order of a later scan.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{Field, Int64Type, Schema};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{NO_ROW, NewestRows, Row};
use crate::snapshot::{Header, SaveError, SectionReader, SectionWriter};
use crate::window::closed::{WindowPlan, earlier_fingerprint, fingerprint};

const KIND: &str = "newest rows";

/// Keys of one section: what is held in memory beside the table while it is saved.
const PART: usize = 1 << 16;

impl NewestRows {
    /// Writes the whole state, between two steps.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn save(&self, output: &mut dyn Write) -> Result<(), SaveError> {
        let mut writer = SectionWriter::new(output, KIND, fingerprints(&self.plan, self.retention)[0])?;
        let keys = self.keys.len();
        writer.numbers("newest", &[self.retention, self.watermark, self.swept, self.held as i64, keys as i64])?;
        for (part, slots) in parts(keys) {
            let name = format!("keys {part}");
            let all: Vec<u32> = (slots.start as u32..slots.end as u32).collect();
            let columns = self.keys.columns(&all).map_err(|error| error.in_section(&name))?;
            writer.section(&name, &[batch(&name, columns)?])?;
            let rows: Vec<Row> = slots.map(|slot| *self.rows.get(slot)).collect();
            let ends: Int64Array = rows.iter().map(|row| has_row(row).then_some(row.end)).collect();
            let name = format!("ends {part}");
            writer.section(&name, &[batch(&name, vec![Arc::new(ends)])?])?;
            let name = format!("rows {part}");
            let in_use = self.in_use(&rows).map_err(|source| SaveError::Batch { section: name.clone(), source })?;
            writer.section(&name, in_use.as_slice())?;
        }
        writer.finish()
    }

    /// The rows that were saved, under the same plan and retention; everything that follows is what would have followed.
    ///
    /// # Errors
    /// When the input is damaged, truncated, or the state of another plan or retention: the message names what differs.
    pub fn restore(plan: Arc<WindowPlan>, retention: i64, input: &mut dyn Read) -> Result<Self, SaveError> {
        let mut reader = SectionReader::of_any(input, KIND, &fingerprints(&plan, retention))?;
        let mut table = Self::new(plan, retention).map_err(|error| error.in_section("newest"))?;
        let numbers = reader.numbers("newest", 5)?;
        let [found, watermark, swept, held, keys] = numbers[..] else { return Err(unexpected("newest", "5 numbers")) };
        if found != retention {
            let (found, expected) = (found.to_string(), retention.to_string());
            return Err(SaveError::Foreign { what: "the retention", found, expected });
        }
        let (Ok(held), Ok(keys)) = (usize::try_from(held), usize::try_from(keys)) else {
            return Err(unexpected("newest", "numbers of rows and keys"));
        };
        (table.watermark, table.swept, table.held) = (watermark, swept, held);
        for (part, slots) in parts(keys) {
            table.restore_part(&mut reader, part, slots.end)?;
        }
        reader.finish()?;
        Ok(table)
    }

    /// Whether a state is one of this table.
    ///
    /// # Errors
    /// With what differs.
    pub(crate) fn check(&self, header: &Header) -> Result<(), SaveError> {
        header.check(KIND, &fingerprints(&self.plan, self.retention))
    }

    fn restore_part(&mut self, reader: &mut SectionReader<'_>, part: usize, keys: usize) -> Result<(), SaveError> {
        let name = format!("keys {part}");
        let batch = reader.batch(&name)?;
        let mut slots = Vec::new();
        let interned = self.keys.intern(batch.columns(), batch.num_rows(), |_| true, &mut slots);
        interned.map_err(|error| error.in_section(&name))?;
        if self.keys.len() != keys || slots.len() + self.rows.len() != keys {
            return Err(unexpected(&name, "as many different keys as there were"));
        }
        let name = format!("ends {part}");
        let batch = reader.batch(&name)?;
        let ends = batch.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
        let ends = ends.filter(|ends| ends.len() == slots.len());
        let ends = ends.ok_or_else(|| unexpected(&name, "the end of a window for each key"))?;
        let mut used = 0;
        for end in ends {
            self.rows.push(&[end.map_or(NO_ROW, |end| Row { batch: self.next_batch, row: used, end })]);
            used += u32::from(end.is_some());
        }
        let name = format!("rows {part}");
        let rows = reader.section(&name)?;
        if rows.iter().map(RecordBatch::num_rows).sum::<usize>() != used as usize || rows.len() > 1 {
            return Err(unexpected(&name, "a row for each key that has one"));
        }
        for rows in rows {
            // Under the plan's own schema, which the columns must fit.
            let rows = RecordBatch::try_new(Arc::clone(self.plan.schema()), rows.columns().to_vec());
            let rows = rows.map_err(|source| SaveError::Batch { section: name.clone(), source })?;
            self.batches.insert(self.next_batch, Arc::new(rows));
            self.next_batch += 1;
        }
        self.used += used as usize;
        Ok(())
    }

    /// The emitted rows of some keys, one after the other; nothing when none has one.
    fn in_use(&self, rows: &[Row]) -> Result<Option<RecordBatch>, arrow::error::ArrowError> {
        let (mut batches, mut picks) = (Vec::new(), Vec::new());
        let mut places = BTreeMap::new();
        for row in rows.iter().filter(|row| has_row(row)) {
            let Some(batch) = self.batches.get(&row.batch) else { continue };
            let place = *places.entry(row.batch).or_insert_with(|| {
                batches.push(batch.as_ref());
                batches.len() - 1
            });
            picks.push((place, row.row as usize));
        }
        if picks.is_empty() { Ok(None) } else { interleave_record_batch(&batches, &picks).map(Some) }
    }
}

/// What a state of these rows may have been saved under: this version's fingerprint, and that of earlier ones, in which the
/// retention stood beside it.
fn fingerprints(plan: &Arc<WindowPlan>, retention: i64) -> [u64; 2] {
    let of_plan = fingerprint(std::iter::once(plan));
    let own = xxh3_64_with_seed(&retention.to_le_bytes(), of_plan);
    [own, earlier_fingerprint(std::slice::from_ref(plan))]
}

fn has_row(row: &Row) -> bool {
    row.batch != NO_ROW.batch
}

fn parts(count: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    (0..count.div_ceil(PART)).map(move |part| (part, part * PART..count.min((part + 1) * PART)))
}

/// Columns as a batch; their names are their places.
fn batch(section: &str, columns: Vec<ArrayRef>) -> Result<RecordBatch, SaveError> {
    let field = |(index, column): (usize, &ArrayRef)| Field::new(index.to_string(), column.data_type().clone(), true);
    let schema = Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns)
        .map_err(|source| SaveError::Batch { section: section.to_owned(), source })
}

fn unexpected(section: &str, expected: &str) -> SaveError {
    SaveError::Unexpected { found: format!("something else in {section}"), expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::time::EventTime;
    use proptest::prelude::*;

    use super::*;
    use crate::window::newest::tests::{emission, plan};
    use crate::window::{Emission, RowReads};

    fn saved(rows: &NewestRows) -> Vec<u8> {
        let mut bytes = Vec::new();
        rows.save(&mut bytes).unwrap();
        bytes
    }

    fn restored(rows: &NewestRows) -> NewestRows {
        NewestRows::restore(Arc::clone(&rows.plan), rows.retention, &mut saved(rows).as_slice()).unwrap()
    }

    /// What look-ups of keys 0 to 11 give.
    fn found(rows: &mut NewestRows) -> RecordBatch {
        let (mut slots, mut reads) = (Vec::new(), RowReads::default());
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..12));
        rows.look_up(&[keys], 12, &mut slots).unwrap();
        slots.iter().for_each(|slot| rows.read(*slot, &mut reads));
        rows.evaluate(&reads).unwrap()
    }

    fn step(rows: &mut NewestRows, emission: &Emission, watermark: i64) {
        rows.reserve(emission).unwrap();
        rows.take(emission).unwrap();
        rows.advance(EventTime(watermark));
        rows.settle().unwrap();
    }

    proptest! {
        #[test]
        fn what_follows_a_restart_is_what_would_have_followed(
            steps in prop::collection::vec((prop::collection::vec((0_i64..8, 1_i64..6), 0..40), any::<bool>()), 1..40),
            restarts in prop::collection::vec(any::<bool>(), 40),
        ) {
            let plan = plan();
            let mut running = NewestRows::new(Arc::clone(&plan), 150).unwrap();
            let mut restarted = NewestRows::new(Arc::clone(&plan), 150).unwrap();
            for (number, ((changes, is_removal), restarts)) in steps.iter().zip(restarts).enumerate() {
                let now = number as i64 * 10;
                // A key stands in an emission once.
                let changed: BTreeMap<i64, i64> = changes.iter().map(|(key, end)| (*key, *end * 60)).collect();
                let rows: Vec<_> = changed.into_iter().map(|(key, end)| (key, end, now + key)).collect();
                let emission = emission(&plan, &rows, *is_removal);
                step(&mut running, &emission, now);
                step(&mut restarted, &emission, now);
                if restarts {
                    restarted = restored(&restarted);
                }
                prop_assert_eq!(found(&mut restarted), found(&mut running));
                prop_assert_eq!(restarted.scan().unwrap(), running.scan().unwrap());
                prop_assert_eq!(restarted.key_count(), running.key_count());
                prop_assert_eq!(saved(&restarted), saved(&running));
            }
        }
    }

    #[test]
    fn keys_are_forgotten_at_the_same_moment_after_a_restart() {
        let plan = plan();
        let mut running = NewestRows::new(Arc::clone(&plan), 1_000).unwrap();
        let of =
            |keys: Range<i64>, end: i64| emission(&plan, &keys.map(|key| (key, end, key)).collect::<Vec<_>>(), false);
        // More keys than one section holds, of which most are replaced and some end.
        for (keys, end) in [(0..70_000, 60), (10..69_000, 90), (0..9, 2_000), (40_000..60_000, 2_000)] {
            step(&mut running, &of(keys, end), 100);
        }
        let mut restarted = restored(&running);
        assert_eq!(restarted.scan().unwrap(), running.scan().unwrap());
        for (keys, end, watermark) in [(5..6, 1_080, 1_070), (1..2, 1_300, 1_200), (100..200, 2_000, 1_400)] {
            let emission = of(keys, end);
            step(&mut running, &emission, watermark);
            step(&mut restarted, &emission, watermark);
            assert_eq!(restarted.keys.len(), running.keys.len());
            assert_eq!(restarted.scan().unwrap(), running.scan().unwrap());
        }
        assert!(running.keys.len() < 30_000, "most keys are forgotten by now");
    }

    #[test]
    fn another_retention_is_refused_and_damage_is_never_a_value() {
        let plan = plan();
        let mut rows = NewestRows::new(Arc::clone(&plan), 1_000).unwrap();
        rows.take(&emission(&plan, &[(1, 60, 5), (2, 60, 6)], false)).unwrap();
        let bytes = saved(&rows);
        let restore = |retention, mut bytes: &[u8]| NewestRows::restore(Arc::clone(&plan), retention, &mut bytes);
        let refused = restore(999, &bytes).err().unwrap().to_string();
        assert!(refused.starts_with("saved state has the plan fingerprint"), "{refused}");
        for place in 0..bytes.len() {
            assert!(restore(1_000, &bytes[..place]).is_err(), "cut at {place}");
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert!(restore(1_000, &damaged).is_err(), "byte {place} flipped");
        }
    }
}
