//! Hopping windows over a file of clicks, by Tidewheel's window tables or by DataFusion's own batch aggregation.
//!
//! ```text
//! cargo bench --bench windows -- --file clicks.jsonl --size 60 --slide 10 --engine tidewheel --out -
//! ```
//!
//! One JSON line tells rows, wall and processor time, peak memory, rows out, and the slowest step of the table. With `--out FILE` the rows are written as
//! CSV: user, start of the window in seconds, count, sum, filtered count, distinct count.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::naive_bytecount, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use datafusion::execution::options::JsonReadOptions;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use rustix::time::{ClockId, clock_gettime};
use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};
use tidewheel::event::{Contract, DecodeSettings, Decoder};
use tidewheel::time::EventTime;
use tidewheel::window::{Emission, Emit, Horizon, TableForm, WindowIndex, WindowSettings, WindowTables};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The event contract.
const CONTRACT: &str = r#"{"type": "object", "required": ["ts", "user_id", "item_id", "kind", "price"], "properties": {
    "ts": {"type": "integer"}, "user_id": {"type": "integer"}, "item_id": {"type": "integer"},
    "kind": {"type": "string"}, "price": {"type": "number"}}}"#;
/// Watermark: newest event time less this.
const DISORDER: i64 = 5_000_000;
/// Bytes of lines that are decoded at once.
const CHUNK: usize = 512 << 10;

struct Options {
    file: String,
    size: i64,
    slide: i64,
    engine: String,
    out: Option<String>,
    emit: Emit,
    threads: usize,
}

impl Options {
    fn read() -> anyhow::Result<Self> {
        let mut values = HashMap::new();
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
            values.insert(name, value);
        }
        let get = |name: &str, default: &str| values.get(name).cloned().unwrap_or_else(|| default.to_owned());
        Ok(Self {
            file: values.get("--file").context("--file FILE is missing")?.clone(),
            size: get("--size", "60").parse()?,
            slide: get("--slide", "10").parse()?,
            engine: get("--engine", "tidewheel"),
            out: Some(get("--out", "-")).filter(|out| out != "-"),
            emit: match get("--emit", "close").as_str() {
                "close" => Emit::OnClose,
                "update" => Emit::OnUpdate { every: 1_000_000 },
                other => bail!("--emit {other}: expected close or update"),
            },
            threads: get("--threads", "1").parse()?,
        })
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::read()?;
    let out = options.out.as_ref().map(File::create).transpose()?;
    let mut sink = Sink { out: out.map(BufWriter::new), rows: 0 };
    let mut slowest = Duration::ZERO;
    let start = Instant::now();
    let rows = match options.engine.as_str() {
        "tidewheel" => tidewheel(&options, &mut sink, &mut slowest)?,
        "datafusion" => datafusion(&options, &mut sink)?,
        other => bail!("--engine {other}: expected tidewheel or datafusion"),
    };
    if let Some(out) = &mut sink.out {
        out.flush()?;
    }
    let wall = start.elapsed().as_secs_f64();
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let cpu = Duration::new(cpu.tv_sec.unsigned_abs(), u32::try_from(cpu.tv_nsec)?).as_secs_f64();
    println!(
        r#"{{"rows":{rows},"wall_s":{wall:.3},"cpu_s":{cpu:.3},"peak_bytes":{},"rows_out":{},"slowest_step_s":{:.4}}}"#,
        peak_bytes()?,
        sink.rows,
        slowest.as_secs_f64()
    );
    Ok(())
}

/// The most memory that the process has held.
fn peak_bytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes << 10)
}

/// Takes rows: counts them, and writes them where that is wanted.
struct Sink {
    out: Option<BufWriter<File>>,
    rows: usize,
}

impl Sink {
    /// Columns: user, start of the window (microseconds), count, sum, filtered count, distinct count.
    fn take(&mut self, rows: &RecordBatch) -> anyhow::Result<()> {
        self.rows += rows.num_rows();
        let Some(out) = &mut self.out else { return Ok(()) };
        let integers = |column: usize| {
            arrow::compute::cast(rows.column(column), &DataType::Int64)
                .map(|one| one.as_primitive::<Int64Type>().clone())
        };
        let (users, starts, counts) = (integers(0)?, integers(1)?, integers(2)?);
        let (sums, carts, distinct) = (rows.column(3).as_primitive::<Float64Type>(), integers(4)?, integers(5)?);
        for row in 0..rows.num_rows() {
            let start = starts.value(row) / 1_000_000;
            let (user, count, sum) = (users.value(row), counts.value(row), sums.value(row));
            writeln!(out, "{user},{start},{count},{sum},{},{}", carts.value(row), distinct.value(row))?;
        }
        Ok(())
    }
}

fn select(window: &str) -> String {
    format!(
        "SELECT user_id, window_start, count(*) AS n, sum(price) AS s, count(*) FILTER (WHERE kind = 'cart') AS carts, \
         count(DISTINCT item_id) AS d FROM clicks GROUP BY user_id, {window}"
    )
}

/// Lines of the file as messages of about [`CHUNK`] bytes.
struct Chunks {
    subject: Subject,
    file: BufReader<File>,
    sequence: u64,
}

impl Chunks {
    fn next(&mut self) -> anyhow::Result<Option<Message>> {
        let mut payload = Vec::with_capacity(CHUNK + 256);
        self.file.by_ref().take(CHUNK as u64).read_to_end(&mut payload)?;
        self.file.read_until(b'\n', &mut payload)?;
        if payload.is_empty() {
            return Ok(None);
        }
        self.sequence += 1;
        let sequence = StreamSequence(self.sequence);
        Ok(Some(Message {
            payload: payload.into(),
            sequence,
            published_micros: i64::MAX / 2,
            encoding: Encoding::Json,
            subject: self.subject.clone(),
        }))
    }
}

/// `slowest`: the longest time that the table took for one chunk of lines, the rows of windows that closed included.
fn tidewheel(options: &Options, sink: &mut Sink, slowest: &mut Duration) -> anyhow::Result<usize> {
    let mut decoder =
        Decoder::new(Arc::new(Contract::parse(CONTRACT).ok().context("contract")?), &DecodeSettings::new("ts"))?;
    let planner = tidewheel::window::planner();
    planner.add_relation("clicks", Arc::clone(decoder.schema()))?;
    let sql = select(&format!("hop(ts, '{} seconds', '{} seconds')", options.slide, options.size));
    let settings = WindowSettings { emit: options.emit, ..WindowSettings::default() };
    let TableForm::Windows(plan) = TableForm::plan(&planner, "activity", &sql, "ts", Horizon::new(1), settings)? else {
        bail!("not a table of windows")
    };
    let mut tables = WindowTables::new(vec![Arc::new(plan)])?;
    let mut chunks = Chunks {
        subject: Subject::new("clicks")?,
        file: BufReader::with_capacity(1 << 20, File::open(&options.file)?),
        sequence: 0,
    };
    let (mut rows, mut watermark) = (0, i64::MIN);
    let (mut emissions, mut series, mut late): (Vec<Emission>, Vec<EventTime>, Vec<bool>) = Default::default();
    while let Some(message) = chunks.next()? {
        let decoded = decoder.decode(&[message])?;
        if let Some(reject) = decoded.rejects.first() {
            bail!("{}", reject.detail);
        }
        let batch = decoded.batch;
        rows += batch.num_rows();
        let time = batch.schema().index_of("ts")?;
        series.clear();
        for ts in batch.column(time).as_primitive::<arrow::datatypes::TimestampMicrosecondType>().values() {
            watermark = watermark.max(ts - DISORDER);
            series.push(EventTime(watermark));
        }
        late.clear();
        late.resize(series.len(), true);
        let start = Instant::now();
        tables.push("clicks", &batch, &series, &mut late, &mut emissions)?;
        *slowest = start.elapsed().max(*slowest);
        take(&mut emissions, sink)?;
    }
    // The windows that are still open close one after the other, as they would if events went on.
    let closes = (0..=options.size / options.slide).map(|place| watermark + (place * options.slide) * 1_000_000);
    for watermark in closes.chain([i64::MAX]) {
        tables.advance("clicks", Some(EventTime(watermark)), &mut emissions)?;
        take(&mut emissions, sink)?;
    }
    if tables.late_rows(WindowIndex(0)) > 0 {
        bail!("{} late rows", tables.late_rows(WindowIndex(0)));
    }
    Ok(rows)
}

fn take(emissions: &mut Vec<Emission>, sink: &mut Sink) -> anyhow::Result<()> {
    for emission in emissions.drain(..) {
        sink.take(&emission.rows)?;
    }
    Ok(())
}

/// The same rows by a batch aggregation: every event once per window that holds it.
fn datafusion(options: &Options, sink: &mut Sink) -> anyhow::Result<usize> {
    let field = |name, data_type| Field::new(name, data_type, false);
    let schema = Schema::new(vec![
        field("ts", DataType::Int64),
        field("user_id", DataType::Int64),
        field("item_id", DataType::Int64),
        field("kind", DataType::Utf8),
        field("price", DataType::Float64),
    ]);
    let offsets: Vec<String> = (0..options.size / options.slide).map(|place| format!("({place})")).collect();
    let slide = options.slide * 1_000;
    let sql = select("window_start").replace(
        "FROM clicks",
        &format!(
            "FROM (SELECT user_id, item_id, kind, price, (ts / {slide} - place) * {slide} * 1000 AS window_start \
             FROM clicks CROSS JOIN (VALUES {}) AS places(place)) AS clicks",
            offsets.join(", ")
        ),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(options.threads).build()?;
    runtime.block_on(async {
        let config = SessionConfig::new().with_target_partitions(options.threads);
        let context = SessionContext::new_with_config(config);
        let json = JsonReadOptions::default().schema(&schema).file_extension(".jsonl");
        context.register_json("clicks", &options.file, json).await?;
        let mut stream = context.sql(&sql).await?.execute_stream().await?;
        while let Some(batch) = stream.next().await {
            sink.take(&batch?)?;
        }
        let lines = BufReader::with_capacity(1 << 20, File::open(&options.file)?);
        anyhow::Ok(if options.out.is_some() { lines.lines().count() } else { count_lines(lines)? })
    })
}

fn count_lines(mut file: impl BufRead) -> anyhow::Result<usize> {
    let mut lines = 0;
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(lines);
        }
        lines += bytes.iter().filter(|byte| **byte == b'\n').count();
        let read = bytes.len();
        file.consume(read);
    }
}
