//! JSON lines: an object per line, empty lines between them.

use super::bad_rows::BadRows;
use super::error::ReferenceError;
use super::load::{Loaded, Reading};
use super::place::Places;
use super::{contracted, inferred};

pub(super) fn load(reading: &Reading<'_>, content: &[u8], bad_rows: BadRows) -> Result<Loaded, ReferenceError> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for (line, row) in content.split(|byte| *byte == b'\n').enumerate() {
        let row = row.trim_ascii();
        if !row.is_empty() {
            rows.push(row);
            lines.push(line as u32 + 1);
        }
    }
    objects(reading, &rows, Places::Lines(lines), bad_rows)
}

/// Objects of known places as columns. Without a contract one bad row refuses all: what the others should be is not known.
pub(super) fn objects(
    reading: &Reading<'_>,
    rows: &[impl AsRef<[u8]>],
    places: Places,
    bad_rows: BadRows,
) -> Result<Loaded, ReferenceError> {
    reading.check_rows(rows.len())?;
    if let Some(contract) = reading.contract {
        return contracted::columns(reading.origin, contract, rows, places, bad_rows);
    }
    reading.check_not_empty(rows.len())?;
    Ok(Loaded { batch: inferred::columns(reading.origin, rows, &places)?, places, bad_rows })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing::{reading, table_text};

    #[test]
    fn lines_become_rows_and_empty_ones_only_count() {
        let text = "\u{feff}{\"id\": 1, \"name\": \"a\"}\r\n\n{\"id\": 2}";
        let loaded = load(&reading(), text.as_bytes(), BadRows::refused()).unwrap();
        assert_eq!(table_text(&loaded.batch), "id: Int64 = 1 2\nname: Utf8 = a -");
        assert_eq!(loaded.places, Places::Lines(vec![1, 3]));
    }

    #[test]
    fn half_a_line_is_an_error_with_its_number() {
        let error = load(&reading(), b"{\"id\": 1}\n{\"id\": ", BadRows::refused()).err().unwrap();
        insta::assert_snapshot!(error, @"items, line 2: not JSON: EOF while parsing a value at line 1 column 6");
    }

    #[test]
    fn types_cannot_be_inferred_from_nothing() {
        let error = load(&reading(), b"\n\n", BadRows::refused()).err().unwrap();
        insta::assert_snapshot!(error, @"items: no rows to infer the columns' types from: add one, or give the table a contract");
    }
}
