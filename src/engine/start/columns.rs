//! Before the first act: whether the Delta tables can have the columns that the pipeline's tables have now.

use super::startup::Startup;
use crate::engine::EngineError;
use crate::history::{Changes, History};
use crate::pipeline::kept_schema;

impl Startup<'_> {
    /// Says what becomes of the columns of each Delta table.
    ///
    /// # Errors
    /// When a column has another type than there: nothing has been claimed or written by then.
    pub(super) async fn check_history(&self) -> Result<(), EngineError> {
        let Some(folder) = &self.settings.history else { return Ok(()) };
        for table in self.pipeline.tables.iter().filter(|table| table.history.is_some()) {
            let (name, schema) = (table.plan.name(), kept_schema(table.plan.schema()));
            let Changes { unfilled, .. } = History::changes(folder, name, &schema).await?;
            if !unfilled.is_empty() {
                let columns = unfilled.join(", ");
                tracing::info!(
                    table = name,
                    columns,
                    "the history keeps columns that rows from now on do not have: NULL"
                );
            }
        }
        Ok(())
    }
}
