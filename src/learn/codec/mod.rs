//! Examples as one message: an Arrow IPC stream with one batch, which says by itself what it is.
//!
//! ```text
//!  schema metadata   tidewheel.examples = "1", tidewheel.fingerprint = the vector's
//!  vector            fixed-size list of float32, as wide as the vector
//!  label             float32: 1 or 0                       kind       utf8: positive, negative, correction
//!  sampling          float32: above 0, at most 1           place      uint32
//!  shown, labelled   timestamp in microseconds, UTC
//! ```

mod decode;
mod encode;

#[cfg(test)]
mod speed;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};

pub use decode::decode;
pub(super) use decode::decode_with;
pub use encode::encode;
pub(super) use encode::encode_with;

use super::{ExampleError, Examples};
use crate::model::metadata::FINGERPRINT;

/// The key of the format's version in a message's metadata.
const FORMAT: &str = "tidewheel.examples";
const VERSION: &str = "1";
const UTC: &str = "+00:00";

fn item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, false))
}

fn fields(columns: i32) -> Vec<Field> {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
    let field = |name: &str, data_type| Field::new(name, data_type, false);
    vec![
        field("vector", DataType::FixedSizeList(item(), columns)),
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
    let bad = |value: &f32| !value.is_finite();
    if let Some(index) = examples.vectors().iter().position(bad) {
        let value = examples.vectors().get(index).copied().unwrap_or(f32::NAN).to_string();
        let row = index / examples.columns().max(1);
        return Err(ExampleError::Value { column: "vector", row, value, rule: "finite" });
    }
    let share = |value: &f32| *value > 0.0 && *value <= 1.0;
    if let Some((row, value)) = examples.sampling().iter().enumerate().find(|(_, value)| !share(value)) {
        let value = value.to_string();
        return Err(ExampleError::Value { column: "sampling", row, value, rule: "above 0 and at most 1" });
    }
    Ok(())
}
