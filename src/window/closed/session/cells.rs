//! Counts and sums of sessions: one row of cells per session.

use crate::window::closed::aggregate::{Additive, Aggregates};
use crate::window::closed::emit::Column;
use crate::window::closed::input::Contribution;
use crate::window::closed::totals::add;
use crate::window::paged::Paged;

/// See the module.
pub(super) struct Cells {
    places: Vec<Place>,
    integers: Rows<i64>,
    /// High and low part of each sum.
    floats: Rows<(f64, f64)>,
}

/// The cells of one type, a row per session.
struct Rows<T> {
    /// The row of a new session.
    blank: Vec<T>,
    /// Nothing where rows have no cells.
    rows: Option<Paged<T>>,
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
        Self { places, integers: Rows::new(widths.0, 0), floats: Rows::new(widths.1, (0.0, 0.0)) }
    }

    /// A view: these cells, whatever comes after.
    pub(super) fn share(&mut self) -> Self {
        Self { places: self.places.clone(), integers: self.integers.share(), floats: self.floats.share() }
    }

    /// Bytes that were copied because a view held them, since this was last asked.
    pub(super) fn take_copied(&mut self) -> usize {
        self.integers.take_copied() + self.floats.take_copied()
    }

    /// Room for so many sessions; new ones have nothing.
    pub(super) fn resize(&mut self, sessions: usize) {
        self.integers.resize(sessions);
        self.floats.resize(sessions);
    }

    pub(super) fn clear(&mut self, session: u32) {
        self.integers.row_mut(session).fill(0);
        self.floats.row_mut(session).fill((0.0, 0.0));
    }

    /// Keeps the cells of some sessions, in their order.
    pub(super) fn keep(&mut self, sessions: &[u32]) {
        self.integers.keep(sessions);
        self.floats.keep(sessions);
    }

    /// Adds what a row of the input gives.
    pub(super) fn add(&mut self, session: u32, input: &[Contribution], row: usize) {
        let (integers, floats) = (self.integers.row_mut(session), self.floats.row_mut(session));
        for (place, part) in self.places.iter().zip(input) {
            match (*place, part) {
                (Place::Integer(place), Contribution::Ones) => integers[place] += 1,
                (Place::Integer(place), Contribution::Integers(part)) => {
                    integers[place] = integers[place].wrapping_add(part[row]);
                }
                (Place::Float(place), Contribution::Floats(part)) => {
                    floats[place] = sum(floats[place], part[row]);
                }
                _ => debug_assert!(false, "the contributions of an aggregate have its type"),
            }
        }
    }

    /// Adds the cells of `from` to those of `into`.
    pub(super) fn join(&mut self, into: u32, from: u32) {
        for place in 0..self.integers.width() {
            let part = self.integers.row(from)[place];
            let cell = &mut self.integers.row_mut(into)[place];
            *cell = cell.wrapping_add(part);
        }
        for place in 0..self.floats.width() {
            let (high, low) = self.floats.row(from)[place];
            let cell = &mut self.floats.row_mut(into)[place];
            *cell = sum(sum(*cell, high), low);
        }
    }

    /// The values of each additive aggregate.
    pub(super) fn columns(&self, sessions: &[u32]) -> Vec<Column> {
        let column = |place: &Place| match *place {
            Place::Integer(place) => {
                Column::Integers(sessions.iter().map(|session| self.integers.row(*session)[place]).collect())
            }
            Place::Float(place) => {
                Column::Floats(sessions.iter().map(|session| self.floats.row(*session)[place].0).collect())
            }
        };
        self.places.iter().map(column).collect()
    }

    /// The cells of each additive aggregate, with nothing left out.
    pub(super) fn save(&self, sessions: &[u32]) -> Vec<Saved> {
        let floats = |place: usize, part: fn((f64, f64)) -> f64| {
            sessions.iter().map(|session| part(self.floats.row(*session)[place])).collect()
        };
        let column = |place: &Place| match *place {
            Place::Integer(place) => {
                Saved::Integers(sessions.iter().map(|session| self.integers.row(*session)[place]).collect())
            }
            Place::Float(place) => Saved::Floats(floats(place, |pair| pair.0), floats(place, |pair| pair.1)),
        };
        self.places.iter().map(column).collect()
    }

    /// Fills the cells of the first sessions; whether the columns are those of these aggregates.
    pub(super) fn restore(&mut self, saved: &[Saved]) -> bool {
        for (place, saved) in self.places.iter().zip(saved) {
            match (*place, saved) {
                (Place::Integer(place), Saved::Integers(values)) => {
                    for (session, value) in (0..self.integers.len()).zip(values) {
                        self.integers.row_mut(session)[place] = *value;
                    }
                }
                (Place::Float(place), Saved::Floats(high, low)) => {
                    for (session, pair) in (0..self.floats.len()).zip(high.iter().zip(low)) {
                        self.floats.row_mut(session)[place] = (*pair.0, *pair.1);
                    }
                }
                _ => return false,
            }
        }
        saved.len() == self.places.len()
    }

    /// Memory of one session's cells, bytes.
    pub(super) fn session_size(&self) -> usize {
        8 * self.integers.width() + 16 * self.floats.width()
    }
}

impl<T: Copy> Rows<T> {
    fn new(width: usize, blank: T) -> Self {
        Self { blank: vec![blank; width], rows: (width > 0).then(|| Paged::new(width)) }
    }

    fn width(&self) -> usize {
        self.blank.len()
    }

    /// How many there are; none where they have no cells.
    fn len(&self) -> u32 {
        self.rows.as_ref().map_or(0, |rows| rows.len() as u32)
    }

    fn row(&self, session: u32) -> &[T] {
        self.rows.as_ref().map_or(&[], |rows| rows.row(session as usize))
    }

    fn row_mut(&mut self, session: u32) -> &mut [T] {
        self.rows.as_mut().map_or(&mut [], |rows| rows.row_mut(session as usize))
    }

    fn resize(&mut self, sessions: usize) {
        if let Some(rows) = &mut self.rows {
            rows.resize(sessions, &self.blank);
        }
    }

    fn keep(&mut self, sessions: &[u32]) {
        if let Some(rows) = &mut self.rows {
            let mut kept = Paged::new(self.blank.len());
            sessions.iter().for_each(|session| kept.push(rows.row(*session as usize)));
            drop(rows.replace(kept));
        }
    }

    fn share(&mut self) -> Self {
        Self { blank: self.blank.clone(), rows: self.rows.as_mut().map(Paged::share) }
    }

    fn take_copied(&mut self) -> usize {
        self.rows.as_mut().map_or(0, Paged::take_copied)
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
