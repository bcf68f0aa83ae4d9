//! Impressions as sections of a saved state, and back: in columns, so that many are copied at once.
//!
//! ```text
//!  NAME           key (16 bytes, little endian) · shown and arrived, microseconds · place
//!  NAME vectors   the words of all vectors, one after the other
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, FixedSizeBinaryArray, Float32Array, Int64Array, RecordBatch, UInt32Array};
use arrow::buffer::Buffer;
use arrow::datatypes::{Float32Type, Int64Type, UInt32Type};

use super::Impressions;
use crate::learn::Impression;
use crate::snapshot::{SaveError, SectionReader, SectionWriter};
use crate::time::EventTime;

const KEY_BYTES: i32 = 16;

impl Impressions {
    /// Writes them as two sections, this name and `NAME vectors`.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn save(&self, name: &str, writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
        let failed = |source| SaveError::Batch { section: name.to_owned(), source };
        let keys: Vec<u8> = self.keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        let keys = FixedSizeBinaryArray::try_new(KEY_BYTES, Buffer::from_vec(keys), None).map_err(failed)?;
        let columns: [(&str, ArrayRef); 4] = [
            ("key", Arc::new(keys)),
            ("shown", Arc::new(Int64Array::from(self.rows.shown_micros().to_vec()))),
            ("arrived", Arc::new(Int64Array::from(self.rows.labelled_micros().to_vec()))),
            ("place", Arc::new(UInt32Array::from(self.rows.places().to_vec()))),
        ];
        writer.section(name, &[RecordBatch::try_from_iter(columns).map_err(failed)?])?;
        let vectors: ArrayRef = Arc::new(Float32Array::from(self.rows.vectors().to_vec()));
        let vectors = RecordBatch::try_from_iter([("vector", vectors)]).map_err(failed)?;
        writer.section(&vectors_of(name), &[vectors])
    }

    /// Reads what [`save`](Self::save) wrote under this name, of vectors of this width, in words.
    ///
    /// # Errors
    /// When the input is damaged or truncated, or has something else in its place.
    pub fn restore(columns: usize, name: &str, reader: &mut SectionReader<'_>) -> Result<Self, SaveError> {
        let batch = reader.batch(name)?;
        let vectors = reader.batch(&vectors_of(name))?;
        let unexpected = || SaveError::Unexpected {
            found: format!("something else in {name}"),
            expected: format!("key, times, place and {columns} numbers of each impression"),
        };
        let column = |index: usize| batch.columns().get(index);
        let keys = column(0).and_then(|keys| keys.as_fixed_size_binary_opt());
        let keys = keys.filter(|keys| keys.value_length() == KEY_BYTES).ok_or_else(unexpected)?;
        let times =
            |index| column(index).and_then(|times| times.as_primitive_opt::<Int64Type>()).ok_or_else(unexpected);
        let (shown, arrived) = (times(1)?, times(2)?);
        let places = column(3).and_then(|places| places.as_primitive_opt::<UInt32Type>()).ok_or_else(unexpected)?;
        let vectors = vectors.columns().first().and_then(|vectors| vectors.as_primitive_opt::<Float32Type>());
        let vectors = vectors.ok_or_else(unexpected)?;
        if Some(vectors.len()) != batch.num_rows().checked_mul(columns) {
            return Err(unexpected());
        }
        let mut vectors = vectors.values().as_ref();
        let mut read = Self::new(columns);
        let times = shown.values().iter().zip(arrived.values());
        for ((key, (at, arrived)), place) in keys.iter().zip(times).zip(places.values()) {
            let key = key.and_then(|key| Some(u128::from_le_bytes(key.try_into().ok()?))).ok_or_else(unexpected)?;
            let (vector, rest) = vectors.split_at_checked(columns).ok_or_else(unexpected)?;
            vectors = rest;
            let (at, arrived) = (EventTime(*at), EventTime(*arrived));
            let impression = Impression { key, at, arrived, place: *place, vector };
            read.push(impression).map_err(|_| unexpected())?;
        }
        Ok(read)
    }
}

fn vectors_of(name: &str) -> String {
    format!("{name} vectors")
}
