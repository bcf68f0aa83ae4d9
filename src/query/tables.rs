//! The tables that a statement reads, as rows.

use arrow::array::RecordBatch;

use super::QueryError;
use super::catalogue::Catalogue;
use crate::step::StepView;

/// A table by its name, its rows in one or more batches of one schema.
pub type Table = (String, Vec<RecordBatch>);

/// Rows of a batch of a reference table: between two batches a statement looks at the clock.
const PIECE: usize = 1 << 16;

/// What a statement reads.
pub(super) enum Tables {
    /// Rows that are there.
    Rows(Vec<Table>),
    /// Rows that are read first.
    View(Box<StepView>),
}

impl Tables {
    /// What there is, read or not.
    pub(super) fn catalogue(&self) -> Catalogue {
        match self {
            Self::Rows(tables) => Catalogue::of_rows(tables),
            Self::View(view) => Catalogue::of(view.pipeline()),
        }
    }

    /// All rows. Between two batches of a view the caller may go away.
    pub(super) async fn read(self) -> Result<Vec<Table>, QueryError> {
        let view = match self {
            Self::Rows(tables) => return Ok(tables),
            Self::View(view) => view,
        };
        let references = view.references().iter().map(|table| (table.name().to_owned(), pieces(table.batch())));
        let mut tables: Vec<Table> = references.collect();
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

/// The same rows, a few at a time. Without rows there are the columns.
fn pieces(rows: &RecordBatch) -> Vec<RecordBatch> {
    let starts = (0..rows.num_rows().max(1)).step_by(PIECE);
    starts.map(|start| rows.slice(start, PIECE.min(rows.num_rows() - start))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn pieces_are_the_rows_in_their_order() {
        for count in [0, 1, PIECE, PIECE + 1, 3 * PIECE] {
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count as i64));
            let rows = RecordBatch::try_from_iter([("x", numbers)]).unwrap();
            let pieces = pieces(&rows);
            assert_eq!(pieces.len(), count.div_ceil(PIECE).max(1));
            assert_eq!(arrow::compute::concat_batches(&rows.schema(), &pieces).unwrap(), rows);
        }
    }
}
