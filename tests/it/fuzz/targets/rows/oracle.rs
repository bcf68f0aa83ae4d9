//! Plain DataFusion, one row at a time.

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::prelude::SessionContext;

pub struct Oracle {
    runtime: tokio::runtime::Runtime,
    context: SessionContext,
}

impl Oracle {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let context = SessionContext::new();
        // DataFusion (55.2.0) takes a CASE that stands twice for one that can't be NULL in one of its plans and not in the other,
        // and ends such a select with an internal error.
        assert!(context.remove_optimizer_rule("common_sub_expression_eliminate"));
        Self { runtime, context }
    }

    /// What a select gives over a table of this one row; nothing where it fails.
    pub fn alone<'a>(
        &self,
        table: &str,
        row: impl IntoIterator<Item = (&'a str, ArrayRef)>,
        select: &str,
    ) -> Option<Vec<RecordBatch>> {
        self.context.deregister_table(table).unwrap();
        self.context.register_batch(table, RecordBatch::try_from_iter(row).unwrap()).unwrap();
        self.runtime.block_on(async { self.context.sql(select).await?.collect().await }).ok()
    }
}
