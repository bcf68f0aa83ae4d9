//! Running a script: its steps on tables of windows, with the events cut into steps of their own.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use tidewheel::sql::Planner;
use tidewheel::time::EventTime;
use tidewheel::window::WindowIndex;
use tidewheel::window::{Emission, Horizon, TableForm, WindowPlan, WindowSettings, WindowTables};

use super::read::{ReadRow, run_reads};
use super::script::{Action, Form, Script, Step};
use super::show::{show, show_time};
use super::sql::streams;

/// Rows of a `repeat` are taken as if this many were one, so that a million of them end.
const REPEATED: usize = 997;

/// Into how many steps those of a line are cut at most when the state is saved after each.
const MOST_RESTARTS: usize = 3;

/// How the events are cut into steps.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// Events per step; without it, all that stand together.
    pub chunk: Option<usize>,
    /// Whether the state is saved and restored after each step.
    pub restarts: bool,
}

impl fmt::Display for Mode {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.chunk {
            Some(chunk) => write!(to, "{chunk} at a time")?,
            None => write!(to, "all at a time")?,
        }
        if self.restarts { write!(to, " with restarts") } else { Ok(()) }
    }
}

/// What a run gave.
pub struct Transcript {
    /// Per step of the script and line of the step; in runs with larger steps all is at the first line.
    pub steps: Vec<Vec<Vec<String>>>,
    /// What the end of the input gives when the script does not say `end`.
    pub rest: Vec<String>,
    /// Per table, what the emissions leave when they are applied in order.
    pub rows: Vec<BTreeMap<RowKey, (RecordBatch, usize)>>,
    /// Per table, how many rows were late.
    pub late: Vec<u64>,
    /// Events that were late for every table.
    pub refused: u64,
    pub reads: Vec<ReadRow>,
}

/// What identifies a row of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    pub keys: Vec<String>,
    pub start: i64,
    pub end: i64,
}

/// Runs the script.
pub fn run(script: &Script, mode: Mode) -> Transcript {
    let planner = planner(script);
    let mut plans = Vec::new();
    for (table, described) in script.tables.iter().enumerate() {
        if let Form::Windows(settings) = described.form {
            match plan(&planner, script, table, settings) {
                TableForm::Windows(plan) => plans.push((table, Arc::new(plan))),
                TableForm::AsOf(_) => panic!("{} has no window", described.name),
            }
        }
    }
    let empty = script.steps.iter().map(|step| vec![Vec::new(); step.lines.len()]).collect();
    let mut run = Run {
        script,
        tables: WindowTables::new(plans.iter().map(|(_, plan)| Arc::clone(plan)).collect()).unwrap(),
        numbers: plans.iter().map(|(table, _)| *table).collect(),
        read: plans.iter().flat_map(|(table, _)| streams(&script.tables[*table].sql)).collect(),
        watermarks: vec![i64::MIN; script.streams.len()],
        transcript: Transcript {
            steps: empty,
            rest: Vec::new(),
            rows: vec![BTreeMap::new(); script.tables.len()],
            late: vec![0; script.tables.len()],
            refused: 0,
            reads: Vec::new(),
        },
    };
    for (number, step) in script.steps.iter().enumerate() {
        for (line, rows) in pieces(step, mode) {
            let lines = run.step(&step.action, rows, mode);
            run.transcript.steps[number][line].extend(lines);
        }
    }
    run.transcript.rest = run.step(&Action::End, 0..0, mode);
    let mut transcript = run.transcript;
    run_reads(script, &planner, mode, &mut transcript);
    transcript
}

/// The steps that a step of the script is cut into: line of the script, events.
pub fn pieces(step: &Step, mode: Mode) -> Vec<(usize, Range<usize>)> {
    if !matches!(step.action, Action::Events(_)) {
        return vec![(0, 0..0)];
    }
    let (Some(first), Some(last)) = (step.lines.first(), step.lines.last()) else { return Vec::new() };
    let cut = |rows: Range<usize>, chunk: usize| {
        let starts = rows.clone().step_by(chunk);
        starts.map(|start| start..rows.end.min(start + chunk)).collect::<Vec<_>>()
    };
    let longest = step.lines.iter().map(|line| line.rows.len()).max().unwrap_or(0);
    let scale = match longest {
        0 | 1 => 1,
        _ if mode.restarts => REPEATED.max(longest.div_ceil(MOST_RESTARTS)),
        _ => REPEATED,
    };
    match mode.chunk {
        Some(1) => {
            let lines = step.lines.iter().enumerate();
            lines.flat_map(|(line, of)| cut(of.rows.clone(), scale).into_iter().map(move |rows| (line, rows))).collect()
        }
        Some(chunk) => cut(first.rows.start..last.rows.end, chunk * scale).into_iter().map(|rows| (0, rows)).collect(),
        None => vec![(0, first.rows.start..last.rows.end)],
    }
}

/// A planner that knows the streams.
fn planner(script: &Script) -> Planner {
    let planner = tidewheel::window::planner();
    for stream in &script.streams {
        planner.add_relation(&stream.name, script.events.batch(0..0, false).schema()).unwrap();
    }
    planner
}

/// Plans a table.
pub fn plan(planner: &Planner, script: &Script, table: usize, settings: WindowSettings) -> TableForm {
    let table = &script.tables[table];
    let retention = match table.form {
        Form::AsOf(retention) => retention,
        Form::Windows(_) => 1,
    };
    let form = TableForm::plan(planner, &table.name, &table.sql, "ts", Horizon::new(retention), settings);
    form.unwrap_or_else(|error| panic!("{}: {}: {error} {:?}", script.name, table.name, error.suggestion))
}

/// The same tables after a restart.
fn restarted(tables: &WindowTables) -> WindowTables {
    let mut saved = Vec::new();
    tables.save(&mut saved).unwrap();
    let restored = WindowTables::restore(tables.plans().to_vec(), &mut saved.as_slice()).unwrap();
    let mut again = Vec::new();
    restored.save(&mut again).unwrap();
    assert!(saved == again, "a restored state saves as it was saved");
    restored
}

struct Run<'a> {
    script: &'a Script,
    tables: WindowTables,
    /// Per plan, the table of the script.
    numbers: Vec<usize>,
    /// Streams that tables read.
    read: Vec<String>,
    watermarks: Vec<i64>,
    transcript: Transcript,
}

impl Run<'_> {
    fn step(&mut self, action: &Action, rows: Range<usize>, mode: Mode) -> Vec<String> {
        let (mut out, mut lines) = (Vec::new(), Vec::new());
        let name = |stream: usize| self.script.streams[stream].name.as_str();
        match *action {
            Action::Events(stream) => {
                let mut watermarks = Vec::with_capacity(rows.len());
                for time in &self.script.events.times[rows.clone()] {
                    let watermark = time.saturating_sub(self.script.streams[stream].disorder);
                    self.watermarks[stream] = self.watermarks[stream].max(watermark);
                    watermarks.push(EventTime(self.watermarks[stream]));
                }
                let mut refused = vec![true; rows.len()];
                let events = self.script.events.batch(rows, false);
                self.tables.push(name(stream), &events, &watermarks, &mut refused, &mut out).unwrap();
                let is_read = self.read.iter().any(|read| read == name(stream));
                for _ in refused.iter().filter(|refused| **refused && is_read) {
                    lines.push("refused".to_owned());
                    self.transcript.refused += 1;
                }
            }
            Action::Watermark(stream, to) => {
                self.watermarks[stream] = self.watermarks[stream].max(to);
                self.tables.advance(name(stream), Some(EventTime(to)), &mut out).unwrap();
            }
            Action::Idle(stream) => self.tables.advance(name(stream), None, &mut out).unwrap(),
            Action::End => {
                for stream in &self.script.streams {
                    self.tables.advance(&stream.name, Some(EventTime::END), &mut out).unwrap();
                }
            }
            Action::Restart | Action::Read { .. } => {}
        }
        for (plan, table) in self.numbers.iter().enumerate() {
            let late = self.tables.late_rows(WindowIndex(plan));
            for _ in self.transcript.late[*table]..late {
                lines.push(format!("late for {}", self.script.tables[*table].name));
            }
            self.transcript.late[*table] = late;
        }
        let is_asked = matches!(action, Action::Restart) && (mode.restarts || mode.chunk != Some(1));
        if mode.restarts || is_asked {
            self.tables = restarted(&self.tables);
        }
        let mut rows: Vec<_> = out.iter().flat_map(|emission| self.take(emission)).collect();
        rows.sort();
        lines.extend(rows.into_iter().map(|(_, line)| line));
        lines
    }

    /// Applies an emission, and gives its lines with what they are sorted by.
    fn take(&mut self, emission: &Emission) -> Vec<((i64, i64, i64, usize), String)> {
        let table = self.numbers[emission.table.0];
        let plan: &Arc<WindowPlan> = &self.tables.plans()[emission.table.0];
        let mut lines = Vec::with_capacity(emission.rows.num_rows());
        let schema = emission.rows.schema();
        for (row, (start, end)) in emission.windows.iter().copied().enumerate() {
            let mut text = format!(
                "{} {} {}..{} at {}{}:",
                self.script.tables[table].name,
                emission.kind.as_str(),
                show_time(start),
                show_time(end),
                show_time(emission.at.micros()),
                if emission.is_removal { " removed" } else { "" },
            );
            for (key, column) in plan.keys().iter().zip(&emission.keys).filter(|(key, _)| key.output_index.is_none()) {
                text.push_str(&format!(" [{}={}]", key.name, show(column, row)));
            }
            for (field, column) in schema.fields().iter().zip(emission.rows.columns()) {
                text.push_str(&format!(" {}={}", field.name(), show(column, row)));
            }
            lines.push(((emission.at.micros(), start, end, table), text));
            let key = RowKey { keys: emission.keys.iter().map(|key| show(key, row)).collect(), start, end };
            if emission.is_removal {
                self.transcript.rows[table].remove(&key);
            } else {
                self.transcript.rows[table].insert(key, (emission.rows.clone(), row));
            }
        }
        lines
    }
}
