//! The tables that a statement reads, as rows.

use arrow::array::RecordBatch;

use super::QueryError;
use crate::step::StepView;

/// A table by its name, its rows in one or more batches of one schema.
pub type Table = (String, Vec<RecordBatch>);

/// What a statement reads.
pub(super) enum Tables {
    /// Rows that are there.
    Rows(Vec<Table>),
    /// Rows that are read first.
    View(Box<StepView>),
}

impl Tables {
    /// All rows. Between two batches of a view the caller may go away.
    pub(super) async fn read(self) -> Result<Vec<Table>, QueryError> {
        let view = match self {
            Self::Rows(tables) => return Ok(tables),
            Self::View(view) => view,
        };
        let mut tables: Vec<Table> = Vec::new();
        for rows in view.into_batches()? {
            let (name, rows) = rows?;
            match tables.last_mut() {
                Some((table, batches)) if *table == name => batches.push(rows),
                _ => tables.push((name, vec![rows])),
            }
            tokio::task::yield_now().await;
        }
        Ok(tables)
    }
}
