//! Running one statement within its limits.

use std::sync::Arc;

use arrow::error::ArrowError;
use bytes::Bytes;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::Statement;

use super::catalogue::Catalogue;
use super::collect::{Cut, collect, collect_parts};
use super::session::session;
use super::statement::{Asked, explained, parse, relations};
use super::tables::{Table, Tables};
use super::{Answer, Limits, QueryError, thread};
use crate::step::StepView;

/// The answer of a query over tables.
///
/// Blocks until the answer is there or the deadline has passed: call it where blocking is allowed. Names of tables are
/// compared as they are; unquoted names in the statement are in lower case.
///
/// # Errors
/// When the statement is not one query within its limits, or fails on the rows.
pub fn run(sql: &str, tables: Vec<Table>, limits: &Limits) -> Result<Answer, QueryError> {
    run_on(sql, Tables::Rows(tables), limits, collect)
}

/// [`run`] over the tables of a view, which are read within the same deadline.
///
/// # Errors
/// As [`run`], and when the view is given up before all is read.
pub fn run_view(sql: &str, view: StepView, limits: &Limits) -> Result<Answer, QueryError> {
    run_on(sql, Tables::View(Box::new(view)), limits, collect)
}

/// [`run_view`] with an answer of several messages, one at least.
///
/// # Errors
/// As [`run_view`], and when all messages together are too large, or a row is too large for one.
pub(super) fn run_view_in_parts(
    sql: &str,
    view: StepView,
    limits: &Limits,
    cut: Cut,
) -> Result<Vec<Bytes>, QueryError> {
    let collect = async move |rows: SendableRecordBatchStream, limits: &Limits| collect_parts(rows, limits, cut).await;
    run_on(sql, Tables::View(Box::new(view)), limits, collect)
}

/// Runs a statement, and hands its rows to `collect`.
fn run_on<T, F>(sql: &str, tables: Tables, limits: &Limits, collect: F) -> Result<T, QueryError>
where
    T: Send + 'static,
    F: AsyncFnOnce(SendableRecordBatchStream, &Limits) -> Result<T, QueryError> + Send + 'static,
{
    let shape = limits.check(sql)?;
    let sql = sql.to_owned();
    let own = limits.clone();
    let ran = thread::within(limits.timeout, move || run_here(&sql, tables, &own, collect));
    ran.map_err(|error| error.of_recursion(shape.is_recursive))
}

/// [`run_on`] on this thread, whose stack must be large.
fn run_here<T>(
    sql: &str,
    tables: Tables,
    limits: &Limits,
    collect: impl AsyncFnOnce(SendableRecordBatchStream, &Limits) -> Result<T, QueryError>,
) -> Result<T, QueryError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(QueryError::Start)?;
    runtime.block_on(async {
        // At the deadline the future is dropped, and the stream with it.
        let answer = async { collect(rows(sql, tables, limits).await?, limits).await };
        let answer = tokio::time::timeout(limits.timeout, answer).await;
        answer.unwrap_or(Err(QueryError::Timeout { after: limits.timeout, is_recursive: false }))
    })
}

/// The rows of an answer, as they are computed.
async fn rows(sql: &str, tables: Tables, limits: &Limits) -> Result<SendableRecordBatchStream, QueryError> {
    let catalogue = tables.catalogue();
    let render = |error: ArrowError| QueryError::Render(error.to_string());
    let listed = match parse(sql)? {
        Asked::Query(statement) => return query(statement, tables, &catalogue, limits).await,
        Asked::Tables => catalogue.shown().map_err(render)?,
        Asked::Columns(relation) => catalogue.described(&relation)?,
    };
    let schema = listed.schema();
    let rows = MemoryStream::try_new(vec![listed], schema, None);
    Ok(Box::pin(rows.map_err(|error| QueryError::planning(&error))?))
}

async fn query(
    statement: Statement,
    tables: Tables,
    catalogue: &Catalogue,
    limits: &Limits,
) -> Result<SendableRecordBatchStream, QueryError> {
    let tables = tables.read().await?;
    let context = session(tables, catalogue, limits.memory_bytes).map_err(|error| QueryError::planning(&error))?;
    let plan = plan(&context, statement, catalogue, limits).await?;
    if let Some(name) = Answer::repeated_column(plan.schema().as_arrow()) {
        return Err(QueryError::RepeatedColumn { name: name.to_owned() });
    }
    let physical = context.state().create_physical_plan(&plan).await.and_then(yielding);
    // Constants are computed while planning, so a division by zero can surface here too.
    let physical = physical.map_err(|error| QueryError::planning(&error))?;
    let rows = execute_stream(physical, context.task_ctx());
    rows.map_err(|error| QueryError::running(&error, limits.memory_bytes))
}

/// The logical plan, once it is known to be small and to change nothing.
async fn plan(
    context: &SessionContext,
    statement: Statement,
    catalogue: &Catalogue,
    limits: &Limits,
) -> Result<LogicalPlan, QueryError> {
    let state = context.state();
    let relations = relations(&statement)?;
    let planning = |error: DataFusionError| catalogue.planning(&error, &relations);
    // EXPLAIN writes its plan out at once: the query is planned and measured without it first.
    let query = state.statement_to_plan(explained(&statement).clone()).await.map_err(planning)?;
    check_size(&query, limits.max_plan_steps)?;
    let plan = match statement {
        Statement::Explain(_) => state.statement_to_plan(statement).await.map_err(planning)?,
        _ => query,
    };
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    read_only.verify_plan(&plan).map_err(|error| QueryError::NotReadOnly { found: error.strip_backtrace() })?;
    Ok(plan)
}

/// Parts of a plan that are read twice are one part in memory, but two for every walk: the walk stops at the limit.
fn check_size(plan: &LogicalPlan, limit: usize) -> Result<(), QueryError> {
    let mut steps = 0;
    let walk = plan.apply_with_subqueries(|_| {
        steps += 1;
        Ok(if steps > limit { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walk.map_err(|error| QueryError::planning(&error))?;
    if steps > limit { Err(QueryError::PlanTooLarge { limit }) } else { Ok(()) }
}

/// Makes joins return to the runtime now and then, as scans do already.
///
/// A join can make batches for hours out of one batch of its input; a sum above it would ask for them in one go, and the
/// deadline would pass unseen.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let plan = plan.transform_up(|step| {
        if step.children().len() < 2 {
            return Ok(Transformed::no(step));
        }
        let step: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(step));
        Ok(Transformed::yes(step))
    });
    Ok(plan?.data)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::*;
    use crate::config::Folder;
    use crate::query::Format;
    use crate::step::{Step, StepError};

    const ENDLESS: &str = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n)";

    fn tables() -> Vec<Table> {
        let user_ids: ArrayRef = Arc::new(StringArray::from(vec!["u1", "u2", "u3"]));
        let clicks: ArrayRef = Arc::new(Int64Array::from(vec![5, 0, 7]));
        let users = RecordBatch::try_from_iter([("user_id", user_ids), ("clicks", clicks)]).expect("users");
        let seen_by: ArrayRef = Arc::new(StringArray::from(vec!["u1", "u3", "u3"]));
        let items: ArrayRef = Arc::new(Int64Array::from(vec![10, 11, 12]));
        let seen = RecordBatch::try_from_iter([("user_id", seen_by), ("item", items)]).expect("seen");
        vec![("users".into(), vec![users.slice(0, 1), users.slice(1, 2)]), ("seen".into(), vec![seen])]
    }

    fn numbers(count: i64) -> Vec<Table> {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
        vec![("numbers".into(), vec![RecordBatch::try_from_iter([("x", numbers)]).expect("numbers")])]
    }

    fn short() -> Limits {
        Limits { timeout: Duration::from_millis(200), ..Limits::default() }
    }

    fn json(sql: &str) -> String {
        let answer = run(sql, tables(), &Limits::default()).expect(sql);
        answer.render(Format::Json).expect("json")
    }

    fn refused(sql: &str) -> QueryError {
        run(sql, tables(), &Limits::default()).expect_err(sql)
    }

    #[test]
    fn a_table_is_read_by_its_name_with_and_without_the_schema() {
        let expected = r#"[{"user_id":"u1"},{"user_id":"u3"}]"#;
        for table in ["users", "Users", "live.users", "datafusion.live.users"] {
            assert_eq!(json(&format!("SELECT user_id FROM {table} WHERE clicks > 0 ORDER BY 1")), expected);
        }
    }

    #[test]
    fn tables_are_joined_and_grouped() {
        let sql = "SELECT u.user_id, clicks, count(item) AS items FROM users u LEFT JOIN live.seen s \
                   ON u.user_id = s.user_id GROUP BY u.user_id, clicks ORDER BY items DESC, u.user_id";
        assert_eq!(
            json(sql),
            r#"[{"user_id":"u3","clicks":7,"items":2},{"user_id":"u1","clicks":5,"items":1},{"user_id":"u2","clicks":0,"items":0}]"#
        );
    }

    #[test]
    fn a_case_may_stand_twice() {
        let length = "CASE WHEN length(user_id) > clicks THEN length(user_id) ELSE 1 END";
        let sql = format!(
            "SELECT user_id, count(*) FILTER (WHERE CASE WHEN {length} > clicks THEN {length} ELSE 1 END > clicks) AS n \
             FROM users GROUP BY user_id ORDER BY 1"
        );
        let expected = r#"[{"user_id":"u1","n":0},{"user_id":"u2","n":1},{"user_id":"u3","n":0}]"#;
        assert_eq!(json(&sql), expected);
    }

    #[test]
    fn explain_shows_plans_and_runs_when_asked_to() {
        assert!(json("EXPLAIN SELECT * FROM users").contains("physical_plan"));
        assert!(json("EXPLAIN ANALYZE SELECT * FROM users").contains("Metrics"));
    }

    #[test]
    fn nothing_can_be_changed() {
        for sql in ["CREATE TABLE t AS SELECT 1", "INSERT INTO users VALUES ('u4', 1)", "DROP TABLE users"] {
            assert!(matches!(refused(sql), QueryError::NotReadOnly { .. }), "{sql}");
        }
    }

    #[test]
    fn files_are_not_tables() {
        let error = refused("SELECT * FROM '/etc/passwd'").to_string();
        assert_eq!(error, "no table is named \"/etc/passwd\": there are `seen`, `users`");
    }

    #[test]
    fn two_columns_of_one_name_are_refused() {
        let sql = "SELECT u.user_id, s.user_id FROM users u JOIN seen s ON u.user_id = s.user_id";
        assert!(matches!(refused(sql), QueryError::RepeatedColumn { name } if name == "user_id"));
    }

    #[test]
    fn a_chain_of_conditions_runs_up_to_the_limit() {
        let chain = |terms: usize| format!("SELECT * FROM users WHERE clicks = 5{}", " OR clicks = 1".repeat(terms));
        assert_eq!(json(&chain(400)), r#"[{"user_id":"u1","clicks":5}]"#);
        assert!(matches!(refused(&chain(2_000)), QueryError::TooManyTerms { .. }));
    }

    #[test]
    fn a_short_text_with_a_large_plan_is_refused() {
        let mut sql = "WITH w0 AS (SELECT clicks FROM users)".to_owned();
        for part in 1..15 {
            let before = part - 1;
            let (part, before) = (part.to_string(), before.to_string());
            sql +=
                &[", w", &part, " AS (SELECT * FROM w", &before, " UNION ALL SELECT * FROM w", &before, ")"].concat();
        }
        sql += " SELECT * FROM w14";
        for sql in [format!("EXPLAIN {sql}"), sql] {
            let error = refused(&sql);
            let is_bounded = matches!(error, QueryError::PlanTooLarge { limit: 5_000 } | QueryError::Timeout { .. });
            assert!(is_bounded, "{error:?}");
        }
    }

    #[test]
    fn functions_of_unbounded_size_do_not_exist() {
        for sql in ["SELECT repeat('a', 2000000000)", "SELECT range(10000000000)", "SELECT * FROM range(10)"] {
            assert!(matches!(refused(sql), QueryError::Plan(_)), "{sql}");
        }
    }

    #[test]
    fn an_endless_recursion_ends_at_the_deadline() {
        let sql = format!("{ENDLESS} SELECT count(*) FROM n");
        assert!(matches!(run(&sql, Vec::new(), &short()), Err(QueryError::Timeout { .. })));
    }

    #[test]
    fn the_thread_itself_ends_at_the_deadline() {
        // Without the caller's clock: a statement that does not yield would hang here.
        let recursion = format!("{ENDLESS} SELECT count(*) FROM n");
        let product = "SELECT sum(a.x + b.x) FROM numbers a, numbers b";
        for sql in [recursion.as_str(), product] {
            let result = run_here(sql, Tables::Rows(numbers(1_000_000)), &short(), collect);
            let ended = matches!(result, Err(QueryError::Timeout { .. } | QueryError::Memory { .. }));
            assert!(ended, "{sql}: {result:?}");
        }
    }

    #[test]
    fn rows_above_the_limit_are_cut_off_and_never_computed() {
        let limits = Limits { rows: 10, ..Limits::default() };
        let answer = run("SELECT x FROM numbers", numbers(25), &limits).expect("rows");
        assert_eq!((answer.rows(), answer.truncated), (10, true));
        let answer = run("SELECT x FROM numbers", numbers(10), &limits).expect("rows");
        assert_eq!((answer.rows(), answer.truncated), (10, false));
        let answer = run(&format!("{ENDLESS} SELECT i FROM n"), Vec::new(), &limits).expect("rows");
        assert_eq!((answer.rows(), answer.truncated), (10, true));
    }

    fn view() -> StepView {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/trends");
        let pipeline = Arc::new(Folder::read(&folder).unwrap().assemble_without_model().unwrap());
        Step::new(pipeline).unwrap().view(&["visit".to_owned()]).unwrap()
    }

    #[test]
    fn a_view_that_is_given_up_fails_the_statement_that_reads_it() {
        let sql = "SELECT count(*) AS n FROM visit";
        let answer = run_view(sql, view(), &Limits::default()).unwrap().render(Format::Json).unwrap();
        assert_eq!(answer, r#"[{"n":0}]"#);
        let view = view();
        view.end();
        let error = run_view(sql, view, &Limits::default()).expect_err("it is given up");
        assert!(matches!(error, QueryError::Tables(StepError::ViewEnded { .. })), "{error}");
        assert!(error.to_string().starts_with("the view of `visit` was given up"), "{error}");
    }

    #[test]
    fn memory_is_limited() {
        let limits = Limits { memory_bytes: 16 * 1024, ..Limits::default() };
        let result = run("SELECT x FROM numbers ORDER BY -x", numbers(100_000), &limits);
        assert!(matches!(result, Err(QueryError::Memory { limit: 16_384 })), "{result:?}");
    }

    #[test]
    fn a_fault_while_running_is_told() {
        let error = refused("SELECT 1 / clicks AS share FROM users").to_string();
        assert!(error.to_lowercase().contains("divide by zero"), "{error}");
    }
}
