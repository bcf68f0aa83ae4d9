//! Counts and sums of sessions: one row of cells per session.

use crate::window::closed::aggregate::{Additive, Aggregates};
use crate::window::closed::input::Contribution;
use crate::window::closed::pane::Column;
use crate::window::closed::running::add;

/// See the module.
pub(super) struct Cells {
    places: Vec<Place>,
    /// How many integers and floats a session has.
    widths: (usize, usize),
    integers: Vec<i64>,
    /// High and low part of each sum.
    floats: Vec<(f64, f64)>,
}

/// Where an aggregate is in the row of a session.
#[derive(Debug, Clone, Copy)]
enum Place {
    Integer(usize),
    Float(usize),
}

/// The cells of all additive aggregates of some sessions, as they are saved.
pub(super) enum Saved {
    Integers(Vec<i64>),
    Floats(Vec<f64>, Vec<f64>),
}

impl Cells {
    pub(super) fn new(aggregates: &Aggregates) -> Self {
        let (mut widths, mut places) = ((0, 0), Vec::with_capacity(aggregates.additive.len()));
        for one in &aggregates.additive {
            let is_float = one.kind == Additive::Float;
            places.push(if is_float { Place::Float(widths.1) } else { Place::Integer(widths.0) });
            *(if is_float { &mut widths.1 } else { &mut widths.0 }) += 1;
        }
        Self { places, widths, integers: Vec::new(), floats: Vec::new() }
    }

    /// Room for so many sessions; new ones have nothing.
    pub(super) fn resize(&mut self, sessions: usize) {
        self.integers.resize(sessions * self.widths.0, 0);
        self.floats.resize(sessions * self.widths.1, (0.0, 0.0));
    }

    pub(super) fn clear(&mut self, session: u32) {
        let (integers, floats) = self.starts(session);
        self.integers[integers..integers + self.widths.0].fill(0);
        self.floats[floats..floats + self.widths.1].fill((0.0, 0.0));
    }

    /// Keeps the cells of some sessions, in their order.
    pub(super) fn keep(&mut self, sessions: &[u32]) {
        let (mut integers, mut floats) = (Vec::new(), Vec::new());
        for session in sessions {
            let (first_integer, first_float) = self.starts(*session);
            integers.extend_from_slice(&self.integers[first_integer..first_integer + self.widths.0]);
            floats.extend_from_slice(&self.floats[first_float..first_float + self.widths.1]);
        }
        (self.integers, self.floats) = (integers, floats);
    }

    /// Adds what a row of the input gives.
    pub(super) fn add(&mut self, session: u32, input: &[Contribution], row: usize) {
        let (integers, floats) = self.starts(session);
        for (place, part) in self.places.iter().zip(input) {
            match (*place, part) {
                (Place::Integer(place), Contribution::Ones) => self.integers[integers + place] += 1,
                (Place::Integer(place), Contribution::Integers(part)) => {
                    let cell = &mut self.integers[integers + place];
                    *cell = cell.wrapping_add(part[row]);
                }
                (Place::Float(place), Contribution::Floats(part)) => {
                    let cell = &mut self.floats[floats + place];
                    *cell = sum(*cell, part[row]);
                }
                _ => debug_assert!(false, "the contributions of an aggregate have its type"),
            }
        }
    }

    /// Adds the cells of `from` to those of `into`.
    pub(super) fn join(&mut self, into: u32, from: u32) {
        let ((into_integers, into_floats), (from_integers, from_floats)) = (self.starts(into), self.starts(from));
        for place in 0..self.widths.0 {
            let part = self.integers[from_integers + place];
            let cell = &mut self.integers[into_integers + place];
            *cell = cell.wrapping_add(part);
        }
        for place in 0..self.widths.1 {
            let (high, low) = self.floats[from_floats + place];
            let cell = &mut self.floats[into_floats + place];
            *cell = sum(sum(*cell, high), low);
        }
    }

    /// The values of each additive aggregate.
    pub(super) fn columns(&self, sessions: &[u32]) -> Vec<Column> {
        let column = |place: &Place| match *place {
            Place::Integer(place) => Column::Integers(
                sessions.iter().map(|session| self.integers[self.starts(*session).0 + place]).collect(),
            ),
            Place::Float(place) => {
                Column::Floats(sessions.iter().map(|session| self.floats[self.starts(*session).1 + place].0).collect())
            }
        };
        self.places.iter().map(column).collect()
    }

    /// The cells of each additive aggregate, with nothing left out.
    pub(super) fn save(&self, sessions: &[u32]) -> Vec<Saved> {
        let floats = |place: usize, part: fn((f64, f64)) -> f64| {
            sessions.iter().map(|session| part(self.floats[self.starts(*session).1 + place])).collect()
        };
        let column = |place: &Place| match *place {
            Place::Integer(place) => {
                Saved::Integers(sessions.iter().map(|session| self.integers[self.starts(*session).0 + place]).collect())
            }
            Place::Float(place) => Saved::Floats(floats(place, |pair| pair.0), floats(place, |pair| pair.1)),
        };
        self.places.iter().map(column).collect()
    }

    /// Fills the cells of the first sessions; whether the columns are those of these aggregates.
    pub(super) fn restore(&mut self, saved: &[Saved]) -> bool {
        let widths = self.widths;
        for (place, saved) in self.places.iter().zip(saved) {
            match (*place, saved) {
                (Place::Integer(place), Saved::Integers(values)) => {
                    for (cells, value) in self.integers.chunks_exact_mut(widths.0).zip(values) {
                        cells[place] = *value;
                    }
                }
                (Place::Float(place), Saved::Floats(high, low)) => {
                    for (cells, pair) in self.floats.chunks_exact_mut(widths.1).zip(high.iter().zip(low)) {
                        cells[place] = (*pair.0, *pair.1);
                    }
                }
                _ => return false,
            }
        }
        saved.len() == self.places.len()
    }

    /// Memory of one session's cells, bytes.
    pub(super) fn session_size(&self) -> usize {
        8 * self.widths.0 + 16 * self.widths.1
    }

    fn starts(&self, session: u32) -> (usize, usize) {
        (session as usize * self.widths.0, session as usize * self.widths.1)
    }
}

/// The sum of a pair and a number. Infinities and NaN have no low part, which would be NaN.
fn sum(pair: (f64, f64), value: f64) -> (f64, f64) {
    let plain = pair.0 + value;
    if plain.is_finite() { add(pair, value) } else { (plain, 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinities_stay_infinite_and_meet_as_nan() {
        let infinite = sum(sum((1.0, 0.0), f64::INFINITY), 5.0);
        assert_eq!(infinite, (f64::INFINITY, 0.0));
        assert!(sum(infinite, f64::NEG_INFINITY).0.is_nan());
    }

    #[test]
    fn a_sum_does_not_show_where_it_was_cut() {
        let values: Vec<f64> = (0..1_000).map(|value| 0.1 + f64::from(value) * 1e7).collect();
        let total = |values: &[f64]| values.iter().fold((0.0, 0.0), |total, value| sum(total, *value));
        let whole = total(&values);
        for cut in [1, 17, 500, 999] {
            let (one, two) = (total(&values[..cut]), total(&values[cut..]));
            assert_eq!(sum(sum(two, one.0), one.1).0, whole.0);
        }
    }
}
