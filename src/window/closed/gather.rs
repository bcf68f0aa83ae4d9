//! Reading aggregates of some keys over a window: from the running totals, or from the panes one by one.

use arrow::array::ArrayRef;
use datafusion::logical_expr::EmitTo;
use hashbrown::HashSet;

use super::aggregate::{Additive, Aggregates, OutputSource};
use super::emit::Values;
use super::group::Panes;
use super::pane::Column;
use super::running::{Running, Totals, add};
use crate::window::WindowError;
use crate::window::keys::KeyIndex;

/// What a window is read from.
pub(super) struct Gather<'a> {
    pub(super) panes: &'a mut Panes,
    pub(super) aggregates: &'a Aggregates,
    pub(super) keys: &'a KeyIndex,
    /// Whether one table alone looks at the panes.
    pub(super) owned: bool,
    /// Scratch space: the group of each key while aggregates are merged.
    pub(super) groups: &'a mut Vec<u32>,
}

/// A window, and how its values are found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Range {
    /// The one that the totals follow.
    Running((i64, i64)),
    /// One that has closed.
    Closed((i64, i64)),
}

impl Range {
    pub(super) fn window(self) -> (i64, i64) {
        match self {
            Self::Running(window) | Self::Closed(window) => window,
        }
    }
}

impl Gather<'_> {
    /// Adds the panes before `end` to the totals of the window.
    pub(super) fn include_until(&mut self, running: &mut Running, end: i64) {
        for (_, pane) in self.panes.by_start.range(running.included_until..end) {
            running.include(pane);
        }
        running.included_until = end;
    }

    /// Brings the distinct counts of the window up to date.
    pub(super) fn catch_up(&mut self, running: &mut Running, (start, end): (i64, i64)) {
        let width = self.panes.width;
        for (start, pane) in self.panes.by_start.range_mut(start..end) {
            running.catch_up(*start, start.div_euclid(width) as u32, &mut pane.distinct, self.owned);
        }
    }

    /// The aggregates that `outputs` need of some keys.
    pub(super) fn values(
        &mut self,
        running: &Running,
        range: Range,
        slots: &[u32],
        outputs: &[OutputSource],
    ) -> Result<Values, WindowError> {
        let needed = Needed::of(outputs, self.aggregates);
        let from = match range {
            Range::Running((start, _)) => running.included_until.max(start),
            Range::Closed((start, _)) => start,
        };
        let mut values = Values {
            additive: Vec::with_capacity(self.aggregates.additive.len()),
            distinct: Vec::with_capacity(self.aggregates.distinct.len()),
            merged: Vec::with_capacity(self.aggregates.merged.len()),
        };
        for index in 0..self.aggregates.additive.len() {
            let totals = match range {
                Range::Running(_) => running.additive[index].as_ref(),
                Range::Closed(_) => None,
            };
            let needed = needed.additive[index];
            values.additive.push(if needed {
                self.additive(index, totals, (from, range), slots)
            } else {
                Column::new(Additive::Count)
            });
        }
        for index in 0..self.aggregates.distinct.len() {
            values.distinct.push(match (needed.distinct[index], range, &running.distinct[index]) {
                (false, ..) => Vec::new(),
                (true, Range::Running(_), Some(seen)) => slots.iter().map(|slot| seen.count(*slot)).collect(),
                (true, ..) => self.distinct(index, range.window(), slots),
            });
        }
        for (index, needed) in needed.merged.into_iter().enumerate() {
            values.merged.push(if needed {
                self.merged(index, range.window(), slots)?
            } else {
                arrow::array::new_empty_array(&arrow::datatypes::DataType::Null)
            });
        }
        Ok(values)
    }

    /// Totals and the panes that are not in them; without totals, all panes.
    fn additive(&self, index: usize, totals: Option<&Totals>, (from, range): (i64, Range), slots: &[u32]) -> Column {
        let (start, end) = range.window();
        let rows = |from: i64, slot: u32| {
            let panes = self.panes.by_start.range(from..end.max(from)).map(|(_, pane)| pane);
            panes.filter_map(move |pane| pane.row_of(slot).map(|row| (&pane.additive[index], row)))
        };
        let is_open = self.panes.by_start.range(from..end.max(from)).next().is_some();
        match self.aggregates.additive[index].kind {
            Additive::Count | Additive::Integer => {
                let mut values: Vec<i64> = match totals {
                    Some(Totals::Integers(totals)) => slots.iter().map(|slot| totals[*slot as usize]).collect(),
                    _ => vec![0; slots.len()],
                };
                for (value, slot) in values.iter_mut().zip(slots).filter(|_| is_open) {
                    for (column, row) in rows(from, *slot) {
                        if let Column::Integers(column) = column {
                            *value = value.wrapping_add(column[row]);
                        }
                    }
                }
                Column::Integers(values)
            }
            Additive::Float => {
                let part = |from: i64, slot: u32, mut total: (f64, f64)| {
                    for (column, row) in rows(from, slot) {
                        if let Column::Floats(column) = column {
                            total = add(total, column[row]);
                        }
                    }
                    total
                };
                let value = |slot: &u32| {
                    let total = match totals {
                        Some(Totals::Floats(totals)) => totals[*slot as usize],
                        _ => (0.0, 0.0),
                    };
                    let total = if is_open { part(from, *slot, total).0 } else { total.0 };
                    if total.is_finite() { total } else { self.plain_sum(index, (start, end), *slot) }
                };
                Column::Floats(slots.iter().map(value).collect())
            }
        }
    }

    /// A sum with infinities or NaN in it, which can't be taken away again: from the panes.
    fn plain_sum(&self, index: usize, (start, end): (i64, i64), slot: u32) -> f64 {
        let panes = self.panes.by_start.range(start..end).map(|(_, pane)| pane);
        let values = panes.filter_map(|pane| match &pane.additive[index] {
            Column::Floats(column) => pane.row_of(slot).map(|row| column[row]),
            Column::Integers(_) => None,
        });
        values.sum()
    }

    fn distinct(&self, index: usize, (start, end): (i64, i64), slots: &[u32]) -> Vec<i64> {
        let wanted: HashSet<u32> = slots.iter().copied().collect();
        let mut pairs: HashSet<(u32, i64)> = HashSet::new();
        let mut counts: hashbrown::HashMap<u32, i64> = hashbrown::HashMap::new();
        for pane in self.panes.by_start.range(start..end).map(|(_, pane)| &pane.distinct[index]) {
            for (slot, value) in pane.slots.iter().zip(&pane.values).filter(|(slot, _)| wanted.contains(*slot)) {
                if pairs.insert((*slot, *value)) {
                    *counts.entry(*slot).or_default() += 1;
                }
            }
        }
        slots.iter().map(|slot| counts.get(slot).copied().unwrap_or(0)).collect()
    }

    fn merged(&mut self, index: usize, (start, end): (i64, i64), slots: &[u32]) -> Result<ArrayRef, WindowError> {
        let aggregate = &self.aggregates.merged[index];
        let mut accumulator = aggregate.accumulator(slots.len())?;
        let mut groups = std::mem::take(self.groups);
        groups.resize(groups.len().max(self.keys.len()), NONE);
        for (slot, group) in slots.iter().zip(0..) {
            groups[*slot as usize] = group;
        }
        let group_of = |slot: u32| match groups.get(slot as usize) {
            None | Some(&NONE) => None,
            Some(group) => Some(*group as usize),
        };
        let mut outcome = Ok(());
        let Panes { width, by_start, tiles } = &*self.panes;
        for partial in tiles.cover(by_start, *width, index, (start, end)) {
            outcome = outcome.and_then(|()| partial.merge_into(accumulator.as_mut(), slots.len(), &group_of));
        }
        for slot in slots {
            groups[*slot as usize] = NONE;
        }
        *self.groups = groups;
        outcome?;
        Ok(accumulator.evaluate(EmitTo::All)?)
    }
}

/// The group of a key that is not read.
const NONE: u32 = u32::MAX;

/// Which aggregates some outputs need.
struct Needed {
    additive: Vec<bool>,
    distinct: Vec<bool>,
    merged: Vec<bool>,
}

impl Needed {
    fn of(outputs: &[OutputSource], aggregates: &Aggregates) -> Self {
        let mut needed = Self {
            additive: vec![false; aggregates.additive.len()],
            distinct: vec![false; aggregates.distinct.len()],
            merged: vec![false; aggregates.merged.len()],
        };
        for output in outputs {
            match *output {
                OutputSource::Count { count } => needed.additive[count] = true,
                OutputSource::Sum { sum, count } | OutputSource::Average { sum, count } => {
                    needed.additive[sum] = true;
                    needed.additive[count] = true;
                }
                OutputSource::Distinct { distinct } => needed.distinct[distinct] = true,
                OutputSource::Merged { merged } => needed.merged[merged] = true,
                OutputSource::Decayed { sum, newest, .. } => {
                    needed.merged[sum] = true;
                    needed.merged[newest] = true;
                }
            }
        }
        needed
    }
}
