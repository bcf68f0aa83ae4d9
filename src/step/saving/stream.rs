//! A stream's part of a snapshot, and back.

use std::io::{Read, Write};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::Int64Type;
use xxhash_rust::xxh3::xxh3_64;

use crate::bus::StreamSequence;
use crate::event::{Hashes, SavedPartition, SavedWatermark, SeenIds};
use crate::pipeline::StreamPlan;
use crate::snapshot::{Header, SaveError, SectionReader, SectionWriter};
use crate::step::arrival::StreamState;
use crate::time::EventTime;

const STREAM: &str = "stream";

/// Bytes of the hash of an id.
const HASH: usize = 16;

/// Tells settings of a stream apart under which other events count, or at other times.
pub(super) fn stream_fingerprint(plan: &StreamPlan) -> u64 {
    let settings = (&plan.name, &plan.ids, plan.disorder, plan.idle, plan.partition_by_subject);
    xxh3_64(format!("{settings:?} {:?} {}", plan.decode, plan.contract.form()).as_bytes())
}

/// Whether a state is one of this stream.
pub(super) fn check_stream(plan: &StreamPlan, header: &Header) -> Result<(), SaveError> {
    header.check(STREAM, &[stream_fingerprint(plan)])
}

/// What is saved of a stream, as it was at a moment.
pub(in crate::step) struct StreamView {
    last: StreamSequence,
    watermark: SavedWatermark,
    furthest: Option<EventTime>,
    seen: Option<[Hashes; 2]>,
}

impl StreamView {
    /// The stream as it is now.
    pub(in crate::step) fn of(stream: &StreamState) -> Self {
        Self {
            last: stream.last,
            watermark: stream.watermark.save(),
            furthest: stream.furthest,
            seen: stream.seen.as_ref().map(SeenIds::hashes),
        }
    }
}

pub(in crate::step) fn save_stream(
    stream: &StreamView,
    plan: &StreamPlan,
    output: &mut dyn Write,
) -> Result<(), SaveError> {
    let mut writer = SectionWriter::new(output, STREAM, stream_fingerprint(plan))?;
    let saved = &stream.watermark;
    let micros = |time: Option<EventTime>| time.map_or(i64::MIN, EventTime::micros);
    let numbers = [
        stream.last.0.cast_signed(),
        saved.published,
        saved.silent_after,
        micros(saved.value),
        micros(saved.newest),
        micros(stream.furthest),
        i64::from(stream.seen.is_some()),
    ];
    writer.numbers("position", &numbers)?;
    let names = saved.partitions.iter().map(|partition| Some(partition.name.as_str()));
    let newest = saved.partitions.iter().map(|partition| partition.newest.map(EventTime::micros));
    let columns: [ArrayRef; 4] = [
        Arc::new(names.collect::<StringArray>()),
        Arc::new(newest.collect::<Int64Array>()),
        Arc::new(saved.partitions.iter().map(|partition| Some(partition.published)).collect::<Int64Array>()),
        Arc::new(saved.partitions.iter().map(|partition| Some(partition.takes_part)).collect::<BooleanArray>()),
    ];
    writer.section(
        "partitions",
        &[batch("partitions", ["name", "newest", "published", "takes_part"].into_iter().zip(columns))?],
    )?;
    if let Some(seen) = &stream.seen {
        for (name, hashes) in ["older ids", "younger ids"].into_iter().zip(seen) {
            writer.section(name, &[batch(name, [("hash", hashes_column(hashes))])?])?;
        }
    }
    writer.finish()
}

pub(super) fn restore_stream(
    stream: &mut StreamState,
    plan: &StreamPlan,
    input: &mut dyn Read,
) -> Result<(), SaveError> {
    let mut reader = SectionReader::new(input, STREAM, stream_fingerprint(plan))?;
    let numbers = reader.numbers("position", 7)?;
    let partitions = reader.batch("partitions")?;
    let time = |micros: i64| (micros != i64::MIN).then_some(EventTime(micros));
    let mut saved = SavedWatermark {
        partitions: Vec::new(),
        published: numbers[1],
        silent_after: numbers[2],
        value: time(numbers[3]),
        newest: time(numbers[4]),
    };
    let names = partitions.column_by_name("name").and_then(|column| column.as_string_opt::<i32>());
    let longs = |name| partitions.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let takes_part = partitions.column_by_name("takes_part").and_then(|column| column.as_boolean_opt());
    let (Some(names), Some(newest), Some(published), Some(takes_part)) =
        (names, longs("newest"), longs("published"), takes_part)
    else {
        return Err(unexpected("partitions", "names, times and whether they take part"));
    };
    for row in 0..partitions.num_rows() {
        saved.partitions.push(SavedPartition {
            name: names.value(row).to_owned(),
            newest: newest.is_valid(row).then(|| EventTime(newest.value(row))),
            published: published.value(row),
            takes_part: takes_part.value(row),
        });
    }
    let restored = plan.watermark().restored(&saved);
    stream.watermark = restored.map_err(|_| unexpected("partitions", "fewer partitions"))?;
    stream.furthest = time(numbers[5]);
    stream.last = StreamSequence(numbers[0].cast_unsigned());
    if let (1, Some((_, remember))) = (numbers[6], &plan.ids) {
        let older = read_hashes(&mut reader, "older ids")?;
        let younger = read_hashes(&mut reader, "younger ids")?;
        let seen = SeenIds::new(*remember).restored(&older, &younger);
        stream.seen = Some(seen.ok_or_else(|| unexpected("ids", "as many ids as are remembered"))?);
    }
    reader.finish()
}

fn batch<'a>(section: &str, columns: impl IntoIterator<Item = (&'a str, ArrayRef)>) -> Result<RecordBatch, SaveError> {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns)
        .map_err(|source| SaveError::Batch { section: section.to_owned(), source })
}

fn hashes_column(hashes: &Hashes) -> ArrayRef {
    let mut bytes = Vec::with_capacity(hashes.len() * HASH);
    for hash in hashes.pages().flatten() {
        bytes.extend_from_slice(&hash.to_le_bytes());
    }
    Arc::new(FixedSizeBinaryArray::new(HASH as i32, bytes.into(), None))
}

fn read_hashes(reader: &mut SectionReader<'_>, section: &str) -> Result<Vec<u128>, SaveError> {
    let batch = reader.batch(section)?;
    let column = batch.column_by_name("hash").and_then(|column| column.as_fixed_size_binary_opt());
    let column = column.filter(|column| column.value_length() == HASH as i32);
    let column = column.ok_or_else(|| unexpected(section, "hashes of 16 bytes"))?;
    let hashes = column.value_data().as_chunks::<HASH>().0;
    Ok(hashes.iter().map(|bytes| u128::from_le_bytes(*bytes)).collect())
}

fn unexpected(section: &str, expected: &str) -> SaveError {
    SaveError::Unexpected { found: format!("something else in {section}"), expected: expected.to_owned() }
}
