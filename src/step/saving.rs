//! The state of a step as parts of a snapshot, and back.
//!
//! ```text
//!   stream NAME   last message, watermarks of its partitions, ids that were seen
//!   table NAME    an as-of table whole, or the newest rows of a table of windows
//!   windows       all tables of windows: panes, tiles, totals, sessions
//!   counters      per table: late rows, emitted rows
//! ```
//!
//! Everything that comes out later follows from these parts and from what is read later. A part says under which settings it
//! was made: one of other settings is refused, and the state is then made anew from the streams.

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::Int64Type;
use xxhash_rust::xxh3::xxh3_64;

use super::arrival::StreamState;
use super::step::Step;
use super::tables::Tables;
use crate::bus::StreamSequence;
use crate::event::{SavedPartition, SavedWatermark, SeenIds};
use crate::feature::{LivePlan, LiveTable};
use crate::pipeline::{Pipeline, StreamPlan, TablePlan};
use crate::snapshot::{SaveError, SectionReader, SectionWriter};
use crate::step::StepError;
use crate::time::EventTime;
use crate::window::{FeatureTable, NewestRows, References, WindowError, WindowTables};

const STREAM: &str = "stream";
const COUNTERS: &str = "counters";
const WINDOWS: &str = "windows";

/// Bytes of the hash of an id.
const HASH: usize = 16;

/// A part by its name.
enum Part<'a> {
    Stream(usize, &'a StreamPlan),
    Table(usize),
    Windows,
    Counters,
}

fn parts(pipeline: &Pipeline) -> impl Iterator<Item = (String, Part<'_>)> {
    let streams = pipeline.streams.iter().enumerate();
    let streams = streams.map(|(index, plan)| (format!("stream {}", plan.name), Part::Stream(index, plan)));
    let tables = pipeline.tables.iter().enumerate();
    let tables = tables.map(|(index, plan)| (format!("table {}", plan.plan.name()), Part::Table(index)));
    let others = [(WINDOWS.to_owned(), Part::Windows), (COUNTERS.to_owned(), Part::Counters)];
    streams.chain(tables).chain(others)
}

impl Step {
    /// The names of the parts, each to be saved by [`save_part`](Self::save_part).
    pub fn parts(&self) -> Vec<String> {
        parts(&self.pipeline).map(|(name, _)| name).collect()
    }

    /// Writes a part of the state, between two steps; nothing for a name that is none.
    ///
    /// # Errors
    /// When the output can't be written.
    pub fn save_part(&self, name: &str, output: &mut dyn Write) -> Result<(), StepError> {
        let found = parts(&self.pipeline).find(|(part, _)| part == name);
        let Some((_, part)) = found else { return Ok(()) };
        let saved = match part {
            Part::Stream(index, plan) => save_stream(&self.streams[index], plan, output),
            Part::Table(index) => match &self.tables.live[index] {
                LiveTable::AsOf(table) => table.save(output).map_err(saving),
                LiveTable::Windows(rows) => rows.save(output),
            },
            Part::Windows => self.tables.windows.save(output),
            Part::Counters => self.save_counters(output),
        };
        saved.map_err(in_part(name))
    }

    /// The state whose parts `read` gives; several are read at once.
    ///
    /// # Errors
    /// When a part is missing, damaged, or of other settings.
    pub fn restore<R: Read>(
        pipeline: &Arc<Pipeline>,
        references: References,
        read: impl Fn(&str) -> Result<R, StepError> + Sync,
    ) -> Result<Self, StepError> {
        let mut step = Self::new(Arc::clone(pipeline))?;
        step.restore_parts(read)?;
        step.set_references(references);
        Ok(step)
    }

    fn restore_parts<R: Read>(&mut self, read: impl Fn(&str) -> Result<R, StepError> + Sync) -> Result<(), StepError> {
        let (pipeline, names) = (Arc::clone(&self.pipeline), self.parts());
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(names.len());
        let waiting = Mutex::new(names.iter().zip(self.places()).enumerate());
        let restore_some = || {
            loop {
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((index, (name, place))) = next else { return Ok(()) };
                let restored =
                    read(name).and_then(|mut input| place.restore(&pipeline, &mut input).map_err(in_part(name)));
                restored.map_err(|error| (index, error))?;
            }
        };
        let failed: Vec<(usize, StepError)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(restore_some)).collect();
            let ended = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            ended.filter_map(|ended| ended.unwrap_or(Err((0, StepError::Thread))).err()).collect()
        });
        // The first part that can't be restored, whichever thread was faster.
        failed.into_iter().min_by_key(|(index, _)| *index).map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Where each of the [`parts`](Self::parts) belongs.
    fn places(&mut self) -> impl Iterator<Item = Place<'_>> {
        let Tables { live, windows, late_rows, emitted_rows, .. } = &mut self.tables;
        let streams = self.streams.iter_mut().zip(&self.pipeline.streams);
        let streams = streams.map(|(state, plan)| Place::Stream(state, plan));
        let tables = live.iter_mut().zip(&self.pipeline.tables).map(|(table, plan)| Place::Table(table, plan));
        let others = [Place::Windows(windows), Place::Counters { late: late_rows, emitted: emitted_rows }];
        streams.chain(tables).chain(others)
    }

    fn save_counters(&self, output: &mut dyn Write) -> Result<(), SaveError> {
        let mut writer = SectionWriter::new(output, COUNTERS, counters_fingerprint(&self.pipeline))?;
        let counters = self.tables.late_rows.iter().chain(&self.tables.emitted_rows);
        writer.numbers(COUNTERS, &counters.map(|count| count.cast_signed()).collect::<Vec<_>>())?;
        writer.finish()
    }
}

/// Where a part of the state belongs.
enum Place<'a> {
    Stream(&'a mut StreamState, &'a StreamPlan),
    Table(&'a mut LiveTable, &'a TablePlan),
    Windows(&'a mut WindowTables),
    Counters { late: &'a mut Vec<u64>, emitted: &'a mut Vec<u64> },
}

impl Place<'_> {
    fn restore(self, pipeline: &Pipeline, input: &mut dyn Read) -> Result<(), SaveError> {
        match self {
            Self::Stream(state, plan) => restore_stream(state, plan, input)?,
            Self::Table(table, plan) => *table = restore_table(pipeline, plan, input)?,
            Self::Windows(windows) => *windows = WindowTables::restore(windows.plans().to_vec(), input)?,
            Self::Counters { late, emitted } => (*late, *emitted) = restore_counters(pipeline, input)?,
        }
        Ok(())
    }
}

fn in_part(name: &str) -> impl Fn(SaveError) -> StepError {
    let part = name.to_owned();
    move |source| StepError::State { part: part.clone(), source }
}

/// A table that can't be saved or restored fails as its state does.
fn saving(error: WindowError) -> SaveError {
    error.in_section("table")
}

fn restore_table(pipeline: &Pipeline, plan: &TablePlan, input: &mut dyn Read) -> Result<LiveTable, SaveError> {
    match &plan.plan {
        LivePlan::AsOf(features) => {
            let disorder = plan.disorder(pipeline).as_micros() as i64;
            let table = FeatureTable::restore(Arc::clone(features), disorder, plan.budget, input);
            table.map(LiveTable::AsOf).map_err(saving)
        }
        LivePlan::Windows(windows) => {
            let retention = i64::try_from(plan.retention.as_micros()).unwrap_or(i64::MAX);
            NewestRows::restore(Arc::clone(windows), retention, input).map(LiveTable::Windows)
        }
    }
}

/// Late and emitted rows of each table.
fn restore_counters(pipeline: &Pipeline, input: &mut dyn Read) -> Result<(Vec<u64>, Vec<u64>), SaveError> {
    let mut reader = SectionReader::new(input, COUNTERS, counters_fingerprint(pipeline))?;
    let tables = pipeline.tables.len();
    let numbers = reader.numbers(COUNTERS, 2 * tables)?;
    reader.finish()?;
    let (late, emitted) = numbers.split_at(tables);
    let counts = |numbers: &[i64]| numbers.iter().map(|count| count.cast_unsigned()).collect();
    Ok((counts(late), counts(emitted)))
}

/// Tells settings of a stream apart under which other events count, or at other times.
fn stream_fingerprint(plan: &StreamPlan) -> u64 {
    let settings = (&plan.name, &plan.ids, plan.disorder, plan.idle, plan.partition_by_subject);
    xxh3_64(format!("{settings:?} {:?} {:?}", plan.decode, plan.contract.fields()).as_bytes())
}

fn counters_fingerprint(pipeline: &Pipeline) -> u64 {
    let names: Vec<&str> = pipeline.tables.iter().map(|table| table.plan.name()).collect();
    xxh3_64(names.join("\n").as_bytes())
}

fn save_stream(stream: &StreamState, plan: &StreamPlan, output: &mut dyn Write) -> Result<(), SaveError> {
    let mut writer = SectionWriter::new(output, STREAM, stream_fingerprint(plan))?;
    let saved = stream.watermark.save();
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
        for (name, hashes) in ["older ids", "younger ids"].into_iter().zip(seen.hashes()) {
            writer.section(name, &[batch(name, [("hash", hashes_column(hashes))])?])?;
        }
    }
    writer.finish()
}

fn restore_stream(stream: &mut StreamState, plan: &StreamPlan, input: &mut dyn Read) -> Result<(), SaveError> {
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

fn hashes_column(hashes: &[u128]) -> ArrayRef {
    let mut bytes = Vec::with_capacity(hashes.len() * HASH);
    for hash in hashes {
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

#[cfg(test)]
mod tests;
