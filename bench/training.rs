//! Training and scoring beside TensorFlow, in one run: the same weights, batches, losses and number of threads.
//!
//! `make bench-training` from the project's root, or `TENSORFLOW_PYTHON=python cargo bench --bench training [-- SECONDS]`
//! with a Python that has TensorFlow. One TensorFlow process per number of threads waits while the other side is
//! measured:
//!
//! ```text
//!   models, batches ──▶ files ──▶ tensorflow/training.py   "start CASE" ─▶ form, first losses: they must agree
//!         └──▶ Trainer, Scorer                             "measure CASE SECONDS" ─▶ rates
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewheel::model::{
    Binding, DeepFmSpec, LstmSpec, Scorer, Session, build_deepfm, build_lstm,
    gradient::Loss,
    onnx::{
        Dimension::{Fixed, Named},
        Document, GraphBuilder,
        proto::data_type::FLOAT,
    },
    optimiser::OptimizerSpec,
    train::{Batch, Outcome, TrainSettings, Trainer},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const SECONDS: f64 = 1.6;
/// How far first losses may be apart: another order of sums, not another computation.
const TOLERANCE: f64 = 1e-4;
/// So small that it does not matter that Keras adds it before the correction of the second moment.
const EPSILON: f32 = 1e-10;

const WIDTHS: [usize; 4] = [256, 256, 128, 1];
const FIELDS: usize = 26;
/// Of each field's part of the table, which has 99,996 rows in all.
const BUCKETS: usize = 3_846;
const VOCABULARY: usize = 10_000;
const STEPS: usize = 100;

/// A model with the batches that it learns from, over and over.
struct Task {
    name: &'static str,
    model: Vec<u8>,
    columns: Vec<String>,
    rows: usize,
    matrix: Vec<f32>,
    labels: Vec<f32>,
}

/// One line of the table: a task on both sides.
struct Comparison {
    title: &'static str,
    task: usize,
    /// What TensorFlow's side calls it.
    peer: &'static str,
    threads: usize,
    scoring: bool,
    /// The ratio to reach, where there is one.
    aim: Option<f64>,
}

fn main() {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(SECONDS);
    let folder = tempfile::tempdir().unwrap();
    let tasks = [network(), deepfm(), lstm()];
    for task in &tasks {
        task.write(&folder.path().join(task.name));
    }
    let mut peers = [1, 2].map(|threads| Peer::start(folder.path(), threads));
    let mut lines = Vec::new();
    for comparison in comparisons() {
        let mut ours = Ours::new(&tasks[comparison.task], &comparison);
        let peer = &mut peers[comparison.threads - 1];
        let started = peer.start_case(comparison.peer);
        let first: Vec<f64> = (0..started.first.len()).map(|_| ours.first()).collect();
        println!("{}, {} thread(s): {}", comparison.title, comparison.threads, started.form);
        println!("  first losses or scores: {first:?}, TensorFlow {:?}", started.first);
        for (ours, theirs) in first.iter().zip(&started.first) {
            assert!((ours - theirs).abs() < TOLERANCE, "{}: not the same computation", comparison.title);
        }
        lines.push((comparison, ours, Vec::new()));
    }
    for round in 0..ROUNDS {
        for (comparison, ours, rates) in &mut lines {
            let peer = &mut peers[comparison.threads - 1];
            let mut theirs = || peer.measure(comparison.peer, seconds);
            // Who comes first alternates, so that a machine that slows down favours nobody.
            rates.push(if round % 2 == 0 {
                (ours.measure(seconds), theirs())
            } else {
                let theirs = theirs();
                (ours.measure(seconds), theirs)
            });
        }
    }
    println!("\nmedians of {ROUNDS} rounds of {seconds} s; examples per second and per CPU second\n");
    println!("| Case | Threads | Ours | TensorFlow | Ratio | Aim | Ours, CPU | TensorFlow, CPU | Ratio, CPU |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (Comparison { title, threads, aim, .. }, _, rates) in lines {
        let aim = aim.map_or_else(String::new, |aim| aim.to_string());
        let [wall, cpu] = [|rate: &Rate| rate.wall, |rate: &Rate| rate.cpu].map(|of| columns_of(&rates, of));
        println!("| {title} | {threads} | {wall} | {aim} | {cpu} |");
    }
}

/// Three columns of the table: both sides and their ratio, with the least and the greatest of all rounds.
fn columns_of(rates: &[(Rate, Rate)], of: impl Fn(&Rate) -> f64) -> String {
    let ours = median(rates.iter().map(|(ours, _)| of(ours)).collect());
    let theirs = median(rates.iter().map(|(_, theirs)| of(theirs)).collect());
    let ratios: Vec<f64> = rates.iter().map(|(ours, theirs)| of(ours) / of(theirs)).collect();
    let (least, greatest) = ratios.iter().fold((f64::MAX, 0.0_f64), |(least, most), r| (least.min(*r), most.max(*r)));
    format!("{ours:.0} | {theirs:.0} | {:.2} ({least:.2} to {greatest:.2})", median(ratios))
}

fn comparisons() -> Vec<Comparison> {
    let both = |title, task, peer, scoring, aims: [Option<f64>; 2]| {
        [(1, aims[0]), (2, aims[1])].map(|(threads, aim)| Comparison { title, task, peer, threads, scoring, aim })
    };
    [
        both("256-256-128-1, batch 512: compiled step", 0, "mlp", false, [Some(1.05); 2]),
        both("DeepFM, batch 256: compiled step, Keras Adam", 1, "deepfm", false, [Some(3.0); 2]),
        both("DeepFM, batch 256: compiled step, Adam by rows", 1, "deepfm.rows", false, [None; 2]),
        both("LSTM, batch 32: Keras `fit`", 2, "lstm.fit", false, [Some(2.5); 2]),
        both("LSTM, batch 32: compiled step", 2, "lstm", false, [None; 2]),
        both("LSTM, batch 32: scores, Keras `predict`", 2, "lstm.predict", true, [Some(4.0); 2]),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn network() -> Task {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut graph = GraphBuilder::new("network");
    graph.input("features", FLOAT, &[Named("batch"), Fixed(WIDTHS[0] as u32)]);
    let mut value = "features".to_owned();
    for (layer, widths) in WIDTHS.windows(2).enumerate() {
        let [weight, bias, sum, next] = ["weight", "bias", "sum", "value"].map(|part| format!("{part}{layer}"));
        let bound = (6.0 / (widths[0] + widths[1]) as f32).sqrt();
        graph.initializer(&weight, widths, &uniform(&mut random, widths[0] * widths[1], bound));
        graph.initializer(&bias, &widths[1..], &vec![0.0; widths[1]]);
        graph.node("Gemm", &[&value, &weight, &bias], &sum);
        graph.node(if widths[1] == 1 { "Sigmoid" } else { "Relu" }, &[&sum], &next);
        value = next;
    }
    graph.output(&value, FLOAT, &[Named("batch"), Fixed(1)]);
    let matrix = uniform(&mut random, 512 * WIDTHS[0], 1.0);
    Task::new("mlp", Document::new(graph.finish()).write(), columns(WIDTHS[0]), 512, matrix)
}

fn deepfm() -> Task {
    let columns = columns(FIELDS);
    let spec = DeepFmSpec {
        categorical: columns.iter().map(|column| (column.clone(), BUCKETS)).collect(),
        columns: columns.clone(),
        dim: 16,
        hidden: vec![256, 128],
        dropout: 0.0,
        seed: 2,
        fingerprint: String::new(),
    };
    let ids = whole(2, 16 * 256 * FIELDS, BUCKETS);
    Task::new("deepfm", build_deepfm(&spec).unwrap(), columns, 256, ids)
}

fn lstm() -> Task {
    let columns = columns(STEPS);
    let spec = LstmSpec {
        columns: columns.clone(),
        vocab: VOCABULARY,
        dim: 32,
        hidden: 128,
        length: STEPS,
        seed: 3,
        fingerprint: None,
    };
    Task::new("lstm", build_lstm(&spec).unwrap(), columns, 32, whole(3, 64 * 32 * STEPS, VOCABULARY))
}

impl Task {
    fn new(name: &'static str, model: Vec<u8>, columns: Vec<String>, rows: usize, matrix: Vec<f32>) -> Self {
        let labels = whole(9, matrix.len() / columns.len(), 2);
        Self { name, model, columns, rows, matrix, labels }
    }

    /// Weights and data as little-endian float32, one file each.
    fn write(&self, folder: &Path) {
        fs::create_dir(folder).unwrap();
        for tensor in &Document::read(&self.model).unwrap().graph().initializer {
            fs::write(folder.join(tensor.name()), tensor.raw_data()).unwrap();
        }
        for (name, values) in [("x", &self.matrix), ("y", &self.labels)] {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

/// Examples per second, and per second of processor time of all threads: a machine that others use shows in the first.
struct Rate {
    wall: f64,
    cpu: f64,
}

/// This side of a comparison.
struct Ours<'a> {
    task: &'a Task,
    does: Does,
    batch: usize,
}

enum Does {
    Train(Box<Trainer>),
    Score(Box<Scorer>, Vec<f32>),
}

impl<'a> Ours<'a> {
    fn new(task: &'a Task, comparison: &Comparison) -> Self {
        let threads = comparison.threads;
        let binding = Binding { inputs: None, columns: &task.columns, fingerprint: None, output: None };
        let does = if comparison.scoring {
            let scorer = Session::from_bytes(&task.model, threads).unwrap().bind(&binding).unwrap();
            Does::Score(Box::new(scorer), Vec::new())
        } else {
            let settings = TrainSettings {
                loss: Loss::BinaryCrossEntropy,
                optimizer: OptimizerSpec::AdamW {
                    learning_rate: 1e-3,
                    beta1: 0.9,
                    beta2: 0.999,
                    epsilon: EPSILON,
                    weight_decay: 0.0,
                },
                clip_norm: None,
                freeze: Vec::new(),
                unfreeze: Vec::new(),
                dropout: false,
                threads,
                output: None,
                activation: None,
            };
            Does::Train(Box::new(Trainer::new(Document::read(&task.model).unwrap(), &binding, &settings).unwrap()))
        };
        Self { task, does, batch: 0 }
    }

    /// The loss of the first batch before a step on it, or the mean of its scores.
    fn first(&mut self) -> f64 {
        self.batch = 0;
        self.once()
    }

    fn once(&mut self) -> f64 {
        let Task { rows, ref columns, ref matrix, ref labels, .. } = *self.task;
        let start = self.batch * rows % labels.len();
        self.batch += 1;
        let matrix = &matrix[start * columns.len()..][..rows * columns.len()];
        match &mut self.does {
            Does::Train(trainer) => {
                let labels = &labels[start..][..rows];
                match trainer.step(Batch { matrix, rows, labels, weights: &[], offsets: &[] }).unwrap() {
                    Outcome::Updated { loss, .. } => f64::from(loss),
                    Outcome::Skipped { reason } => panic!("{}: {reason}", self.task.name),
                }
            }
            Does::Score(scorer, scores) => {
                scorer.score(matrix, rows, scores).unwrap();
                scores.iter().copied().map(f64::from).sum::<f64>() / rows as f64
            }
        }
    }

    fn measure(&mut self, seconds: f64) -> Rate {
        let (start, used, mut batches) = (Instant::now(), cpu_seconds(), 0);
        while start.elapsed().as_secs_f64() < seconds {
            self.once();
            batches += 1;
        }
        let examples = (batches * self.task.rows) as f64;
        Rate { wall: examples / start.elapsed().as_secs_f64(), cpu: examples / (cpu_seconds() - used) }
    }
}

/// TensorFlow in a process of its own.
struct Peer {
    process: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

/// What TensorFlow's side measures as a case.
struct Started {
    form: String,
    first: Vec<f64>,
}

impl Peer {
    fn start(folder: &Path, threads: usize) -> Self {
        let python = std::env::var_os("TENSORFLOW_PYTHON");
        let python = python.expect("TENSORFLOW_PYTHON names no Python with TensorFlow: use make bench-training");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/tensorflow/training.py");
        let mut command = Command::new(python);
        command.arg(script).arg(folder).arg(threads.to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (requests, replies) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, requests, replies: BufReader::new(replies) }
    }

    fn start_case(&mut self, case: &str) -> Started {
        let form = self.ask(&format!("start {case}"));
        let first = self.ask("first").split_whitespace().map(|value| value.parse().unwrap()).collect();
        Started { form, first }
    }

    fn measure(&mut self, case: &str, seconds: f64) -> Rate {
        let reply = self.ask(&format!("measure {case} {seconds}"));
        let (wall, cpu) = reply.split_once(' ').unwrap();
        Rate { wall: wall.parse().unwrap(), cpu: cpu.parse().unwrap() }
    }

    fn ask(&mut self, request: &str) -> String {
        writeln!(self.requests, "{request}").unwrap();
        let mut reply = String::new();
        self.replies.read_line(&mut reply).unwrap();
        assert!(!reply.is_empty(), "TensorFlow's side ended at {request:?}");
        reply.trim().to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A process that has already ended cannot be ended again, which is as well.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn columns(count: usize) -> Vec<String> {
    (0..count).map(|column| format!("c{column}")).collect()
}

fn uniform(random: &mut ChaCha8Rng, count: usize, bound: f32) -> Vec<f32> {
    (0..count).map(|_| random.random_range(-bound..bound)).collect()
}

/// Whole numbers below `limit`.
fn whole(seed: u64, count: usize, limit: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| random.random_range(0..limit) as f32).collect()
}

/// Processor time of this process so far.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
