//! Arrow IPC streams as messages: reading them, fitting their columns to a contract, and cutting rows out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;

use super::check_value::Place;
use super::contract::{Contract, ContractField};
use super::exact::{self, Exact, Lost};
use super::faults::RowFaults;
use super::instant::TimeZone;
use super::number::one_zero;
use super::reject::{Flaw, RejectReason};
use super::rule::{FieldType, Shape};
use super::structs::{self, check_structs};
use super::time_column::TimeColumn;
use super::unfold::{Room, unfold};
use super::unpacked;

/// What a file begins with, unlike a stream.
const FILE: &[u8] = b"ARROW1";

/// All batches of a stream, or why it cannot be read.
///
/// The reader of the Arrow library checks the data but not every number of the metadata around it, and panics on some
/// that are wrong. A message is a stranger's bytes, so a panic in there is caught and means the same as an error. Lengths
/// in the metadata cannot make it allocate: it only ever copies bytes that the payload has, and what compressed buffers
/// claim to hold is checked before.
pub(super) fn read(payload: &Bytes) -> Result<Vec<RecordBatch>, Flaw> {
    if payload.starts_with(FILE) {
        return Err(invalid("an Arrow IPC file, expected a stream: write it with the writer of streams".into()));
    }
    unpacked::check(payload)?;
    match catch_unwind(AssertUnwindSafe(|| read_batches(payload))) {
        Ok(Ok(batches)) => Ok(batches),
        Ok(Err(error)) => Err(invalid(format!("not an Arrow IPC stream: {error}"))),
        Err(_) => Err(invalid("not an Arrow IPC stream: its metadata is broken".into())),
    }
}

/// The rows of a batch as the contract has them.
pub(super) struct Fitted {
    pub(super) rows: usize,
    /// The contract's columns, in its order and of its types. Values may still be null or against a rule.
    pub(super) columns: Vec<ArrayRef>,
    /// Event times that were written as times where the contract has an integer: what takes that column's place.
    pub(super) times: Option<ArrayRef>,
    /// The rows with a value that the contract's type can't hold.
    pub(super) faults: RowFaults,
    /// The contract's columns as they were written.
    written: RecordBatch,
}

/// The contract's columns, from a batch's columns of the same names, whatever the encoding and the width of their values.
///
/// An absent column of optional values is all null; at least one column must be required and not nullable.
pub(super) fn fit(
    contract: &Contract,
    time: &TimeColumn,
    batch: &RecordBatch,
    room: &mut Room,
) -> Result<Fitted, Flaw> {
    let (schema, zone) = (batch.schema_ref(), time.zone());
    let is_known = |name: &str| contract.field(name).is_some() || contract.has_property(name);
    if contract.is_closed()
        && let Some(other) = schema.fields().iter().find(|column| !is_known(column.name()))
    {
        let detail = format!("column \"{}\" is not in the contract", other.name());
        return Err(Flaw::new(RejectReason::UnknownField, detail));
    }
    let found: Result<Vec<_>, _> = contract.fields().iter().map(|field| column_of(field, batch)).collect();
    let (found, rows) = (found?, batch.num_rows());
    let (mut times, mut faults) = (None, RowFaults::default());
    check_structs(contract, batch, room, &mut faults)?;
    let mut columns = Vec::with_capacity(found.len());
    let mut written = Vec::with_capacity(found.len());
    for (index, (field, values)) in contract.fields().iter().zip(found).enumerate() {
        // Absent columns are filled only now: a required one has vouched for the number of rows, which costs nothing to claim.
        let Some(values) = values else {
            let nulls = new_null_array(&field.field_type().data_type(), rows);
            written.push((field.name(), Arc::clone(&nulls), true));
            columns.push(nulls);
            continue;
        };
        let plain = unfold(&values, room)?;
        let counts = time.counts() && index == time.index();
        columns.push(match counts.then(|| exact::times(&plain, zone)).flatten() {
            Some(micros) => {
                refuse_lost(field, exact::lost(&plain, &micros, &FieldType::DateTime, zone), &mut faults);
                let units = time.units(&micros);
                times = Some(Arc::new(micros) as ArrayRef);
                units
            }
            None => {
                let wanted = field.field_type();
                let Some(exact) = exact_of(field, &plain, zone, room)? else {
                    let (name, wanted, found) = (field.name(), wanted.data_type(), values.data_type());
                    return Err(invalid(format!("column \"{name}\": expected {wanted}, got {found}")));
                };
                refuse_lost(field, exact.lost, &mut faults);
                one_zero(exact.values).map_err(|error| invalid(error.to_string()))?
            }
        });
        written.push((field.name(), plain, true));
    }
    let written = RecordBatch::try_from_iter_with_nullable(written).map_err(|error| invalid(error.to_string()))?;
    Ok(Fitted { rows, columns, times, faults, written })
}

/// The column in the contract's type; `None` when its type holds other kinds of values.
fn exact_of(
    field: &ContractField,
    plain: &ArrayRef,
    zone: Option<TimeZone>,
    room: &mut Room,
) -> Result<Option<Exact>, Flaw> {
    let wanted = field.field_type();
    match field.written() {
        Some(written) if *plain.data_type() == DataType::Utf8 => {
            let values = written.numbers(plain);
            Ok(Some(Exact { lost: exact::lost(plain, &values, &wanted, zone), values }))
        }
        _ => exact::exact(plain, &wanted, zone, room),
    }
}

impl Fitted {
    /// A stream that holds one row as it was written.
    pub(super) fn one_row(&self, row: usize) -> Result<Bytes, ArrowError> {
        write(&self.written.slice(row, 1))
    }
}

/// Rows as a stream of the contract's columns, in the plainest form of their values.
///
/// # Errors
/// When the library can't write them.
pub(crate) fn stream_of(contract: &Contract, rows: &RecordBatch) -> Result<Bytes, ArrowError> {
    let mut room = Room::of_a_message();
    let columns = contract.fields().iter().map(|field| {
        let below = || structs::below(rows, field).ok().flatten();
        let values = match rows.column_by_name(field.name()).cloned().or_else(below) {
            Some(values) => unfold(&values, &mut room).unwrap_or(values),
            None => new_null_array(&field.field_type().data_type(), rows.num_rows()),
        };
        (field.name(), values, true)
    });
    write(&RecordBatch::try_from_iter_with_nullable(columns)?)
}

fn write(rows: &RecordBatch) -> Result<Bytes, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref())?;
    writer.write(rows)?;
    Ok(writer.into_inner()?.into())
}

fn refuse_lost(field: &ContractField, lost: Vec<Lost>, faults: &mut RowFaults) {
    for Lost { row, item, reason, got } in lost {
        let rule = match (&field.rule().shape, item) {
            (Shape::List(list), Some(_)) => &list.item,
            _ => field.rule(),
        };
        faults.add(row, Place { field: field.name(), item }.unfit(reason, rule, &got));
    }
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

/// The batch's column for a field; `None` for one that is absent, or null in all rows, and may be.
fn column_of(field: &ContractField, batch: &RecordBatch) -> Result<Option<ArrayRef>, Flaw> {
    let name = field.name();
    let columns = batch.schema_ref().fields().iter().zip(batch.columns());
    let mut named = columns.filter(|(column, _)| column.name() == name).map(|(_, values)| values);
    let (found, repeated) = (named.next(), named.next().is_some());
    let found = match found {
        None if field.path() != [name] => structs::below(batch, field)?,
        found => found.cloned(),
    };
    match found {
        _ if repeated => Err(invalid(format!("column \"{name}\" appears twice"))),
        Some(values) if *values.data_type() != DataType::Null => Ok(Some(values)),
        Some(_) if !field.is_required() || field.is_nullable() => Ok(None),
        Some(_) => Err(invalid(format!("column \"{name}\" is required and null in all rows"))),
        None if !field.is_required() => Ok(None),
        None => Err(invalid(format!("column \"{name}\" is required and missing"))),
    }
}

fn invalid(detail: String) -> Flaw {
    Flaw::new(RejectReason::InvalidArrow, detail)
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Array, AsArray, Float64Array, Int64Array, ListArray, RecordBatchOptions, StringArray,
        TimestampMicrosecondArray, UInt64Array,
    };
    use arrow::datatypes::{Field, Int64Type, Schema, TimestampMicrosecondType};
    use proptest::prelude::*;

    use super::*;
    use crate::event::DecodeSettings;
    use crate::event::testing::stream;

    const CONTRACT: &str = r#"{"type": "object", "properties": {
        "id": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "integer"}}
    }, "required": ["id"]}"#;

    fn fit_to(contract: &str, batch: &RecordBatch) -> Result<Fitted, Flaw> {
        let contract = Contract::parse(contract).expect("a contract");
        let time = TimeColumn::new(&contract, &DecodeSettings::new("id")).expect("a time column");
        fit(&contract, &time, batch, &mut Room::of_a_message())
    }

    fn fit_named(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<ArrayRef>, String> {
        let contract = Contract::parse(CONTRACT).expect("a contract");
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        let read = read(&stream(&batch)).map_err(|flaw| flaw.detail)?;
        let columns = fit_to(CONTRACT, &read[0]).map_err(|flaw| flaw.detail)?.columns;
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
        let contract = r#"{"type": "object", "properties": {"id": {"type": "integer"}, "price": {"type": "number"},
            "prices": {"type": "array", "items": {"type": "number"}}}, "required": ["id", "price"]}"#;
        let prices = || Arc::new(Float64Array::from(vec![-0.0, 0.0]));
        let item = Arc::new(Field::new("item", DataType::Float64, true));
        let lists = ListArray::try_new(item, arrow::buffer::OffsetBuffer::from_lengths([1, 1]), prices(), None);
        let lists: ArrayRef = Arc::new(lists.expect("lists"));
        let batch = RecordBatch::try_from_iter([("id", ids()), ("price", prices() as ArrayRef), ("prices", lists)])
            .expect("a batch");
        let fitted = fit_to(contract, &batch).expect("columns").columns;
        for values in [&fitted[1], fitted[2].as_list::<i32>().values()] {
            let values = values.as_primitive::<arrow::datatypes::Float64Type>().values();
            assert!(values.iter().all(|value| value.to_bits() == 0), "{values:?}");
        }
    }

    #[test]
    fn other_types_are_refused_with_both_named() {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
        assert_eq!(fit_named(vec![("id", text)]), Err("column \"id\": expected Int64, got Utf8".into()));
        let error = fit_named(vec![("id", ids()), ("at", Arc::new(UInt64Array::from(vec![5, 6])))]);
        assert_eq!(error, Err("column \"at\": expected Timestamp(µs, \"+00:00\"), got UInt64".into()));
        let nulls = new_null_array(&DataType::Null, 2);
        assert_eq!(fit_named(vec![("id", nulls)]), Err("column \"id\" is required and null in all rows".into()));
        let number: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        assert_eq!(fit_named(vec![("x", number)]), Err("column \"id\" is required and missing".into()));
    }

    #[test]
    fn a_claimed_number_of_rows_is_not_believed() {
        let options = RecordBatchOptions::new().with_row_count(Some(1 << 60));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).expect("a batch");
        let flaw = fit_to(CONTRACT, &batch).err().expect("no columns");
        assert_eq!(flaw.detail, "column \"id\" is required and missing");
    }

    #[test]
    fn one_row_reads_back_as_that_row() {
        let batch = RecordBatch::try_from_iter([("id", ids())]).expect("a batch");
        let row = fit_to(CONTRACT, &batch).map(|fitted| fitted.one_row(1).expect("a stream")).expect("fits");
        assert_eq!(read(&row).expect("batches")[0].column(0), &batch.column(0).slice(1, 1));
    }

    #[test]
    fn a_file_is_told_from_a_stream() {
        let flaw = read(&Bytes::from_static(b"ARROW1\0\0")).expect_err("a file");
        assert_eq!(flaw.detail, "an Arrow IPC file, expected a stream: write it with the writer of streams");
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
            let most = bytes.len();
            for batch in read(&bytes.into()).unwrap_or_default() {
                if let Ok(fitted) = fit_to(CONTRACT, &batch) {
                    prop_assert!(fitted.rows <= most, "{} rows", fitted.rows);
                    for row in 0..fitted.rows {
                        fitted.one_row(row).expect("a stream");
                    }
                }
            }
        }
    }
}
