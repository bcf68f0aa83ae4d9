//! Vectors of several types as messages.

use arrow::array::{AsArray, ListArray};
use arrow::datatypes::Int64Type;
use arrow::ipc::reader::StreamReader;
use proptest::prelude::*;

use super::tests::{earlier_form, examples};
use super::*;
use crate::feature::{Kind, Number};
use crate::learn::{Example, ExampleKind, Impression, Impressions, Provenance, Reservoir};
use crate::time::EventTime;

const VECTOR: &str = "8a21";

fn inputs(columns: &[(&str, Kind, Option<usize>)]) -> Inputs {
    Inputs::of(columns.iter().map(|(name, kind, most)| ((*name).to_owned(), *kind, *most)))
}

/// Of an id, a price, and what was seen last.
fn typed() -> Inputs {
    inputs(&[
        ("user", Kind::Int64, None),
        ("price", Kind::Float32, None),
        ("recent", Kind::Int64, Some(3)),
        ("spend", Kind::Float64, None),
        ("device", Kind::Text, None),
    ])
}

fn vector(user: i64, recent: &[i64], spend: f64) -> Vec<f32> {
    let inputs = typed();
    let mut row = vec![0.0; inputs.width()];
    let place = |column| inputs.place(column).unwrap();
    place(0).put(&mut row, 0, Number::Int64(user));
    place(1).put(&mut row, 0, Number::Float32(9.5));
    place(2).put_length(&mut row, recent.len());
    recent.iter().enumerate().for_each(|(nth, id)| place(2).put(&mut row, nth, Number::Int64(*id)));
    place(3).put(&mut row, 0, Number::Float64(spend));
    assert!(place(4).put_text(&mut row, 0, "phone"));
    row
}

fn some() -> Examples {
    let mut examples = Examples::new(typed());
    let rows =
        [(9_007_199_254_740_993, vec![16_777_217, i64::MIN], 0.1), (-1, vec![], 1e300), (0, vec![1, 2, 3], -0.5)];
    for (user, recent, spend) in rows {
        let vector = vector(user, &recent, spend);
        let kind = ExampleKind::Positive;
        let example = Example {
            vector: &vector,
            kind,
            sampling: 1.0,
            shown_micros: 1,
            labelled_micros: 2,
            place: 3,
            provenance: Provenance::unknown(),
        };
        examples.push(example).unwrap();
    }
    examples
}

/// Bit for bit: an id may look like a float32 that is no number.
fn bits(examples: &Examples) -> Vec<u32> {
    examples.vectors().iter().map(|word| word.to_bits()).collect()
}

#[test]
fn ids_lists_doubles_and_texts_read_back_as_they_were_written_and_others_can_read_them_by_name() {
    let message = encode(&some(), VECTOR).unwrap();
    let mut read = Examples::new(typed());
    decode(&message, typed(), VECTOR, &mut read).unwrap();
    assert_eq!((bits(&read), read.kinds()), (bits(&some()), some().kinds()));
    assert_eq!(read.wholes(0), [9_007_199_254_740_993, -1, 0]);
    let batch = StreamReader::try_new(message.as_slice(), None).unwrap().next().unwrap().unwrap();
    let vectors = batch.column(0).as_struct();
    assert_eq!(vectors.column_by_name("user").unwrap().as_primitive::<Int64Type>().value(0), 9_007_199_254_740_993);
    let recent: &ListArray = vectors.column_by_name("recent").unwrap().as_list();
    assert_eq!(recent.value(0).as_primitive::<Int64Type>().values(), &[16_777_217, i64::MIN]);
    assert_eq!(vectors.column_by_name("device").unwrap().as_string::<i32>().value(2), "phone");
}

#[test]
fn impressions_and_what_is_replayed_keep_every_id() {
    let mut shown = Impressions::new(typed());
    let vector = vector(30_000_001, &[16_777_217], 0.25);
    shown
        .push(Impression {
            key: 7,
            at: EventTime(1),
            arrived: EventTime(2),
            place: 0,
            vector: &vector,
            provenance: Provenance::unknown(),
        })
        .unwrap();
    let (read, position) = Impressions::decode(&shown.encode(VECTOR, "5").unwrap(), typed(), VECTOR).unwrap();
    assert_eq!((read.len(), position.as_str()), (1, "5"));
    let as_bits = |vector: &[f32]| vector.iter().map(|word| word.to_bits()).collect::<Vec<_>>();
    assert!(read.iter().all(|read| as_bits(read.vector) == as_bits(&vector)));
    let mut reservoir = Reservoir::new(typed(), 2, 1);
    reservoir.offer(some().get(0).unwrap()).unwrap();
    let loaded = Reservoir::load(&reservoir.save(VECTOR).unwrap(), typed(), 2, VECTOR).unwrap();
    assert_eq!(loaded.held().wholes(0), [9_007_199_254_740_993]);
}

/// Before ids were kept as such, they were float32 in the examples of the same vector.
#[test]
fn examples_from_before_ids_were_kept_as_such_are_still_read() {
    let message = earlier_form(&encode(&examples(3, 2), VECTOR).unwrap(), "1");
    let now = inputs(&[("a", Kind::Float32, None), ("item", Kind::Int64, None)]);
    let mut numbers = Examples::new(2);
    for item in [7.0, 16_777_216.0] {
        let (vector, kind) = ([0.5, item], ExampleKind::Positive);
        let example = Example {
            vector: &vector,
            kind,
            sampling: 1.0,
            shown_micros: 1,
            labelled_micros: 2,
            place: 3,
            provenance: Provenance::unknown(),
        };
        numbers.push(example).unwrap();
    }
    let mut read = Examples::new(&now);
    let old = |examples: &Examples| earlier_form(&encode(examples, VECTOR).unwrap(), "1");
    decode(&old(&numbers), &now, VECTOR, &mut read).unwrap();
    assert_eq!((read.wholes(1), read.labels()), (vec![7, 16_777_216], &[1.0, 1.0][..]));
    let mut half = Examples::new(2);
    let (kind, vector) = (ExampleKind::Negative, [0.5; 2]);
    half.push(Example {
        vector: &vector,
        kind,
        sampling: 1.0,
        shown_micros: 1,
        labelled_micros: 2,
        place: 3,
        provenance: Provenance::unknown(),
    })
    .unwrap();
    let error = decode(&old(&half), &now, VECTOR, &mut read).unwrap_err();
    assert!(matches!(error, ExampleError::Unreadable { .. }) && error.to_string().contains("whole"), "{error}");
    // Of another vector, and of one that no older version had.
    assert!(matches!(decode(&message, &now, "77ff", &mut read), Err(ExampleError::Fingerprint { .. })));
    let error = decode(&message, typed(), VECTOR, &mut Examples::new(typed())).unwrap_err();
    assert_eq!(error, ExampleError::Version { found: "1".to_owned(), earlier: "2", newest: "3" });
}

#[test]
fn typed_examples_of_version_2_are_read() {
    let message = include_bytes!("../../../tests/golden/examples/typed.arrow");
    let mut read = Examples::new(typed());
    decode(message, typed(), VECTOR, &mut read).unwrap();
    assert_eq!((read.wholes(0), read.places()), (vec![9_007_199_254_740_993, -1], &[3, 0][..]));
    let expected = [vector(9_007_199_254_740_993, &[16_777_217, i64::MIN], 0.1), vector(-1, &[], 1e300)].concat();
    assert_eq!(bits(&read), expected.iter().map(|word| word.to_bits()).collect::<Vec<_>>());
}

#[test]
fn examples_of_other_types_are_refused() {
    let message = encode(&some(), VECTOR).unwrap();
    let error = decode(&message, 2, VECTOR, &mut Examples::new(2)).unwrap_err();
    assert!(matches!(error, ExampleError::Fingerprint { .. }), "{error}");
    let longer = inputs(&[("user", Kind::Int64, None)]);
    let error = decode(&message, &longer, VECTOR, &mut Examples::new(&longer)).unwrap_err();
    assert!(matches!(error, ExampleError::Fingerprint { .. }), "{error}");
}

#[test]
fn a_missing_double_is_read_as_it_was_written() {
    let mut some = Examples::new(typed());
    let vector = vector(1, &[], f64::NAN);
    let kind = ExampleKind::Negative;
    some.push(Example {
        vector: &vector,
        kind,
        sampling: 1.0,
        shown_micros: 1,
        labelled_micros: 2,
        place: 3,
        provenance: Provenance::unknown(),
    })
    .unwrap();
    let mut read = Examples::new(typed());
    decode(&encode(&some, VECTOR).unwrap(), typed(), VECTOR, &mut read).unwrap();
    let bits = |examples: &Examples| examples.vectors().iter().map(|word| word.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&read), bits(&some));
}

#[test]
fn numbers_that_are_infinite_are_not_written_whatever_their_type() {
    let mut bad = Examples::new(typed());
    let vector = vector(1, &[], f64::NEG_INFINITY);
    let kind = ExampleKind::Negative;
    bad.push(Example {
        vector: &vector,
        kind,
        sampling: 1.0,
        shown_micros: 1,
        labelled_micros: 2,
        place: 3,
        provenance: Provenance::unknown(),
    })
    .unwrap();
    insta::assert_snapshot!(
        encode(&bad, VECTOR).unwrap_err(),
        @r#"column "vector" of the examples is -inf in row 0, it must be finite"#
    );
}

proptest! {
    #[test]
    fn damaged_messages_of_types_are_refused_or_read_but_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut message = encode(&some(), VECTOR).unwrap();
        for (index, byte) in changes {
            let at = index.index(message.len());
            message[at] = byte;
        }
        let mut out = Examples::new(typed());
        if decode(&message, typed(), VECTOR, &mut out).is_err() {
            prop_assert!(out.is_empty());
        }
    }
}
