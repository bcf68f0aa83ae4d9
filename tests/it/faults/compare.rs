//! What came out beside what should have.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tidewheel::learn::{ExampleKind, Examples, decode};
use tidewheel::pipeline::Pipeline;

use super::faultless::{Faultless, in_words};
use super::outputs::{Marker, Output, Outputs, What, newest_marker, read, read_input};
use super::site::Site;
use super::truth::{Place, Row, Truth};

/// Differences that are named; the others are only counted.
const NAMED: usize = 20;
/// Scores are equal within this.
const CLOSE: f64 = 1e-6;

/// The outcome of a test.
#[derive(Debug, Default)]
pub struct Report {
    pub published: u64,
    pub counted: u64,
    pub late: u64,
    pub rejected: u64,
    /// Events whose id was there before.
    pub repeated: u64,
    /// Outputs of each kind.
    pub rows: usize,
    pub rankings: usize,
    pub dead: usize,
    /// Examples, each a row.
    pub labels: usize,
    /// Rankings that nothing is learnt from: tables of another stream were ahead of them.
    pub forgotten: usize,
    /// Outputs that are missing.
    pub lost: usize,
    /// Outputs that are there twice.
    pub duplicate: usize,
    /// Outputs that are not what they should be, and counts and markers that are wrong.
    pub wrong: usize,
    /// Some of them, in words.
    pub examples: Vec<String>,
}

/// Compares everything, once the worker has caught up and ended. `sent` is how many messages the producer has published.
pub async fn compare(site: &Site, sent: u64) -> Report {
    let mut inputs = Vec::new();
    for stream in 0..site.pipeline.streams.len() {
        inputs.push(read_input(site, stream).await);
    }
    let held: usize = inputs.iter().map(Vec::len).sum();
    assert_eq!(held as u64, sent, "the input streams hold what was published, once");
    let outputs = read(site).await;
    let last = newest_marker(&site.bus, &site.pipeline).await.unwrap();
    let (truth, pipeline) = (Truth::of(&inputs), site.pipeline.clone());
    let (steps, ticks) = (outputs.steps(), outputs.ticks());
    let faultless = move || Faultless::of(&pipeline, &inputs, &steps, &ticks);
    let faultless = tokio::task::spawn_blocking(faultless).await.unwrap();
    let mut report = Report { published: truth.published, ..Report::default() };
    report.compare_counts(&truth, &last);
    report.compare_names(&outputs, &faultless);
    report.compare_examples(&site.pipeline, &outputs, &faultless);
    report.compare_windows(&outputs, &truth);
    report.compare_dead(&outputs, &truth);
    for contradiction in outputs.contradictions() {
        report.wrong(contradiction);
    }
    report
}

impl Report {
    /// Fails unless nothing is lost, twice or wrong, and everything that can happen to an event has happened.
    pub fn must_be_clean(&self) {
        assert_eq!((self.lost, self.duplicate, self.wrong), (0, 0, 0), "{self:#?}");
        let least = [self.counted, self.late, self.rejected, self.repeated].into_iter().min().unwrap();
        assert!(
            least > 0 && self.rows > 0 && self.rankings > 0 && self.labels + self.forgotten > 0,
            "too little has happened: {self:#?}"
        );
    }

    fn name(&mut self, example: String) {
        if self.examples.len() < NAMED {
            self.examples.push(example);
        }
    }

    fn lost(&mut self, what: impl std::fmt::Debug) {
        self.lost += 1;
        self.name(format!("lost: {what:?}"));
    }

    fn wrong(&mut self, what: String) {
        self.wrong += 1;
        self.name(format!("wrong: {what}"));
    }

    fn compare_counts(&mut self, truth: &Truth, last: &Marker) {
        let counts = last.counts;
        (self.counted, self.late) = (counts.counted, counts.late);
        (self.rejected, self.repeated) = (counts.rejected, counts.duplicate);
        if counts != truth.counts {
            self.wrong(format!("the last marker counts {counts:?}, there were {:?}", truth.counts));
        }
        if counts.published() != truth.published {
            self.wrong(format!("{} of {} events are accounted for", counts.published(), truth.published));
        }
    }

    /// Every output that the faultless run gives is there once, and is the same.
    fn compare_names(&mut self, outputs: &Outputs, faultless: &Faultless) {
        let mut seen = BTreeSet::new();
        for output in &outputs.outputs {
            if !seen.insert(output.id.as_str()) {
                self.duplicate += 1;
                self.name(format!("twice: {} again at {}", output.id, output.sequence));
                continue;
            }
            match &output.what {
                What::Row(_) => {
                    self.rows += 1;
                    let row = serde_json::from_slice(&output.payload).unwrap_or(Value::Null);
                    match faultless.rows.get(&output.id) {
                        Some(expected) if *expected == row => {}
                        expected => self.wrong(format!("row {}: {row}, not {expected:?}", output.id)),
                    }
                }
                What::Ranking => {
                    self.rankings += 1;
                    let score = score(output);
                    match faultless.rankings.get(&output.id) {
                        Some(expected) if (expected - score).abs() < CLOSE => {}
                        expected => self.wrong(format!("ranking {}: {score}, not {expected:?}", output.id)),
                    }
                }
                What::Dead { .. } | What::Answer | What::Example => {}
            }
        }
        let expected = faultless.rows.keys().chain(faultless.rankings.keys()).chain(faultless.examples.keys());
        expected.filter(|id| !seen.contains(id.as_str())).for_each(|id| self.lost(id));
    }

    /// Examples are those of the faultless run, and everything that was scored has one label at last.
    fn compare_examples(&mut self, pipeline: &Pipeline, outputs: &Outputs, faultless: &Faultless) {
        let vector = pipeline.vector.as_ref().unwrap();
        let columns = vector.columns().len();
        let mut labelled = 0;
        for output in outputs.outputs.iter().filter(|output| output.what == What::Example) {
            let mut examples = Examples::new(columns);
            if decode(&output.payload, columns, vector.fingerprint().as_str(), &mut examples).is_err() {
                self.wrong(format!("{} can't be read", output.id));
                continue;
            }
            let found = in_words(&examples);
            self.labels += found.len();
            labelled += examples.kinds().iter().filter(|kind| **kind != ExampleKind::Correction).count();
            if faultless.examples.get(&output.id) != Some(&found) {
                self.wrong(format!("{}: {found:?}, not {:?}", output.id, faultless.examples.get(&output.id)));
            }
        }
        // The last two events of all come after every window has closed: only silence closes them.
        self.forgotten = faultless.forgotten;
        let learnable = self.rankings - self.forgotten;
        if pipeline.labels.is_some() && labelled.abs_diff(learnable) > 2 {
            self.wrong(format!("{labelled} labels of {learnable} rankings"));
        }
    }

    /// The last row of each window that has closed is what plain maps say; a window that closes once has one row.
    fn compare_windows(&mut self, outputs: &Outputs, truth: &Truth) {
        let mut found = BTreeMap::<Place, (usize, Row)>::new();
        for output in &outputs.outputs {
            let What::Row(table) = &output.what else { continue };
            let Some((place, row)) = place(table, output) else {
                self.wrong(format!("row {} can't be read", output.id));
                continue;
            };
            let times = found.get(&place).map_or(0, |(times, _)| *times);
            found.insert(place, (times + 1, row));
        }
        for (place, expected) in &truth.closed {
            match found.remove(place) {
                Some((1, row)) if row == *expected => {}
                Some((_, row)) if row == *expected && place.0 == "recent" => {}
                Some((1, row)) => self.wrong(format!("{place:?}: {row:?}, not {expected:?}")),
                Some((times, row)) => {
                    self.duplicate += 1;
                    self.name(format!("twice: {place:?}, {times} times, {row:?}"));
                }
                None => self.lost(place),
            }
        }
        for (place, (_, row)) in found.into_iter().filter(|((table, ..), _)| *table != "recent") {
            self.wrong(format!("{place:?} has not closed or never was: {row:?}"));
        }
    }

    /// One dead letter per event that can't be used, with its reason.
    fn compare_dead(&mut self, outputs: &Outputs, truth: &Truth) {
        let mut found = BTreeMap::<(&str, u64), Vec<&str>>::new();
        for output in &outputs.outputs {
            if let What::Dead { stream, sequence, reason } = &output.what {
                self.dead += 1;
                found.entry((stream, *sequence)).or_default().push(reason);
            }
        }
        for (message, expected) in &truth.dead {
            match found.remove(message) {
                Some(reasons) if reasons == *expected => {}
                Some(reasons) => self.wrong(format!("dead letters of {message:?}: {reasons:?}, not {expected:?}")),
                None => self.lost(message),
            }
        }
        found
            .into_iter()
            .for_each(|(message, reasons)| self.wrong(format!("dead letters of {message:?}: {reasons:?}")));
        let rankings = outputs.outputs.iter().filter(|output| output.what == What::Ranking);
        let rankings: BTreeSet<&str> = rankings.map(|output| output.id.as_str()).collect();
        let expected: BTreeSet<&str> = truth.rankings.iter().map(String::as_str).collect();
        expected.difference(&rankings).for_each(|id| self.lost(format!("ranking {id}")));
        rankings.difference(&expected).for_each(|id| self.wrong(format!("ranking {id} is of nothing")));
    }
}

fn score(output: &Output) -> f64 {
    let ranking: Value = serde_json::from_slice(&output.payload).unwrap();
    let items = ranking["items"].as_array().map_or(&[][..], Vec::as_slice);
    match items {
        [item] => item["score"].as_f64().unwrap_or(f64::NAN),
        _ => f64::NAN,
    }
}

/// Where a row belongs, by its name, and what it says.
fn place(table: &str, output: &Output) -> Option<(Place, Row)> {
    let table = ["spend", "recent", "session"].into_iter().find(|name| *name == table)?;
    let rest = output.id.strip_prefix("row-")?.strip_prefix(table)?;
    let (rest, user) = rest.strip_suffix(']')?.split_once('[')?;
    let mut parts = rest.trim_matches('-').rsplit('-');
    let (end, start) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let row: Value = serde_json::from_slice(&output.payload).ok()?;
    let number = |name: &str| row[name].as_i64();
    let row = Row { count: number("orders")?, sum: number("amount")?, least: number("least")?, most: number("most")? };
    Some(((table, user.parse().ok()?, start, end), row))
}
