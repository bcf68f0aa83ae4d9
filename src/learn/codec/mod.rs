//! Examples as one message: an Arrow IPC stream with one batch, which says by itself what it is.
//!
//! ```text
//!  schema metadata   tidewheel.examples = "3", tidewheel.fingerprint = the vector's
//!                    tidewheel.columns = the names of the vector's columns, as JSON
//!  vector            fixed-size list of float32, as wide as the vector
//!  label             float32: 1 or 0                       kind       utf8: positive, negative, correction
//!  sampling          float32: above 0, at most 1           place      uint32
//!  shown, labelled   timestamp in microseconds, UTC
//!  request_id        utf8                                  model      utf8: the version that made the ranking
//!  user, item        int64 or utf8, as their columns       propensity float32: above 0, at most 1
//! ```
//!
//! What is not known in the last two lines is NULL. Where a vector holds other types than float32, the fingerprint tells these,
//! too, and
//!
//! ```text
//!  vector            struct of a column each: float32, float64, int64, utf8, or a list of them
//! ```
//!
//! Examples that earlier versions wrote are read: format "1" has vectors of float32 alone and "2" those of several types, both
//! without the last two lines. Examples that were written before a vector held ids as int64 are format "1" with the vector's own
//! fingerprint; they are read as long as each of its columns is a number.

mod decode;
mod encode;
mod provenance;
mod vectors;

#[cfg(test)]
mod speed;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod typed_tests;

use arrow::datatypes::{DataType, Field, TimeUnit};

use crate::feature::Inputs;

pub(super) use decode::decode_with;
pub use decode::{decode, decode_complete};
pub(super) use encode::encode_with;
pub use encode::{VectorName, encode};

use super::{ExampleError, Examples};
use crate::model::metadata::FINGERPRINT;

/// The key of the format's version in a message's metadata.
pub(crate) const FORMAT: &str = "tidewheel.examples";
/// What is written.
const NEWEST: &str = "3";
/// Of an earlier version: vectors that are float32 alone.
const NUMBERS: &str = "1";
/// Of an earlier version: vectors of several types.
const TYPED: &str = "2";
/// The key of the names of a vector's columns.
pub(crate) const COLUMNS: &str = "tidewheel.columns";
const UTC: &str = "+00:00";

/// The earlier version that wrote vectors of these types.
fn earlier(inputs: &Inputs) -> &'static str {
    if inputs.typed().is_some() { TYPED } else { NUMBERS }
}

/// The columns of a message that every version has, of which the first is the vector.
fn fields(vector: DataType) -> Vec<Field> {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
    let field = |name: &str, data_type| Field::new(name, data_type, false);
    vec![
        field("vector", vector),
        field("label", DataType::Float32),
        field("kind", DataType::Utf8),
        field("sampling", DataType::Float32),
        field("place", DataType::UInt32),
        field("shown", time()),
        field("labelled", time()),
    ]
}

/// What a writer must not send and a reader does not take.
fn check_values(examples: &Examples) -> Result<(), ExampleError> {
    // NaN stands for a missing value.
    if let Some((row, value)) = vectors::first(examples, f64::is_infinite) {
        return Err(ExampleError::Value { column: "vector", row, value, rule: "finite" });
    }
    let share = |value: &f32| *value > 0.0 && *value <= 1.0;
    if let Some((row, value)) = examples.sampling().iter().enumerate().find(|(_, value)| !share(value)) {
        let value = value.to_string();
        return Err(ExampleError::Value { column: "sampling", row, value, rule: "above 0 and at most 1" });
    }
    let propensities = examples.provenances().iter().map(|provenance| provenance.propensity);
    let mut propensities = propensities.enumerate().filter_map(|(row, value)| Some((row, value?)));
    if let Some((row, value)) = propensities.find(|(_, value)| !share(value)) {
        let value = value.to_string();
        return Err(ExampleError::Value { column: "propensity", row, value, rule: "above 0 and at most 1" });
    }
    Ok(())
}
