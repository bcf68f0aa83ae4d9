//! The oracle for tables of windows: the same SQL in plain DataFusion.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::execution::context::SessionContext;
use datafusion::prelude::SessionConfig;

use super::compare::is_same;
use super::naive::{Pair, Row, pairs, watermarks_before};
use super::run::{RowKey, Transcript};
use super::script::{Action, Form, Script, Table};
use super::show::{show, show_time};
use super::sql::{BatchSelect, streams};

/// What the emissions of a run leave, against the oracle.
pub fn differences(script: &Script, transcript: &Transcript) -> Vec<String> {
    let mut problems = Vec::new();
    // For each event, how many tables read its stream, and for how many it is late.
    let (mut readers, mut late) = (vec![0; script.events.times.len()], vec![0; script.events.times.len()]);
    for (number, table) in script.tables.iter().enumerate() {
        let Form::Windows(settings) = table.form else { continue };
        let select = BatchSelect::of(&table.sql);
        let read = streams(&table.sql);
        let context = context(script);
        let rows = rows(&context, &select, &watermarks_before(script, &read));
        let mut pairs = pairs(select.window, settings.lateness, &rows);
        pairs.sort_unstable();
        pairs.dedup();
        let counts = |event: usize| pairs.binary_search_by_key(&event, |pair| pair.0).is_ok();
        let mut late_rows = 0;
        for row in rows.iter().filter(|row| !counts(row.event)) {
            late_rows += 1;
            late[row.event] += 1;
        }
        if transcript.late[number] != late_rows {
            problems
                .push(format!("oracle: {} has {late_rows} late rows, found {}", table.name, transcript.late[number]));
        }
        for event in events_of(script, &read) {
            readers[event] += 1;
        }
        context.register_batch("windows", windows(&pairs)).unwrap();
        let batches = collect(&context, &select.totals);
        compare(table, &select, &batches, &transcript.rows[number], &mut problems);
    }
    let refused = readers.iter().zip(&late).filter(|(readers, late)| **readers > 0 && readers == late).count() as u64;
    if transcript.refused != refused {
        problems.push(format!("oracle: {refused} events are late for every table, found {}", transcript.refused));
    }
    problems
}

/// The streams of a script as relations, with `seq`.
pub fn context(script: &Script) -> SessionContext {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let all = script.events.batch(0..script.events.times.len(), true);
    for stream in &script.streams {
        let places = UInt64Array::from_iter_values(
            events_of(script, std::slice::from_ref(&stream.name)).into_iter().map(|event| event as u64),
        );
        context.register_batch(&stream.name, take_record_batch(&all, &places).unwrap()).unwrap();
    }
    context
}

fn events_of(script: &Script, streams: &[String]) -> Vec<usize> {
    let steps = script.steps.iter().filter(|step| match step.action {
        Action::Events(stream) => streams.contains(&script.streams[stream].name),
        _ => false,
    });
    steps.flat_map(|step| &step.lines).flat_map(|line| line.rows.clone()).collect()
}

/// Runs a select.
pub fn collect(context: &SessionContext, sql: &str) -> Vec<RecordBatch> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let batches = runtime.block_on(async { context.sql(sql).await?.collect().await });
    batches.unwrap_or_else(|error| panic!("oracle: {sql}: {error}"))
}

fn rows(context: &SessionContext, select: &BatchSelect, watermarks: &[i64]) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in collect(context, &select.rows) {
        let events = batch.column(0).as_primitive::<Int64Type>();
        let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let event = events.value(row) as usize;
            let key = batch.columns()[2..].iter().map(|column| show(column, row)).collect();
            rows.push(Row { event, time: times.value(row), key, watermark: watermarks[event] });
        }
    }
    rows
}

fn windows(pairs: &[Pair]) -> RecordBatch {
    let events = Int64Array::from_iter_values(pairs.iter().map(|pair| pair.0 as i64));
    let bound = |bounds: TimestampMicrosecondArray| -> ArrayRef { Arc::new(bounds.with_timezone("+00:00")) };
    let starts = bound(TimestampMicrosecondArray::from_iter_values(pairs.iter().map(|pair| pair.1)));
    let ends = bound(TimestampMicrosecondArray::from_iter_values(pairs.iter().map(|pair| pair.2)));
    RecordBatch::try_from_iter([("seq", Arc::new(events) as ArrayRef), ("window_start", starts), ("window_end", ends)])
        .unwrap()
}

/// A column as rows show it: what is no finite number is NULL.
fn as_shown(column: &ArrayRef) -> ArrayRef {
    match column.as_primitive_opt::<Float64Type>() {
        Some(numbers) => Arc::new(numbers.unary_opt::<_, Float64Type>(|number| number.is_finite().then_some(number))),
        None => Arc::clone(column),
    }
}

fn compare(
    table: &Table,
    select: &BatchSelect,
    batches: &[RecordBatch],
    found: &BTreeMap<RowKey, (RecordBatch, usize)>,
    problems: &mut Vec<String>,
) {
    let columns = select.comparisons.len();
    let mut expected = BTreeSet::new();
    for batch in batches {
        let bounds: Vec<_> = batch.columns()[columns + select.keys..]
            .iter()
            .map(arrow::array::AsArray::as_primitive::<TimestampMicrosecondType>)
            .collect();
        for row in 0..batch.num_rows() {
            let keys = batch.columns()[columns..columns + select.keys].iter().map(|key| show(key, row)).collect();
            let key = RowKey { keys, start: bounds[0].value(row), end: bounds[1].value(row) };
            let at =
                format!("{} {}..{} of [{}]", table.name, show_time(key.start), show_time(key.end), key.keys.join(", "));
            match found.get(&key) {
                None => problems.push(format!("oracle: {at}: no row")),
                Some((live, live_row)) => {
                    for (place, comparison) in select.comparisons.iter().enumerate() {
                        let (one, two) = (live.column(place), &as_shown(batch.column(place)));
                        if !is_same((one, *live_row), (two, row), *comparison) {
                            let name = live.schema().field(place).name().clone();
                            let (one, two) = (show(one, *live_row), show(two, row));
                            problems.push(format!("oracle: {at}: {name} is {two}, found {one}"));
                        }
                    }
                }
            }
            expected.insert(key);
        }
    }
    for key in found.keys().filter(|key| !expected.contains(key)) {
        let (start, end) = (show_time(key.start), show_time(key.end));
        problems.push(format!("oracle: {} {start}..{end} of [{}]: a row too many", table.name, key.keys.join(", ")));
    }
}
