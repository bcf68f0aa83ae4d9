//! `tidewheel examples`: what a pipeline's model learns from, as a file for other programs.
//!
//! ```text
//!   <pipeline>.examples ─▶ messages of the vector of now ─▶ rows ─▶ FILE.<process>.unfinished ─▶ FILE
//!                             └ of another vector, unreadable: counted
//! ```
//!
//! A file is there whole or not at all: it has another name until it is written and on the disk.

mod target;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::datatypes::Field;
use clap::{Args, ValueEnum};

use self::target::Target;
use super::broker::Broker;
use super::exit::misuse;
use super::out_file::OutFile;
use super::output::{has_seen_enough, tell};
use super::run::{interrupted, runtime};
use super::{BrokerArguments, assemble};
use crate::bus::{Bus, BusError, Message, ReadLimits, StreamSequence};
use crate::clock;
use crate::config::micros_of;
use crate::learn::{ExampleError, ExampleTable, Examples, decode};
use crate::pipeline::{Pipeline, output_spec};
use crate::query::Format;
use crate::sql::parse_duration;

/// Messages that are read at once.
const READ_ROWS: usize = 1_024;
/// Rows that are written at once.
const WRITTEN_ROWS: usize = 16_384;
/// How often progress is told.
const TOLD: Duration = Duration::from_secs(2);

/// Arguments of `examples`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The pipeline's folder.
    folder: PathBuf,
    /// The file to write; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How to write; as the file's name ends, unless given.
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    /// Begins at this message of the pipeline's output stream, such as the one that the last call has named.
    #[arg(long, value_name = "MESSAGE", default_value_t = 1)]
    from: u64,
    /// Only what was shown since then: "2 days", or "2026-11-30T00:00:00Z".
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// At most so many examples.
    #[arg(long, value_name = "ROWS")]
    limit: Option<u64>,
    #[command(flatten)]
    broker: BrokerArguments,
}

/// How examples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FileFormat {
    /// Columns with their types, compressed.
    Parquet,
    /// Texts with a line of names; lists as JSON.
    Csv,
    /// An object a line.
    Jsonl,
}

impl From<FileFormat> for Format {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Parquet => Self::Parquet,
            FileFormat::Csv => Self::Csv,
            FileFormat::Jsonl => Self::JsonLines,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let format = format_of(arguments)?;
    let since = arguments.since.as_deref().map(since_micros).transpose()?;
    let (folder, pipeline) = assemble(&arguments.folder)?;
    let (Some(vector), Some(_)) = (&pipeline.vector, &pipeline.labels) else {
        misuse!("pipeline `{}` has no [labels]: it makes no examples", pipeline.name);
    };
    let table = table_of(&pipeline, vector);
    let file = (!to_screen(arguments)).then(|| OutFile { path: arguments.out.clone(), format });
    let export = Export {
        reading: Examples::new(vector.inputs()),
        ready: Examples::new(vector.inputs()),
        fingerprint: vector.fingerprint().as_str().to_owned(),
        since: since.unwrap_or(i64::MIN),
        limit: arguments.limit.unwrap_or(u64::MAX),
        target: Target::open(file.as_ref(), format, table.schema().clone())?,
        table,
        written: 0,
        others: BTreeMap::new(),
        unreadable: 0,
        told: clock::now(),
    };
    runtime()?.block_on(async {
        let broker = Broker::find_or_open(&arguments.broker, &folder.settings.state_folder()).await?;
        let written = tokio::select! {
            written = export.all(&broker.bus, &pipeline, StreamSequence(arguments.from.max(1))) => written,
            // What is half written goes with the export.
            () = interrupted() => Err(anyhow::anyhow!("interrupted: nothing was written")),
        };
        broker.close().await?;
        match written {
            Err(error) if has_seen_enough(&error) => Ok(true),
            written => written.map(|()| true),
        }
    })
}

fn to_screen(arguments: &Arguments) -> bool {
    arguments.out.as_os_str() == "-"
}

/// How to write: as was asked for, or as the file's name ends.
fn format_of(arguments: &Arguments) -> anyhow::Result<Format> {
    let format = match (arguments.format, Format::of_file(&arguments.out)) {
        (Some(format), _) => format.into(),
        (None, Some(format)) => format,
        (None, None) if to_screen(arguments) => Format::JsonLines,
        (None, None) => misuse!(
            "{} ends in none of .parquet, .csv, .jsonl and .json: rename it, or say --format parquet",
            arguments.out.display()
        ),
    };
    if to_screen(arguments) && format == Format::Parquet {
        misuse!("a Parquet file can't be written to standard output: name a file with --out, or say --format jsonl");
    }
    Ok(format)
}

/// A moment, or as long ago.
fn since_micros(text: &str) -> anyhow::Result<i64> {
    if let Some(moment) = micros_of(text) {
        return Ok(moment);
    }
    let Ok(ago) = parse_duration(text) else {
        misuse!(
            "--since {text:?} is neither a duration such as \"2 days\" nor a moment such as \"2026-11-30T00:00:00Z\""
        );
    };
    Ok(clock::unix_micros().saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX)))
}

fn table_of(pipeline: &Pipeline, vector: &crate::feature::VectorPlan) -> ExampleTable {
    let score = pipeline.score.as_ref();
    let type_of = |column: &str| vector.requests().field_with_name(column).ok().map(Field::data_type);
    let user = score.and_then(|score| score.user.as_deref()).and_then(type_of);
    let item = score.and_then(|score| type_of(&score.item));
    ExampleTable::new(vector.columns(), vector.inputs(), user, item)
}

/// Examples on their way from the stream to the file.
struct Export<'a> {
    table: ExampleTable,
    target: Target<'a>,
    /// The examples of one message.
    reading: Examples,
    /// Those that are written next.
    ready: Examples,
    fingerprint: String,
    since: i64,
    limit: u64,
    written: u64,
    /// Examples of other vectors, by their fingerprints.
    others: BTreeMap<String, u64>,
    /// Messages that can't be read, of which the first is named when it comes.
    unreadable: u64,
    told: Instant,
}

impl Export<'_> {
    /// Reads what is in the stream now.
    async fn all(mut self, bus: &Bus, pipeline: &Pipeline, from: StreamSequence) -> anyhow::Result<()> {
        let (stream, subject) = (output_spec(pipeline).name, pipeline.names.examples());
        let last = match bus.last_message(&stream, &subject).await {
            Err(error @ BusError::StreamNotFound { .. }) => {
                let name = &pipeline.name;
                return Err(error).with_context(|| {
                    format!("pipeline `{name}` has never run on this server: start `tidewheel run`, or name another with --nats")
                });
            }
            last => last?.map_or(StreamSequence(0), |message| message.sequence),
        };
        let mut next = from;
        if from <= last {
            let limits = ReadLimits { rows: READ_ROWS, linger: Duration::ZERO };
            let mut reader = bus.reader_of(&stream, &subject, from, limits);
            while next <= last && !self.is_full() {
                for message in reader.next_batch().await? {
                    if self.is_full() {
                        break;
                    }
                    // One that the limit cuts comes again.
                    next = if self.take(&message)? { message.sequence.next() } else { message.sequence };
                }
                self.tell(next, last);
            }
        }
        self.write()?;
        let Self { target, written, others, unreadable, .. } = self;
        target.finish()?;
        for (fingerprint, examples) in &others {
            tell!("note: {examples} examples of another vector ({fingerprint}) are left out");
        }
        if unreadable > 0 {
            tell!("note: {unreadable} messages can't be read, and are left out");
        }
        tell!("{written} examples; what comes next begins at --from {next}");
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.written + self.ready.len() as u64 >= self.limit
    }

    /// Takes the examples of a message; false where the limit leaves some of them out.
    fn take(&mut self, message: &Message) -> anyhow::Result<bool> {
        self.reading.clear();
        let inputs = self.reading.inputs().clone();
        match decode(&message.payload, &inputs, &self.fingerprint, &mut self.reading) {
            Ok(()) => {}
            Err(ExampleError::Fingerprint { found, examples, .. }) => {
                *self.others.entry(found).or_default() += examples as u64;
                return Ok(true);
            }
            Err(error) => {
                if self.unreadable == 0 {
                    tell!("note: message {} of the stream: {error}", message.sequence);
                }
                self.unreadable += 1;
                return Ok(true);
            }
        }
        let mut is_whole = true;
        for example in (0..self.reading.len()).filter_map(|row| self.reading.get(row)) {
            if example.shown_micros < self.since {
                continue;
            }
            is_whole = self.written + (self.ready.len() as u64) < self.limit;
            if !is_whole {
                break;
            }
            self.ready.push(example)?;
        }
        if self.ready.len() >= WRITTEN_ROWS {
            self.write()?;
        }
        Ok(is_whole)
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let rows: RecordBatch = self.table.rows(&self.ready)?;
        self.target.write(&rows)?;
        self.written += self.ready.len() as u64;
        self.ready.clear();
        Ok(())
    }

    fn tell(&mut self, next: StreamSequence, last: StreamSequence) {
        if self.told.elapsed() >= TOLD {
            self.told = clock::now();
            let rows = self.written + self.ready.len() as u64;
            tell!("{rows} examples, message {next} of {last}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(out: &str, format: Option<FileFormat>) -> Arguments {
        Arguments {
            folder: PathBuf::new(),
            out: out.into(),
            format,
            from: 1,
            since: None,
            limit: None,
            broker: BrokerArguments::default(),
        }
    }

    #[test]
    fn the_name_of_the_file_says_how_it_is_written() {
        for (out, given, expected) in [
            ("a.parquet", None, Format::Parquet),
            ("a.csv", None, Format::Csv),
            ("a/b.jsonl", None, Format::JsonLines),
            ("a.txt", Some(FileFormat::Csv), Format::Csv),
            ("-", None, Format::JsonLines),
        ] {
            assert_eq!(format_of(&arguments(out, given)).unwrap(), expected);
        }
        let refused = |out, given| format_of(&arguments(out, given)).unwrap_err().to_string();
        insta::assert_snapshot!(
            refused("a.txt", None),
            @"a.txt ends in none of .parquet, .csv, .jsonl and .json: rename it, or say --format parquet"
        );
        insta::assert_snapshot!(
            refused("-", Some(FileFormat::Parquet)),
            @"a Parquet file can't be written to standard output: name a file with --out, or say --format jsonl"
        );
    }

    #[test]
    fn a_time_is_a_moment_or_so_long_ago() {
        assert_eq!(since_micros("1970-01-01T00:00:01Z").unwrap(), 1_000_000);
        let ago = clock::unix_micros() - since_micros("2 days").unwrap();
        assert!((172_790_000_000..172_810_000_000).contains(&ago), "{ago}");
        insta::assert_snapshot!(
            since_micros("yesterday").unwrap_err(),
            @r#"--since "yesterday" is neither a duration such as "2 days" nor a moment such as "2026-11-30T00:00:00Z""#
        );
    }
}
