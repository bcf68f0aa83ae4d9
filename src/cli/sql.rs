//! `tidewheel sql`: a query over the live tables of a running pipeline.

use std::io::{BufWriter, IsTerminal, Read, Write, stdin, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};

use super::BrokerArguments;
use super::broker::Broker;
use super::out_file::OutFile;
use super::output::{has_seen_enough, tell};
use super::run::{interrupted, runtime};
use crate::bus::{Bus, Subject};
use crate::config::Folder;
use crate::query::{self, Answer, MOST_ROWS, Question, RowWriter};

/// How long to wait for the answer, or for the next part of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Arguments of `sql`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The pipeline's folder.
    folder: PathBuf,
    /// One SELECT over its feature and reference tables, SHOW TABLES, or DESCRIBE and a name; without it, or for `-`, it is
    /// read from standard input.
    statement: Option<String>,
    #[command(flatten)]
    broker: BrokerArguments,
    /// How to print; `text` shows 10,000 rows at most, the others all.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Writes all rows to a file instead, as the end of its name says: .csv, .json, .jsonl or .parquet.
    #[arg(long, value_name = "FILE", value_parser = OutFile::parse, conflicts_with = "format")]
    out: Option<OutFile>,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table, for people.
    #[default]
    Text,
    /// An array of objects.
    Json,
    /// An object per line.
    Jsonl,
    /// A line of names, then a line per row.
    Csv,
}

impl Format {
    fn of_rows(self) -> query::Format {
        match self {
            Self::Text => query::Format::Table,
            Self::Json => query::Format::Json,
            Self::Jsonl => query::Format::JsonLines,
            Self::Csv => query::Format::Csv,
        }
    }
}

/// The door of a running pipeline.
struct Door {
    bus: Bus,
    subject: Subject,
    pipeline: String,
}

/// What has become of an answer.
struct Written<W> {
    output: W,
    rows: usize,
    truncated: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let folder = Folder::read(&arguments.folder)?;
    let sql = statement(arguments.statement.as_deref())?;
    let pipeline = folder.settings.name.to_string();
    runtime()?.block_on(async {
        let bus = Broker::find(&arguments.broker, &folder.settings.state_folder()).await?;
        let door = Door { bus, subject: folder.settings.names().queries(), pipeline };
        match &arguments.out {
            Some(file) => save(&door, sql, file).await.map(|()| true),
            None => print(&door, sql, arguments.format).await,
        }
    })
}

/// The statement that is given, or comes through a pipe.
fn statement(given: Option<&str>) -> anyhow::Result<String> {
    match given {
        Some(sql) if sql != "-" => return Ok(sql.to_owned()),
        None if stdin().is_terminal() => {
            let advice =
                "a statement is missing: write one behind the folder, or - to type it, and Ctrl-D at its end\n";
            clap::Error::raw(ErrorKind::MissingRequiredArgument, advice).exit();
        }
        _ => {}
    }
    let mut sql = String::new();
    // What is longer is refused for its length.
    let most = query::Limits::default().max_sql_bytes as u64 + 1;
    stdin().take(most).read_to_string(&mut sql).context("standard input")?;
    Ok(sql)
}

/// Prints an answer. Gives whether all of it was.
async fn print(door: &Door, sql: String, format: Format) -> anyhow::Result<bool> {
    let most = (format == Format::Text).then_some(MOST_ROWS);
    match door.ask(sql, most, format.of_rows(), BufWriter::new(stdout())).await {
        Ok(Written { rows, truncated: true, .. }) => {
            tell!("note: these are {rows} rows and there are more: --format csv, or --out FILE, gives all of them");
            Ok(false)
        }
        Ok(_) => Ok(true),
        Err(error) if has_seen_enough(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Writes an answer to a file, which is there once it is whole.
async fn save(door: &Door, sql: String, file: &OutFile) -> anyhow::Result<()> {
    let (unfinished, output) = file.create()?;
    let written = tokio::select! {
        written = door.ask(sql, None, file.format, output) => written?,
        () = interrupted() => {
            drop(unfinished);
            std::process::exit(130);
        }
    };
    unfinished.finish(written.output)?;
    tell!("{} rows in {}", written.rows, file.path.display());
    Ok(())
}

impl Door {
    /// Asks for an answer of at most so many rows, and writes it part by part.
    async fn ask<W: Write + Send>(
        &self,
        sql: String,
        rows: Option<usize>,
        format: query::Format,
        output: W,
    ) -> anyhow::Result<Written<W>> {
        let first = self.part(Question::Parts { sql, rows }).await?;
        let mut writer = RowWriter::new(format, first.schema.clone(), output)?;
        let (mut part, mut rows) = (first, 0);
        loop {
            for batch in &part.batches {
                writer.write(batch)?;
                rows += batch.num_rows();
            }
            let Some(more) = part.more else { break };
            part = self.part(Question::More(more)).await?;
        }
        Ok(Written { output: writer.finish()?, rows, truncated: part.truncated })
    }

    async fn part(&self, question: Question) -> anyhow::Result<Answer> {
        let reply = self.bus.request(&self.subject, question.to_bytes()?, PATIENCE).await;
        let reply = reply.with_context(|| format!("pipeline `{}`", self.pipeline))?;
        Ok(Answer::from_ipc(&reply)?)
    }
}
