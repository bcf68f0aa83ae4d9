//! The hunt: a pool of inputs, mutated one after the other, until the time is over or one fails.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::guard::{self, Worker};
use super::minimise::minimise;
use super::mutate::mutate;
use super::stored;

/// The largest input, bytes: what any of the readers may allocate for one stays small.
pub const LARGEST: usize = 64 * 1024;

/// The most accepted inputs that are kept beside the first ones; newer ones then take the place of others.
const MOST_ACCEPTED: usize = 200;

/// The most refused inputs that are kept beside the first ones.
const MOST_REFUSED: usize = 2_000;

/// Something that reads bytes.
pub struct Target {
    pub name: &'static str,
    /// Words that mean something to it.
    pub dictionary: &'static [&'static str],
    /// Inputs to begin with, beside the stored ones.
    pub inputs: fn() -> Vec<Vec<u8>>,
    /// How long it is run unless told otherwise.
    pub seconds: u64,
    /// Makes the reader on the thread that runs it.
    pub reader: fn() -> Reader,
}

/// Reads one input; panics when something is wrong with the code.
pub type Reader = Box<dyn FnMut(&[u8]) -> Outcome>;

/// What became of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    /// Why.
    Refused(String),
}

impl Outcome {
    /// Refusal by an error.
    pub fn of<T, E: fmt::Display>(result: &Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::Accepted,
            Err(error) => Self::Refused(error.to_string()),
        }
    }
}

/// An input that the target can't stand.
#[derive(Debug)]
pub struct Failure {
    pub what: String,
    pub input: Vec<u8>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} bytes: {:?}", self.what, self.input.len(), String::from_utf8_lossy(&self.input))
    }
}

/// How a hunt without a failure went.
#[derive(Debug, Default)]
pub struct Report {
    pub runs: u64,
    pub accepted: u64,
    /// Kinds of refusals.
    pub outcomes: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, accepted, outcomes } = self;
        write!(f, "{runs} inputs, {accepted} accepted, {outcomes} kinds of outcomes")
    }
}

/// Tries the corpus as it is, and then mutations of it for this long.
pub fn hunt(target: &Target, corpus: Vec<Vec<u8>>, seed: u64, time: Duration) -> Result<Report, Failure> {
    let (name, dictionary, reader) = (target.name, target.dictionary, target.reader);
    let result = guard::watched(stored::trace(name), guard::PATIENCE, move |worker| {
        let mut worker = worker.with(reader);
        let until = Instant::now() + time;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut report = Report::default();
        let mut seen = HashSet::new();
        let mut try_one = |input: &[u8], worker: &mut Worker| {
            let outcome = worker.run(input).map_err(|what| {
                let input = minimise(input, |smaller| worker.run(smaller).is_err());
                Failure { what: worker.run(&input).err().unwrap_or(what), input }
            })?;
            report.runs += 1;
            report.accepted += u64::from(outcome == Outcome::Accepted);
            let is_new = seen.insert(kind(&outcome));
            report.outcomes = seen.len();
            Ok::<_, Failure>((outcome, is_new))
        };
        for input in &corpus {
            try_one(input, &mut worker)?;
        }
        // What is accepted leads deeper than what is refused, and is rarer.
        let first = corpus.len();
        let (mut accepted, mut refused) = (corpus.clone(), corpus);
        while Instant::now() < until {
            let pool = if random.random_bool(0.6) { &accepted } else { &refused };
            let mut input = pool[random.random_range(0..pool.len())].clone();
            for _ in 0..[1, 1, 1, 2, 4, 16][random.random_range(0..6)] {
                let other = &pool[random.random_range(0..pool.len())];
                mutate(&mut input, other, dictionary, &mut random);
            }
            input.truncate(LARGEST);
            let (outcome, is_new) = try_one(&input, &mut worker)?;
            if outcome == Outcome::Accepted {
                if accepted.len() < first + MOST_ACCEPTED {
                    accepted.push(input);
                } else {
                    let place = random.random_range(first..accepted.len());
                    accepted[place] = input;
                }
            } else if is_new && refused.len() < first + MOST_REFUSED {
                refused.push(input);
            }
        }
        Ok(report)
    });
    stored::forget_trace(name);
    result
}

/// What an outcome is about, without the values in it: the letters outside quotes, and not many.
fn kind(outcome: &Outcome) -> String {
    let Outcome::Refused(message) = outcome else { return String::new() };
    let mut quote = None;
    let is_said = |letter: &char| match (quote, letter) {
        (Some(open), letter) if open == *letter => {
            quote = None;
            false
        }
        (Some(_), _) => false,
        (None, '"' | '`' | '\'') => {
            quote = Some(*letter);
            false
        }
        (None, letter) => letter.is_ascii_alphabetic(),
    };
    message.chars().filter(is_said).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_of_one_kind_differ_only_in_values() {
        let refused = |text: &str| kind(&Outcome::Refused(text.to_owned()));
        assert_eq!(refused("line 3: `a` is no b"), refused("line 14: `other` is no b"));
        assert_ne!(refused("line 3: `a` is no b"), refused("line 3: `a` is no c"));
    }
}
