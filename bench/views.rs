//! What reading and saving a table takes of the thread that events go through.
//!
//! `cargo bench --bench views`, with from the environment:
//!
//! | name      | default   | meaning                                                      |
//! |-----------|-----------|--------------------------------------------------------------|
//! | `USERS`   | 1,000,000 | keys of the table, all of which have events before           |
//! | `RATE`    | 20,000    | events per second, of the clock and of event time            |
//! | `BEFORE`  | 400       | seconds of events before anything is measured, not held back |
//! | `SECONDS` | 60        | seconds that are measured                                    |
//! | `STEP`    | 250       | events of a step                                             |
//! | `SCAN`    | 1         | seconds between two scans of the whole table                 |
//! | `SAVE`    | 10        | seconds between two saves                                    |
//! | `ROUNDS`  | 3         | rounds of the two passes that are compared                   |
//!
//! The table has 20 features over 5 horizons; users are chosen by Zipf's law with exponent 1.1. The same events go through
//! once alone, and in each round beside scans and saves of another table of the same content, which no event changes, and
//! beside those of their own, each of which takes a view on the step's thread and reads it on another. Figures are CPU time of
//! the step's thread: of taking a view; and of each step the least of all rounds, less the least of the same step beside the
//! readers of another table: what the copies of pages cost that views hold, without what two threads cost each other that
//! share memory and its caches, and without what the machine did to one of the rounds. How far the first and the last round
//! of equal passes are apart shows what one round is worth. Every scan is of one cut: its events are counted and must be
//! those so far.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use tidewheel::sql::Failures;
use tidewheel::window::{Budget, FeaturePlan, FeatureTable, FeatureView, Horizon};

mod shop;
mod twenty_features;

use shop::{DISORDER, SECOND, Shop, cpu, machine, number, resident, user};
use twenty_features::SQL;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keys that are scanned at a time.
const PIECE: u32 = 1 << 16;

enum Work {
    /// Of a view, or of the reader's own table.
    Scan(Option<(Box<FeatureView>, i64)>),
    Save(Option<Box<FeatureView>>),
}

/// What is read while events go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Another,
    Itself,
}

struct Settings {
    users: usize,
    rate: usize,
    before: usize,
    seconds: usize,
    step: usize,
    scan: usize,
    save: usize,
    rounds: usize,
}

/// What a pass through the events gives: CPU time per step, of views, bytes copied, and memory at most.
#[derive(Default)]
struct Pass {
    steps: Vec<Duration>,
    /// Bytes that each step copied.
    copies: Vec<usize>,
    views: Vec<Duration>,
    memory: usize,
    scans: Vec<Duration>,
    saves: Vec<Duration>,
}

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let settings = Settings {
        users: number("USERS", 1_000_000),
        rate: number("RATE", 20_000),
        before: number("BEFORE", 400),
        seconds: number("SECONDS", 60),
        step: number("STEP", 250),
        scan: number("SCAN", 1),
        save: number("SAVE", 10),
        rounds: number("ROUNDS", 3).max(1),
    };
    machine();
    let held = resident();
    let alone = pass(&settings, held, Beside::Nothing);
    let (mut others, mut own) = (Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        others.push(pass(&settings, held, Beside::Another));
        own.push(pass(&settings, held, Beside::Itself));
    }
    let share = |times: &[Duration], share: f64| {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let place = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
        sorted.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    let line = |name: &str, times: &[Duration]| {
        let [p50, p99, p999, most] = [0.5, 0.99, 0.999, 1.0].map(|at| share(times, at));
        println!("{name:<28} n={:<6} p50={p50:.3} p99={p99:.3} p99.9={p999:.3} max={most:.3} ms", times.len());
    };
    let less = |steps: &[Duration], than: &[Duration]| -> Vec<Duration> {
        steps.iter().zip(than).map(|(step, than)| step.saturating_sub(*than)).collect()
    };
    let least = |passes: &[Pass]| -> Vec<Duration> {
        let steps = 0..passes[0].steps.len();
        steps.map(|step| passes.iter().map(|pass| pass.steps[step]).min().unwrap_or_default()).collect()
    };
    let all = |of: fn(&Pass) -> &[Duration]| own.iter().flat_map(of).copied().collect::<Vec<Duration>>();
    let (least_others, least_own) = (least(&others), least(&own));
    let more = less(&least_own, &least_others);
    let (views, scans, saves) = (all(|pass| &pass.views), all(|pass| &pass.scans), all(|pass| &pass.saves));
    line("step alone", &alone.steps);
    line("step beside another's", &least_others);
    line("step beside", &least_own);
    line("beside less another's", &more);
    line("of one round less of another", &less(&others[0].steps, &others[others.len() - 1].steps));
    line("taking a view", &views);
    line("scan, other thread, wall", &scans);
    line("save, other thread, wall", &saves);
    let total = |times: &[Duration]| times.iter().sum::<Duration>().as_secs_f64();
    let cost = total(&least_own) / total(&least_others);
    let beside = &own[0];
    let (copied, most) = (beside.copies.iter().sum::<usize>(), beside.copies.iter().copied().max().unwrap_or(0));
    println!(
        "copied {} MB, {} KB in a step at most; memory {} MB, alone {} MB",
        copied >> 20,
        most >> 10,
        beside.memory >> 20,
        alone.memory >> 20
    );
    let mut worst: Vec<usize> = (0..more.len()).collect();
    worst.sort_by_key(|step| std::cmp::Reverse(more[*step]));
    for step in worst.into_iter().take(number("WORST", 0)) {
        let kilobytes = beside.copies[step] >> 10;
        let (another, own) = (least_others[step], least_own[step]);
        println!("step {step}: {another:?} beside another's, {own:?} beside, {kilobytes} KB copied");
    }
    println!(
        "{{\"view_max_ms\":{:.3},\"view_p99_ms\":{:.3},\"more_p999_ms\":{:.3},\"more_max_ms\":{:.3},\"step_cpu_ratio\":{cost:.3},\
         \"memory_ratio\":{:.3},\"scans\":{},\"saves\":{}}}",
        share(&views, 1.0),
        share(&views, 0.99),
        share(&more, 0.999),
        share(&more, 1.0),
        beside.memory as f64 / alone.memory as f64,
        scans.len(),
        saves.len(),
    );
}

fn apply(table: &mut FeatureTable, batch: &RecordBatch) -> Duration {
    let start = cpu();
    table.begin(batch, &mut Failures::default()).expect("events fit the plan");
    (0..batch.num_rows()).for_each(|row| table.apply(row));
    table.settle().expect("states merge");
    cpu().checked_sub(start).expect("time goes on")
}

/// A table to which events have come for a while, how many, and where the next ones come from.
fn table(settings: &Settings) -> (FeatureTable, usize, Shop) {
    let Settings { users, rate, before, .. } = *settings;
    let mut shop = Shop::new(users, rate);
    let planner = tidewheel::window::planner();
    planner.add_relation("clicks", shop.batch(1).schema()).expect("the stream is new");
    let plan =
        FeaturePlan::new(&planner, "user_activity", SQL, "ts", Horizon::new(7 * 86_400 * SECOND)).expect("valid");
    let mut table = FeatureTable::new(Arc::new(plan), DISORDER, Budget::UNLIMITED).expect("key types are supported");
    let mut events = 0;
    for first in (0..users).step_by(4_096) {
        let ids: ArrayRef =
            Arc::new(Int64Array::from_iter_values((first..users.min(first + 4_096)).map(|rank| user(rank as f64))));
        let batch = shop.batch_of(ids);
        events += batch.num_rows();
        apply(&mut table, &batch);
    }
    while events < before * rate {
        apply(&mut table, &shop.batch(4_096));
        events += 4_096;
    }
    println!("{} keys, {events} events, {} MB", table.key_count(), table.size() >> 20);
    (table, events, shop)
}

fn pass(settings: &Settings, held: usize, reads: Beside) -> Pass {
    let Settings { rate, seconds, step, scan, save, .. } = *settings;
    let (mut table, events, mut shop) = table(settings);
    let mut pass = Pass::default();
    let (work, inbox) = mpsc::channel::<Work>();
    let another = (reads == Beside::Another).then(|| self::table(settings));
    let reader = thread::spawn(move || read_all(&inbox, another.map(|(table, events, _)| (table, events as i64))));
    let begin = Instant::now();
    let (mut next_scan, mut next_save) = (scan as f64, save as f64 / 2.0);
    let mut sent = 0;
    while sent < seconds * rate {
        let batch = shop.batch(step);
        let due = Duration::from_secs_f64(sent as f64 / rate as f64);
        thread::sleep(due.saturating_sub(begin.elapsed()));
        pass.steps.push(apply(&mut table, &batch));
        sent += step;
        let now = sent as f64 / rate as f64;
        let is_due = |next: &mut f64, every: usize| {
            let is_due = reads != Beside::Nothing && now >= *next;
            *next += if is_due { every as f64 } else { 0.0 };
            is_due
        };
        let (scans, saves) = (is_due(&mut next_scan, scan), is_due(&mut next_save, save));
        for is_scan in [(scans, true), (saves, false)].into_iter().filter_map(|(is_due, is)| is_due.then_some(is)) {
            let start = cpu();
            let view = (reads == Beside::Itself).then(|| Box::new(table.view().expect("it has keys")));
            pass.views.push(cpu().checked_sub(start).expect("time goes on"));
            let of_cut = |view| (view, (events + sent) as i64);
            work.send(if is_scan { Work::Scan(view.map(of_cut)) } else { Work::Save(view) }).expect("it reads");
        }
        pass.copies.push(table.take_copied());
        if sent.is_multiple_of(step * 20) {
            pass.memory = pass.memory.max(resident().saturating_sub(held));
        }
    }
    drop(work);
    (pass.scans, pass.saves) = reader.join().expect("it reads to the end");
    pass
}

fn read_all(inbox: &mpsc::Receiver<Work>, mut another: Option<(FeatureTable, i64)>) -> (Vec<Duration>, Vec<Duration>) {
    let (mut scans, mut saves) = (Vec::new(), Vec::new());
    let mut own = || {
        let (table, events) = another.as_mut().expect("there is one");
        (Box::new(table.view().expect("it has keys")), *events)
    };
    for work in inbox {
        let start = Instant::now();
        match work {
            Work::Scan(view) => {
                let (mut view, events) = view.unwrap_or_else(&mut own);
                let mut counted = 0;
                for first in (0..view.slots()).step_by(PIECE as usize) {
                    let rows = view.scan(first..first.saturating_add(PIECE)).expect("rows evaluate");
                    view.release_below(first.saturating_add(PIECE));
                    let column = rows.column_by_name("events_7d").expect("a feature").as_primitive::<Int64Type>();
                    counted += column.values().iter().sum::<i64>();
                }
                assert_eq!(counted, events, "a scan is of one cut");
                scans.push(start.elapsed());
            }
            Work::Save(view) => {
                let mut view = view.unwrap_or_else(|| own().0);
                let mut bytes = Counted(0);
                view.save(&mut bytes).expect("memory takes it");
                assert!(bytes.0 > 0);
                saves.push(start.elapsed());
            }
        }
    }
    (scans, saves)
}

struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
