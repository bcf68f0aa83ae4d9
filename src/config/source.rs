//! A text file of a pipeline and the places in it.

use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::problem::{Place, Problem};

/// Larger files are not written by people: they are refused before they fill the memory.
const LARGEST_BYTES: u64 = 1024 * 1024;

/// A file's text, and the path under which problems name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As it was named by the caller: relative to the working folder, or absolute.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is missing or no regular file, can't be read, is larger than 1 MiB, or is not UTF-8.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let bytes = read_bytes(path).map_err(|error| Problem::new(path, format!("can't be read: {error}")))?;
        if bytes.len() as u64 > LARGEST_BYTES {
            return Err(Problem::new(path, format!("is larger than the limit of {LARGEST_BYTES} bytes")));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { path: path.to_owned(), text }),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let source = Self { path: path.to_owned(), text };
                Err(source.problem_at(valid..valid, "the text is not UTF-8 from here on").suggest("save it as UTF-8"))
            }
        }
    }

    /// The place of a byte offset; an offset past the end is the end.
    pub fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..self.text.floor_char_boundary(offset)).unwrap_or_default();
        let line_before = before.rsplit('\n').next().unwrap_or_default();
        Place { line: before.matches('\n').count() + 1, column: line_before.chars().count() + 1 }
    }

    /// A problem with the file as a whole.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(&self.path, message)
    }

    /// A problem with a range of bytes of the text.
    pub fn problem_at(&self, span: Range<usize>, message: impl Into<String>) -> Problem {
        self.problem_in(self.place(span.start), message)
    }

    /// A problem at a place that is known by line and column.
    pub fn problem_in(&self, place: Place, message: impl Into<String>) -> Problem {
        let line = place.line.checked_sub(1).and_then(|index| self.text.lines().nth(index));
        self.problem(message).at(place, line)
    }
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LARGEST_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { path: "p.toml".into(), text: text.to_owned() }
    }

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let source = source("é = 1\r\nb = 2\n");
        let place = |line, column| Place { line, column };
        assert_eq!(source.place(0), place(1, 1));
        assert_eq!(source.place(3), place(1, 3), "é is two bytes and one character");
        assert_eq!(source.place(1), place(1, 1), "inside é is é");
        assert_eq!(source.place(8), place(2, 1));
        assert_eq!(source.place(14), place(3, 1));
        assert_eq!(source.place(usize::MAX), place(3, 1));
    }

    #[test]
    fn a_text_that_is_not_utf8_is_refused_where_it_breaks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latin1.sql");
        fs::write(&path, b"SELECT 1,\n'caf\xe9'").unwrap();
        let problem = Source::read(&path).unwrap_err();
        assert_eq!((problem.line, problem.column), (Some(2), Some(5)));
    }

    #[test]
    fn a_file_at_the_limit_is_read_and_one_past_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.sql");
        let mut text = " ".repeat(LARGEST_BYTES as usize);
        fs::write(&path, &text).unwrap();
        assert_eq!(Source::read(&path).unwrap().text, text);
        text.push(' ');
        fs::write(&path, &text).unwrap();
        assert_eq!(Source::read(&path).unwrap_err().message, "is larger than the limit of 1048576 bytes");
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Source::read(folder.path()).unwrap_err().message, "can't be read: it is not a regular file");
    }
}
