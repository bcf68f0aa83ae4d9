//! Arrow IPC streams as messages: reading them, fitting them to a contract, and cutting a row out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, new_null_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;

use super::contract::{Contract, ContractField};
use super::number::one_zero;
use super::reject::{Flaw, RejectReason};
use super::rule::{FieldType, UTC};

/// All batches of a stream, or why it cannot be read.
///
/// The reader of the Arrow library checks the data but not every number of the metadata around it, and panics on some
/// that are wrong. A message is a stranger's bytes, so a panic in there is caught and means the same as an error. Lengths
/// in the metadata cannot make it allocate: it only ever copies bytes that the payload has.
pub(super) fn read(payload: &Bytes) -> Result<Vec<RecordBatch>, Flaw> {
    match catch_unwind(AssertUnwindSafe(|| read_batches(payload))) {
        Ok(Ok(batches)) => Ok(batches),
        Ok(Err(error)) => Err(invalid(format!("not an Arrow IPC stream: {error}"))),
        Err(_) => Err(invalid("not an Arrow IPC stream: its metadata is broken".into())),
    }
}

/// The contract's columns, in its order, from a batch's columns of the same names and types; all may still hold nulls.
///
/// An absent column of optional values is all null; at least one column must be required. A timestamp may be in any time
/// zone: it is the same instant in all.
pub(super) fn fit(contract: &Contract, batch: &RecordBatch) -> Result<RecordBatch, Flaw> {
    let schema = batch.schema_ref();
    if contract.is_closed()
        && let Some(other) = schema.fields().iter().find(|column| contract.field(column.name()).is_none())
    {
        let detail = format!("column \"{}\" is not in the contract", other.name());
        return Err(Flaw::new(RejectReason::UnknownField, detail));
    }
    let found: Result<Vec<_>, _> = contract.fields().iter().map(|field| fit_column(field, schema, batch)).collect();
    // Absent columns are filled only now: a required one has vouched for the number of rows, which costs nothing to claim.
    let filled = found?.into_iter().zip(contract.schema().fields()).map(|(column, field)| {
        let column = column.unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()));
        (field.name(), column, true)
    });
    RecordBatch::try_from_iter_with_nullable(filled).map_err(|error| invalid(error.to_string()))
}

/// A stream that holds one row of a batch.
pub(super) fn one_row(batch: &RecordBatch, row: usize) -> Result<Bytes, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref())?;
    writer.write(&batch.slice(row, 1))?;
    Ok(writer.into_inner()?.into())
}

fn read_batches(payload: &Bytes) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut decoder = StreamDecoder::new();
    let mut rest = Buffer::from(payload.clone());
    let mut batches = Vec::new();
    while !rest.is_empty() {
        batches.extend(decoder.decode(&mut rest)?);
    }
    decoder.finish()?;
    match decoder.schema() {
        Some(_) => Ok(batches),
        None => Err(ArrowError::IpcError("there is no schema".into())),
    }
}

fn fit_column(field: &ContractField, schema: &Schema, batch: &RecordBatch) -> Result<Option<ArrayRef>, Flaw> {
    let name = field.name();
    let wanted = field.field_type();
    let mut named = schema.fields().iter().zip(batch.columns()).filter(|(column, _)| column.name() == name);
    let (found, repeated) = (named.next(), named.next().is_some());
    match found {
        _ if repeated => Err(invalid(format!("column \"{name}\" appears twice"))),
        Some((column, values)) => match retype(values, &wanted) {
            Some(values) => Ok(Some(one_zero(values).map_err(|error| invalid(error.to_string()))?)),
            None => {
                Err(invalid(format!("column \"{name}\": expected {}, got {}", wanted.data_type(), column.data_type())))
            }
        },
        None if !field.is_required() => Ok(None),
        None => Err(invalid(format!("column \"{name}\" is required and missing"))),
    }
}

/// The values as the contract's type, when they differ from it in name only.
fn retype(values: &ArrayRef, wanted: &FieldType) -> Option<ArrayRef> {
    match (values.data_type(), wanted.data_type()) {
        (found, wanted) if *found == wanted => Some(Arc::clone(values)),
        (DataType::Timestamp(unit, Some(_)), DataType::Timestamp(wanted, _)) if *unit == wanted => {
            let times = values.as_primitive::<TimestampMicrosecondType>().clone();
            Some(Arc::new(times.with_timezone(UTC)))
        }
        (DataType::List(_), DataType::List(item)) => {
            let FieldType::List(wanted_item) = wanted else { return None };
            let lists = values.as_list::<i32>();
            let items = retype(lists.values(), wanted_item)?;
            let lists = ListArray::try_new(item, lists.offsets().clone(), items, lists.nulls().cloned());
            Some(Arc::new(lists.ok()?))
        }
        _ => None,
    }
}

fn invalid(detail: String) -> Flaw {
    Flaw::new(RejectReason::InvalidArrow, detail)
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Float64Array, Int64Array, RecordBatchOptions, StringArray, TimestampMicrosecondArray, UInt64Array,
    };
    use arrow::datatypes::{Field, Int64Type};
    use proptest::prelude::*;

    use super::*;
    use crate::event::testing::stream;

    const CONTRACT: &str = r#"{"type": "object", "properties": {
        "id": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "integer"}}
    }, "required": ["id"]}"#;

    fn fit_named(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<ArrayRef>, String> {
        let contract = Contract::parse(CONTRACT).expect("a contract");
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        let read = read(&stream(&batch)).map_err(|flaw| flaw.detail)?;
        let columns = fit(&contract, &read[0]).map_err(|flaw| flaw.detail)?.columns().to_vec();
        let types: Vec<_> = columns.iter().map(|column| column.data_type().clone()).collect();
        let wanted: Vec<_> = contract.schema().fields().iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(types, wanted);
        Ok(columns)
    }

    fn ids() -> ArrayRef {
        Arc::new(Int64Array::from(vec![1, 2]))
    }

    #[test]
    fn columns_are_found_by_name_and_absent_ones_are_null() {
        let other: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
        let columns = fit_named(vec![("other", other), ("id", ids())]).expect("columns");
        assert_eq!(columns[0].as_primitive::<Int64Type>().values(), &[1, 2]);
        assert_eq!((columns[1].null_count(), columns[2].null_count()), (2, 2));
    }

    #[test]
    fn zones_and_item_names_do_not_matter() {
        let times = TimestampMicrosecondArray::from(vec![5, 6]).with_timezone("Europe/Berlin");
        let item = Arc::new(Field::new("element", DataType::Int64, false));
        let lists = ListArray::try_new(item, arrow::buffer::OffsetBuffer::from_lengths([1, 1]), ids(), None);
        let columns =
            fit_named(vec![("tags", Arc::new(lists.expect("lists"))), ("at", Arc::new(times)), ("id", ids())]);
        assert_eq!(columns.expect("columns")[1].as_primitive::<TimestampMicrosecondType>().values(), &[5, 6]);
    }

    #[test]
    fn zero_has_no_sign_in_columns_and_in_their_lists() {
        let contract = r#"{"type": "object", "properties": {"price": {"type": "number"},
            "prices": {"type": "array", "items": {"type": "number"}}}, "required": ["price"]}"#;
        let contract = Contract::parse(contract).expect("a contract");
        let prices = || Arc::new(Float64Array::from(vec![-0.0, 0.0]));
        let item = Arc::new(Field::new("item", DataType::Float64, true));
        let lists = ListArray::try_new(item, arrow::buffer::OffsetBuffer::from_lengths([1, 1]), prices(), None);
        let lists: ArrayRef = Arc::new(lists.expect("lists"));
        let batch = RecordBatch::try_from_iter([("price", prices() as ArrayRef), ("prices", lists)]).expect("a batch");
        let fitted = fit(&contract, &batch).expect("columns");
        for values in [fitted.column(0), fitted.column(1).as_list::<i32>().values()] {
            let values = values.as_primitive::<arrow::datatypes::Float64Type>().values();
            assert!(values.iter().all(|value| value.to_bits() == 0), "{values:?}");
        }
    }

    #[test]
    fn other_types_are_refused_with_both_named() {
        let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![1]));
        assert_eq!(fit_named(vec![("id", unsigned)]), Err("column \"id\": expected Int64, got UInt64".into()));
        let local: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![5, 6]));
        assert!(fit_named(vec![("id", ids()), ("at", local)]).is_err());
        let number: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        assert_eq!(fit_named(vec![("x", number)]), Err("column \"id\" is required and missing".into()));
    }

    #[test]
    fn a_claimed_number_of_rows_is_not_believed() {
        let options = RecordBatchOptions::new().with_row_count(Some(1 << 60));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).expect("a batch");
        let contract = Contract::parse(&CONTRACT.replace(r#"["id"]"#, r#"["tags"]"#)).expect("a contract");
        let flaw = fit(&contract, &batch).expect_err("no columns");
        assert_eq!(flaw.detail, "column \"tags\" is required and missing");
    }

    #[test]
    fn one_row_reads_back_as_that_row() {
        let batch = RecordBatch::try_from_iter([("id", ids())]).expect("a batch");
        let row = one_row(&batch, 1).expect("a stream");
        assert_eq!(read(&row).expect("batches"), [batch.slice(1, 1)]);
    }

    proptest! {
        #[test]
        fn broken_streams_are_refused_or_read_but_never_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in any::<prop::sample::Index>(),
            is_cut in any::<bool>(),
        ) {
            let batch = RecordBatch::try_from_iter([("id", ids())]).expect("a batch");
            let mut bytes = stream(&batch).to_vec();
            for (index, byte) in changes {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let contract = Contract::parse(CONTRACT).expect("a contract");
            let most = bytes.len() / size_of::<i64>();
            for batch in read(&bytes.into()).unwrap_or_default() {
                if let Ok(fitted) = fit(&contract, &batch) {
                    prop_assert!(fitted.num_rows() <= most, "{} rows", fitted.num_rows());
                    for row in 0..fitted.num_rows() {
                        one_row(&fitted, row).expect("a stream");
                    }
                }
            }
        }
    }
}
