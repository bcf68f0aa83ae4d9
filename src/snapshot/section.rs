//! The framing of saved state: a header that says whose state it is, then named sections of Arrow batches.
//!
//! ```text
//!  header   magic · version · kind · plan fingerprint · checksum
//!  section  length of name · name · length of payload · checksum · payload: one Arrow IPC stream     (repeated)
//!  end      an empty name · how many sections came before · checksum
//! ```
//!
//! All numbers are little endian; checksums are xxh3 (64 bits) over the name and the payload. A section is verified as a
//! whole before anything of it is looked at, so damage is an error that names the section and never a wrong value.
//!
//! Sections are read in the order they were written, by the name that the reader expects: a state that was written by
//! another version of a table is [`SaveError::Unexpected`], not a guess. Writing and reading hold one section in memory.

use std::io::{ErrorKind, Read, Write};
use std::panic::catch_unwind;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::root_as_message;
use arrow::ipc::writer::StreamWriter;
use xxhash_rust::xxh3::Xxh3;

use super::error::judgement_of_io;
use crate::fault::{Judged, Judgement};

const MAGIC: [u8; 8] = *b"tidestat";

/// Changes when the framing does.
const VERSION: u32 = 1;

/// What each message of an Arrow stream begins with.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The longest name of a section, or kind of a state, bytes.
const LONGEST_NAME: usize = 4_096;

/// Why a state cannot be saved or restored.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Reading or writing failed.
    #[error("state cannot be {what} in section \"{section}\": {source}")]
    Io {
        /// What was tried: `written` or `read`.
        what: &'static str,
        /// The section, or `header`.
        section: String,
        /// The failure.
        source: std::io::Error,
    },
    /// The bytes end before the section does.
    #[error("saved state ends inside section \"{section}\": restore from an older snapshot")]
    Truncated {
        /// The section, or `header`.
        section: String,
    },
    /// The bytes are not those that were written.
    #[error("saved state is damaged in section \"{section}\": restore from an older snapshot")]
    Damaged {
        /// The section, or `header`.
        section: String,
    },
    /// The bytes are no saved state, or of another version, kind or plan.
    #[error("saved state has {what} {found}, expected {expected}: start from an empty state or from its own pipeline")]
    Foreign {
        /// What differs.
        what: &'static str,
        /// What the state says.
        found: String,
        /// What the reader is.
        expected: String,
    },
    /// Another section stands where one is expected, or a column of it is missing or of another type.
    #[error("saved state has \"{found}\" where \"{expected}\" is expected: it was written by another version")]
    Unexpected {
        /// The section or column that is there.
        found: String,
        /// The one that should be.
        expected: String,
    },
    /// There is no such part.
    #[error("it was saved without it")]
    Absent,
    /// A batch cannot be encoded or decoded.
    #[error("section \"{section}\" of the state: {source}")]
    Batch {
        /// The section.
        section: String,
        /// The failure.
        source: ArrowError,
    },
}

impl Judged for SaveError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Io { source, .. } => judgement_of_io(source),
            Self::Truncated { .. } | Self::Damaged { .. } | Self::Batch { .. } => Judgement::DATA,
            // A state of another pipeline or version: a person chooses.
            Self::Foreign { .. } | Self::Unexpected { .. } | Self::Absent => Judgement::OPERATOR,
        }
    }
}

/// A batch without what its columns of views keep of the text that they were cut from.
fn compact(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let column = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => Arc::clone(column),
    };
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), batch.columns().iter().map(column).collect(), &options)
}

/// Writes a state, section by section.
pub struct SectionWriter<'a> {
    output: &'a mut dyn Write,
    sections: u64,
    payload: Vec<u8>,
}

impl<'a> SectionWriter<'a> {
    /// Writes the header of a state of this `kind` (such as `as-of table`) under a plan with this fingerprint.
    pub fn new(output: &'a mut dyn Write, kind: &str, fingerprint: u64) -> Result<Self, SaveError> {
        let mut header = Vec::from(MAGIC);
        header.extend(VERSION.to_le_bytes());
        header.extend((kind.len() as u32).to_le_bytes());
        header.extend(kind.as_bytes());
        header.extend(fingerprint.to_le_bytes());
        header.extend(checksum(&[&header]).to_le_bytes());
        output.write_all(&header).map_err(|source| unwritten("header", source))?;
        Ok(Self { output, sections: 0, payload: Vec::new() })
    }

    /// Writes a section of batches of one schema; at least one batch, which may have no rows.
    pub fn section(&mut self, name: &str, batches: &[RecordBatch]) -> Result<(), SaveError> {
        let failed = |source| SaveError::Batch { section: name.to_owned(), source };
        self.payload.clear();
        if let Some(first) = batches.first() {
            let mut stream = StreamWriter::try_new(&mut self.payload, &first.schema()).map_err(failed)?;
            for batch in batches {
                stream.write(&compact(batch).map_err(failed)?).map_err(failed)?;
            }
            stream.finish().map_err(failed)?;
        }
        self.sections += 1;
        frame(self.output, name, &self.payload)
    }

    /// Writes a section of a few numbers.
    pub fn numbers(&mut self, name: &str, numbers: &[i64]) -> Result<(), SaveError> {
        let column: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        let batch = RecordBatch::try_from_iter([("number", column)]);
        self.section(name, &[batch.map_err(|source| SaveError::Batch { section: name.to_owned(), source })?])
    }

    /// Writes the end, without which a state is taken as truncated.
    pub fn finish(self) -> Result<(), SaveError> {
        frame(self.output, "", &self.sections.to_le_bytes())?;
        self.output.flush().map_err(|source| unwritten("end", source))
    }
}

/// Reads a state, section by section, in the order it was written.
pub struct SectionReader<'a> {
    input: &'a mut dyn Read,
    sections: u64,
}

/// Whose state it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// Such as `as-of table`.
    kind: String,
    /// Of the plan that it was made under.
    fingerprint: u64,
}

impl Header {
    /// Reads the header of a state, and nothing behind it.
    ///
    /// # Errors
    /// When the input is no state, of another version of the framing, or damaged.
    pub(crate) fn read(input: &mut dyn Read) -> Result<Self, SaveError> {
        let foreign = |what, found, expected| Err(SaveError::Foreign { what, found, expected });
        let mut header = vec![0; MAGIC.len() + 8];
        fill(input, &mut header, "header")?;
        if header[..MAGIC.len()] != MAGIC {
            return foreign("the magic", hex(&header[..MAGIC.len()]), hex(&MAGIC));
        }
        let version = number(&header[8..12]);
        if version != u64::from(VERSION) {
            return foreign("the version", version.to_string(), VERSION.to_string());
        }
        let length = number(&header[12..16]) as usize;
        if length > LONGEST_NAME {
            return Err(SaveError::Damaged { section: "header".to_owned() });
        }
        let mut rest = vec![0; length + 16];
        fill(input, &mut rest, "header")?;
        let (rest, expected) = rest.split_at(length + 8);
        if checksum(&[&header, rest]) != number(expected) {
            return Err(SaveError::Damaged { section: "header".to_owned() });
        }
        let (kind, fingerprint) = rest.split_at(length);
        Ok(Self { kind: String::from_utf8_lossy(kind).into_owned(), fingerprint: number(fingerprint) })
    }

    /// Checks that the state is of this kind, and of one of these plans; the first is the one that would be written now.
    ///
    /// # Errors
    /// With what differs.
    pub(crate) fn check(&self, kind: &str, fingerprints: &[u64]) -> Result<(), SaveError> {
        let foreign = |what, found, expected| Err(SaveError::Foreign { what, found, expected });
        if self.kind != kind {
            return foreign("the kind", self.kind.clone(), kind.to_owned());
        }
        if !fingerprints.contains(&self.fingerprint) {
            let expected = fingerprints.first().copied().unwrap_or_default();
            return foreign("the plan fingerprint", format!("{:016x}", self.fingerprint), format!("{expected:016x}"));
        }
        Ok(())
    }
}

impl<'a> SectionReader<'a> {
    /// Reads the header and checks that the state is of this kind and plan.
    pub fn new(input: &'a mut dyn Read, kind: &str, fingerprint: u64) -> Result<Self, SaveError> {
        Self::of_any(input, kind, &[fingerprint])
    }

    /// Reads the header and checks that the state is of this kind, and of a plan with one of these fingerprints.
    pub(crate) fn of_any(input: &'a mut dyn Read, kind: &str, fingerprints: &[u64]) -> Result<Self, SaveError> {
        Header::read(input)?.check(kind, fingerprints)?;
        Ok(Self { input, sections: 0 })
    }

    /// The batches of the next section, which must have this name.
    pub fn section(&mut self, name: &str) -> Result<Vec<RecordBatch>, SaveError> {
        let payload = self.next(name)?;
        self.sections += 1;
        if payload.is_empty() {
            return Ok(Vec::new());
        }
        // The reader of the Arrow library panics on some broken metadata, and a checksum only says that bytes are those
        // that were written, not by whom.
        let read = catch_unwind(|| match lengths_are_true(&payload) {
            true => StreamReader::try_new(payload.as_slice(), None)?.collect(),
            false => Err(ArrowError::IpcError("it promises more than it has".to_owned())),
        });
        let broken = || Err(ArrowError::IpcError("its metadata is broken".to_owned()));
        read.unwrap_or_else(|_| broken()).map_err(|source| SaveError::Batch { section: name.to_owned(), source })
    }

    /// The one batch of the next section.
    pub fn batch(&mut self, name: &str) -> Result<RecordBatch, SaveError> {
        let mut batches = self.section(name)?;
        match (batches.pop(), batches.is_empty()) {
            (Some(batch), true) => Ok(batch),
            (found, _) => Err(SaveError::Unexpected {
                found: format!("{} batches in {name}", batches.len() + usize::from(found.is_some())),
                expected: "one batch".to_owned(),
            }),
        }
    }

    /// The numbers of the next section, of which there must be `count`.
    pub fn numbers(&mut self, name: &str, count: usize) -> Result<Vec<i64>, SaveError> {
        let batch = self.batch(name)?;
        let numbers = batch.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
        match numbers.filter(|numbers| numbers.len() == count) {
            Some(numbers) => Ok(numbers.values().to_vec()),
            None => Err(SaveError::Unexpected {
                found: format!("{} rows in {name}", batch.num_rows()),
                expected: format!("{count} numbers"),
            }),
        }
    }

    /// Checks that the end is here and that no section is missing.
    pub fn finish(mut self) -> Result<(), SaveError> {
        let payload = self.next("")?;
        if payload.len() != 8 || number(&payload) != self.sections {
            return Err(SaveError::Damaged { section: "end".to_owned() });
        }
        Ok(())
    }

    fn next(&mut self, name: &str) -> Result<Vec<u8>, SaveError> {
        let shown = if name.is_empty() { "end" } else { name };
        let mut length = [0; 4];
        fill(self.input, &mut length, shown)?;
        let length = number(&length) as usize;
        if length > LONGEST_NAME {
            return Err(SaveError::Damaged { section: shown.to_owned() });
        }
        let mut head = vec![0; length + 16];
        fill(self.input, &mut head, shown)?;
        let (found, sizes) = head.split_at(length);
        let (size, expected) = sizes.split_at(8);
        // Not allocated up front: a damaged length must not ask for more memory than there are bytes.
        let mut payload = Vec::new();
        let read = (&mut *self.input).take(number(size)).read_to_end(&mut payload);
        read.map_err(|source| SaveError::Io { what: "read", section: shown.to_owned(), source })?;
        if (payload.len() as u64) < number(size) {
            return Err(SaveError::Truncated { section: shown.to_owned() });
        }
        if checksum(&[found, &payload]) != number(expected) {
            return Err(SaveError::Damaged { section: shown.to_owned() });
        }
        if found != name.as_bytes() {
            let found = if found.is_empty() { "end".into() } else { String::from_utf8_lossy(found) };
            return Err(SaveError::Unexpected { found: found.into_owned(), expected: shown.to_owned() });
        }
        Ok(payload)
    }
}

/// Whether each message of an Arrow stream ends within it: the reader takes memory for what a message says before it looks.
fn lengths_are_true(mut stream: &[u8]) -> bool {
    while let Some((mark, rest)) = stream.split_first_chunk::<4>() {
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return false };
        let length = u32::from_le_bytes(*length);
        if *mark != CONTINUATION || length == 0 {
            return *mark == CONTINUATION;
        }
        let Some((metadata, rest)) = rest.split_at_checked(length as usize) else { return false };
        let body = root_as_message(metadata).ok().and_then(|message| usize::try_from(message.bodyLength()).ok());
        let Some((_, rest)) = body.and_then(|body| rest.split_at_checked(body)) else { return false };
        stream = rest;
    }
    true
}

fn frame(output: &mut dyn Write, name: &str, payload: &[u8]) -> Result<(), SaveError> {
    let mut head = Vec::with_capacity(name.len() + 20);
    head.extend((name.len() as u32).to_le_bytes());
    head.extend(name.as_bytes());
    head.extend((payload.len() as u64).to_le_bytes());
    head.extend(checksum(&[name.as_bytes(), payload]).to_le_bytes());
    output.write_all(&head).and_then(|()| output.write_all(payload)).map_err(|source| unwritten(name, source))
}

fn unwritten(section: &str, source: std::io::Error) -> SaveError {
    SaveError::Io { what: "written", section: section.to_owned(), source }
}

fn fill(input: &mut dyn Read, buffer: &mut [u8], section: &str) -> Result<(), SaveError> {
    input.read_exact(buffer).map_err(|source| match source.kind() {
        ErrorKind::UnexpectedEof => SaveError::Truncated { section: section.to_owned() },
        _ => SaveError::Io { what: "read", section: section.to_owned(), source },
    })
}

fn checksum(parts: &[&[u8]]) -> u64 {
    let mut hasher = Xxh3::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.digest()
}

/// Up to eight bytes, little endian.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests;
