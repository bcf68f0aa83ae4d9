//! What is written comes back, or an error does.

use super::*;

fn saved() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = SectionWriter::new(&mut bytes, "test", 7).unwrap();
    writer.numbers("first", &[1, 2, 3]).unwrap();
    writer.numbers("second", &[-4]).unwrap();
    writer.finish().unwrap();
    bytes
}

fn restore(mut bytes: &[u8], fingerprint: u64) -> Result<(Vec<i64>, Vec<i64>), SaveError> {
    let mut reader = SectionReader::new(&mut bytes, "test", fingerprint)?;
    let both = (reader.numbers("first", 3)?, reader.numbers("second", 1)?);
    reader.finish()?;
    Ok(both)
}

#[test]
fn sections_come_back_as_they_were_written() {
    assert_eq!(restore(&saved(), 7).unwrap(), (vec![1, 2, 3], vec![-4]));
}

#[test]
fn every_flipped_byte_and_every_truncation_is_an_error() {
    let bytes = saved();
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        assert!(restore(&damaged, 7).is_err(), "byte {place} flipped");
        assert!(restore(&bytes[..place], 7).is_err(), "cut at {place}");
    }
}

/// Bytes that were never written by this program, behind the checksum that they should have.
#[test]
fn a_payload_that_promises_more_than_it_has_is_an_error() {
    let mut payload = Vec::new();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let batch = RecordBatch::try_from_iter([("number", column)]).unwrap();
    StreamWriter::try_new(&mut payload, &batch.schema()).and_then(|mut stream| stream.write(&batch)).unwrap();
    let read = |payload: &[u8]| {
        let mut bytes = Vec::new();
        let writer = SectionWriter::new(&mut bytes, "test", 7).unwrap();
        frame(writer.output, "numbers", payload).unwrap();
        let mut input = bytes.as_slice();
        SectionReader::new(&mut input, "test", 7).unwrap().section("numbers")
    };
    assert_eq!(read(&payload).unwrap(), [batch]);
    for place in 0..payload.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut broken = payload.clone();
            broken[place] = value;
            drop(read(&broken));
        }
    }
}

#[test]
fn errors_name_the_section() {
    let bytes = saved();
    let message = |bytes: &[u8], fingerprint| restore(bytes, fingerprint).unwrap_err().to_string();
    assert_eq!(
        message(&bytes, 8),
        "saved state has the plan fingerprint 0000000000000007, expected 0000000000000008: \
         start from an empty state or from its own pipeline"
    );
    assert!(message(&bytes[..60], 7).contains("ends inside section \"first\""), "{}", message(&bytes[..60], 7));
    let mut damaged = bytes.clone();
    damaged[bytes.len() - 60] ^= 1;
    assert!(message(&damaged, 7).contains("damaged in section \"second\""), "{}", message(&damaged, 7));
    assert!(message(b"no state, only text that is long", 7).contains("the magic"));
}

#[test]
fn a_section_read_by_another_name_is_unexpected() {
    let bytes = saved();
    let mut input = bytes.as_slice();
    let mut reader = SectionReader::new(&mut input, "test", 7).unwrap();
    assert!(matches!(reader.numbers("second", 1), Err(SaveError::Unexpected { found, .. }) if found == "first"));
}
