//! A reference table in a file, and the file's changes.
//!
//! ```text
//!   changed() ─▶ same stamp as the last look, and that look settled? ── yes ─▶ nothing
//!                     │ no                                                       ▲
//!                     ▼                                                          │
//!               read, stamp again ── still being written ─▶ look again next time ┤
//!                     │                                                          │
//!                     ▼                                                          │
//!               digest as before? ── yes ────────────────────────────────────────┘
//!                     │ no
//!                     ▼
//!               a table with the old one's columns ─▶ the new table
//!                     │ no
//!                     ▼
//!               the error, once; the old table stays in force
//! ```
//!
//! A stamp is the file's identity, size and time of change. File systems count time in steps of milliseconds, so a second
//! change within one step can hide behind the first one's stamp; the look after each change therefore reads again and
//! compares digests, whatever the stamp says.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::bad_rows::BadRows;
use super::error::ReferenceError;
use super::load::{Format, Reading, file_table, refreshed};
use super::settings::ReferenceSpec;
use super::table::ReferenceTable;
use crate::bus::ContentDigest;

/// A file that a reference table is read from.
#[derive(Debug)]
pub struct ReferenceFile {
    spec: ReferenceSpec,
    path: PathBuf,
    format: Format,
    table: Arc<ReferenceTable>,
    last: Look,
}

/// What the last look at the file saw.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    /// `None`: the file wasn't there.
    stamp: Option<Stamp>,
    /// The content that was last used or refused.
    digest: Option<ContentDigest>,
    /// Whether the stamp is known to stand for the content.
    settled: bool,
}

/// What changes when a file is written to or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The content of a file between two equal stamps.
struct Content {
    stamp: Stamp,
    bytes: Bytes,
}

impl ReferenceFile {
    /// Reads a file whose name ends in `.csv`, `.jsonl`, `.ndjson` or `.parquet`, and refuses it with its first bad row. Takes as long as reading it does: not for
    /// async threads.
    ///
    /// # Errors
    /// For a file that can't be read, breaks its format or contract, is too large, or doesn't make a table.
    pub fn open(spec: ReferenceSpec, path: &Path) -> Result<Self, ReferenceError> {
        let format = Format::of(path)?;
        let content = read_settled(&spec, path, format)?;
        let digest = ContentDigest::of(&content.bytes);
        let table = file_table(&spec, &path.display().to_string(), format, &content.bytes, BadRows::refused())?;
        let last = Look { stamp: Some(content.stamp), digest: Some(digest), settled: false };
        Ok(Self { spec, path: path.to_owned(), format, table: Arc::new(table), last })
    }

    /// The table in force.
    pub fn table(&self) -> &Arc<ReferenceTable> {
        &self.table
    }

    /// Looks at the file: the new table if its content has changed, without its bad rows; nothing otherwise. To be called at whatever interval
    /// changes are to be seen within; a look at an unchanged file costs one call of the system.
    ///
    /// # Errors
    /// Once for each content that can't be used, and once when the file goes away. The old table stays in force.
    pub fn changed(&mut self) -> Result<Option<Arc<ReferenceTable>>, ReferenceError> {
        let stamp = match stamp(&self.path) {
            Ok(stamp) => Some(stamp),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return self.lost(&error),
        };
        if stamp == self.last.stamp && self.last.settled {
            return Ok(None);
        }
        if stamp.is_none() {
            return self.lost(&io::ErrorKind::NotFound.into());
        }
        let content = match read(&self.spec, &self.path, self.format) {
            Ok(Some(content)) => content,
            Ok(None) => {
                self.last.settled = false;
                return Ok(None);
            }
            Err(error) => {
                // Too large or unreadable as it is now; another stamp is another chance.
                self.last = Look { stamp, digest: None, settled: true };
                return Err(error);
            }
        };
        let digest = ContentDigest::of(&content.bytes);
        if self.last.digest == Some(digest) {
            let settled = self.last.stamp == Some(content.stamp);
            self.last = Look { stamp: Some(content.stamp), digest: Some(digest), settled };
            return Ok(None);
        }
        self.last = Look { stamp: Some(content.stamp), digest: Some(digest), settled: false };
        if self.table.digest() == Some(digest) {
            // Broken in between, and now again what is in force.
            return Ok(None);
        }
        let origin = self.path.display().to_string();
        let table = file_table(&self.spec, &origin, self.format, &content.bytes, BadRows::left_out())?;
        self.table = refreshed(&self.table, table)?;
        Ok(Some(Arc::clone(&self.table)))
    }

    /// The file can't be looked at: said once.
    fn lost(&mut self, error: &io::Error) -> Result<Option<Arc<ReferenceTable>>, ReferenceError> {
        let lost = Look { stamp: None, digest: None, settled: true };
        if self.last == lost {
            return Ok(None);
        }
        self.last = lost;
        Err(unreadable(&self.path, &error.to_string()))
    }
}

/// The bytes of a file that nobody writes just now.
pub(super) fn read_whole(spec: &ReferenceSpec, path: &Path, format: Format) -> Result<Bytes, ReferenceError> {
    Ok(read_settled(spec, path, format)?.bytes)
}

fn read_settled(spec: &ReferenceSpec, path: &Path, format: Format) -> Result<Content, ReferenceError> {
    read(spec, path, format)?.ok_or_else(|| unreadable(path, "it is being written: try again"))
}

/// The file's content; nothing if it changed while it was read.
fn read(spec: &ReferenceSpec, path: &Path, format: Format) -> Result<Option<Content>, ReferenceError> {
    let refuse = |error: io::Error| unreadable(path, &error.to_string());
    let origin = path.display().to_string();
    let file = File::open(path).map_err(refuse)?;
    let before = Stamp::of(&file.metadata().map_err(refuse)?);
    let reading = Reading::new(&origin, spec);
    reading.check_bytes(before.size, format != Format::Parquet)?;
    let mut bytes = Vec::new();
    // A file that grows while it is read must not grow beyond what its size promised.
    file.take(before.size + 1).read_to_end(&mut bytes).map_err(refuse)?;
    let is_whole = bytes.len() as u64 == before.size;
    let after = stamp(path).map_err(refuse)?;
    Ok((is_whole && before == after).then(|| Content { stamp: before, bytes: bytes.into() }))
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    Ok(Stamp::of(&fs::metadata(path)?))
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn unreadable(path: &Path, reason: &str) -> ReferenceError {
    ReferenceError::Unreadable { origin: path.display().to_string(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
    use arrow::datatypes::{Float64Type, Int64Type};

    use super::*;
    use crate::reference::testing::{parquet, spec, table_text};
    use crate::reference::{Limits, Validity};

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, content).unwrap();
            path
        }

        fn open(&self, name: &str, content: impl AsRef<[u8]>) -> ReferenceFile {
            ReferenceFile::open(spec(), &self.write(name, content)).unwrap()
        }

        /// An error's text, without the folder.
        fn shown(&self, error: &ReferenceError) -> String {
            error.to_string().replace(&format!("{}/", self.0.path().display()), "")
        }
    }

    fn text(table: &ReferenceTable) -> String {
        table_text(table.batch())
    }

    #[test]
    fn every_format_makes_the_same_table() {
        let folder = Folder::new();
        let id: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let price: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None]));
        let batch = RecordBatch::try_from_iter([("id", id), ("price", price)]).unwrap();
        let expected = "id: Int64 = 1 2\nprice: Int64 = 5 -";
        assert_eq!(text(folder.open("items.csv", "id,price\n1,5\n2,\n").table()), expected);
        let lines = "{\"id\": 1, \"price\": 5}\n{\"id\": 2, \"price\": null}\n";
        assert_eq!(text(folder.open("items.jsonl", lines).table()), expected);
        assert_eq!(text(folder.open("items.ndjson", lines).table()), expected);
        assert_eq!(text(folder.open("items.parquet", parquet(&batch)).table()), expected);
        let error = ReferenceFile::open(spec(), &folder.write("items.txt", "")).unwrap_err();
        insta::assert_snapshot!(folder.shown(&error), @"items.txt has no known format: name it .csv, .jsonl, .ndjson or .parquet");
        let error = ReferenceFile::open(spec(), &folder.0.path().join("none.csv")).unwrap_err();
        insta::assert_snapshot!(folder.shown(&error), @"none.csv cannot be read: No such file or directory (os error 2)");
    }

    #[test]
    fn prices_of_a_file_are_found_as_of_their_dates() {
        let folder = Folder::new();
        let content =
            "id,price,valid_from,valid_to\n1,5,,2026-02-01\n1,6,2026-02-01,2026-03-01T12:00:00Z\n1,7,2026-04-01,\n";
        let path = folder.write("prices.csv", content);
        let validity = Validity { from: Some("valid_from".to_owned()), to: Some("valid_to".to_owned()) };
        let prices = ReferenceFile::open(ReferenceSpec { validity: Some(validity), ..spec() }, &path).unwrap();
        let table = prices.table();
        let hours = [0, 24 * 31, 24 * 59 + 12, 24 * 90];
        let january: i64 = 1_767_225_600_000_000;
        let before_and_at = hours.iter().flat_map(|hour| [hour * 3_600_000_000 - 1, hour * 3_600_000_000]);
        let times: Vec<i64> = before_and_at.map(|micros| january + micros).collect();
        let ones: ArrayRef = Arc::new(Int64Array::from(vec![1; times.len()]));
        let rows = table.match_rows(&[ones], &times).unwrap();
        let prices = table.columns(&rows).unwrap().remove(1);
        let expected = [Some(5), Some(5), Some(5), Some(6), Some(6), None, None, Some(7)];
        assert_eq!(prices.as_primitive::<Int64Type>(), &Int64Array::from(expected.to_vec()));
    }

    #[test]
    fn a_change_is_seen_once_and_an_unchanged_file_never() {
        let folder = Folder::new();
        let mut file = folder.open("items.csv", "id,price\n1,5\n");
        assert!((0..3).all(|_| file.changed().unwrap().is_none()));
        // Of the same size, and perhaps within the same step of the file system's clock.
        folder.write("items.csv", "id,price\n1,6\n");
        let table = file.changed().unwrap().unwrap();
        assert_eq!(text(&table), "id: Int64 = 1\nprice: Int64 = 6");
        assert!((0..3).all(|_| file.changed().unwrap().is_none()));
        let other = folder.write("other.csv", "id,price\n1,7\n2,8\n");
        fs::rename(other, folder.0.path().join("items.csv")).unwrap();
        assert_eq!(file.changed().unwrap().unwrap().rows(), 2);
        // Touched, and the same as before.
        folder.write("items.csv", "id,price\n1,7\n2,8\n");
        assert!((0..3).all(|_| file.changed().unwrap().is_none()));
    }

    #[test]
    fn a_second_change_within_the_clocks_step_is_seen_by_the_look_after() {
        let folder = Folder::new();
        let mut file = folder.open("items.csv", "id,price\n1,5\n");
        let first = file.last.clone();
        let path = folder.write("items.csv", "id,price\n1,6\n");
        // As if the first look had come between two writes that left one stamp.
        file.last = Look { stamp: Some(stamp(&path).unwrap()), ..first };
        assert_eq!(file.changed().unwrap().map(|table| table.rows()), Some(1));
    }

    #[test]
    fn broken_content_is_said_once_and_the_old_table_stays() {
        let folder = Folder::new();
        let mut file = folder.open("items.csv", "id,price\n1,5\n");
        folder.write("items.csv", "id,price\n1,6\n2");
        let error = file.changed().unwrap_err();
        insta::assert_snapshot!(folder.shown(&error), @"items.csv, line 3: 1 fields, but the header has 2");
        assert!((0..3).all(|_| file.changed().unwrap().is_none()));
        assert_eq!(text(file.table()), "id: Int64 = 1\nprice: Int64 = 5");
        folder.write("items.csv", "id,price\n1,6\n2,7\n");
        assert_eq!(file.changed().unwrap().unwrap().rows(), 2);

        fs::remove_file(&file.path).unwrap();
        let error = file.changed().unwrap_err();
        insta::assert_snapshot!(folder.shown(&error), @"items.csv cannot be read: entity not found");
        assert!((0..3).all(|_| file.changed().unwrap().is_none()));
        folder.write("items.csv", "id,price\n1,6\n2,7\n");
        assert!(file.changed().unwrap().is_none(), "it is back as it was");
    }

    /// One bad row of a changed file kept all the others from taking effect.
    #[test]
    fn a_bad_row_of_a_changed_file_is_left_out_and_one_of_an_opened_file_refuses_it() {
        let folder = Folder::new();
        let contract = r#"{"type": "object", "required": ["id"], "properties": {
            "id": {"type": "integer"}, "price": {"type": "number", "minimum": 0}}}"#;
        let contract = Some(Arc::new(crate::event::Contract::parse(contract).unwrap()));
        let spec = ReferenceSpec { contract, ..spec() };
        let path = folder.write("items.csv", "id,price\n1,5\n");
        let mut file = ReferenceFile::open(spec.clone(), &path).unwrap();
        folder.write("items.csv", "id,price\n1,6\n2,-1\n1,7\n3,8\n");
        let table = file.changed().unwrap().unwrap();
        let one_and_three: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let rows = table.match_rows(&[one_and_three], &[]).unwrap();
        let prices = table.columns(&rows).unwrap().remove(1);
        assert_eq!(prices.as_primitive::<Float64Type>(), &Float64Array::from(vec![Some(6.0), None, Some(8.0)]));
        let named = table.bad_rows().named().join("\n").replace(&format!("{}/", folder.0.path().display()), "");
        insta::assert_snapshot!(named, @r#"
        items.csv, line 3: field "price": expected a number of at least 0, got -1
        reference table "items": line 2 and line 4 have one key, id = 1: remove one, or name validity columns
        "#);
        let error = ReferenceFile::open(spec, &path).unwrap_err();
        insta::assert_snapshot!(folder.shown(&error), @r#"items.csv, line 3: field "price": expected a number of at least 0, got -1"#);
    }

    #[test]
    fn other_columns_are_an_error_and_the_old_table_stays() {
        let folder = Folder::new();
        let mut file = folder.open("items.csv", "id,price,color\n1,5,red\n");
        folder.write("items.csv", "id,price,weight\n1,2.5,3\n");
        let error = file.changed().unwrap_err();
        insta::assert_snapshot!(folder.shown(&error), @r#"the columns of reference table "items" changed: "color" is gone, "price" is Float64 and was Int64, "weight" is new; restore them, give the table a contract, or restart"#);
        assert!(file.changed().unwrap().is_none());
        // Another order is none of the reader's business.
        folder.write("items.csv", "price,color,id\n6,red,1\n");
        let table = file.changed().unwrap().unwrap();
        assert_eq!(text(&table), "id: Int64 = 1\nprice: Int64 = 6\ncolor: Utf8 = red");
        let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert_eq!((table.key(), table.match_rows(&[one], &[]).unwrap().value(0)), (vec!["id"], 0));
    }

    #[test]
    fn limits_hold_to_the_byte_and_to_the_row() {
        let folder = Folder::new();
        let content = "id,price\n1,5\n2,6\n";
        let path = folder.write("items.csv", content);
        let open = |limits: Limits| ReferenceFile::open(ReferenceSpec { limits, ..spec() }, &path);
        assert!(open(Limits { rows: 2, ..Limits::default() }).is_ok());
        let error = open(Limits { rows: 1, ..Limits::default() }).unwrap_err();
        insta::assert_snapshot!(folder.shown(&error), @"items.csv has 2 rows, more than the limit of 1: narrow it, or raise the limit");
        let error = open(Limits { bytes: content.len() - 1, ..Limits::default() }).unwrap_err();
        insta::assert_snapshot!(folder.shown(&error), @"items.csv has 17 bytes, more than the limit of 16: narrow it, or raise the limit");
        let error = open(Limits { bytes: content.len(), ..Limits::default() }).unwrap_err();
        assert!(error.to_string().contains("bytes in memory"), "{error}");
        let memory = open(Limits::default()).unwrap().table().batch().get_array_memory_size();
        assert!(open(Limits { bytes: memory, ..Limits::default() }).is_ok());
    }
}
