//! Where examples are written: a file that appears whole, or lines on standard output.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::FileFormat;
use super::text::{csv_head, csv_lines, json_lines};
use crate::cli::output::say;
use crate::learn::ExampleTable;

/// Rows of a group, which is held in memory until it is whole.
const GROUP_ROWS: usize = 131_072;

/// What takes rows.
pub(super) struct Target {
    sink: Sink,
    format: FileFormat,
    /// The file that is written, and the name that it gets; none on standard output.
    part: Option<Part>,
}

enum Sink {
    Parquet(Box<ArrowWriter<File>>),
    Text(BufWriter<File>),
    Screen,
}

/// A file under another name, which goes when nobody gives it its own.
struct Part {
    path: PathBuf,
    name: PathBuf,
    is_done: bool,
}

impl Target {
    /// Opens a target: nothing that is there is touched before [`finish`](Self::finish).
    ///
    /// # Errors
    /// When there can't be such a file.
    pub(super) fn open(out: &Path, format: FileFormat, table: &ExampleTable, vector: &str) -> anyhow::Result<Self> {
        if out.as_os_str() == "-" {
            let mut target = Self { sink: Sink::Screen, format, part: None };
            if format == FileFormat::Csv {
                target.text(&csv_head(table.schema())?)?;
            }
            return Ok(target);
        }
        let (part, file) = Part::create(out)?;
        let sink = match format {
            FileFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .set_max_row_group_row_count(Some(GROUP_ROWS))
                    .set_key_value_metadata(Some(vec![KeyValue::new(
                        "tidewheel.fingerprint".to_owned(),
                        vector.to_owned(),
                    )]))
                    .build();
                Sink::Parquet(Box::new(ArrowWriter::try_new(file, table.schema().clone(), Some(properties))?))
            }
            FileFormat::Csv | FileFormat::Jsonl => Sink::Text(BufWriter::new(file)),
        };
        let mut target = Self { sink, format, part: Some(part) };
        if format == FileFormat::Csv {
            target.text(&csv_head(table.schema())?)?;
        }
        Ok(target)
    }

    /// Takes rows.
    ///
    /// # Errors
    /// When they can't be written.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> anyhow::Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        match self.format {
            FileFormat::Parquet => {
                if let Sink::Parquet(writer) = &mut self.sink {
                    writer.write(rows)?;
                }
                Ok(())
            }
            FileFormat::Csv => self.text(&csv_lines(rows)?),
            FileFormat::Jsonl => self.text(&json_lines(rows)?),
        }
    }

    /// Puts the file where it belongs, once all of it is on the disk.
    ///
    /// # Errors
    /// When that fails: then there is none.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let Self { sink, part, .. } = self;
        let file = match sink {
            Sink::Parquet(writer) => Some(writer.into_inner()?),
            Sink::Text(writer) => Some(writer.into_inner().map_err(std::io::IntoInnerError::into_error)?),
            Sink::Screen => None,
        };
        match (file, part) {
            (Some(file), Some(part)) => part.finish(&file),
            _ => Ok(()),
        }
    }

    fn text(&mut self, lines: &[u8]) -> anyhow::Result<()> {
        match &mut self.sink {
            Sink::Text(writer) => writer.write_all(lines)?,
            Sink::Screen => say!("{}", String::from_utf8_lossy(lines).trim_end_matches('\n')),
            Sink::Parquet(_) => {}
        }
        Ok(())
    }
}

impl Part {
    fn create(name: &Path) -> anyhow::Result<(Self, File)> {
        let own = name.file_name().with_context(|| format!("--out {} names no file", name.display()))?;
        let path = name.with_file_name(format!(".{}.{}.part", own.to_string_lossy(), std::process::id()));
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        Ok((Self { path, name: name.to_owned(), is_done: false }, file))
    }

    fn finish(mut self, file: &File) -> anyhow::Result<()> {
        file.sync_all().with_context(|| self.path.display().to_string())?;
        fs::rename(&self.path, &self.name).with_context(|| self.name.display().to_string())?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_done
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(%error, path = %self.path.display(), "a file that is half written stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Examples;

    #[test]
    fn a_file_that_is_not_finished_leaves_nothing_and_what_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a.csv");
        let table = ExampleTable::new(&["a".to_owned()], &1.into(), None, None);
        fs::write(&out, "before").unwrap();
        let mut target = Target::open(&out, FileFormat::Csv, &table, "f").unwrap();
        target.write(&table.rows(&Examples::new(1)).unwrap()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        drop(target);
        assert_eq!(
            (fs::read_to_string(&out).unwrap().as_str(), fs::read_dir(folder.path()).unwrap().count()),
            ("before", 1)
        );
        Target::open(&out, FileFormat::Csv, &table, "f").unwrap().finish().unwrap();
        let names =
            "request_id,user_id,item_id,position,shown_at,labelled_at,label,kind,sampling,weight,model,propensity,a\n";
        assert_eq!(fs::read_to_string(&out).unwrap(), names);
    }
}
