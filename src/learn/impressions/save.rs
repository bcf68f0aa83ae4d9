//! Impressions as sections of a saved state, and back: in columns, so that many are copied at once.
//!
//! ```text
//!  NAME           key (16 bytes, little endian) · shown and arrived, microseconds · place
//!                 · asked: its ranking, by its row in the next section · item, as JSON · propensity
//!  NAME asked     of each ranking: request · user, as JSON · model
//!  NAME vectors   the words of all vectors, one after the other
//! ```
//!
//! Earlier versions have neither the second line nor the section of rankings, and are read all the same.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, Float32Array, Int64Array, RecordBatch, StringArray, UInt32Array,
};
use arrow::buffer::Buffer;
use arrow::datatypes::{Float32Type, Int64Type, UInt32Type};

use super::Impressions;
use crate::learn::{Asked, Impression, Provenance};
use crate::model::ModelVersion;
use crate::score::Id;
use crate::snapshot::{SaveError, SectionReader, SectionWriter};
use crate::time::EventTime;

const KEY_BYTES: i32 = 16;
/// Columns of an earlier version.
const EARLIER_COLUMNS: usize = 4;

impl Impressions {
    /// Writes them as three sections: this name, `NAME asked` and `NAME vectors`.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn save(&self, name: &str, writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
        let failed = |source| SaveError::Batch { section: name.to_owned(), source };
        let keys: Vec<u8> = self.keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        let keys = FixedSizeBinaryArray::try_new(KEY_BYTES, Buffer::from_vec(keys), None).map_err(failed)?;
        let provenances = self.rows.provenances();
        let (places, rankings) = rankings(provenances);
        let items = provenances.iter().map(|provenance| provenance.item.as_ref().map(Id::to_string));
        let propensities = provenances.iter().map(|provenance| provenance.propensity);
        let columns: [(&str, ArrayRef); 7] = [
            ("key", Arc::new(keys)),
            ("shown", Arc::new(Int64Array::from(self.rows.shown_micros().to_vec()))),
            ("arrived", Arc::new(Int64Array::from(self.rows.labelled_micros().to_vec()))),
            ("place", Arc::new(UInt32Array::from(self.rows.places().to_vec()))),
            ("asked", Arc::new(places)),
            ("item", Arc::new(items.collect::<StringArray>())),
            ("propensity", Arc::new(propensities.collect::<Float32Array>())),
        ];
        writer.section(name, &[RecordBatch::try_from_iter(columns).map_err(failed)?])?;
        let requests = rankings.iter().map(|asked| asked.request.as_deref());
        let users = rankings.iter().map(|asked| asked.user.as_ref().map(Id::to_string));
        let models = rankings.iter().map(|asked| asked.model.as_ref().map(ModelVersion::as_str));
        let columns: [(&str, ArrayRef); 3] = [
            ("request", Arc::new(requests.collect::<StringArray>())),
            ("user", Arc::new(users.collect::<StringArray>())),
            ("model", Arc::new(models.collect::<StringArray>())),
        ];
        writer.section(&asked_of(name), &[RecordBatch::try_from_iter(columns).map_err(failed)?])?;
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
        let unexpected = || SaveError::Unexpected {
            found: format!("something else in {name}"),
            expected: format!("key, times, place, origin and {columns} numbers of each impression"),
        };
        let provenances = match batch.num_columns() {
            EARLIER_COLUMNS => vec![Provenance::default(); batch.num_rows()],
            _ => restore_provenances(&batch, &reader.batch(&asked_of(name))?).ok_or_else(unexpected)?,
        };
        let vectors = reader.batch(&vectors_of(name))?;
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
        for (((key, (at, arrived)), place), provenance) in keys.iter().zip(times).zip(places.values()).zip(&provenances)
        {
            let key = key.and_then(|key| Some(u128::from_le_bytes(key.try_into().ok()?))).ok_or_else(unexpected)?;
            let (vector, rest) = vectors.split_at_checked(columns).ok_or_else(unexpected)?;
            vectors = rest;
            let (at, arrived) = (EventTime(*at), EventTime(*arrived));
            let impression = Impression { key, at, arrived, place: *place, vector, provenance };
            read.push(impression).map_err(|_| unexpected())?;
        }
        Ok(read)
    }
}

/// For each row the number of its ranking, and the rankings: rows of one follow each other.
fn rankings(provenances: &[Provenance]) -> (UInt32Array, Vec<&Asked>) {
    let mut rankings: Vec<&Asked> = Vec::new();
    let places = provenances.iter().map(|provenance| {
        let asked = provenance.asked.as_deref()?;
        if rankings.last().is_none_or(|last| *last != asked) {
            rankings.push(asked);
        }
        Some(rankings.len() as u32 - 1)
    });
    (places.collect(), rankings)
}

fn restore_provenances(rows: &RecordBatch, rankings: &RecordBatch) -> Option<Vec<Provenance>> {
    let text = |batch: &'_ RecordBatch, name: &str| batch.column_by_name(name)?.as_string_opt::<i32>().cloned();
    let at = |texts: &StringArray, row: usize| texts.is_valid(row).then(|| texts.value(row).to_owned());
    let (requests, users, models) = (text(rankings, "request")?, text(rankings, "user")?, text(rankings, "model")?);
    let rankings: Vec<Arc<Asked>> = (0..rankings.num_rows())
        .map(|row| {
            Arc::new(Asked {
                request: at(&requests, row).map(Into::into),
                user: at(&users, row).and_then(|user| Id::of_json(&user)),
                model: at(&models, row).and_then(|model| ModelVersion::parse(&model)),
            })
        })
        .collect();
    let places = rows.column_by_name("asked")?.as_primitive_opt::<UInt32Type>()?;
    let items = text(rows, "item")?;
    let propensities = rows.column_by_name("propensity")?.as_primitive_opt::<Float32Type>()?;
    let of_row = |row: usize| {
        let asked = match places.is_valid(row) {
            true => Some(Arc::clone(rankings.get(places.value(row) as usize)?)),
            false => None,
        };
        let item = at(&items, row).and_then(|item| Id::of_json(&item));
        let propensity = propensities.is_valid(row).then(|| propensities.value(row));
        Some(Provenance { asked, item, propensity })
    };
    (0..rows.num_rows()).map(of_row).collect()
}

fn asked_of(name: &str) -> String {
    format!("{name} asked")
}

fn vectors_of(name: &str) -> String {
    format!("{name} vectors")
}
