//! `tidewheel pub`: events from standard input or a file into a stream of a pipeline, a message for each line.
//!
//! It checks no contract: what becomes of an event is the pipeline's to say. It fails at the first line that is no JSON, and
//! when the server does not acknowledge.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::broker::Broker;
use super::client::ClientError;
use super::output::{say, tell};
use super::run::runtime;
use super::{BrokerArguments, Format, observe};
use crate::bus::{Bus, Outgoing, Subject};
use crate::config::{Folder, Source};
use crate::event::Contract;
use crate::pipeline::concrete;

/// Messages that wait for the broker's acknowledgement.
const OUTSTANDING: usize = 2_000;

/// No server takes a larger message.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// An id by which the broker knows a message again is no longer.
const LONGEST_ID: usize = 256;

/// What stands for the wildcards of a stream's subject.
const WORD: &str = "pub";

/// Arguments of `pub`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The pipeline's folder.
    folder: PathBuf,
    /// A file with a JSON event on each line; `-` is standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Where the events go: a subject that the pipeline reads. The first of the stream unless given, with the word `pub` for
    /// each wildcard.
    #[arg(long)]
    subject: Option<String>,
    /// Which stream, where the pipeline has several.
    #[arg(long, value_name = "NAME", conflicts_with = "subject")]
    stream: Option<String>,
    #[command(flatten)]
    broker: BrokerArguments,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Where events go, and how each of them is known.
#[derive(Debug)]
struct Target {
    subject: Subject,
    /// The column that identifies an event.
    id: Option<String>,
    /// The names that lead to its property.
    id_path: Vec<String>,
    /// Whether the stream that reads it takes Avro unless a message says that it is JSON.
    is_avro: bool,
}

/// What the server acknowledged.
#[derive(Debug, Serialize)]
struct Report {
    /// The stream on the server.
    stream: String,
    subject: String,
    /// Events that are in the stream now and were not before.
    stored: u64,
    /// Events that the stream had already, by their ids.
    already_there: u64,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let folder = Folder::read(&arguments.folder)?;
    let target = target(&folder, arguments.subject.as_deref(), arguments.stream.as_deref())?;
    let lines = Lines::open(&arguments.file)?;
    runtime()?.block_on(async {
        let bus = Broker::find(&arguments.broker, &folder.settings.state_folder()).await?;
        let subject = target.subject.to_string();
        let stream = bus.stream_of(&target.subject).await?;
        let stream = stream.ok_or(ClientError::NotKept { subject, folder: arguments.folder.clone() })?;
        let report = publish(&bus, &target, stream, lines).await?;
        bus.close().await?;
        match arguments.format {
            Format::Json => observe::print_json(&report)?,
            Format::Text => report.print(target.id.as_deref().unwrap_or_default()),
        }
        Ok(true)
    })
}

async fn publish(bus: &Bus, target: &Target, stream: String, mut lines: Lines) -> anyhow::Result<Report> {
    let mut publisher = bus.publisher(OUTSTANDING).await?;
    let mut published = 0;
    while let Some(line) = lines.next_line()? {
        let id = match id_of(&line, &target.id_path) {
            Ok(id) => id,
            Err(error) => {
                publisher.settle().await?;
                let (file, line, reason) = (lines.name, lines.number, error.to_string());
                return Err(ClientError::EventNotJson { file, line, reason, published }.into());
            }
        };
        let message = Outgoing { message_id: id, ..Outgoing::new(target.subject.clone(), line.into()) };
        publisher.publish(if target.is_avro { message.json() } else { message }).await?;
        published += 1;
    }
    publisher.settle().await?;
    let already_there = publisher.duplicates();
    let subject = target.subject.to_string();
    Ok(Report { stream, subject, stored: published - already_there, already_there })
}

impl Report {
    fn print(&self, id: &str) {
        let Self { stream, subject, stored, already_there } = self;
        let again = match already_there {
            0 => String::new(),
            count => format!("; {count} had been there already, by `{id}`"),
        };
        say!("{stored} event(s) stored in {stream} by way of {subject}{again}");
    }
}

/// The subject to publish to, and the id of the stream that reads it.
fn target(folder: &Folder, subject: Option<&str>, stream: Option<&str>) -> anyhow::Result<Target> {
    let settings = &folder.settings;
    let (pattern, stream) = match (subject, stream) {
        (Some(subject), _) => {
            let known = || settings.subjects().join(", ");
            let found = settings.stream_reading(subject);
            (subject, found.ok_or_else(|| ClientError::NotRead { subject: subject.to_owned(), known: known() })?)
        }
        (None, name) => {
            let known = || settings.streams.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let found = match name {
                Some(name) => settings.streams.get(name),
                None if settings.streams.len() > 1 => return Err(ClientError::SeveralStreams { known: known() }.into()),
                None => settings.streams.values().next(),
            };
            let name = name.unwrap_or_default().to_owned();
            let stream = found.ok_or_else(|| ClientError::NoStream { name, known: known() })?;
            (stream.patterns().next().context("the stream has no subject")?, stream)
        }
    };
    let id = stream.id.as_ref().map(|id| id.get_ref().clone());
    let id_path = id.as_deref().map(|id| path_of(id, folder, stream.contract.get_ref())).unwrap_or_default();
    Ok(Target { subject: concrete(pattern, WORD)?, id, id_path, is_avro: stream.avro.is_some() })
}

/// The names that lead to the property of a column; the column's own where no contract says it.
fn path_of(column: &str, folder: &Folder, contract: &Path) -> Vec<String> {
    let file = folder.find_above(contract).and_then(|file| Source::read(&file).ok());
    let contract = file.and_then(|source| Contract::parse(&source.text).ok());
    let path = contract.and_then(|contract| contract.field(column).map(|(_, field)| field.path().to_vec()));
    path.unwrap_or_else(|| vec![column.to_owned()])
}

/// The id by which the broker tells that it has an event already, which these names lead to; none where the event has none, or
/// one that is no word.
///
/// # Errors
/// When the line is no JSON.
fn id_of(line: &[u8], path: &[String]) -> serde_json::Result<Option<String>> {
    let event: Value = serde_json::from_slice(line)?;
    let found = path.iter().try_fold(&event, |object, name| object.get(name)).filter(|_| !path.is_empty());
    let id = found.and_then(|id| match id {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) if !id.is_f64() => Some(id.to_string()),
        _ => None,
    });
    Ok(id.filter(|id| (1..=LONGEST_ID).contains(&id.len()) && !id.contains(char::is_control)))
}

/// The lines of a file or of standard input.
struct Lines {
    /// What messages call it.
    name: String,
    reader: Box<dyn BufRead>,
    /// Of the line that was read last, from one.
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            if io::stdin().is_terminal() {
                tell!("events from standard input, one on each line; Ctrl-D ends");
            }
            return Ok(Self { name: "standard input".to_owned(), reader: Box::new(io::stdin().lock()), number: 0 });
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        Ok(Self { name, reader: Box::new(BufReader::new(file)), number: 0 })
    }

    /// The next line that is not blank.
    fn next_line(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        loop {
            let mut line = Vec::new();
            let read = self.reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
            if read.with_context(|| format!("cannot read {}", self.name))? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let text = line.trim_ascii();
            if !text.is_empty() {
                return Ok(Some(text.to_vec()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_blank_ones_are_none() {
        let text = "{\"a\": 1}\r\n\n  \n[2]\n{";
        let mut lines =
            Lines { name: "a.jsonl".to_owned(), reader: Box::new(io::Cursor::new(text.as_bytes())), number: 0 };
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push((lines.number, String::from_utf8(line).unwrap()));
        }
        assert_eq!(found, [(1, "{\"a\": 1}".to_owned()), (4, "[2]".to_owned()), (5, "{".to_owned())]);
    }

    #[test]
    fn an_event_is_known_by_its_id_if_that_is_a_word() {
        let path = ["meta", "event_id"].map(str::to_owned);
        let id = |line: &str| id_of(line.as_bytes(), &path[1..]).map_err(|error| error.to_string());
        assert_eq!(id(r#"{"event_id": "web-1", "kind": "view"}"#), Ok(Some("web-1".to_owned())));
        assert_eq!(id(r#"{"event_id": 9007199254740993}"#), Ok(Some("9007199254740993".to_owned())));
        for without in [r#"{"event_id": ""}"#, r#"{"event_id": "a\r\nb"}"#, r#"{"event_id": 1.5}"#, "{}", "[{}]", "7"] {
            assert_eq!(id(without), Ok(None), "{without}");
        }
        assert_eq!(id_of(br#"{"event_id": "web-1"}"#, &[]).unwrap(), None);
        assert_eq!(id_of(b"7", &[]).unwrap(), None);
        assert_eq!(id_of(br#"{"meta": {"event_id": "web-1"}}"#, &path).unwrap().as_deref(), Some("web-1"));
        assert_eq!(id_of(br#"{"event_id": "web-1", "meta": 3}"#, &path).unwrap(), None);
        insta::assert_snapshot!(id("{\"event_id\": 1,}").unwrap_err(), @"trailing comma at line 1 column 16");
    }
}
