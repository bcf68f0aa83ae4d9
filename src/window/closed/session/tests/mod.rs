//! Sessions against a model that sorts and cuts, and scripts of single behaviours; and what views save.

mod model;
mod scripts;
mod speed;
mod views;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

use crate::time::EventTime;
use crate::window::closed::{Emission, EmissionKind, WindowPlan, WindowSettings, WindowTables};
use crate::window::{Horizon, TableForm};

pub(super) const SECOND: i64 = 1_000_000;

#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) user: i64,
    pub(super) item: i64,
    pub(super) kind: &'static str,
    pub(super) price: Option<f64>,
    pub(super) ts: i64,
}

pub(super) fn batch(events: &[Event]) -> RecordBatch {
    let times =
        TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| event.ts)).with_timezone("+00:00");
    let columns: [(&str, ArrayRef); 5] = [
        ("user_id", Arc::new(Int64Array::from_iter_values(events.iter().map(|event| event.user)))),
        ("item_id", Arc::new(Int64Array::from_iter_values(events.iter().map(|event| event.item)))),
        ("kind", Arc::new(StringArray::from_iter_values(events.iter().map(|event| event.kind)))),
        ("price", Arc::new(events.iter().map(|event| event.price).collect::<Float64Array>())),
        ("ts", Arc::new(times)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

pub(super) fn plan(sql: &str, settings: WindowSettings) -> Arc<WindowPlan> {
    let planner = crate::window::planner();
    planner.add_relation("clicks", batch(&[]).schema()).unwrap();
    match TableForm::plan(&planner, "sessions", sql, "ts", Horizon::new(SECOND), settings).unwrap() {
        TableForm::Windows(plan) => Arc::new(plan),
        TableForm::AsOf(_) => panic!("`{sql}` has no window"),
    }
}

/// What a run of a table gives.
pub(super) struct Run {
    pub(super) emissions: Vec<Emission>,
    pub(super) late: Vec<bool>,
    pub(super) tables: WindowTables,
}

/// Runs events in steps of these sizes, over and over, with the watermark after each; saved and restored between steps
/// when `saves`.
pub(super) fn run(plan: &Arc<WindowPlan>, events: &[Event], watermarks: &[i64], sizes: &[usize], saves: bool) -> Run {
    let mut tables = WindowTables::new(vec![Arc::clone(plan)]).unwrap();
    let (mut emissions, mut late, mut first) = (Vec::new(), vec![true; events.len()], 0);
    for size in sizes.iter().cycle() {
        let end = events.len().min(first + size);
        let step = batch(&events[first..end]);
        tables
            .push(
                "clicks",
                &step,
                &watermarks[first..end].iter().copied().map(EventTime).collect::<Vec<_>>(),
                &mut late[first..end],
                &mut emissions,
            )
            .unwrap();
        first = end;
        if saves {
            tables = saved(&tables);
        }
        if first == events.len() {
            break;
        }
    }
    Run { emissions, late, tables }
}

/// The same tables, from their saved state, which is saved as the same bytes again.
pub(super) fn saved(tables: &WindowTables) -> WindowTables {
    let mut bytes = Vec::new();
    tables.save(&mut bytes).unwrap();
    let restored = WindowTables::restore(tables.plans().to_vec(), &mut bytes.as_slice()).unwrap();
    let mut again = Vec::new();
    restored.save(&mut again).unwrap();
    assert!(bytes == again, "a restored state is saved as other bytes");
    restored
}

impl Run {
    /// Nothing more comes.
    pub(super) fn end(mut self) -> Self {
        self.tables.advance("clicks", Some(EventTime::END), &mut self.emissions).unwrap();
        self
    }
}

/// Everything about an emission that anybody sees.
#[expect(clippy::type_complexity, reason = "the fields of an emission")]
pub(super) fn seen(
    emissions: &[Emission],
) -> Vec<(EmissionKind, EventTime, bool, RecordBatch, Vec<ArrayRef>, Vec<(i64, i64)>)> {
    emissions
        .iter()
        .map(|one| (one.kind, one.at, one.is_removal, one.rows.clone(), one.keys.clone(), one.windows.clone()))
        .collect()
}
