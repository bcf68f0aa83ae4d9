//! What feature tables emitted, kept until told otherwise: one Delta Lake table per feature table. The only door to `deltalake`.
//!
//! ```text
//!   rows, writer, version ─▶ version above the writer's last one? ── no ─▶ nothing
//!                                   │ yes
//!                                   ▼
//!                    Parquet files, a folder per date, on the disk
//!                                   │
//!                                   ▼
//!                    one commit: the files and (writer, version)  ──▶ any reader of Delta: pandas, Spark, DuckDB, us
//!                                                                            ▲
//!                    compact: many small files of closed dates ──▶ one
//!                    drop_before, vacuum, shorten_log: dates, files and log entries that are wanted no more ──▶ gone
//! ```
//!
//! **Promises.** A version of a writer is appended once, however often that is asked for, by whichever process, through a
//! crash at any point: what was not committed is invisible, and what was is known by its version. Versions of a writer must
//! grow. Files and commit are on the disk when [`History::append`] returns. Every reader of Delta reads the table: reader
//! protocol 1, writer protocol 2, times in microseconds of UTC, no deletion vectors, no column mapping, partitioned by
//! `date` only. Compaction changes no row, and none of the upkeep changes what is known of a writer's versions. A reader of
//! an older commit finds its files for a week.
//!
//! **It does not** know what the rows mean, when to append (by time or size, never per row) or when upkeep is due.
//!
//! **Columns come and go.** A column that rows have and the table has not is added to it when it is opened, and rows from before
//! have NULL there; one that rows have no more stays, and they have NULL there.
//!
//! **How it fails.** [`HistoryError`] names the table and what to do. A column of another type than the stored one is refused:
//! values of different meaning must not share a column; [`History::changes`] says so before anything is opened. An append is refused as a whole for a row that Delta
//! can't hold: [`misfits`] names such rows before, so that whoever appends can leave them out.

mod append;
mod compact;
mod conform;
mod durable;
mod error;
mod evolve;
mod files;
mod forget;
mod held;
mod partition;
mod stored_type;
mod table;
#[cfg(test)]
mod testing;

#[cfg(test)]
pub(crate) use append::Appended;
pub(crate) use error::HistoryError;
pub(crate) use files::HistoryFile;
pub(crate) use held::{Holder, Misfit, misfits, unheld};
pub(crate) use table::Changes;
pub use table::History;
