//! Read-only SQL over views of live feature tables.
//!
//! ```text
//!  SqlDoor: the pipeline's subject for SQL, one statement at a time
//!     ▼
//!  statement ──▶ Limits ──▶ table_names ──▶ the door takes one view of all of them
//!                (bytes,                                 │
//!                 depth,                                 ▼
//!                 terms)    ┌──────────────────── own thread, 64 MiB of stack ────────────────────┐
//!                    └─────▶│ parse ─▶ read ─▶ plan ─▶ only queries? ─▶ stream ─▶ rows, deadline   │──▶ Answer, whole or cut
//!                           └──────────────────── own memory pool, no disk ───────────────────────┘     │ into messages
//!                                                            table, JSON, CSV, Parquet ◀── Arrow IPC ◀──┘
//! ```
//!
//! **What it promises.** A statement sees the tables that [`run()`] or [`run_view`] is given, as `NAME` and as `live.NAME`,
//! those that list them and their columns in `information_schema`, and nothing else: no file, no setting, no other table. All
//! of a view are of one moment, and while they are read, events go on. It cannot change anything. It ends: the caller has an answer or an error at
//! the deadline, and a statement that would overflow the stack or fill the memory is refused or fails alone.
//!
//! **What it does not do.** It keeps no rows: the door ([`serve_sql`]) asks the running pipeline for a view, as of now. The
//! door alone knows the bus, and what it is asked by is a [`Question`]; [`Answer::to_ipc`] and [`Answer::from_ipc`] are both ends of the way over it, and [`run()`] and
//! [`table_names`] know only what they are given, and block their thread. The rows of the tables are not counted as memory of
//! the statement.
//!
//! **How it fails.** With a [`QueryError`] whose message says what to change; where events change too much of a view before
//! it is read, that the same may be asked again. Two things can't be stopped from
//! outside, so they outlive the deadline on their own thread until they end by themselves: planning, and one step of an
//! operator. The pool counts what operators keep (sorts, joins, groups); values that are just being computed are not
//! counted, therefore functions that make much out of little, such as `repeat` and `range`, do not exist here.

mod answer;
mod catalogue;
mod collect;
mod door;
mod error;
mod format;
mod kept;
mod known;
mod limits;
mod question;
mod run;
mod session;
mod statement;
mod tables;
#[cfg(test)]
mod tests;
mod thread;

pub use answer::Answer;
pub use door::{SqlDoor, serve_sql};
pub use error::QueryError;
pub use format::{Format, RowWriter};
pub use known::Known;
pub use limits::{Limits, MOST_ROWS};
pub use question::Question;
pub use run::{run, run_view};
pub use statement::table_names;
pub use tables::Table;

/// The schema that holds the feature tables.
const SCHEMA: &str = "live";
/// DataFusion's name for the catalog around it.
const CATALOG: &str = "datafusion";
