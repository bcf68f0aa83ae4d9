//! The rows of a file as they are: no key, no table.

use std::path::Path;

use arrow::array::RecordBatch;

use super::ReferenceError;
use super::bad_rows::BadRows;
use super::file::read_whole;
use super::load::{Format, Reading, load};
use super::settings::{Limits, ReferenceSpec};

/// The rows of a file whose name ends in `.csv`, `.jsonl`, `.ndjson` or `.parquet`: in the types that the file has, or that all its
/// values are of. Takes as long as reading it does: not for async threads.
///
/// # Errors
/// For a file that can't be read, breaks its format, has no rows, or is too large.
pub(crate) fn read_rows(path: &Path) -> Result<RecordBatch, ReferenceError> {
    let format = Format::of(path)?;
    let origin = path.display().to_string();
    let spec = ReferenceSpec {
        name: origin.clone(),
        key: Vec::new(),
        validity: None,
        contract: None,
        limits: Limits::default(),
    };
    let content = read_whole(&spec, path, format)?;
    Ok(load(&Reading::new(&origin, &spec), format, &content, BadRows::refused())?.batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing::table_text;

    #[test]
    fn rows_need_no_key_and_may_be_alike() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            read_rows(&path).map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
        };
        let batch = read("rows.csv", "a,b\n1,x\n1,x\n,\n").unwrap();
        assert_eq!(table_text(&batch), "a: Int64 = 1 1 -\nb: Utf8 = x x -");
        let lists = read("rows.jsonl", "{\"x\": [1, 2.5]}\n{\"x\": []}\n").unwrap();
        assert_eq!(table_text(&lists), "x: List(Float64) = [1.0, 2.5] []");
        assert!(read("rows.txt", "").unwrap_err().starts_with("rows.txt has no known format"));
        assert!(read_rows(&folder.path().join("none.csv")).is_err());
    }
}
