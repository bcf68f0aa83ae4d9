//! As-of tables in scripts: events applied, keys looked up, and the oracle for what was read.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use tidewheel::sql::{Failures, Planner};
use tidewheel::time::EventTime;
use tidewheel::window::{Budget, FeaturePlan, FeatureTable, Horizon, Reads, TableForm, WindowSettings};

use super::batch::context;
use super::compare::is_same;
use super::functions::rewrite;
use super::run::{Mode, Transcript, pieces, plan};
use super::script::{Action, Form, Script, Step};
use super::show::{show, show_time};
use super::sql::parse;
use crate::oracle::{self, TIME_TYPE, View};

/// What a `read` gave.
pub struct ReadRow {
    /// The step.
    pub step: usize,
    pub row: RecordBatch,
    /// The widest horizon of the table: a key has a row as long as it has an event within it.
    span: Horizon,
}

/// Runs the as-of tables of a script and adds what they give.
pub fn run_reads(script: &Script, planner: &Planner, mode: Mode, transcript: &mut Transcript) {
    for (table, described) in script.tables.iter().enumerate() {
        if !matches!(described.form, Form::AsOf(_)) {
            continue;
        }
        let TableForm::AsOf(plan) = plan(planner, script, table, WindowSettings::default()) else {
            panic!("{} has a window", described.name)
        };
        let disorder = script.streams.iter().find(|stream| stream.name == plan.stream()).map_or(0, |one| one.disorder);
        let span = plan.horizons().max().unwrap_or(Horizon::new(1));
        let mut live = FeatureTable::new(Arc::new(plan), disorder, Budget::UNLIMITED).unwrap();
        for section in sections(script, table, live.plan(), mode) {
            for (step, row) in section.run(script, &mut live) {
                let schema = row.schema();
                let columns = schema.fields().iter().zip(row.columns());
                let columns: Vec<_> =
                    columns.map(|(field, column)| format!("{}={}", field.name(), show(column, 0))).collect();
                transcript.steps[step][0].push(format!("{}: {}", described.name, columns.join(" ")));
                transcript.reads.push(ReadRow { step, row, span });
            }
            if mode.restarts || section.restarts {
                live = restarted(&live, disorder);
            }
        }
    }
}

/// The same table after a restart.
fn restarted(live: &FeatureTable, disorder: i64) -> FeatureTable {
    let mut saved = Vec::new();
    live.save(&mut saved).unwrap();
    FeatureTable::restore(Arc::clone(live.plan()), disorder, Budget::UNLIMITED, &mut saved.as_slice()).unwrap()
}

/// What happens within one step of the table.
struct Section {
    parts: Vec<Part>,
    restarts: bool,
}

enum Part {
    Apply(Range<usize>),
    Read(usize),
}

/// Cuts a script: reads stand between steps, or in the middle of one where all events are taken at a time.
fn sections(script: &Script, table: usize, plan: &FeaturePlan, mode: Mode) -> Vec<Section> {
    let mut sections = vec![Section { parts: Vec::new(), restarts: false }];
    let mut push = |part: Part, restarts: bool| match sections.last_mut() {
        Some(last) if mode.chunk.is_none() && !last.restarts => last.parts.push(part),
        _ => sections.push(Section { parts: vec![part], restarts }),
    };
    for (number, step) in script.steps.iter().enumerate() {
        match step.action {
            Action::Events(stream) if script.streams[stream].name == plan.stream() => {
                pieces(step, mode).into_iter().for_each(|(_, rows)| push(Part::Apply(rows), false));
            }
            Action::Read { table: read, .. } if read == table => push(Part::Read(number), false),
            Action::Restart if mode.chunk != Some(1) => push(Part::Apply(0..0), true),
            _ => {}
        }
    }
    sections
}

impl Section {
    fn run(&self, script: &Script, live: &mut FeatureTable) -> Vec<(usize, RecordBatch)> {
        let ranges = self.parts.iter().filter_map(|part| match part {
            Part::Apply(rows) => Some(rows.clone()),
            Part::Read(_) => None,
        });
        let batches: Vec<RecordBatch> = ranges.map(|rows| script.events.batch(rows, false)).collect();
        let begun = batches.iter().any(|batch| batch.num_rows() > 0);
        if begun {
            live.begin(&concat_batches(&batches[0].schema(), &batches).unwrap(), &mut Failures::default()).unwrap();
        }
        let (mut reads, mut steps, mut applied) = (Reads::default(), Vec::new(), 0);
        for part in &self.parts {
            match part {
                Part::Apply(rows) => {
                    for _ in rows.clone() {
                        live.apply(applied);
                        applied += 1;
                    }
                }
                Part::Read(step) => {
                    let Action::Read { keys, at, .. } = &script.steps[*step].action else { continue };
                    let columns = key_columns(live.plan(), keys);
                    let mut slots = Vec::new();
                    live.look_up(&columns, 1, &mut slots).unwrap();
                    live.read(slots[0], EventTime(*at), &mut reads);
                    steps.push(*step);
                }
            }
        }
        let rows = live.evaluate(&reads).unwrap();
        if begun {
            live.settle().unwrap();
        }
        steps.into_iter().enumerate().map(|(row, step)| (step, rows.slice(row, 1))).collect()
    }
}

fn key_columns(plan: &FeaturePlan, keys: &[(String, String)]) -> Vec<ArrayRef> {
    let columns = plan.keys().iter().map(|key| {
        let value = keys.iter().find(|(name, _)| *name == key.name);
        let (_, value) = value.unwrap_or_else(|| panic!("a read names the key {}", key.name));
        let text = StringArray::from(vec![(value != "NULL").then_some(value.as_str())]);
        cast(&text, plan.schema().field(key.output_index).data_type()).unwrap()
    });
    columns.collect()
}

/// What was read, against the oracle.
pub fn differences(script: &Script, transcript: &Transcript) -> Vec<String> {
    let mut problems = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for read in &transcript.reads {
        let step: &Step = &script.steps[read.step];
        let Action::Read { table, keys, at } = &step.action else { continue };
        let table = &script.tables[*table];
        let (mut query, mut select) = parse(&table.sql);
        let stream = select.from[0].relation.to_string();
        let at = (*at).max(watermark(script, &stream, read.step));
        let end = format!("arrow_cast({at}, '{TIME_TYPE}')");
        let mut comparisons = Vec::new();
        for item in &mut select.projection {
            use datafusion::sql::sqlparser::ast::SelectItem;
            if let SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. } = item {
                comparisons.push(rewrite(item, &end));
            }
        }
        *query.body = datafusion::sql::sqlparser::ast::SetExpr::Select(select);
        let quoted = |(name, value): &(String, String)| match value.parse::<i64>() {
            Ok(number) => format!("{name} = {number}"),
            Err(_) => format!("{name} = '{value}'"),
        };
        let key = keys.iter().map(quoted).collect::<Vec<_>>().join(" AND ");
        let view = View { at, upto: seen(script, read.step) as i64 - 1, key };
        let context = context(script);
        let sql = query.to_string();
        let rows = oracle::rows(&context, &sql, &stream, read.span, &view);
        let expected = runtime.block_on(rows);
        let place = format!("oracle: {} {} at {}", table.name, view.key, show_time(at));
        if expected.num_rows() == 0 {
            if read.row.columns().iter().any(|column| column.is_valid(0)) {
                problems.push(format!("{place}: a row, expected none"));
            }
            continue;
        }
        for (index, comparison) in comparisons.iter().enumerate() {
            let (one, two) = (read.row.column(index), expected.column(index));
            if !is_same((one, 0), (two, 0), *comparison) {
                let name = read.row.schema().field(index).name().clone();
                problems.push(format!("{place}: {name} is {}, found {}", show(two, 0), show(one, 0)));
            }
        }
    }
    problems
}

/// How many events come before a step.
fn seen(script: &Script, step: usize) -> usize {
    script.steps[..step].iter().flat_map(|step| &step.lines).map(|line| line.rows.len()).sum()
}

/// The watermark of a stream before a step.
fn watermark(script: &Script, stream: &str, step: usize) -> i64 {
    let mut watermark = i64::MIN;
    for step in &script.steps[..step] {
        let Action::Events(number) = step.action else { continue };
        for event in step.lines.iter().flat_map(|line| line.rows.clone()) {
            if script.streams[number].name == stream {
                let time = script.events.times[event].saturating_sub(script.streams[number].disorder);
                watermark = watermark.max(time);
            }
        }
    }
    watermark
}
