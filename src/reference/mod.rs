//! Reference tables: what a stream is left-joined with, such as a catalogue or a price list.
//!
//! ```text
//!   items.csv, .jsonl ──▶ rows ──▶ contract, or types by inference ─┐
//!   items.parquet ─────▶ columns ───────────────────────────────────┼─▶ normal types ─▶ ReferenceTable
//!   key-value bucket ──▶ one JSON object per key ──▶ as JSON lines ─┘                      │ immutable, shared
//!        │                                                                                 ▼
//!        └─ ReferenceFile::changed, ReferenceBucket::next ─▶ a new table       keys, times ─▶ rows ─▶ columns
//! ```
//!
//! **Promises.** A table is immutable: who holds one joins with one state of it. A key matches at most one row: two rows
//! with one key are refused with the places of both, and so are rows of one key whose validity overlaps. With validity, a
//! row matches from `valid_from` (included) to `valid_to` (excluded), compared in microseconds of UTC, either end may be
//! NULL for open. A NULL key matches nothing. Integers are `Int64` here, texts `Utf8` and times `Timestamp(Microsecond,
//! "+00:00")`, whatever width the file has; a stream's key of another kind than the table's is refused with both types.
//! The same bytes always make the same table, and the table's digest names them.
//!
//! **Bad rows.** A bucket's value that is no row, breaks the contract or can't be told from another one is left out, at the
//! start too, and so is a row of a file that changes while it is followed: the others make the table, which names those that
//! it leaves out ([`BadRows`]). A file that is opened is refused with its first bad row.
//!
//! **Refreshing.** Content that can't be used as a whole leaves the old table in force and is reported once, until it changes
//! again: half a file, another schema (what was planned with the old columns must not meet new ones), too much. When a new
//! table takes effect is up to the caller, who must record it if a replay is to decide the same: nothing in here has a timer
//! or asks for the time, except that a bucket's values expire when the broker says so.
//!
//! **How it fails.** [`ReferenceError`] names the file or bucket, the line, row or key, the column, the value and what to
//! do. Sizes are bounded by [`Limits`] before memory is taken.

mod bad_rows;
mod bucket;
mod column_type;
mod contracted;
mod csv_file;
mod error;
mod file;
mod groups;
mod index;
mod infer;
mod inferred;
mod json_lines;
mod load;
#[cfg(test)]
mod naive;
mod parquet_file;
mod place;
mod rows;
mod settings;
#[cfg(test)]
mod speed;
mod table;
#[cfg(test)]
mod testing;

pub(crate) use bad_rows::BadRows;
pub(crate) use bucket::ReferenceBucket;
pub(crate) use error::ReferenceError;
pub use file::ReferenceFile;
pub(crate) use rows::read_rows;
pub use settings::{Limits, ReferenceSpec, Validity};
pub(crate) use table::ReferenceTable;
