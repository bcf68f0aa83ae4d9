//! What a statement runs in: the tables, a memory pool, no disk, and no function that makes much out of little.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::SessionContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionConfig;

use super::tables::Table;
use super::{CATALOG, SCHEMA};
use crate::sql::{OneZeroRule, leave_unbounded_out};

/// A session that knows the tables and nothing else.
pub(super) fn session(tables: Vec<Table>, memory_bytes: usize) -> Result<SessionContext, DataFusionError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory_bytes)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()?;
    // One partition: the statement has one thread. As the default schema, `live` can be written or left out.
    let config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_information_schema(false)
        .with_target_partitions(1);
    let mut context = SessionContext::new_with_config_rt(config, runtime);
    // DataFusion 55.2.0 ends a select in which a CASE over an expression stands twice with an internal error: this rule takes
    // the expression out of both as one that may be NULL, and the plans before and after differ in that. Statements are
    // small, and what is left is to compute the same twice.
    context.remove_optimizer_rule("common_sub_expression_eliminate");
    leave_unbounded_out(&context);
    context.register_function_rewrite(Arc::new(OneZeroRule::new()))?;
    for (name, batches) in tables {
        let Some(schema) = batches.first().map(RecordBatch::schema) else { continue };
        let table = MemTable::try_new(schema, vec![batches])?;
        context.register_table(TableReference::bare(name), Arc::new(table))?;
    }
    Ok(context)
}
