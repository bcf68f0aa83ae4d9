//! The ways in which one piece of work is done, what each took, and the ratios between them.

use std::fmt;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

/// One way of doing the work.
pub(crate) struct Way<R> {
    /// Its name in the figures.
    pub(crate) key: &'static str,
    pub(crate) gives: Gives,
    /// What it is and what it leaves to others, for people.
    pub(crate) description: &'static str,
    pub(crate) run: R,
}

/// What a way gives to whoever calls it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    /// Ours: what the others are held against.
    Ours,
    /// A library's way that gives the same, with what has to be put around it.
    Same,
    /// A library's way that gives less.
    Less,
}

/// What one round of one way took, in seconds.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

type Measure = fn(&Cost) -> f64;

/// What another way took over what ours did.
struct Ratio {
    other: &'static str,
    median: f64,
    least: f64,
    greatest: f64,
}

/// One piece of work done in several ways.
pub(crate) struct Comparison<R> {
    /// Before the names of its figures.
    name: &'static str,
    unit: &'static str,
    /// Units in a round.
    count: usize,
    ways: Vec<Way<R>>,
    costs: Vec<Vec<Cost>>,
}

/// Wall time and this process's CPU time from a moment on.
pub(crate) struct Watch {
    start: Instant,
    cpu: f64,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { cpu: cpu_seconds(), start: Instant::now() }
    }

    fn cost(&self) -> Cost {
        Cost { wall: self.start.elapsed().as_secs_f64(), cpu: cpu_seconds() - self.cpu }
    }
}

impl<R: Copy> Comparison<R> {
    pub(crate) fn new(name: &'static str, unit: &'static str, count: usize, ways: Vec<Way<R>>) -> Self {
        let costs = ways.iter().map(|_| Vec::new()).collect();
        Self { name, unit, count, ways, costs }
    }

    /// The ways in the order of a round: another one begins each time, and every second round goes backwards.
    pub(crate) fn turns(&self, round: usize) -> Vec<(usize, R)> {
        let mut turns: Vec<_> = self.ways.iter().enumerate().map(|(index, way)| (index, way.run)).collect();
        let first = round % turns.len();
        turns.rotate_left(first);
        if round % 2 == 1 {
            turns.reverse();
        }
        turns
    }

    /// Notes what a way took since the watch was started. Round 0 warms up and does not count.
    pub(crate) fn took(&mut self, round: usize, way: usize, watch: &Watch) {
        let cost = watch.cost();
        if round > 0 {
            self.costs[way].push(cost);
        }
    }

    /// Prints both tables, and adds all figures by name.
    pub(crate) fn report(&self, figures: &mut Map<String, Value>) {
        println!("\n{}: {} {} a round\n", self.name, self.count, self.unit);
        self.report_ways(figures);
        self.report_ratios(figures);
    }

    fn report_ways(&self, figures: &mut Map<String, Value>) {
        let (name, unit) = (self.name, self.unit);
        println!("| Way | Gives | {unit}/s | {unit} per CPU second |\n|---|---|---|---|");
        for (index, way) in self.ways.iter().enumerate() {
            let [wall, cpu] = self.rates(index);
            println!("| {}: {} | {} | {wall:.0} | {cpu:.0} |", way.key, way.description, way.gives.word());
            figures.insert(format!("{name}.{}.per_second", way.key), json!(wall.round()));
            figures.insert(format!("{name}.{}.per_cpu_second", way.key), json!(cpu.round()));
        }
    }

    fn report_ratios(&self, figures: &mut Map<String, Value>) {
        let unit = self.unit;
        println!("\n| Ours | {unit}/s | {unit} per CPU second | Beside the fastest | Ratio, wall | Ratio, CPU |");
        println!("|---|---|---|---|---|---|");
        let of_all = ("of all", "fastest", [Gives::Same, Gives::Less].as_slice());
        let of_same = ("that gives the same", "fastest_same", [Gives::Same].as_slice());
        for (ours, way) in self.ways.iter().enumerate().filter(|(_, way)| way.gives == Gives::Ours) {
            let [wall, cpu] = self.rates(ours);
            for (words, key, kinds) in [of_all, of_same] {
                let figure = format!("{}.{}.over_{key}", self.name, way.key);
                let in_wall = self.ratio(ours, kinds, |cost| cost.wall);
                let in_cpu = self.ratio(ours, kinds, |cost| cost.cpu);
                if let (Some(in_wall), Some(in_cpu)) = (in_wall, in_cpu) {
                    in_wall.add_to(figures, &format!("{figure}.wall"));
                    in_cpu.add_to(figures, &format!("{figure}.cpu"));
                    println!("| {} | {wall:.0} | {cpu:.0} | {words} | {in_wall} | {in_cpu} |", way.key);
                }
            }
        }
    }

    /// Units per second of wall and of CPU time.
    fn rates(&self, way: usize) -> [f64; 2] {
        let rate = |measure| self.count as f64 / self.typical(way, measure);
        [rate(|cost| cost.wall), rate(|cost| cost.cpu)]
    }

    /// The median of all rounds.
    fn typical(&self, way: usize, measure: Measure) -> f64 {
        median(self.costs[way].iter().map(measure).collect())
    }

    /// How many times as much as ours the fastest way of these kinds took; none when there is no such way.
    fn ratio(&self, ours: usize, kinds: &[Gives], measure: Measure) -> Option<Ratio> {
        let others = (0..self.ways.len()).filter(|way| kinds.contains(&self.ways[*way].gives));
        let other = others.min_by(|one, two| self.typical(*one, measure).total_cmp(&self.typical(*two, measure)))?;
        let rounds = self.costs[ours].iter().zip(&self.costs[other]);
        let ratios: Vec<f64> = rounds.map(|(ours, other)| measure(other) / measure(ours)).collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Ratio { other: self.ways[other].key, median: median(ratios), least, greatest })
    }
}

impl Ratio {
    fn add_to(&self, figures: &mut Map<String, Value>, name: &str) {
        let rounded = |ratio: f64| json!((ratio * 1_000.0).round() / 1_000.0);
        figures.insert(name.to_owned(), rounded(self.median));
        figures.insert(format!("{name}.least"), rounded(self.least));
        figures.insert(format!("{name}.greatest"), rounded(self.greatest));
        figures.insert(format!("{name}.beside"), json!(self.other));
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { other, median, least, greatest } = self;
        write!(f, "{median:.2} ({least:.2} to {greatest:.2}) of {other}")
    }
}

impl Gives {
    fn word(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Same => "the same",
            Self::Less => "less",
        }
    }
}

/// User and system time of all threads of this process.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
