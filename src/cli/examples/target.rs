//! Where examples are written: a file that appears whole, or standard output.

use std::fs::File;
use std::io::{BufWriter, Stdout, stdout};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::cli::out_file::{OutFile, Unfinished};
use crate::query::{Format, QueryError, RowWriter};

/// What takes rows.
pub(super) enum Target<'a> {
    File(RowWriter<BufWriter<File>>, Unfinished<'a>),
    Screen(RowWriter<BufWriter<Stdout>>),
}

impl<'a> Target<'a> {
    /// Opens a file, or standard output: nothing that is there is touched before [`finish`](Self::finish).
    ///
    /// # Errors
    /// When there can't be such a file.
    pub(super) fn open(out: Option<&'a OutFile>, format: Format, schema: SchemaRef) -> anyhow::Result<Self> {
        let Some(out) = out else {
            return Ok(Self::Screen(RowWriter::new(format, schema, BufWriter::new(stdout()))?));
        };
        let (unfinished, output) = out.create()?;
        Ok(Self::File(RowWriter::new(format, schema, output)?, unfinished))
    }

    /// Takes rows.
    ///
    /// # Errors
    /// When they can't be written.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), QueryError> {
        match self {
            Self::File(writer, _) => writer.write(rows),
            Self::Screen(writer) => writer.write(rows),
        }
    }

    /// Puts the file where it belongs, once all of it is on the disk.
    ///
    /// # Errors
    /// When that fails: then there is none.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::File(writer, unfinished) => unfinished.finish(writer.finish()?),
            Self::Screen(writer) => Ok(writer.finish().map(drop)?),
        }
    }
}
