//! `tidewheel test`: a pipeline's cases, through the real step and the real model, without a broker or a clock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use clap::Args;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::assemble;
use super::replay::concrete;
use crate::bus::{Encoding, Message, StreamSequence, Subject};
use crate::engine::load_model;
use crate::feature::LiveReads;
use crate::pipeline::{Pipeline, StreamPlan};
use crate::score::{Arms, rank};
use crate::step::{Snapshot, Step};
use crate::time::EventTime;
use crate::trial::{Case, Events, Row, Score, TOLERANCE, Vector, as_json, check_emits, one_row, same};

/// The broker's time of every message: after all events of a case.
const PUBLISHED_MICROS: i64 = 4_102_444_800_000_000;

/// Arguments of `test`.
#[derive(Args)]
pub(super) struct Arguments {
    /// A pipeline's folder, or a folder of pipelines.
    folder: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let folders = pipelines(&arguments.folder)?;
    let (mut passed, mut failed) = (0, 0);
    for folder in folders {
        let (files, pipeline) = assemble(&folder)?;
        let pipeline = Arc::new(pipeline);
        for file in &files.cases {
            let outcome = run_case(&pipeline, file);
            match outcome {
                Ok((about, faults)) if faults.is_empty() => {
                    passed += 1;
                    println!("ok    {}: {about}", file.display());
                }
                Ok((about, faults)) => {
                    failed += 1;
                    println!("FAIL  {}: {about}", file.display());
                    for fault in &faults {
                        println!("        {fault}");
                    }
                }
                Err(error) => {
                    failed += 1;
                    println!("FAIL  {}: {error:#}", file.display());
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if passed + failed == 0 {
        bail!("no test cases below {}: write tests/NAME.toml", arguments.folder.display());
    }
    Ok(failed == 0)
}

/// The folder itself if it is a pipeline, else the pipelines in it.
fn pipelines(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if folder.join("pipeline.toml").exists() {
        return Ok(vec![folder.to_owned()]);
    }
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("pipeline.toml").exists() {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        bail!("no pipeline in {}", folder.display());
    }
    Ok(found)
}

/// What the case is about, and what does not hold.
fn run_case(pipeline: &Arc<Pipeline>, file: &Path) -> anyhow::Result<(String, Vec<String>)> {
    let case: Case = toml::from_str(&std::fs::read_to_string(file)?)?;
    let mut step = Step::new(Arc::clone(pipeline))?;
    let mut total = Snapshot::default();
    let (mut sequence, mut emissions) = (0, Vec::new());
    // A case is told whole: a stream that is silent in it is silent.
    step.reach_present();
    for events in &case.events {
        let stream = pipeline.streams.iter().position(|stream| stream.name == events.stream);
        let stream = stream.with_context(|| format!("no stream `{}`", events.stream))?;
        let messages = messages(events, &pipeline.streams[stream], &mut sequence)?;
        let output = step.events(stream, &messages, true)?;
        let counts = output.counts;
        emissions.extend(output.emissions);
        total.counted += counts.counted;
        total.late += counts.late;
        total.rejected += counts.rejected;
        total.duplicate += counts.duplicate;
    }
    if case.end {
        emissions.extend(step.close_windows()?);
    }
    let mut faults = Vec::new();
    if let Some(expected) = &case.counts {
        let pairs = [
            ("counted", expected.counted, total.counted),
            ("late", expected.late, total.late),
            ("rejected", expected.rejected, total.rejected),
            ("duplicate", expected.duplicate, total.duplicate),
        ];
        for (name, expected, found) in pairs {
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                faults.push(format!("{name}: expected {expected}, found {found}"));
            }
        }
    }
    for emits in &case.emits {
        check_emits(pipeline, &emissions, emits, &mut faults).with_context(|| format!("rows of `{}`", emits.table))?;
    }
    for row in &case.rows {
        check_row(pipeline, &mut step, row, &mut faults).with_context(|| format!("row of `{}`", row.table))?;
    }
    for vector in &case.vectors {
        check_vector(pipeline, &mut step, vector, &mut faults).context("vector")?;
    }
    let mut scorer = if case.scores.is_empty() { None } else { load_model(pipeline)?.map(Arms::new) };
    for score in &case.scores {
        let scorer = scorer.as_mut().context("the pipeline has no model")?;
        check_score(pipeline, &mut step, scorer, score, &mut faults).context("score")?;
    }
    Ok((case.about, faults))
}

/// Each line is a message.
fn messages(events: &Events, stream: &StreamPlan, sequence: &mut u64) -> anyhow::Result<Vec<Message>> {
    let subject = match &events.subject {
        Some(subject) => Subject::new(subject)?,
        None => concrete(stream.subjects.first().context("the stream has no subject")?)?,
    };
    let published_micros = events.published.as_deref().map(micros).transpose()?.unwrap_or(PUBLISHED_MICROS);
    let lines = events.lines.lines().filter(|line| !line.trim().is_empty());
    Ok(lines
        .map(|line| {
            *sequence += 1;
            Message {
                payload: line.as_bytes().to_vec().into(),
                sequence: StreamSequence(*sequence),
                published_micros,
                encoding: Encoding::Json,
                subject: subject.clone(),
            }
        })
        .collect())
}

fn check_row(pipeline: &Pipeline, step: &mut Step, row: &Row, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let index = pipeline.tables.iter().position(|table| table.plan.name() == row.table).context("no such table")?;
    let plan = &pipeline.tables[index].plan;
    let mut keys = Vec::new();
    for (key, place) in plan.keys()? {
        let value = row.key.get(key).with_context(|| format!("the key `{key}` is missing"))?;
        let field = plan.schema().field(place).clone();
        keys.extend(one_row(&Schema::new(vec![field]), &BTreeMap::from([(key.to_owned(), value.clone())]))?);
    }
    let table = &mut step.tables_mut()[index];
    let (mut slots, mut reads) = (Vec::new(), LiveReads::default());
    table.look_up(&keys, 1, &mut slots)?;
    let at = match (&row.at, plan.as_of()) {
        (Some(at), _) => EventTime(micros(at)?),
        (None, None) => EventTime::default(),
        (None, Some(_)) => bail!("`at` is missing: an as-of table is read as of a time"),
    };
    table.read(slots[0], at, &mut reads);
    let found = as_json(&table.evaluate(&reads)?)?.pop().context("no row")?;
    let label = format!("{} {:?} at {}", row.table, row.key, row.at.as_deref().unwrap_or("the end"));
    let exists = found.values().any(|value| !value.is_null());
    if row.missing == exists {
        faults.push(format!("{label}: {}", if exists { "there is a row" } else { "there is no row" }));
    }
    for (column, expected) in &row.expect {
        let value = found.get(column).with_context(|| format!("no column `{column}`"))?;
        if !same(expected, value) {
            faults.push(format!("{label}: {column}: expected {expected}, found {value}"));
        }
    }
    Ok(())
}

fn check_vector(pipeline: &Pipeline, step: &mut Step, vector: &Vector, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let plan = pipeline.vector.as_ref().context("the pipeline has no vector")?;
    let at = micros(&vector.at)?;
    let rows = request_row(plan.requests(), &vector.request, at)?;
    let matrix = step.vectors(&rows, &[EventTime(at)])?;
    for (column, expected) in &vector.expect {
        let index = plan.columns().iter().position(|name| name == column);
        let found = f64::from(matrix.values[index.with_context(|| format!("no column `{column}`"))?]);
        if (found - expected).abs() > TOLERANCE * expected.abs().max(1.0) {
            faults.push(format!(
                "vector of {:?} at {}: {column}: expected {expected}, found {found}",
                vector.request, vector.at
            ));
        }
    }
    Ok(())
}

fn check_score(
    pipeline: &Pipeline,
    step: &mut Step,
    scorer: &mut Arms,
    score: &Score,
    faults: &mut Vec<String>,
) -> anyhow::Result<()> {
    let plan = pipeline.score.as_ref().context("the pipeline scores nothing")?;
    let mut request = score.request.clone();
    let unit = plan.time.1.micros();
    request.entry(plan.time.0.clone()).or_insert_with(|| Value::from(micros(&score.at).unwrap_or_default() / unit));
    let output = step.requests(&[serde_json::to_vec(&request)?.into()])?;
    if let Some((_, reason)) = output.refused.first() {
        bail!("the request is refused: {reason}");
    }
    let columns = pipeline.vector.as_ref().map(|vector| vector.columns().to_vec()).unwrap_or_default();
    let rankings = rank(scorer, &output.job, &columns, plan.batch_rows)?;
    let ranking = rankings.first().context("no ranking")?;
    let reply: Value = serde_json::from_slice(&ranking.payload)?;
    let scores: Vec<f64> =
        reply["items"].as_array().into_iter().flatten().filter_map(|item| item["score"].as_f64()).collect();
    if scores.len() != score.expect.items {
        faults.push(format!(
            "ranking of {:?}: expected {} items, found {}",
            score.request,
            score.expect.items,
            scores.len()
        ));
    }
    if !scores.is_sorted_by(|a, b| a >= b) {
        faults.push(format!("ranking of {:?} is not in descending order: {scores:?}", score.request));
    }
    Ok(())
}

fn micros(text: &str) -> anyhow::Result<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .with_context(|| format!("`{text}` is not a time such as 2017-11-26T01:00:00Z"))?;
    Ok((time.unix_timestamp_nanos() / 1_000) as i64)
}

/// One row of `requests` from JSON, with every time column at the moment of the read.
fn request_row(schema: &SchemaRef, request: &BTreeMap<String, Value>, at: i64) -> anyhow::Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::new();
    for field in schema.fields() {
        if matches!(field.data_type(), DataType::Timestamp(..)) {
            columns.push(Arc::new(TimestampMicrosecondArray::from(vec![at]).with_data_type(field.data_type().clone())));
        } else {
            columns.extend(one_row(&Schema::new(vec![Field::clone(field)]), request)?);
        }
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
