//! What is written reads back; everything else is refused.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, RecordBatch};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use proptest::prelude::*;

use super::*;
use crate::learn::{Asked, Example, ExampleKind, Provenance};
use crate::model::ModelVersion;
use crate::score::Id;

const VECTOR: &str = "8a21";

pub(super) fn examples(rows: usize, columns: usize) -> Examples {
    let mut examples = Examples::new(columns);
    let kinds = [ExampleKind::Positive, ExampleKind::Negative, ExampleKind::Correction];
    for row in 0..rows {
        let vector: Vec<f32> = (0..columns).map(|column| row as f32 - column as f32 / 3.0).collect();
        let kind = kinds[row % 3];
        let sampling = if kind == ExampleKind::Negative { 0.25 } else { 1.0 };
        let (shown_micros, labelled_micros) = (row as i64 - 1, i64::MAX - row as i64);
        let example = Example {
            vector: &vector,
            kind,
            sampling,
            shown_micros,
            labelled_micros,
            place: u32::MAX,
            provenance: Provenance::unknown(),
        };
        examples.push(example).unwrap();
    }
    examples
}

/// A message as an earlier version wrote it: without the columns that say where examples are from.
pub(super) fn earlier_form(message: &[u8], version: &str) -> Vec<u8> {
    let batch = StreamReader::try_new(message, None).unwrap().next().unwrap().unwrap();
    let batch = batch.project(&[0, 1, 2, 3, 4, 5, 6]).unwrap();
    let mut metadata = batch.schema_ref().metadata().clone();
    metadata.insert(FORMAT.to_owned(), version.to_owned());
    metadata.remove(COLUMNS);
    let schema = Arc::new(Schema::new_with_metadata(batch.schema_ref().fields().clone(), metadata));
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    writer.write(&RecordBatch::try_new(schema, batch.columns().to_vec()).unwrap()).unwrap();
    writer.into_inner().unwrap()
}

/// Where rows of three rankings are from, of which the last is unknown.
fn provenances(rows: usize) -> Vec<Provenance> {
    let of = |row: usize| match row % 5 {
        4 => Provenance::default(),
        nth => Provenance {
            asked: Some(Arc::new(Asked::new(
                if nth < 2 { "first" } else { "second" },
                Some(if nth < 2 { "-7" } else { "null" }),
                ModelVersion::parse("00000000000a").filter(|_| nth < 2).as_ref(),
            ))),
            item: Some(Id::Text(format!("item {row}").into())),
            propensity: Some(1.0 / (nth + 1) as f32),
        },
    };
    (0..rows).map(of).collect()
}

fn read_back(message: &[u8], columns: usize) -> Result<Examples, ExampleError> {
    let mut out = Examples::new(columns);
    decode(message, columns, VECTOR, &mut out)?;
    Ok(out)
}

/// The batch of a message with its columns and metadata changed.
fn changed(
    rows: usize,
    change: impl FnOnce(&mut Vec<(Field, ArrayRef)>, &mut HashMap<String, String>),
) -> Result<Examples, ExampleError> {
    let message = encode(&examples(rows, 2), VECTOR).unwrap();
    let batch = StreamReader::try_new(message.as_slice(), None).unwrap().next().unwrap().unwrap();
    let fields = batch.schema_ref().fields().iter().map(|field| field.as_ref().clone());
    let mut columns: Vec<(Field, ArrayRef)> = fields.zip(batch.columns().iter().cloned()).collect();
    let mut metadata = batch.schema_ref().metadata().clone();
    change(&mut columns, &mut metadata);
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    writer.write(&RecordBatch::try_new(schema, columns).unwrap()).unwrap();
    read_back(&writer.into_inner().unwrap(), 2)
}

/// The error when a column is replaced by these values.
fn refused(name: &str, values: ArrayRef) -> ExampleError {
    let replace = |columns: &mut Vec<(Field, ArrayRef)>, _: &mut HashMap<String, String>| {
        let column = columns.iter_mut().find(|(field, _)| field.name() == name).unwrap();
        *column = (Field::new(name, values.data_type().clone(), true), values);
    };
    changed(2, replace).unwrap_err()
}

#[test]
fn examples_read_back_as_they_were_written() {
    for (rows, columns) in [(0, 3), (1, 1), (7, 30), (20, 2)] {
        let written = examples(rows, columns);
        assert_eq!(read_back(&encode(&written, VECTOR).unwrap(), columns), Ok(written));
    }
}

#[test]
fn where_examples_are_from_reads_back_and_ids_have_the_types_of_their_columns() {
    let (plain, provenances) = (examples(7, 2), provenances(7));
    let mut written = Examples::new(2);
    for (row, provenance) in provenances.iter().enumerate() {
        written.push(Example { provenance, ..plain.get(row).unwrap() }).unwrap();
    }
    let columns = ["a \"b\"", "c,d"].map(str::to_owned);
    let message = encode(&written, VectorName { fingerprint: VECTOR, columns: &columns }).unwrap();
    let read = read_back(&message, 2).unwrap();
    assert_eq!(read, written);
    let [first, second] = [0, 1].map(|row| read.provenances()[row].asked.clone().unwrap());
    assert!(Arc::ptr_eq(&first, &second), "rows of one ranking hold it once");
    let batch = StreamReader::try_new(message.as_slice(), None).unwrap().next().unwrap().unwrap();
    let types: Vec<String> = batch
        .schema_ref()
        .fields()
        .iter()
        .skip(7)
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect();
    assert_eq!(types, ["request_id Utf8", "user Int64", "item Utf8", "model Utf8", "propensity Float32"]);
    let names: Vec<String> = serde_json::from_str(&batch.schema_ref().metadata()[COLUMNS]).unwrap();
    assert_eq!(names, columns);
}

#[test]
fn examples_of_earlier_versions_are_read_without_where_they_are_from() {
    let written = examples(3, 2);
    let message = earlier_form(&encode(&written, VECTOR).unwrap(), "1");
    assert_eq!(read_back(&message, 2), Ok(written));
    // Written by version 1 of the format, with the vector [0.5, 1.5] at place 3.
    let mut out = Examples::new(2);
    decode(include_bytes!("../../../tests/golden/examples/numbers.arrow"), 2, VECTOR, &mut out).unwrap();
    assert_eq!((out.vectors(), out.places(), out.labels()), (&[0.5, 1.5, -3.0, 4.0][..], &[3, 0][..], &[1.0, 0.0][..]));
    assert_eq!((out.sampling(), out.shown_micros()), (&[1.0, 0.25][..], &[1_700_000_000_000_000, 5][..]));
    assert_eq!(out.provenances(), [Provenance::default(), Provenance::default()]);
}

#[test]
fn a_message_adds_to_what_is_there_and_equal_examples_give_equal_bytes() {
    let message = encode(&examples(3, 2), VECTOR).unwrap();
    assert_eq!(message, encode(&examples(3, 2), VECTOR).unwrap());
    let mut out = examples(1, 2);
    decode(&message, 2, VECTOR, &mut out).unwrap();
    assert_eq!(out.len(), 4);
    assert_eq!(out.get(3), examples(3, 2).get(2));
}

#[test]
fn examples_of_another_vector_or_format_are_refused() {
    let message = encode(&examples(2, 2), "77ff").unwrap();
    insta::assert_snapshot!(
        read_back(&message, 2).unwrap_err(),
        @r#"the examples are of vector "77ff", the pipeline's is "8a21": they were written before vector.sql or a feature changed"#
    );
    let error = read_back(&encode(&examples(2, 2), VECTOR).unwrap(), 3).unwrap_err();
    insta::assert_snapshot!(
        error,
        @r#"column 0 of the examples is "vector" of type FixedSizeList(2 x non-null Float32), "vector" of type FixedSizeList(3 x non-null Float32) is expected"#
    );
    let newer = changed(2, |_, metadata| drop(metadata.insert(FORMAT.to_owned(), "2".to_owned())));
    insta::assert_snapshot!(
        newer.unwrap_err(),
        @r#"the examples are in format "2", this program reads "1" and "3": use one version on both sides"#
    );
    let absent = changed(2, |_, metadata| metadata.clear()).unwrap_err();
    assert_eq!(absent, ExampleError::Version { found: String::new(), earlier: "1", newest: "3" });
}

#[test]
fn columns_and_values_that_no_example_has_are_refused() {
    let floats = |values: [Option<f32>; 2]| Arc::new(Float32Array::from(values.to_vec())) as ArrayRef;
    insta::assert_snapshot!(
        refused("place", floats([Some(1.0), Some(2.0)])),
        @r#"column 4 of the examples is "place" of type Float32, "place" of type UInt32 is expected"#
    );
    insta::assert_snapshot!(
        refused("sampling", floats([Some(1.0), None])),
        @r#"column "sampling" of the examples has 1 NULL values, none are allowed"#
    );
    insta::assert_snapshot!(
        refused("sampling", floats([Some(1.0), Some(0.0)])),
        @r#"column "sampling" of the examples is 0 in row 1, it must be above 0 and at most 1"#
    );
    insta::assert_snapshot!(
        refused("label", floats([Some(1.0), Some(0.5)])),
        @r#"column "label" of the examples is 0.5 in row 1, it must be 0 for a negative and 1 for others"#
    );
    let kinds = Arc::new(arrow::array::StringArray::from(vec!["positive", "neutral"]));
    insta::assert_snapshot!(
        refused("kind", kinds),
        @r#"column "kind" of the examples is "neutral" in row 1, it must be positive, negative or correction"#
    );
    let short = changed(2, |columns, _| drop(columns.pop())).unwrap_err();
    insta::assert_snapshot!(
        short,
        @r#"column 11 of the examples is absent, "propensity" of type Float32 is expected"#
    );
    let long = changed(2, |columns, _| columns.push(columns[1].clone())).unwrap_err();
    insta::assert_snapshot!(long, @r#"column 12 of the examples is "label" of type Float32, nothing is expected"#);
}

#[test]
fn a_missing_value_is_written_and_read_bit_for_bit_and_not_trained() {
    let mut some = examples(1, 2);
    let odd = f32::from_bits(0xffc1_2345);
    for vector in [[1.0, f32::NAN], [odd, 2.0]] {
        let (kind, sampling) = (ExampleKind::Negative, 1.0);
        some.push(Example {
            vector: &vector,
            kind,
            sampling,
            shown_micros: 0,
            labelled_micros: 0,
            place: 0,
            provenance: Provenance::unknown(),
        })
        .unwrap();
    }
    let message = encode(&some, VECTOR).unwrap();
    let bits = |examples: &Examples| examples.vectors().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let mut read = Examples::new(2);
    decode(&message, 2, VECTOR, &mut read).unwrap();
    assert_eq!(bits(&read), bits(&some));
    let mut trained = examples(1, 2);
    insta::assert_snapshot!(
        decode_complete(&message, 2, VECTOR, &mut trained).unwrap_err(),
        @r#"column "vector" of the examples is NaN in row 1, it must be a number: training takes no missing values"#
    );
    assert_eq!(trained, examples(1, 2));
    decode_complete(&encode(&examples(3, 2), VECTOR).unwrap(), 2, VECTOR, &mut trained).unwrap();
    assert_eq!(trained.len(), 4);
}

#[test]
fn vectors_with_an_infinity_are_neither_written_nor_read() {
    let example = Example {
        vector: &[1.0, f32::NEG_INFINITY],
        kind: ExampleKind::Positive,
        sampling: 1.0,
        shown_micros: 0,
        labelled_micros: 0,
        place: 0,
        provenance: Provenance::unknown(),
    };
    let mut bad = examples(1, 2);
    bad.push(example).unwrap();
    insta::assert_snapshot!(
        encode(&bad, VECTOR).unwrap_err(),
        @r#"column "vector" of the examples is -inf in row 1, it must be finite"#
    );
    let values: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0, f32::INFINITY, 4.0]));
    let lists = arrow::array::FixedSizeListArray::new(vectors::item(), 2, values, None);
    insta::assert_snapshot!(
        refused("vector", Arc::new(lists)),
        @r#"column "vector" of the examples is inf in row 1, it must be finite"#
    );
}

#[test]
fn a_message_has_exactly_one_batch() {
    assert!(matches!(read_back(b"", 2), Err(ExampleError::Unreadable { .. })));
    let message = encode(&examples(1, 2), VECTOR).unwrap();
    let batch = StreamReader::try_new(message.as_slice(), None).unwrap().next().unwrap().unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
    writer.write(&batch).unwrap();
    writer.write(&batch).unwrap();
    insta::assert_snapshot!(
        read_back(&writer.into_inner().unwrap(), 2).unwrap_err(),
        @"not a message of examples: no Arrow IPC stream of one batch: Ipc error: there are several batches"
    );
}

proptest! {
    #[test]
    fn damaged_messages_are_refused_or_read_but_never_panic_and_never_leave_half_a_message(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut message = encode(&examples(3, 2), VECTOR).unwrap();
        for (index, byte) in changes {
            let at = index.index(message.len());
            message[at] = byte;
        }
        if is_cut {
            message.truncate(cut.index(message.len()));
        }
        let mut out = examples(1, 2);
        if decode(&message, 2, VECTOR, &mut out).is_ok() {
            prop_assert!(out.vectors().iter().all(|value| !value.is_infinite()), "{out:?}");
        } else {
            prop_assert_eq!(out, examples(1, 2));
        }
    }
}
