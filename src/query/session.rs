//! What a statement runs in: the tables, a memory pool, no disk, and no function that makes much out of little.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::SessionContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionConfig;

use super::catalogue::{COLUMNS, Catalogue, INFORMATION, TABLES};
use super::tables::Table;
use super::{CATALOG, SCHEMA};
use crate::sql::{OneZeroRule, leave_unbounded_out};

/// A session that knows the tables, what the catalogue lists, and nothing else.
pub(super) fn session(
    tables: Vec<Table>,
    catalogue: &Catalogue,
    memory_bytes: usize,
) -> Result<SessionContext, DataFusionError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory_bytes)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()?;
    // One partition: the statement has one thread. As the default schema, `live` can be written or left out.
    // DataFusion's information_schema would show its settings and functions: there is one of our own. Texts that a statement
    // makes are plain ones, which a part of an answer can be cut from whatever they are nested in.
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_information_schema(false)
        .with_target_partitions(1);
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
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
    let listings = MemorySchemaProvider::new();
    for (name, rows) in [(TABLES, catalogue.tables()?), (COLUMNS, catalogue.columns()?)] {
        let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
        listings.register_table(name.to_owned(), Arc::new(table))?;
    }
    if let Some(catalog) = context.catalog(CATALOG) {
        catalog.register_schema(INFORMATION, Arc::new(listings))?;
    }
    Ok(context)
}
