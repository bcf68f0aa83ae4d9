//! What the functions promise, checked the same way for each: an aggregate as DataFusion plans it, fed with random rows in
//! random parts, merged in random groupings, against a naive model over the rows of each group.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use proptest::prelude::*;

use crate::sql::evaluate::{declared_accumulator, new_accumulator};
use crate::sql::planner::PlanError;

/// An event of the model.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) group: usize,
    pub(super) number: Option<i64>,
    pub(super) price: Option<f64>,
    pub(super) word: Option<&'static str>,
    pub(super) ts: i64,
    pub(super) passes: Option<bool>,
}

pub(super) const GROUPS: usize = 5;

/// Rows over few keys, values and times, so that ties are common; the last group stays empty.
pub(super) fn rows() -> impl Strategy<Value = Vec<Row>> {
    let number = prop_oneof![5 => (-3_i64..4).prop_map(Some), 1 => Just(None)];
    let price = prop_oneof![5 => (-400_i64..4_000).prop_map(|eighths| Some(eighths as f64 / 8.0)), 1 => Just(None)];
    let word =
        prop::sample::select(vec![None, Some(""), Some("a"), Some("b"), Some("a longer word than fits in a view")]);
    let ts = prop_oneof![4 => 0_i64..20, 2 => -5_000_000_i64..5_000_000];
    let passes = prop_oneof![4 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)];
    let row = (0..GROUPS - 1, number, price, word, ts, passes)
        .prop_map(|(group, number, price, word, ts, passes)| Row { group, number, price, word, ts, passes });
    prop::collection::vec(row, 0..120)
}

/// How the rows travel: where they are divided, how states are merged, whether a first part of the groups is emitted alone.
#[derive(Debug, Clone)]
pub(super) struct Route {
    cuts: Vec<prop::sample::Index>,
    /// Which of two neighbouring states to merge first, until one is left.
    merges: Vec<prop::sample::Index>,
    emitted_first: usize,
}

pub(super) fn route() -> impl Strategy<Value = Route> {
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..6);
    let merges = prop::collection::vec(any::<prop::sample::Index>(), 6);
    (cuts, merges, 0..GROUPS).prop_map(|(cuts, merges, emitted_first)| Route { cuts, merges, emitted_first })
}

pub(super) fn batch(rows: &[Row]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.ts)).with_timezone("+00:00");
    let columns: [(&str, ArrayRef); 4] = [
        ("number", Arc::new(rows.iter().map(|row| row.number).collect::<Int64Array>())),
        ("price", Arc::new(rows.iter().map(|row| row.price).collect::<Float64Array>())),
        ("word", Arc::new(rows.iter().map(|row| row.word).collect::<StringArray>())),
        ("ts", Arc::new(times)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

/// The aggregate that `call` plans to, and its arguments over rows.
pub(super) struct Subject {
    function: Arc<AggregateFunctionExpr>,
}

impl Subject {
    pub(super) fn new(call: &str) -> Self {
        Self::plan(call).unwrap_or_else(|error| panic!("{call}: {error}"))
    }

    pub(super) fn plan(call: &str) -> Result<Self, PlanError> {
        use datafusion::logical_expr::LogicalPlan;
        let planner = crate::window::planner();
        planner.add_relation("clicks", batch(&[]).schema())?;
        let mut plan = planner.plan(&format!("SELECT {call} FROM clicks"))?;
        while !matches!(plan, LogicalPlan::Aggregate(_)) {
            plan = plan.inputs()[0].clone();
        }
        let LogicalPlan::Aggregate(aggregate) = plan else { unreachable!() };
        let schema = aggregate.input.schema();
        let expression = planner.simplify(aggregate.aggr_expr[0].clone(), schema)?;
        let function = planner.aggregate(&expression, schema)?.aggregate;
        new_accumulator(&function)?;
        Ok(Self { function })
    }

    pub(super) fn accumulator(&self) -> Box<dyn GroupsAccumulator> {
        let schema = batch(&[]).schema();
        let arguments = self.function.expressions();
        let types: Vec<_> = arguments.iter().map(|argument| argument.data_type(&schema).unwrap()).collect();
        declared_accumulator(&self.function, &types, GROUPS).unwrap()
    }

    pub(super) fn arguments(&self, rows: &[Row]) -> Vec<ArrayRef> {
        let batch = batch(rows);
        let evaluate = |argument: &Arc<dyn datafusion::physical_expr::PhysicalExpr>| {
            argument.evaluate(&batch).unwrap().into_array(rows.len()).unwrap()
        };
        self.function.expressions().iter().map(evaluate).collect()
    }

    fn update(&self, accumulator: &mut dyn GroupsAccumulator, rows: &[Row], filtered: bool) {
        let groups: Vec<usize> = rows.iter().map(|row| row.group).collect();
        let filter: BooleanArray = rows.iter().map(|row| row.passes).collect();
        accumulator.update_batch(&self.arguments(rows), &groups, filtered.then_some(&filter), GROUPS).unwrap();
    }

    /// The values of all groups when every row comes in one batch.
    pub(super) fn straight(&self, rows: &[Row], filtered: bool) -> ArrayRef {
        let mut accumulator = self.accumulator();
        self.update(accumulator.as_mut(), rows, filtered);
        accumulator.evaluate(EmitTo::All).unwrap()
    }

    /// The values of all groups after a detour through states.
    pub(super) fn detour(&self, rows: &[Row], filtered: bool, route: &Route) -> ArrayRef {
        let mut cuts: Vec<usize> = route.cuts.iter().map(|cut| cut.index(rows.len() + 1)).collect();
        cuts.extend([0, rows.len()]);
        cuts.sort_unstable();
        let mut states: Vec<Vec<ArrayRef>> = cuts
            .windows(2)
            .enumerate()
            .map(|(part, cut)| {
                let rows = &rows[cut[0]..cut[1]];
                if part % 3 == 2 { self.rows_as_states(rows, filtered) } else { self.state_of(rows, filtered) }
            })
            .collect();
        for place in &route.merges {
            if states.len() > 1 {
                let first = place.index(states.len() - 1);
                let right = states.remove(first + 1);
                states[first] = self.state_from(&[&states[first], &right], route.emitted_first);
            }
        }
        let mut last = self.merged(&states.iter().collect::<Vec<_>>());
        let first = last.evaluate(EmitTo::First(route.emitted_first)).unwrap();
        let rest = last.evaluate(EmitTo::All).unwrap();
        assert_eq!((first.len(), rest.len()), (route.emitted_first, GROUPS - route.emitted_first));
        concat(&[first.as_ref(), rest.as_ref()]).unwrap()
    }

    fn state_of(&self, rows: &[Row], filtered: bool) -> Vec<ArrayRef> {
        let mut accumulator = self.accumulator();
        self.update(accumulator.as_mut(), rows, filtered);
        let state = accumulator.state(EmitTo::All).unwrap();
        assert!(accumulator.state(EmitTo::All).unwrap().iter().all(arrow::array::Array::is_empty), "state drains");
        let fields = self.function.state_fields().unwrap();
        for (field, column) in fields.iter().zip(&state) {
            assert_eq!(field.data_type(), column.data_type(), "{}", field.name());
        }
        state
    }

    /// One state per row, merged into the rows' groups.
    fn rows_as_states(&self, rows: &[Row], filtered: bool) -> Vec<ArrayRef> {
        let filter: BooleanArray = rows.iter().map(|row| row.passes).collect();
        let mut accumulator = self.accumulator();
        let states = accumulator.convert_to_state(&self.arguments(rows), filtered.then_some(&filter)).unwrap();
        let groups: Vec<usize> = rows.iter().map(|row| row.group).collect();
        accumulator.merge_batch(&states, &groups, GROUPS).unwrap();
        accumulator.state(EmitTo::All).unwrap()
    }

    fn merged(&self, states: &[&Vec<ArrayRef>]) -> Box<dyn GroupsAccumulator> {
        let mut accumulator = self.accumulator();
        let every_group: Vec<usize> = (0..GROUPS).collect();
        for state in states {
            accumulator.merge_batch(state, &every_group, GROUPS).unwrap();
        }
        accumulator
    }

    fn state_from(&self, states: &[&Vec<ArrayRef>], emitted_first: usize) -> Vec<ArrayRef> {
        let mut accumulator = self.merged(states);
        let first = accumulator.state(EmitTo::First(emitted_first)).unwrap();
        let rest = accumulator.state(EmitTo::All).unwrap();
        let both = first.iter().zip(&rest).map(|(first, rest)| concat(&[first.as_ref(), rest.as_ref()]).unwrap());
        both.collect()
    }

    pub(super) fn return_type(&self) -> DataType {
        self.function.field().data_type().clone()
    }
}

/// The rows of a group that an aggregate takes.
pub(super) fn taken(rows: &[Row], group: usize, filtered: bool) -> impl Iterator<Item = &Row> {
    rows.iter().filter(move |row| row.group == group && (!filtered || row.passes == Some(true)))
}

/// The message of the error that planning `call` ends with.
pub(super) fn refusal(call: &str) -> String {
    match Subject::plan(call) {
        Ok(_) => panic!("{call} was planned"),
        Err(error) => error.message,
    }
}

pub(super) fn integers(list: &ArrayRef) -> Vec<i64> {
    list.as_primitive::<Int64Type>().values().to_vec()
}

pub(super) fn floats(column: &ArrayRef) -> Vec<Option<f64>> {
    column.as_primitive::<Float64Type>().iter().collect()
}

/// A batch aggregation in plain DataFusion with the functions of this folder.
pub(super) fn plain(sql: &str, batches: Vec<RecordBatch>) -> Result<RecordBatch, DataFusionError> {
    use datafusion::datasource::MemTable;
    use datafusion::prelude::{SessionConfig, SessionContext};
    let config = SessionConfig::new().with_target_partitions(1).with_batch_size(16);
    let context = SessionContext::new_with_config(config);
    super::register(&context);
    let schema = batches[0].schema();
    context.register_table("clicks", Arc::new(MemTable::try_new(schema, vec![batches])?))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(async { context.sql(sql).await?.collect().await })?;
    Ok(arrow::compute::concat_batches(&found[0].schema(), &found)?)
}
