//! A file of rows: whole, or not there.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::query::Format;

/// Where rows are to go, and how they are written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutFile {
    pub(super) path: PathBuf,
    pub(super) format: Format,
}

impl OutFile {
    /// Its name tells how it is written.
    ///
    /// # Errors
    /// With the names that would, for clap.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        let path = PathBuf::from(name);
        let format = Format::of_file(&path).ok_or("expected a name that ends in .csv, .json, .jsonl or .parquet")?;
        Ok(Self { path, format })
    }

    /// Creates the file under another name, beside its own.
    ///
    /// # Errors
    /// When it can't be created.
    pub(super) fn create(&self) -> anyhow::Result<(Unfinished<'_>, BufWriter<File>)> {
        let mut name = self.path.file_name().context("a file has no name")?.to_owned();
        name.push(format!(".{}.unfinished", std::process::id()));
        let unfinished = Unfinished { path: &self.path, aside: self.path.with_file_name(name) };
        let file = File::create(&unfinished.aside).with_context(|| self.path.display().to_string())?;
        Ok((unfinished, BufWriter::new(file)))
    }
}

/// A file that is being written. Dropping it removes what is there so far.
pub(super) struct Unfinished<'a> {
    path: &'a Path,
    aside: PathBuf,
}

impl Unfinished<'_> {
    /// Gives the file its name, in place of any of this name.
    ///
    /// # Errors
    /// When what is still to be written can't be.
    pub(super) fn finish(self, file: BufWriter<File>) -> anyhow::Result<()> {
        let named = || self.path.display().to_string();
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(named)?;
        file.sync_all().and_then(|()| fs::rename(&self.aside, self.path)).with_context(named)
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // After the rename there is none; and if it can't be removed, its name says what it is.
        fs::remove_file(&self.aside).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_has_its_name_once_it_is_whole_and_nothing_is_left_of_half_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = OutFile::parse(folder.path().join("rows.csv").to_str().unwrap()).unwrap();
        fs::write(&file.path, "before").unwrap();
        let (unfinished, mut output) = file.create().unwrap();
        output.write_all(b"half").unwrap();
        assert_eq!(fs::read_to_string(&file.path).unwrap(), "before");
        drop((output, unfinished));
        assert_eq!(names(folder.path()), ["rows.csv"]);

        let (unfinished, mut output) = file.create().unwrap();
        output.write_all(b"whole").unwrap();
        unfinished.finish(output).unwrap();
        assert_eq!(fs::read_to_string(&file.path).unwrap(), "whole");
        assert_eq!(names(folder.path()), ["rows.csv"]);
    }

    #[test]
    fn a_name_that_tells_no_format_is_refused_with_those_that_do() {
        let error = OutFile::parse("rows.txt").unwrap_err();
        assert_eq!(error, "expected a name that ends in .csv, .json, .jsonl or .parquet");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = OutFile::parse("/nowhere/rows.csv").unwrap().create().err().map(|error| format!("{error:#}"));
        let error = error.unwrap_or_default();
        assert!(error.starts_with("/nowhere/rows.csv: "), "{error}");
    }
}
