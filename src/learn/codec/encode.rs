//! Examples to bytes.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::MetadataVersion;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};

use super::{
    COLUMNS, ExampleError, Examples, FINGERPRINT, FORMAT, NEWEST, UTC, check_values, fields, provenance, vectors,
};

/// Bytes at whose multiples the buffers of a message begin: the least that Arrow allows.
const ALIGNMENT: usize = 8;

/// What a message says of the vector that its examples are of.
#[derive(Debug, Clone, Copy)]
pub struct VectorName<'a> {
    /// Its fingerprint.
    pub fingerprint: &'a str,
    /// The names of its columns; none where nobody asks for them.
    pub columns: &'a [String],
}

impl<'a> From<&'a str> for VectorName<'a> {
    fn from(fingerprint: &'a str) -> Self {
        Self { fingerprint, columns: &[] }
    }
}

/// The examples as one message.
///
/// # Errors
/// [`ExampleError::Value`] for what no reader would take, such as a NaN; [`ExampleError::Write`] when Arrow fails.
pub fn encode<'a>(examples: &Examples, vector: impl Into<VectorName<'a>>) -> Result<Vec<u8>, ExampleError> {
    encode_with(examples, vector.into(), [])
}

/// The examples as one message with more metadata.
pub(in crate::learn) fn encode_with<const N: usize>(
    examples: &Examples,
    vector: VectorName<'_>,
    more: [(&str, String); N],
) -> Result<Vec<u8>, ExampleError> {
    check_values(examples)?;
    let inputs = examples.inputs();
    let metadata = [(FORMAT, NEWEST.to_owned()), (FINGERPRINT, inputs.fingerprint(vector.fingerprint))];
    let names = (!vector.columns.is_empty()).then(|| (COLUMNS, serde_json::Value::from(vector.columns).to_string()));
    let metadata: HashMap<String, String> =
        metadata.into_iter().chain(names).chain(more).map(|(key, value)| (key.to_owned(), value)).collect();
    let (provenances, provenance_values): (Vec<Field>, Vec<ArrayRef>) =
        provenance::write(examples.provenances()).into_iter().unzip();
    let fields: Vec<Field> = fields(vectors::data_type(inputs)?).into_iter().chain(provenances).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));

    let floats = |values: &[f32]| Arc::new(Float32Array::from(values.to_vec())) as ArrayRef;
    let times =
        |values: &[i64]| Arc::new(TimestampMicrosecondArray::from(values.to_vec()).with_timezone(UTC)) as ArrayRef;
    let kinds = StringArray::from_iter_values(examples.kinds().iter().map(|kind| kind.name()));
    let mut columns: Vec<ArrayRef> = vec![
        vectors::write(examples).map_err(|error| write_error(&error))?,
        floats(examples.labels()),
        Arc::new(kinds),
        floats(examples.sampling()),
        Arc::new(UInt32Array::from(examples.places().to_vec())),
        times(examples.shown_micros()),
        times(examples.labelled_micros()),
    ];
    columns.extend(provenance_values);
    write(schema, columns).map_err(|error| write_error(&error))
}

fn write(schema: Arc<Schema>, columns: Vec<ArrayRef>) -> Result<Vec<u8>, ArrowError> {
    let batch = RecordBatch::try_new(schema, columns)?;
    // Most messages have one row: at the usual 64 bytes the gaps between its buffers would take a third of it.
    let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?;
    let mut writer = StreamWriter::try_new_with_options(Vec::with_capacity(2_048), batch.schema_ref(), options)?;
    writer.write(&batch)?;
    writer.into_inner()
}

fn write_error(error: &impl ToString) -> ExampleError {
    ExampleError::Write { reason: error.to_string() }
}
