//! Bytes to examples, trusting none of them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{ArrayRef, AsArray, PrimitiveArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{ArrowPrimitiveType, Field, Float32Type, TimestampMicrosecondType, UInt32Type};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;

use super::{
    ExampleError, Examples, FINGERPRINT, FORMAT, NEWEST, NUMBERS, TYPED, check_values, earlier, fields, provenance,
    vectors,
};
use crate::feature::Inputs;
use crate::learn::{Example, ExampleKind, Provenance};

/// Adds the examples of a message to `out`.
///
/// # Errors
/// An [`ExampleError`] that says what is wrong with the message; `out` is then as it was. Bytes of any kind are safe to
/// pass.
pub fn decode(
    message: &[u8],
    inputs: impl Into<Inputs>,
    fingerprint: &str,
    out: &mut Examples,
) -> Result<(), ExampleError> {
    out.expect_width(inputs.into().width())?;
    decode_with(message, fingerprint, out).map(drop)
}

/// [`decode`] for what is trained, to which a missing value says nothing.
///
/// # Errors
/// Those of [`decode`], and for a vector that has a NaN.
pub fn decode_complete(
    message: &[u8],
    inputs: impl Into<Inputs>,
    fingerprint: &str,
    out: &mut Examples,
) -> Result<(), ExampleError> {
    let inputs = inputs.into();
    let mut read = Examples::new(&inputs);
    decode(message, inputs, fingerprint, &mut read)?;
    if let Some((row, value)) = vectors::first(&read, f64::is_nan) {
        let rule = "a number: training takes no missing values";
        return Err(ExampleError::Value { column: "vector", row, value, rule });
    }
    out.extend(&read)
}

/// Adds the examples of a message to `out` and returns its metadata.
pub(in crate::learn) fn decode_with(
    message: &[u8],
    fingerprint: &str,
    out: &mut Examples,
) -> Result<HashMap<String, String>, ExampleError> {
    let batch = read(message)?;
    let metadata = batch.schema_ref().metadata();
    let text = |key: &str| metadata.get(key).cloned().unwrap_or_default();
    let (found_version, found) = (text(FORMAT), text(FINGERPRINT));
    let earlier = earlier(out.inputs());
    // Written before its ids were kept as such.
    let is_older = found_version == NUMBERS && earlier == TYPED && out.inputs().are_numbers();
    if found_version != NEWEST && found_version != earlier && !is_older {
        return Err(ExampleError::Version { found: found_version, earlier, newest: NEWEST });
    }
    let inputs = if is_older { Inputs::from(out.inputs().len()) } else { out.inputs().clone() };
    let expected = inputs.fingerprint(fingerprint);
    if found != expected {
        return Err(ExampleError::Fingerprint { found, expected, examples: batch.num_rows() });
    }
    check_fields(&batch, &inputs, found_version == NEWEST)?;
    let mut read = Examples::new(&inputs);
    read_rows(&batch, &mut read)?;
    check_values(&read)?;
    if is_older {
        read = read.in_types(out.inputs())?;
    }
    out.extend(&read)?;
    Ok(metadata.clone())
}

/// The one batch of a stream.
///
/// The reader of the Arrow library panics on some broken metadata. A message is a stranger's bytes, so a panic in there is
/// caught and means the same as an error. Lengths in the metadata cannot make it allocate: it only ever copies bytes that
/// the message has.
pub(crate) fn read(message: &[u8]) -> Result<RecordBatch, ExampleError> {
    match catch_unwind(AssertUnwindSafe(|| read_batch(message))) {
        Ok(Ok(batch)) => Ok(batch),
        Ok(Err(error)) => Err(unreadable(format!("no Arrow IPC stream of one batch: {error}"))),
        Err(_) => Err(unreadable("no Arrow IPC stream: its metadata is broken".to_owned())),
    }
}

fn read_batch(message: &[u8]) -> Result<RecordBatch, ArrowError> {
    let mut decoder = StreamDecoder::new();
    let mut rest = Buffer::from(message);
    let mut only = None;
    while !rest.is_empty() {
        if let Some(batch) = decoder.decode(&mut rest)?
            && only.replace(batch).is_some()
        {
            return Err(ArrowError::IpcError("there are several batches".into()));
        }
    }
    decoder.finish()?;
    only.ok_or_else(|| ArrowError::IpcError("there is no batch".into()))
}

/// Names, types and the absence of NULLs.
fn check_fields(batch: &RecordBatch, inputs: &Inputs, has_provenance: bool) -> Result<(), ExampleError> {
    let mut expected = fields(vectors::data_type(inputs)?);
    if has_provenance {
        expected.extend(provenance::fields(batch));
    }
    let show = |field: &Field| format!("\"{}\" of type {}", field.name(), field.data_type());
    let found = batch.schema_ref().fields();
    for (index, expected) in expected.iter().enumerate() {
        let column = found.get(index);
        let fits =
            column.is_some_and(|column| column.name() == expected.name() && column.data_type() == expected.data_type());
        if !fits {
            let found = column.map_or_else(|| "absent".to_owned(), |column| show(column));
            return Err(ExampleError::Column { index, found, expected: show(expected) });
        }
    }
    if let Some(column) = found.get(expected.len()) {
        let index = expected.len();
        return Err(ExampleError::Column { index, found: show(column), expected: "nothing".to_owned() });
    }
    let names = ["vector", "label", "kind", "sampling", "place", "shown", "labelled"];
    for (name, values) in names.into_iter().zip(batch.columns()) {
        let count = vectors::null_count(values);
        if count > 0 {
            return Err(ExampleError::Null { column: name, count });
        }
    }
    Ok(())
}

/// Reads a batch whose columns are checked.
fn read_rows(batch: &RecordBatch, out: &mut Examples) -> Result<(), ExampleError> {
    let missing = |column: &str| unreadable(format!("column \"{column}\" is not what its type says"));
    let column = |index: usize, name: &str| batch.columns().get(index).ok_or_else(|| missing(name));
    let width = out.width();
    let vectors = vectors::read(column(0, "vector")?, batch.num_rows(), out.inputs())?;
    let labels = numbers::<Float32Type>(column(1, "label")?).ok_or_else(|| missing("label"))?;
    let kinds = column(2, "kind")?.as_string_opt::<i32>().ok_or_else(|| missing("kind"))?;
    let sampling = numbers::<Float32Type>(column(3, "sampling")?).ok_or_else(|| missing("sampling"))?;
    let places = numbers::<UInt32Type>(column(4, "place")?).ok_or_else(|| missing("place"))?;
    let shown = numbers::<TimestampMicrosecondType>(column(5, "shown")?).ok_or_else(|| missing("shown"))?;
    let labelled = numbers::<TimestampMicrosecondType>(column(6, "labelled")?).ok_or_else(|| missing("labelled"))?;
    let provenances = provenance::read(batch);

    for row in 0..batch.num_rows() {
        let name = kinds.value(row);
        let kind = ExampleKind::from_name(name).ok_or_else(|| ExampleError::Value {
            column: "kind",
            row,
            value: format!("{name:?}"),
            rule: "positive, negative or correction",
        })?;
        if labels.value(row).to_bits() != kind.label().to_bits() {
            return Err(ExampleError::Value {
                column: "label",
                row,
                value: labels.value(row).to_string(),
                rule: "0 for a negative and 1 for others",
            });
        }
        out.push(Example {
            vector: vectors.get(row * width..(row + 1) * width).unwrap_or_default(),
            kind,
            sampling: sampling.value(row),
            shown_micros: shown.value(row),
            labelled_micros: labelled.value(row),
            place: places.value(row),
            provenance: provenances.get(row).unwrap_or(Provenance::unknown()),
        })?;
    }
    Ok(())
}

fn numbers<T: ArrowPrimitiveType>(values: &ArrayRef) -> Option<&PrimitiveArray<T>> {
    values.as_primitive_opt::<T>()
}

fn unreadable(reason: String) -> ExampleError {
    ExampleError::Unreadable { reason }
}
