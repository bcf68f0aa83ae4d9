//! `last_n(column, n)` and `first_n(column, n)`: the newest or the oldest `n` values that are not NULL, as a list,
//! oldest first in both; an empty list for a group without values.
//!
//! ```text
//!   time      1    2    2    3    4
//!   value     a    b    c  NULL   d        last_n(value, 2) = [c, d]     first_n(value, 2) = [a, b]
//! ```
//!
//! Order is by event time, in microseconds, and for equal times by arrival: rows and states must come in the order of
//! arrival for that. The state is two lists, values and times, at most `n` long.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, ListArray, TimestampMicrosecondArray, new_empty_array};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::cast::as_list_array;
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

use super::arguments;
use super::lists::{list_field, list_of, list_state, offsets};
use super::one_group::OneGroup;
use super::rows::{each_row_alone, for_each_row, wanted};

/// The most values that are kept per key.
pub(crate) const MOST_VALUES: usize = 10_000;

pub(super) const LAST_N: &str = "last_n";
pub(super) const FIRST_N: &str = "first_n";

/// Stored rows below which chunks are not copied together.
const FEW_ROWS: usize = 65_536;

/// Which end of time the kept values are nearest to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum End {
    Oldest,
    Newest,
}

/// The aggregate function itself.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct NearestN {
    end: End,
    signature: Signature,
}

impl NearestN {
    pub(super) fn new(end: End) -> Self {
        Self { end, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn call(&self) -> &'static str {
        match self.end {
            End::Oldest => "first_n(column, n)",
            End::Newest => "last_n(column, n)",
        }
    }
}

impl AggregateUDFImpl for NearestN {
    fn name(&self) -> &'static str {
        match self.end {
            End::Oldest => FIRST_N,
            End::Newest => LAST_N,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let call = self.call();
        match arguments {
            [value, n] => Ok(vec![value.clone(), arguments::whole_number_type(n, call)?]),
            [value, n, time] => {
                Ok(vec![value.clone(), arguments::whole_number_type(n, call)?, arguments::time_type(time, call)?])
            }
            _ => plan_err!("{call} has two arguments, or three with a time to order by, found {}", arguments.len()),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.first() {
            Some(value) => Ok(list_of(value)),
            None => plan_err!("{} needs a column", self.call()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let [value, _, time] = args.input_fields else {
            return self.no_time();
        };
        Ok(vec![list_state(args.name, "values", value.data_type()), list_state(args.name, "times", time.data_type())])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup::new(self.create_groups_accumulator(args)?)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        arguments::refuse_modifiers(&args, self.call())?;
        let count = arguments::whole_number(&args, self.call(), 1..=MOST_VALUES)?;
        let [value, _, time] = args.expr_fields else {
            return self.no_time();
        };
        Ok(Box::new(NearestGroups::new(self.end, count, value.data_type(), time.data_type())))
    }
}

impl NearestN {
    fn no_time<T>(&self) -> Result<T> {
        let call = self.call();
        plan_err!("{call} has no time to order by: outside feature tables give the time column as third argument")
    }
}

/// A value, by its place in the chunks, and its time.
#[derive(Clone, Copy)]
struct Entry {
    time: i64,
    chunk: u32,
    row: u32,
}

/// The values of all groups. Columns are kept as they came, and entries point into them, so that any type will do.
struct NearestGroups {
    end: End,
    count: usize,
    value_type: DataType,
    time_type: DataType,
    chunks: Vec<ArrayRef>,
    /// Rows in all chunks, and how many there may be before what nothing points to is dropped.
    stored_rows: usize,
    most_rows: usize,
    groups: Vec<Vec<Entry>>,
    entries: usize,
}

impl NearestGroups {
    fn new(end: End, count: usize, value_type: &DataType, time_type: &DataType) -> Self {
        Self {
            end,
            count,
            value_type: value_type.clone(),
            time_type: time_type.clone(),
            chunks: Vec::new(),
            stored_rows: 0,
            most_rows: FEW_ROWS,
            groups: Vec::new(),
            entries: 0,
        }
    }

    fn push(&mut self, group: usize, entry: Entry) {
        let entries = &mut self.groups[group];
        entries.push(entry);
        self.entries += 1;
        // Sorting at twice the length spreads its cost over as many pushes.
        if entries.len() >= 2 * self.count.max(8) {
            let before = entries.len();
            keep_nearest(entries, self.end, self.count);
            self.entries -= before - entries.len();
        }
    }

    fn push_chunk(&mut self, chunk: &ArrayRef) -> Result<()> {
        self.stored_rows += chunk.len();
        self.chunks.push(Arc::clone(chunk));
        if self.stored_rows > self.most_rows { self.compact() } else { Ok(()) }
    }

    /// Copies the values that are still pointed to into one chunk.
    fn compact(&mut self) -> Result<()> {
        self.entries = 0;
        for entries in &mut self.groups {
            keep_nearest(entries, self.end, self.count);
            self.entries += entries.len();
        }
        let kept = self.gather(self.groups.iter().flatten())?;
        for (row, entry) in self.groups.iter_mut().flatten().enumerate() {
            (entry.chunk, entry.row) = (0, row as u32);
        }
        self.stored_rows = kept.len();
        self.most_rows = FEW_ROWS.max(4 * kept.len());
        self.chunks = vec![kept];
        Ok(())
    }

    fn gather<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> Result<ArrayRef> {
        let places: Vec<(usize, usize)> = entries.map(|entry| (entry.chunk as usize, entry.row as usize)).collect();
        if places.is_empty() {
            return Ok(new_empty_array(&self.value_type));
        }
        let chunks: Vec<&dyn Array> = self.chunks.iter().map(AsRef::as_ref).collect();
        Ok(interleave(&chunks, &places)?)
    }

    /// Values and times of the groups to emit, as lists.
    fn emit(&mut self, emit_to: EmitTo) -> Result<(ListArray, ListArray)> {
        let mut groups = emit_to.take_needed(&mut self.groups);
        let mut lengths = Vec::with_capacity(groups.len());
        for entries in &mut groups {
            self.entries -= entries.len();
            keep_nearest(entries, self.end, self.count);
            lengths.push(entries.len());
        }
        let offsets = offsets(&lengths)?;
        let values = self.gather(groups.iter().flatten())?;
        let times: TimestampMicrosecondArray = groups.iter().flatten().map(|entry| Some(entry.time)).collect();
        let times = times.with_data_type(self.time_type.clone());
        let values = ListArray::try_new(list_field(&self.value_type), offsets.clone(), values, None)?;
        let times = ListArray::try_new(list_field(&self.time_type), offsets, Arc::new(times), None)?;
        if self.groups.is_empty() {
            self.chunks.clear();
            self.stored_rows = 0;
        }
        Ok((values, times))
    }
}

/// Sorts by time, arrival order kept for equal times, and drops all but the `count` at one end.
fn keep_nearest(entries: &mut Vec<Entry>, end: End, count: usize) {
    entries.sort_by_key(|entry| entry.time);
    match end {
        End::Oldest => entries.truncate(count),
        End::Newest => {
            let surplus = entries.len().saturating_sub(count);
            entries.drain(..surplus);
        }
    }
}

impl GroupsAccumulator for NearestGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups, Vec::new);
        let [value, _, time] = values else {
            return internal_err!("last_n and first_n expect value, n and time");
        };
        let times = arguments::times(time)?;
        let wanted = wanted(&[value, time], opt_filter);
        let chunk = self.chunks.len() as u32;
        for_each_row(wanted.as_ref(), value.len(), |row| {
            self.push(group_indices[row], Entry { time: times.value(row), chunk, row: row as u32 });
        });
        self.push_chunk(value)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize_with(total_num_groups, Vec::new);
        let [values, times] = values else {
            return internal_err!("last_n and first_n merge values and times");
        };
        let (values, times) = (as_list_array(values)?, as_list_array(times)?);
        let all_times = arguments::times(times.values())?;
        let chunk = self.chunks.len() as u32;
        for (list, group) in group_indices.iter().enumerate() {
            let (first_value, first_time) = (values.value_offsets()[list], times.value_offsets()[list]);
            for place in 0..values.value_length(list) {
                let time = all_times.value((first_time + place) as usize);
                self.push(*group, Entry { time, chunk, row: (first_value + place) as u32 });
            }
        }
        self.push_chunk(values.values())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(self.emit(emit_to)?.0))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (values, times) = self.emit(emit_to)?;
        Ok(vec![Arc::new(values), Arc::new(times)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let fresh = Self::new(self.end, self.count, &self.value_type, &self.time_type);
        each_row_alone(fresh, values, opt_filter)
    }

    fn size(&self) -> usize {
        let values: usize = self.chunks.iter().map(Array::get_array_memory_size).sum();
        values + self.entries * size_of::<Entry>() + self.groups.capacity() * size_of::<Vec<Entry>>()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use proptest::prelude::*;

    use super::*;
    use crate::sql::functions::harness::{GROUPS, Route, Row, Subject, integers, refusal, route, rows, taken};

    /// Sorts every value that counts, and keeps one end.
    fn model(rows: &[Row], group: usize, filtered: bool, end: End, n: usize) -> Vec<i64> {
        let mut found: Vec<(i64, i64)> =
            taken(rows, group, filtered).filter_map(|row| Some((row.ts, row.number?))).collect();
        found.sort_by_key(|(ts, _)| *ts);
        let found: Vec<i64> = found.into_iter().map(|(_, value)| value).collect();
        match end {
            End::Oldest => found[..found.len().min(n)].to_vec(),
            End::Newest => found[found.len().saturating_sub(n)..].to_vec(),
        }
    }

    fn assert_follows_the_model(rows: &[Row], filtered: bool, route: &Route, n: usize) {
        for (end, name) in [(End::Newest, "last_n"), (End::Oldest, "first_n")] {
            let subject = Subject::new(&format!("{name}(number, {n}, ts)"));
            for found in [subject.straight(rows, filtered), subject.detour(rows, filtered, route)] {
                for group in 0..GROUPS {
                    let list = found.as_list::<i32>().value(group);
                    assert_eq!(integers(&list), model(rows, group, filtered, end, n), "{name} of group {group}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_nearest_values_survive_any_division(
            rows in rows(), filtered in any::<bool>(), route in route(), n in 1_usize..12,
        ) {
            assert_follows_the_model(&rows, filtered, &route, n);
        }
    }

    #[test]
    fn memory_is_bounded_by_what_is_kept() {
        let rows: Vec<Row> = (0..10_000)
            .map(|ts| Row { group: 0, number: Some(ts), price: None, word: None, ts, passes: None })
            .collect();
        let subject = Subject::new("last_n(number, 3, ts)");
        let mut accumulator = subject.accumulator();
        let groups = vec![0; rows.len()];
        for round in 0..100 {
            accumulator.update_batch(&subject.arguments(&rows), &groups, None, 1).unwrap();
            assert!(accumulator.size() < 2_000_000, "round {round}: {}", accumulator.size());
        }
        let found = accumulator.evaluate(EmitTo::All).unwrap();
        assert_eq!(integers(&found.as_list::<i32>().value(0)), [9_999; 3]);
    }

    #[test]
    fn values_of_any_type_are_kept() {
        let row = |word, ts| Row { group: 0, number: None, price: None, word, ts, passes: None };
        let rows = [row(Some("c"), 3), row(Some("a"), 1), row(None, 9), row(Some("b"), 2)];
        let newest = Subject::new("last_n(word, 2, ts)").straight(&rows, false);
        let list = newest.as_list::<i32>().value(0);
        assert_eq!(list.as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn wrong_arguments_are_refused_with_what_would_be_right() {
        let found = refusal("last_n(number, 0, ts)");
        assert!(found.contains("last_n(column, n) must be a number from 1 to 10000, found `0`"), "{found}");
        let found = refusal("first_n(number, 10001, ts)");
        assert!(found.contains("found `10001`"), "{found}");
        let found = refusal("first_n(number, number, ts)");
        assert!(found.contains("found something that depends on rows"), "{found}");
        let found = refusal("first_n(number, 2.5, ts)");
        assert!(found.contains("must be a number such as 20, found Float64"), "{found}");
        let found = refusal("last_n(number, 2)");
        assert!(found.contains("give the time column as third argument"), "{found}");
        let found = refusal("last_n(number, 2, number)");
        assert!(found.contains("needs a timestamp as its time, found Int64"), "{found}");
        let found = refusal("last_n(number)");
        assert!(found.contains("has two arguments, or three with a time to order by, found 1"), "{found}");
        let found = refusal("last_n(DISTINCT number, 2, ts)");
        assert!(found.contains("takes no DISTINCT"), "{found}");
        let found = refusal("last_n(number, 2, ts ORDER BY ts)");
        assert!(found.contains("takes no ORDER BY"), "{found}");
    }
}
