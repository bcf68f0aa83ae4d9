//! Reading aggregates of some keys over a window: from the running totals, or from the panes one by one.

use arrow::array::ArrayRef;
use datafusion::logical_expr::EmitTo;
use hashbrown::HashSet;

use super::aggregate::{AdditiveAggregate, Aggregates, OutputSource};
use super::emit::{Column, Values};
use super::group::Panes;
use super::pane::PaneColumn;
use super::running::Running;
use super::totals::Sums;
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
            running.catch_up(*start, start.div_euclid(width) as u32, pane, self.owned);
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
        let mut values = Values {
            additive: self.additive(running, range, slots, &needed.additive),
            distinct: Vec::with_capacity(self.aggregates.distinct.len()),
            merged: Vec::with_capacity(self.aggregates.merged.len()),
        };
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

    /// Totals and the panes that are not in them; of a window that has closed, all its panes.
    fn additive(&self, running: &Running, range: Range, slots: &[u32], needed: &[bool]) -> Vec<Column> {
        let (start, end) = range.window();
        let (totals, from) = match range {
            Range::Running(_) => (running.additive.as_slice(), running.included_until.max(start)),
            Range::Closed(_) => (&[][..], start),
        };
        let begin = |(index, one): (usize, &AdditiveAggregate)| {
            needed[index].then(|| match totals.get(index) {
                Some(Some(totals)) => totals.of(slots),
                _ => Sums::zero(one.kind, slots.len()),
            })
        };
        let mut sums: Vec<Option<Sums>> = self.aggregates.additive.iter().enumerate().map(begin).collect();
        let mut rows: Vec<Option<usize>> = Vec::with_capacity(slots.len());
        for (_, pane) in self.panes.by_start.range(from..end.max(from)) {
            rows.clear();
            rows.extend(slots.iter().map(|slot| pane.row_of(*slot)));
            for (sums, column) in sums.iter_mut().zip(&pane.content().additive) {
                if let Some(sums) = sums {
                    sums.add_rows(&rows, column);
                }
            }
        }
        let finish = |(index, sums): (usize, Option<Sums>)| match sums {
            None => Column::Integers(Vec::new()),
            Some(Sums::Integers(sums)) => Column::Integers(sums),
            Some(Sums::Floats(sums)) => {
                let value = |((sum, _), slot): (&(f64, f64), &u32)| {
                    if sum.is_finite() { *sum } else { self.plain_sum(index, (start, end), *slot) }
                };
                Column::Floats(sums.iter().zip(slots).map(value).collect())
            }
        };
        sums.into_iter().enumerate().map(finish).collect()
    }

    /// A sum with infinities or NaN in it, which can't be taken away again: from the panes.
    fn plain_sum(&self, index: usize, (start, end): (i64, i64), slot: u32) -> f64 {
        let panes = self.panes.by_start.range(start..end).map(|(_, pane)| pane);
        let values = panes.filter_map(|pane| match &pane.content().additive[index] {
            PaneColumn::Floats(column) => pane.row_of(slot).map(|row| *column.get(row)),
            PaneColumn::Integers(_) => None,
        });
        values.sum()
    }

    fn distinct(&self, index: usize, (start, end): (i64, i64), slots: &[u32]) -> Vec<i64> {
        let wanted: HashSet<u32> = slots.iter().copied().collect();
        let mut pairs: HashSet<(u32, i64)> = HashSet::new();
        let mut counts: hashbrown::HashMap<u32, i64> = hashbrown::HashMap::new();
        for pane in self.panes.by_start.range(start..end).map(|(_, pane)| &pane.content().distinct[index]) {
            for (slot, value) in
                pane.slots().iter().zip(pane.values().iter()).filter(|(slot, _)| wanted.contains(*slot))
            {
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
                OutputSource::IntegerSum { low, high, count } => {
                    [low, high, count].iter().for_each(|place| needed.additive[*place] = true);
                }
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
