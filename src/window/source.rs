//! Where the rows of a select come from: a stream, streams under UNION ALL, each perhaps with reference tables joined.
//!
//! ```text
//!  clicks ──▶ reference tables ──▶ (columns of the branch) ─┐
//!                                                           ├─▶ input: one schema, whichever stream an event came from
//!  orders ────────────────────────▶ (columns of the branch) ─┘
//! ```
//!
//! A reference table is left-joined on its key: an event without a match keeps its row, with NULL. Where the table has
//! validity times, the row that holds at the event's own time is joined.

mod join;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use hashbrown::HashMap;

use self::join::ReferenceJoin;
use super::WindowError;
use super::asof::mentions_within;
use crate::reference::ReferenceTable;
use crate::sql::{Failures, PlanError, Planner};

/// The FROM and WHERE of a select.
pub struct Source {
    branches: Vec<Branch>,
    filter: Option<Expr>,
    schema: DFSchemaRef,
    time: Expr,
    time_index: usize,
    identity: String,
}

/// One stream of a source.
struct Branch {
    stream: String,
    joins: Vec<ReferenceJoin>,
    /// What is selected from the stream's columns and those joined, inner selects first.
    selects: Vec<BranchSelect>,
}

/// The select list of one part of the FROM.
#[derive(Clone)]
struct BranchSelect {
    columns: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
}

/// The reference tables of a pipeline as they are now.
#[derive(Debug, Clone, Default)]
pub struct References(HashMap<String, Arc<ReferenceTable>>);

impl References {
    /// Takes in a table, in place of an older one of its name.
    pub fn set(&mut self, table: Arc<ReferenceTable>) {
        self.0.insert(table.name().to_owned(), table);
    }

    /// The table of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<ReferenceTable>> {
        self.0.get(name)
    }
}

impl Source {
    /// Takes the input of an aggregation apart. `time` is the event-time column.
    pub(super) fn of(planner: &Planner, input: &LogicalPlan, time: &str) -> Result<Self, PlanError> {
        let (filter, plan) = match input {
            LogicalPlan::Filter(filter) => (Some(filter.predicate.clone()), filter.input.as_ref()),
            other => (None, other),
        };
        if let Some(filter) = filter.as_ref().filter(|filter| mentions_within(filter)) {
            return Err(PlanError::new(format!("within(...) in WHERE: `{filter}`"))
                .suggest("write it in the FILTER of each aggregate"));
        }
        let schema = Arc::clone(plan.schema());
        let branches = Branch::all(planner, plan, time)?;
        for (index, branch) in branches.iter().enumerate() {
            if branches[..index].iter().any(|known| known.stream == branch.stream) {
                return Err(PlanError::new(format!("`{}` stands twice under UNION ALL", branch.stream))
                    .suggest("select from it once, with an OR in the WHERE"));
            }
        }
        let found = schema.iter().enumerate().find(|(_, (_, field))| field.name() == time);
        let Some((time_index, (qualifier, field))) = found else {
            return Err(PlanError::new(format!("the rows have no column `{time}`, which is the event time"))
                .suggest("select it in each part of the FROM"));
        };
        let time = Expr::from((qualifier, field));
        Ok(Self { branches, filter, time, time_index, identity: plan.display_indent().to_string(), schema })
    }

    /// The streams.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.branches.iter().map(|branch| branch.stream.as_str())
    }

    /// The reference tables that are joined.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.branches.iter().flat_map(|branch| &branch.joins).map(|join| join.reference.as_str())
    }

    pub(super) fn schema(&self) -> &DFSchema {
        &self.schema
    }

    pub(super) fn filter(&self) -> Option<&Expr> {
        self.filter.as_ref()
    }

    pub(super) fn time_expression(&self) -> Expr {
        self.time.clone()
    }

    /// Index of the event time among the input's columns.
    pub(super) fn time_index(&self) -> usize {
        self.time_index
    }

    /// Whether two selects read the same, WHERE aside.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// The rows of the input for events of `stream`, in their order; `None` when the select does not read it. Events that
    /// an expression of the FROM fails on are noted.
    pub fn rows(
        &self,
        stream: &str,
        events: &RecordBatch,
        references: &References,
        failures: &mut Failures,
    ) -> Result<Option<RecordBatch>, WindowError> {
        let Some(branch) = self.branches.iter().find(|branch| branch.stream == stream) else { return Ok(None) };
        let mut rows = events.clone();
        for join in &branch.joins {
            rows = join.widen(&rows, references, failures)?;
        }
        for select in &branch.selects {
            let columns: Result<Vec<_>, _> =
                select.columns.iter().map(|column| failures.evaluate(column, &rows, || None)).collect();
            rows = RecordBatch::try_new(Arc::clone(&select.schema), columns?)?;
        }
        Ok(Some(rows))
    }
}

impl Branch {
    /// The streams below a plan.
    fn all(planner: &Planner, plan: &LogicalPlan, time: &str) -> Result<Vec<Self>, PlanError> {
        match unaliased(plan) {
            LogicalPlan::TableScan(scan) => {
                let stream = scan.table_name.table().to_owned();
                Ok(vec![Self { stream, joins: Vec::new(), selects: Vec::new() }])
            }
            LogicalPlan::Union(union) => {
                let mut branches = Vec::new();
                for input in &union.inputs {
                    branches.extend(Self::all(planner, input, time)?);
                }
                Ok(branches)
            }
            LogicalPlan::Join(join) => {
                let mut branches = Self::all(planner, &join.left, time)?;
                let [branch] = branches.as_mut_slice() else {
                    return Err(
                        PlanError::new("a UNION ALL stands inside a join").suggest("join each stream by itself")
                    );
                };
                if !branch.selects.is_empty() {
                    return Err(PlanError::new("a select stands inside a join").suggest("join the stream itself"));
                }
                branch.joins.push(ReferenceJoin::of(planner, join, time)?);
                Ok(branches)
            }
            LogicalPlan::Projection(projection) => {
                let schema = projection.input.schema();
                let columns: Result<Vec<_>, _> =
                    projection.expr.iter().map(|column| planner.physical(column, schema)).collect();
                let select = BranchSelect { columns: columns?, schema: nullable(projection.schema.as_arrow()) };
                let mut branches = Self::all(planner, &projection.input, time)?;
                for branch in &mut branches {
                    branch.selects.push(select.clone());
                }
                Ok(branches)
            }
            other => Err(unexpected(other)),
        }
    }
}

fn unaliased(mut plan: &LogicalPlan) -> &LogicalPlan {
    while let LogicalPlan::SubqueryAlias(alias) = plan {
        plan = alias.input.as_ref();
    }
    plan
}

fn unexpected(plan: &LogicalPlan) -> PlanError {
    let (what, advice) = match plan {
        LogicalPlan::Join(_) => ("such a join", "join a stream with reference tables: LEFT JOIN ... ON key = key"),
        LogicalPlan::Filter(_) => ("a WHERE inside the FROM", "write it after the FROM"),
        LogicalPlan::Aggregate(_) => ("a GROUP BY inside the FROM", "write one table per aggregation"),
        LogicalPlan::Limit(_) => ("LIMIT", "a stream has no end: leave it out"),
        LogicalPlan::Sort(_) => ("ORDER BY inside the FROM", "leave it out"),
        _ => ("such a part", "select FROM a stream, or from streams under UNION ALL"),
    };
    PlanError::new(format!("a table over streams can't have {what}")).suggest(advice)
}

fn nullable(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| -> Field { Field::new(field.name(), DataType::clone(field.data_type()), true) };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use crate::time::EventTime;
    use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::reference::Validity;
    use crate::window::{Budget, FeatureTable, Horizon, Reads, TableForm, WindowPlan, WindowSettings, WindowTables};

    const SECOND: i64 = 1_000_000;

    fn times(seconds: &[i64]) -> ArrayRef {
        let micros = seconds.iter().map(|second| second * SECOND);
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("+00:00"))
    }

    fn batch(columns: [(&str, ArrayRef); 3]) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    /// Item 1 is a toy until 30 s and a tool from then on; item 2 is a book; nobody knows item 3.
    fn items() -> Arc<ReferenceTable> {
        let rows = batch([
            ("item_id", Arc::new(Int64Array::from(vec![1, 1, 2]))),
            ("category", Arc::new(StringArray::from(vec!["toy", "tool", "book"]))),
            ("valid_from", times(&[0, 30, 0])),
        ]);
        let validity = Validity { from: Some("valid_from".to_owned()), to: None };
        Arc::new(ReferenceTable::new("items", &rows, &["item_id".to_owned()], Some(&validity)).unwrap())
    }

    fn clicks() -> RecordBatch {
        batch([
            ("user_id", Arc::new(Int64Array::from(vec![7, 7, 7, 7]))),
            ("item_id", Arc::new(Int64Array::from(vec![1, 2, 1, 3]))),
            ("ts", times(&[10, 20, 40, 50])),
        ])
    }

    fn plan(aggregates: &str, group: &str) -> (TableForm, References) {
        let mut planner = crate::window::planner();
        planner.add_relation("clicks", clicks().schema()).unwrap();
        planner.add_reference(&items()).unwrap();
        let sql = format!(
            "SELECT user_id, {aggregates} FROM clicks LEFT JOIN items ON clicks.item_id = items.item_id GROUP BY {group}"
        );
        let retention = Horizon::new(3_600 * SECOND);
        let form = TableForm::plan(&planner, "activity", &sql, "ts", retention, WindowSettings::default()).unwrap();
        let mut references = References::default();
        references.set(items());
        (form, references)
    }

    const COUNTS: &str = "count(*) FILTER (WHERE category = 'toy') AS toys, \
        count(*) FILTER (WHERE category = 'tool') AS tools, count(*) FILTER (WHERE category IS NULL) AS unknown";

    fn counts(row: &RecordBatch) -> Vec<i64> {
        row.columns()[1..].iter().map(|column| column.as_primitive::<Int64Type>().value(0)).collect()
    }

    #[test]
    fn an_as_of_table_joins_the_row_that_held_at_the_time_of_the_event() {
        let (TableForm::AsOf(plan), references) = plan(COUNTS, "user_id") else { panic!("not an as-of table") };
        let rows = plan.source().rows("clicks", &clicks(), &references, &mut Failures::default()).unwrap().unwrap();
        let mut table = FeatureTable::new(Arc::new(plan), 0, Budget::UNLIMITED).unwrap();
        table.begin(&rows, &mut Failures::default()).unwrap();
        (0..rows.num_rows()).for_each(|row| table.apply(row));
        let (mut slots, mut reads) = (Vec::new(), Reads::default());
        let user: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        table.look_up(&[user], 1, &mut slots).unwrap();
        table.read(slots[0], EventTime(60 * SECOND), &mut reads);
        assert_eq!(counts(&table.evaluate(&reads).unwrap()), [1, 1, 1]);
    }

    #[test]
    fn windows_join_the_row_that_held_at_the_time_of_the_event() {
        let (TableForm::Windows(plan), references) = plan(COUNTS, "user_id, tumble(ts, '1 minute')") else {
            panic!("not a table of windows")
        };
        let plan: WindowPlan = plan;
        assert_eq!(plan.source().references().collect::<Vec<_>>(), ["items"]);
        let mut tables = WindowTables::new(vec![Arc::new(plan)]).unwrap();
        tables.set_references(references);
        let (mut late, mut out) = (vec![true; 4], Vec::new());
        let watermarks = [10, 20, 40, 50].map(|second| second * SECOND);
        tables
            .push(
                "clicks",
                &clicks(),
                &watermarks.iter().copied().map(EventTime).collect::<Vec<_>>(),
                &mut late,
                &mut out,
            )
            .unwrap();
        tables.advance("clicks", Some(EventTime::END), &mut out).unwrap();
        assert_eq!(late, [false; 4]);
        assert_eq!(out.len(), 1);
        assert_eq!(counts(&out[0].rows), [1, 1, 1]);
    }

    /// It was said that the join leaves its key out.
    #[test]
    fn a_key_of_another_type_is_told_with_both_types() {
        let rows = batch([
            ("item_id", Arc::new(StringArray::from(vec!["1"]))),
            ("category", Arc::new(StringArray::from(vec!["toy"]))),
            ("valid_from", times(&[0])),
        ]);
        let items = ReferenceTable::new("items", &rows, &["item_id".to_owned()], None).unwrap();
        let mut planner = crate::window::planner();
        planner.add_relation("clicks", clicks().schema()).unwrap();
        planner.add_reference(&items).unwrap();
        let refused = |on: &str| {
            let sql = format!("SELECT user_id, count(*) AS n FROM clicks LEFT JOIN items ON {on} GROUP BY user_id");
            let (retention, settings) = (Horizon::new(3_600 * SECOND), WindowSettings::default());
            TableForm::plan(&planner, "activity", &sql, "ts", retention, settings).err().unwrap().message
        };
        let told = "`clicks.item_id` is Int64, and the key column it is joined on, `item_id`, is Utf8";
        assert_eq!(refused("clicks.item_id = items.item_id"), told);
        assert_eq!(refused("items.item_id = clicks.item_id"), told);
        assert_eq!(refused("clicks.user_id = items.category"), "the join with `items` leaves out its key `item_id`");
    }

    #[test]
    fn a_reference_table_that_was_not_loaded_is_an_error_with_its_name() {
        let (TableForm::AsOf(plan), _) = plan(COUNTS, "user_id") else { panic!("not an as-of table") };
        let error =
            plan.source().rows("clicks", &clicks(), &References::default(), &mut Failures::default()).unwrap_err();
        assert_eq!(error.to_string(), "reference table `items` is not loaded");
    }
}
