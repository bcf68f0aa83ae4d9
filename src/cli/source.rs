//! Reads the events of a file, one after another, as the JSON objects that `tidewheel replay` publishes.
//!
//! ```text
//!                    ┌ gunzip ┐   ┌ BOM ┐   ┌ csv: a record becomes an object ─┐
//!   file ─▶ count ─▶ │ if .gz │─▶ │ off │─▶ ┤                                  ├─▶ event, and its time if wanted
//!                    └────────┘   └─────┘   └ lines: a line is an event as is ─┘
//! ```
//!
//! **Promises.** A record or line that is not blank is one event. Nothing is quietly corrected: what does not fit the
//! contract is written so that the engine refuses it and says why. A cell that is not of its column's type becomes a
//! string, a line of broken JSON stays as it is, and so do bytes that are not UTF-8.
//!
//! **It does not** check events, read JSON that spreads one event over several lines, or trim cells.
//!
//! **How it fails.** On a file that cannot be opened or read, a damaged gzip stream, and a name that does not tell the
//! format.

mod records;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use self::records::Records;
use super::exit::misuse;
use crate::event::{Contract, ContractField, DecodeSettings};

const BUFFER_BYTES: usize = 64 * 1024;
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// A file of events that is being read.
pub(super) struct EventFile {
    /// The path, for messages.
    name: String,
    events: Events,
    /// The column that holds the event time and how it is read, when times are wanted.
    time: Option<(ContractField, DecodeSettings)>,
    total_bytes: u64,
    read_bytes: Arc<AtomicU64>,
}

impl EventFile {
    /// Opens a file whose name tells its format. Times cost a second look at each JSON line, hence `wants_time`.
    ///
    /// # Errors
    /// When the name's ending is not known, or the file cannot be opened or its beginning not be read.
    pub(super) fn open(
        path: &Path,
        contract: &Contract,
        decode: &DecodeSettings,
        wants_time: bool,
    ) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let format = Format::of(path)?;
        let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        let total_bytes = file.metadata().with_context(|| format!("cannot open {name}"))?.len();
        let read_bytes = Arc::new(AtomicU64::new(0));
        let counted = Counted { file, read_bytes: Arc::clone(&read_bytes) };
        let events = Events::open(counted, format, contract).with_context(|| format!("cannot read {name}"))?;
        let time = contract.field(&decode.time_column).filter(|_| wants_time);
        let time = time.map(|(_, field)| (field.clone(), decode.clone()));
        Ok(Self { name, events, time, total_bytes, read_bytes })
    }

    /// The size of the file on disk.
    pub(super) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// How much of the file has been read, in bytes on disk. Runs ahead of the events by what is buffered.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// Replaces `out` with the next event. `None` is the end of the file; `Some(None)` an event whose time column holds
    /// no time, or any event when no times are wanted. The time is in microseconds since 1970.
    ///
    /// # Errors
    /// When the file cannot be read on, or its gzip stream is damaged.
    #[expect(clippy::option_option, reason = "the end of the file is not an event without a time")]
    pub(super) fn next_event(&mut self, out: &mut Vec<u8>) -> anyhow::Result<Option<Option<i64>>> {
        out.clear();
        let found = match &mut self.events {
            Events::Csv(records) => records.next_event(out),
            Events::Lines(lines) => next_line(lines, out),
        };
        let found = found.with_context(|| format!("cannot read {}", self.name))?;
        Ok(found.then(|| self.time(out)))
    }

    /// The time of the event that was read last.
    fn time(&self, event: &[u8]) -> Option<i64> {
        let (field, times) = self.time.as_ref()?;
        match &self.events {
            Events::Csv(records) => {
                let cell = str::from_utf8(records.cell(field.name())?).ok()?;
                match cell.parse() {
                    Ok(number) => times.micros_of_number(&number),
                    Err(_) => times.micros_of_text(cell),
                }
            }
            Events::Lines(_) => match field.value_in(&serde_json::from_slice(event).ok()?)? {
                Value::Number(number) => times.micros_of_number(&number),
                Value::String(text) => times.micros_of_text(&text),
                _ => None,
            },
        }
    }
}

/// What the name of a file says about its content.
#[derive(Debug, Clone, Copy)]
struct Format {
    is_csv: bool,
    is_compressed: bool,
}

impl Format {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let plain = name.strip_suffix(".gz");
        let is_csv = match plain.unwrap_or(&name).rsplit_once('.') {
            Some((_, "csv")) => true,
            Some((_, "jsonl" | "ndjson" | "json")) => false,
            _ => misuse!(
                "{}: the name does not tell the format; it must end in .csv, .jsonl, .ndjson or .json, or in one of \
                 them followed by .gz",
                path.display()
            ),
        };
        Ok(Self { is_csv, is_compressed: plain.is_some() })
    }
}

/// A file that counts what is read from it.
struct Counted {
    file: File,
    read_bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// The content of a file: its first bytes, unless they were a byte order mark, and the others.
type Content = Chain<Cursor<Vec<u8>>, BufReader<Box<dyn Read + Send>>>;

enum Events {
    Csv(Box<Records<Content>>),
    Lines(Content),
}

impl Events {
    fn open(file: Counted, format: Format, contract: &Contract) -> io::Result<Self> {
        let bytes: Box<dyn Read + Send> =
            if format.is_compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut bytes = BufReader::with_capacity(BUFFER_BYTES, bytes);
        let mut first = Vec::new();
        bytes.by_ref().take(3).read_to_end(&mut first)?;
        if first == BYTE_ORDER_MARK {
            first.clear();
        }
        let content = Cursor::new(first).chain(bytes);
        if format.is_csv {
            Ok(Self::Csv(Box::new(Records::open(content, contract)?)))
        } else {
            Ok(Self::Lines(content))
        }
    }
}

/// Replaces `out` with the next line that is not blank; false at the end.
fn next_line(lines: &mut Content, out: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        out.clear();
        if lines.read_until(b'\n', out)? == 0 {
            return Ok(false);
        }
        while let Some(b'\n' | b'\r') = out.last() {
            out.pop();
        }
        if !out.trim_ascii().is_empty() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::event::TimeUnit;

    const CONTRACT: &str =
        r#"{"type": "object", "properties": {"user": {"type": "integer"}, "ts": {"type": "integer"}}}"#;

    fn open_with(name: &str, bytes: &[u8], wants_time: bool) -> anyhow::Result<EventFile> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        let settings = DecodeSettings { time_unit: TimeUnit::Microseconds, ..DecodeSettings::new("ts") };
        EventFile::open(&path, &Contract::parse(CONTRACT).expect("a contract"), &settings, wants_time)
    }

    fn open(name: &str, bytes: &[u8]) -> EventFile {
        open_with(name, bytes, true).expect("a file")
    }

    fn events(mut file: EventFile) -> anyhow::Result<Vec<(String, Option<i64>)>> {
        let mut events = Vec::new();
        let mut out = b"left over".to_vec();
        while let Some(time) = file.next_event(&mut out)? {
            events.push((String::from_utf8(out.clone())?, time));
        }
        Ok(events)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("compressed");
        encoder.finish().expect("compressed")
    }

    #[test]
    fn every_ending_is_read_plain_and_compressed_with_and_without_a_byte_order_mark() {
        let csv = "1,100\n2,\n";
        let lines = "{\"user\":1,\"ts\":100}\n{\"user\":2}\n";
        let expected = [(r#"{"user":1,"ts":100}"#.to_owned(), Some(100)), (r#"{"user":2}"#.to_owned(), None)];
        for (ending, text) in [("csv", csv), ("CSV", csv), ("jsonl", lines), ("ndjson", lines), ("json", lines)] {
            for mark in ["", "\u{feff}"] {
                let bytes = format!("{mark}{text}").into_bytes();
                // Two gzip streams, one after the other, as `cat a.gz b.gz` makes them; the mark is cut apart.
                let compressed = [gzip(&bytes[..2]), gzip(&bytes[2..])].concat();
                assert_eq!(events(open(&format!("a.{ending}"), &bytes)).expect("events"), expected, "{ending}");
                assert_eq!(events(open(&format!("a.{ending}.gz"), &compressed)).expect("events"), expected, "{ending}");
            }
        }
    }

    #[test]
    fn lines_pass_as_they_are_and_only_blank_ones_are_skipped() {
        let text = "{\"ts\": 5}\r\n\n  \n{\"ts\":\n [1] \n{\"ts\":\"6\"}\n{\"ts\":7}";
        let expected = [
            ("{\"ts\": 5}", Some(5)),
            ("{\"ts\":", None),
            (" [1] ", None),
            ("{\"ts\":\"6\"}", Some(6)),
            ("{\"ts\":7}", Some(7)),
        ];
        let expected = expected.map(|(event, time)| (event.to_owned(), time));
        assert_eq!(events(open("a.jsonl", text.as_bytes())).expect("events"), expected);
    }

    #[test]
    fn times_are_looked_for_only_when_wanted() {
        for (name, text) in [("a.csv", "user,ts\n1,5\n"), ("a.jsonl", "{\"user\":1,\"ts\":5}\n")] {
            let expected = |time| [(r#"{"user":1,"ts":5}"#.to_owned(), time)];
            assert_eq!(events(open(name, text.as_bytes())).expect("events"), expected(Some(5)));
            let unwanted = open_with(name, text.as_bytes(), false).expect("a file");
            assert_eq!(events(unwanted).expect("events"), expected(None));
        }
    }

    /// With a date or a fraction there was no time, and a replay at ten times the events' own went at full speed.
    #[test]
    fn times_are_read_as_those_of_events_are() {
        let lines = "{\"ts\":1.5e6}\n{\"ts\":\"19700101T000002Z\"}\n{\"ts\":\"now\"}\n{\"ts\":null}\n";
        let times = |name: &str, text: &str| {
            let found = events(open(name, text.as_bytes())).expect("events");
            found.into_iter().map(|(_, time)| time).collect::<Vec<_>>()
        };
        let expected = [Some(1_500_000), Some(2_000_000), None, None];
        assert_eq!(times("a.jsonl", lines), expected);
        assert_eq!(times("a.csv", "ts\n1500000.0\n1970-01-01T01:00:02+01\nnow\n\"\"\n"), expected);
    }

    #[test]
    fn progress_is_counted_in_bytes_on_disk() {
        let text = "{\"user\":1,\"ts\":5}\n".repeat(20_000);
        let compressed = gzip(text.as_bytes());
        for (name, bytes) in [("a.jsonl", text.as_bytes()), ("a.jsonl.gz", compressed.as_slice())] {
            let mut file = open(name, bytes);
            assert_eq!(file.total_bytes(), bytes.len() as u64);
            let mut out = Vec::new();
            while file.next_event(&mut out).expect("an event or the end").is_some() {}
            assert_eq!(file.read_bytes(), file.total_bytes());
        }
        let file = open("a.jsonl", text.as_bytes());
        assert!((1..file.total_bytes()).contains(&file.read_bytes()));
    }

    #[test]
    fn an_unknown_ending_names_the_known_ones() {
        for name in ["a.parquet", "a.gz", "csv", "a.csv.zip"] {
            let error = open_with(name, b"", false).err().expect("an error").to_string();
            assert!(error.contains(&format!("{name}: the name does not tell the format")), "{error}");
            assert!(error.contains(".csv, .jsonl, .ndjson or .json"), "{error}");
        }
    }

    #[test]
    fn a_cut_gzip_stream_is_an_error_and_not_the_end() {
        let compressed = gzip(b"{\"user\":1}\n");
        for length in [1, compressed.len() - 9, compressed.len() - 1] {
            let file = open_with("a.jsonl.gz", &compressed[..length], false);
            let error = file.and_then(events).expect_err("an error").to_string();
            assert!(error.starts_with("cannot read") && error.ends_with("a.jsonl.gz"), "{length}: {error}");
        }
    }
}
