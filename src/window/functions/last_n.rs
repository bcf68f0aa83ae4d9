//! `last_n(column, n)`: the newest `n` values that are not NULL, oldest first, as a list.
//!
//! Order is by event time and, for equal times, by arrival. The planner adds the stream's time column as the third
//! argument; the state is two lists, values and times, so that tiles merge in any grouping.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, TimestampMicrosecondArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, FieldRef, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, TypeSignature, Volatility,
};
use datafusion::physical_expr::expressions::Literal;

/// The most values that `last_n` keeps per key.
pub(crate) const MOST_VALUES: usize = 10_000;

/// The aggregate function itself.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct LastN {
    signature: Signature,
}

impl LastN {
    pub(crate) fn new() -> Self {
        let forms = vec![TypeSignature::Any(2), TypeSignature::Any(3)];
        Self { signature: Signature::one_of(forms, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for LastN {
    fn name(&self) -> &'static str {
        "last_n"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.first() {
            Some(value) => Ok(list_of(value)),
            None => plan_err!("last_n(column, n) needs a column"),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let [value, _, time] = args.input_fields else {
            return internal_err!("last_n was planned without the time column");
        };
        Ok(vec![
            Arc::new(Field::new(format!("{}[values]", args.name), list_of(value.data_type()), true)),
            Arc::new(Field::new(format!("{}[times]", args.name), list_of(time.data_type()), true)),
        ])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        exec_err!("last_n works in feature tables only")
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let count = args.exprs.get(1).and_then(|count| count.downcast_ref::<Literal>());
        let Some(&ScalarValue::Int64(Some(count))) = count.map(Literal::value) else {
            return plan_err!("the second argument of last_n must be a number such as 20");
        };
        let (Ok(count @ 1..=MOST_VALUES), [value, _, time]) = (usize::try_from(count), args.expr_fields) else {
            return plan_err!("last_n keeps from 1 to {MOST_VALUES} values, found {count}");
        };
        Ok(Box::new(LastNGroups {
            count,
            value_type: value.data_type().clone(),
            time_type: time.data_type().clone(),
            chunks: Vec::new(),
            groups: Vec::new(),
        }))
    }
}

fn list_of(value: &DataType) -> DataType {
    DataType::List(list_field(value))
}

fn list_field(value: &DataType) -> FieldRef {
    Arc::new(Field::new("item", value.clone(), true))
}

/// A value, by its place in the chunks, and its time.
#[derive(Clone, Copy)]
struct Entry {
    time: i64,
    chunk: u32,
    row: u32,
}

struct LastNGroups {
    count: usize,
    value_type: DataType,
    time_type: DataType,
    chunks: Vec<ArrayRef>,
    groups: Vec<Vec<Entry>>,
}

impl LastNGroups {
    fn push(&mut self, group: usize, entry: Entry) {
        let entries = &mut self.groups[group];
        entries.push(entry);
        if entries.len() >= 2 * self.count {
            keep_newest(entries, self.count);
        }
    }

    /// Values and times of the groups to emit, as lists.
    fn emit(&mut self, emit_to: EmitTo) -> Result<(ListArray, ListArray)> {
        let mut groups = emit_to.take_needed(&mut self.groups);
        let (mut places, mut times, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(groups.len()));
        for entries in &mut groups {
            keep_newest(entries, self.count);
            lengths.push(entries.len());
            places.extend(entries.iter().map(|entry| (entry.chunk as usize, entry.row as usize)));
            times.extend(entries.iter().map(|entry| entry.time));
        }
        let chunks: Vec<&dyn Array> = self.chunks.iter().map(AsRef::as_ref).collect();
        let values = if places.is_empty() { new_empty_array(&self.value_type) } else { interleave(&chunks, &places)? };
        let times = TimestampMicrosecondArray::from(times).with_data_type(self.time_type.clone());
        let offsets = OffsetBuffer::from_lengths(lengths);
        let values = ListArray::try_new(list_field(&self.value_type), offsets.clone(), values, None)?;
        let times = ListArray::try_new(list_field(&self.time_type), offsets, Arc::new(times), None)?;
        if self.groups.is_empty() {
            self.chunks.clear();
        }
        Ok((values, times))
    }
}

/// Sorts by time, arrival order kept for equal times, and drops all but the newest `count`.
fn keep_newest(entries: &mut Vec<Entry>, count: usize) {
    entries.sort_by_key(|entry| entry.time);
    let surplus = entries.len().saturating_sub(count);
    entries.drain(..surplus);
}

impl GroupsAccumulator for LastNGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups, Vec::new);
        let [value, _, time] = values else {
            return internal_err!("last_n expects value, n and time");
        };
        let times = time.as_primitive::<TimestampMicrosecondType>();
        let chunk = self.chunks.len() as u32;
        for (row, group) in group_indices.iter().enumerate() {
            let wanted = opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if wanted && value.is_valid(row) && times.is_valid(row) {
                self.push(*group, Entry { time: times.value(row), chunk, row: row as u32 });
            }
        }
        self.chunks.push(Arc::clone(value));
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize_with(total_num_groups, Vec::new);
        let [values, times] = values else {
            return internal_err!("last_n merges values and times");
        };
        let (values, times) = (values.as_list::<i32>(), times.as_list::<i32>());
        let all_times = times.values().as_primitive::<TimestampMicrosecondType>();
        let chunk = self.chunks.len() as u32;
        for (list, group) in group_indices.iter().enumerate() {
            let (first_value, first_time) = (values.value_offsets()[list], times.value_offsets()[list]);
            for place in 0..values.value_length(list) {
                let time = all_times.value((first_time + place) as usize);
                self.push(*group, Entry { time, chunk, row: (first_value + place) as u32 });
            }
        }
        self.chunks.push(Arc::clone(values.values()));
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(self.emit(emit_to)?.0))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (values, times) = self.emit(emit_to)?;
        Ok(vec![Arc::new(values), Arc::new(times)])
    }

    fn convert_to_state(&self, _: &[ArrayRef], _: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        internal_err!("last_n does not skip partial aggregation")
    }

    fn size(&self) -> usize {
        let entries: usize = self.groups.iter().map(|group| group.capacity() * size_of::<Entry>()).sum();
        entries + self.chunks.iter().map(arrow::array::Array::get_array_memory_size).sum::<usize>()
    }
}
