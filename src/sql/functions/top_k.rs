//! `top_k(column, k)`: the `k` most frequent values that are not NULL, with their counts, as a list of
//! `{value, count}`: counts fall, and equal counts are ordered by value, smallest first. An empty list for a group
//! without values.
//!
//! Counts are exact, and values are equal as in GROUP BY. The price is a count per *distinct* value of a group, in the
//! accumulator and in every state (a list of values and a list of counts): about 20 bytes and the value, in each tile. For columns with
//! millions of values per key, group by something coarser.
//!
//! Pairs of group and value go through the interner that DataFusion groups by, so every type that can be grouped by
//! works, at that speed.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, ListArray, StructArray, UInt32Array, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use arrow::row::{RowConverter, SortField};
use datafusion::common::cast::{as_int64_array, as_list_array, as_uint32_array};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::arguments;
use super::lists::{list_field, list_of, list_state, offsets};
use super::one_group::OneGroup;
use super::rows::{each_row_alone, for_each_row, wanted};

/// The most values in a result.
const MOST_VALUES: usize = 1_000;
const CALL: &str = "top_k(column, k)";

/// The aggregate function itself.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TopK {
    signature: Signature,
}

impl TopK {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// The fields of an entry of the result.
fn entry_fields(value: &DataType) -> Fields {
    Fields::from(vec![Field::new("value", value.clone(), true), Field::new("count", DataType::Int64, false)])
}

impl AggregateUDFImpl for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [value, k] = arguments else {
            return plan_err!("{CALL} has two arguments, found {}", arguments.len());
        };
        if !RowConverter::supports_fields(&[SortField::new(value.clone())]) {
            return plan_err!("{CALL} needs values that have an order, found {value}");
        }
        Ok(vec![value.clone(), arguments::whole_number_type(k, CALL)?])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.first() {
            Some(value) => Ok(list_of(&DataType::Struct(entry_fields(value)))),
            None => plan_err!("{CALL} needs a column"),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let Some(value) = args.input_fields.first() else {
            return plan_err!("{CALL} needs a column");
        };
        Ok(vec![list_state(args.name, "values", value.data_type()), list_state(args.name, "counts", &DataType::Int64)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup::new(self.create_groups_accumulator(args)?)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        arguments::refuse_modifiers(&args, CALL)?;
        let k = arguments::whole_number(&args, CALL, 1..=MOST_VALUES)?;
        let Some(value) = args.expr_fields.first() else {
            return plan_err!("{CALL} needs a column");
        };
        Ok(Box::new(CountGroups::new(k, value.data_type())?))
    }
}

/// The counts of all groups.
struct CountGroups {
    k: usize,
    value_type: DataType,
    group_count: usize,
    /// Distinct pairs of group and value, numbered in the order of arrival.
    pairs: Box<dyn GroupValues>,
    /// Per pair.
    counts: Vec<i64>,
    /// Pair of each row of a batch; kept to keep its memory.
    pair_of_row: Vec<usize>,
}

/// Values and counts of the emitted groups, group after group, values in the order of arrival.
struct Counted {
    values: ArrayRef,
    counts: Vec<i64>,
    /// Number of values per group.
    lengths: Vec<usize>,
}

impl CountGroups {
    fn new(k: usize, value_type: &DataType) -> Result<Self> {
        let fields = vec![Field::new("group", DataType::UInt32, false), Field::new("value", value_type.clone(), true)];
        Ok(Self {
            k,
            value_type: value_type.clone(),
            group_count: 0,
            pairs: new_group_values(Arc::new(Schema::new(fields)), &GroupOrdering::None)?,
            counts: Vec::new(),
            pair_of_row: Vec::new(),
        })
    }

    /// Adds one count per row of `groups` and `values`.
    fn count(&mut self, groups: UInt32Array, values: ArrayRef, counts: impl Iterator<Item = i64>) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        self.pairs.intern(&[Arc::new(groups), values], &mut self.pair_of_row)?;
        self.counts.resize(self.pairs.len(), 0);
        for (pair, count) in self.pair_of_row.iter().zip(counts) {
            self.counts[*pair] += count;
        }
        Ok(())
    }

    fn emit(&mut self, emit_to: EmitTo) -> Result<Counted> {
        let emitted = match emit_to {
            EmitTo::All => self.group_count,
            EmitTo::First(groups) => groups,
        };
        self.group_count -= emitted;
        if self.pairs.is_empty() {
            let values = arrow::array::new_empty_array(&self.value_type);
            return Ok(Counted { values, counts: Vec::new(), lengths: vec![0; emitted] });
        }
        let columns = self.pairs.emit(EmitTo::All)?;
        // Emitting alone leaves the interner's table pointing at what was emitted.
        self.pairs.clear_shrink(0);
        let [groups, values] = columns.as_slice() else {
            return internal_err!("{CALL} interns group and value");
        };
        let groups = as_uint32_array(groups)?;
        let counts = std::mem::take(&mut self.counts);

        // A counting sort by group; the pairs of groups that stay are numbered anew.
        let mut lengths = vec![0_usize; emitted];
        let mut staying = Vec::new();
        for (pair, group) in groups.values().iter().enumerate() {
            match lengths.get_mut(*group as usize) {
                Some(length) => *length += 1,
                None => staying.push(pair as u64),
            }
        }
        let mut next: Vec<usize> = Vec::with_capacity(emitted);
        let mut total = 0;
        for length in &lengths {
            next.push(total);
            total += length;
        }
        let mut order = vec![0_u64; total];
        for (pair, group) in groups.values().iter().enumerate() {
            if let Some(place) = next.get_mut(*group as usize) {
                order[*place] = pair as u64;
                *place += 1;
            }
        }
        let leaving_counts = order.iter().map(|pair| counts[*pair as usize]).collect();
        let leaving = take(values, &UInt64Array::from(order), None)?;
        let staying_groups = staying.iter().map(|pair| groups.value(*pair as usize) - emitted as u32).collect();
        let staying_counts: Vec<i64> = staying.iter().map(|pair| counts[*pair as usize]).collect();
        let staying = take(values, &UInt64Array::from(staying), None)?;
        self.count(staying_groups, staying, staying_counts.into_iter())?;
        Ok(Counted { values: leaving, counts: leaving_counts, lengths })
    }
}

/// The best `k` of each group.
fn best(counted: &Counted, k: usize) -> Result<(ArrayRef, Vec<i64>, Vec<usize>)> {
    let converter = RowConverter::new(vec![SortField::new(counted.values.data_type().clone())])?;
    let rows = converter.convert_columns(&[Arc::clone(&counted.values)])?;
    let mut places = Vec::new();
    let mut lengths = Vec::with_capacity(counted.lengths.len());
    let mut first = 0;
    let mut group: Vec<usize> = Vec::new();
    for length in &counted.lengths {
        group.clear();
        group.extend(first..first + length);
        let by_rank = |left: &usize, right: &usize| {
            counted.counts[*right].cmp(&counted.counts[*left]).then_with(|| rows.row(*left).cmp(&rows.row(*right)))
        };
        if group.len() > k {
            group.select_nth_unstable_by(k - 1, by_rank);
            group.truncate(k);
        }
        group.sort_unstable_by(by_rank);
        places.extend(group.iter().map(|place| *place as u64));
        lengths.push(group.len());
        first += length;
    }
    let counts = places.iter().map(|place| counted.counts[*place as usize]).collect();
    Ok((take(&counted.values, &UInt64Array::from(places), None)?, counts, lengths))
}

impl GroupsAccumulator for CountGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.group_count = total_num_groups;
        let Some(values) = values.first() else {
            return internal_err!("{CALL} expects a value");
        };
        let wanted = wanted(&[values], opt_filter);
        let Some(wanted) = wanted else {
            let groups = group_indices.iter().map(|group| *group as u32).collect();
            return self.count(groups, Arc::clone(values), std::iter::repeat(1));
        };
        let mut rows = Vec::with_capacity(wanted.count_set_bits());
        for_each_row(Some(&wanted), values.len(), |row| rows.push(row as u64));
        let groups = rows.iter().map(|row| group_indices[*row as usize] as u32).collect();
        self.count(groups, take(values, &UInt64Array::from(rows), None)?, std::iter::repeat(1))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.group_count = total_num_groups;
        let [values, counts] = values else {
            return internal_err!("{CALL} merges values and counts");
        };
        let (values, counts) = (as_list_array(values)?, as_list_array(counts)?);
        let mut groups: Vec<u32> = Vec::new();
        for (list, group) in group_indices.iter().enumerate() {
            groups.resize(groups.len() + values.value_length(list) as usize, *group as u32);
        }
        let (all_values, all_counts) = (held(values), held(counts));
        if all_values.len() != groups.len() || all_counts.len() != groups.len() {
            return internal_err!("{CALL} merges as many counts as values");
        }
        let counts = as_int64_array(&all_counts)?.values().clone();
        self.count(UInt32Array::from(groups), all_values, counts.iter().copied())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let counted = self.emit(emit_to)?;
        let (values, counts, lengths) = best(&counted, self.k)?;
        let fields = entry_fields(&self.value_type);
        let entries = StructArray::try_new(fields.clone(), vec![values, Arc::new(Int64Array::from(counts))], None)?;
        let field = list_field(&DataType::Struct(fields));
        Ok(Arc::new(ListArray::try_new(field, offsets(&lengths)?, Arc::new(entries), None)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let Counted { values, counts, lengths } = self.emit(emit_to)?;
        let offsets = offsets(&lengths)?;
        let values = ListArray::try_new(list_field(&self.value_type), offsets.clone(), values, None)?;
        let counts: ArrayRef = Arc::new(Int64Array::from(counts));
        let counts = ListArray::try_new(list_field(&DataType::Int64), offsets, counts, None)?;
        Ok(vec![Arc::new(values), Arc::new(counts)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        each_row_alone(Self::new(self.k, &self.value_type)?, values, opt_filter)
    }

    fn size(&self) -> usize {
        self.pairs.size() + self.counts.capacity() * size_of::<i64>() + self.pair_of_row.capacity() * size_of::<usize>()
    }
}

/// The values of all lists, one after the other.
fn held(lists: &ListArray) -> ArrayRef {
    let offsets = lists.value_offsets();
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    lists.values().slice(first as usize, (last - first) as usize)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;
    use crate::sql::functions::harness::{GROUPS, Row, Subject, integers, refusal, route, rows, taken};

    fn best_of<V: Ord + Clone>(values: impl Iterator<Item = V>, k: usize) -> Vec<(V, i64)> {
        let mut counts: BTreeMap<V, i64> = BTreeMap::new();
        for value in values {
            *counts.entry(value).or_default() += 1;
        }
        let mut ranked: Vec<(V, i64)> = counts.into_iter().collect();
        // Stable, so equal counts stay in the map's order.
        ranked.sort_by_key(|(_, count)| -count);
        ranked.truncate(k);
        ranked
    }

    fn entries(found: &ArrayRef, group: usize) -> (ArrayRef, Vec<i64>) {
        let list = found.as_list::<i32>().value(group);
        let list = list.as_struct();
        (Arc::clone(list.column(0)), integers(list.column(1)))
    }

    proptest! {
        #[test]
        fn the_most_frequent_numbers_are_exact(rows in rows(), filtered in any::<bool>(), route in route(), k in 1_usize..9) {
            let subject = Subject::new(&format!("top_k(number, {k})"));
            for found in [subject.straight(&rows, filtered), subject.detour(&rows, filtered, &route)] {
                prop_assert_eq!(found.data_type(), &subject.return_type());
                for group in 0..GROUPS {
                    let (values, counts) = entries(&found, group);
                    let found: Vec<_> = integers(&values).into_iter().zip(counts).collect();
                    prop_assert_eq!(found, best_of(taken(&rows, group, filtered).filter_map(|row| row.number), k));
                }
            }
        }

        #[test]
        fn the_most_frequent_words_are_exact(rows in rows(), filtered in any::<bool>(), route in route(), k in 1_usize..5) {
            // As text, as text that is stored in a view, and as a value without a fast path.
            let list = |row: &Row| vec![row.number.unwrap_or(i64::MIN)];
            for call in ["word", "arrow_cast(word, 'Utf8View')", "make_array(number)"] {
                let subject = Subject::new(&format!("top_k({call}, {k})"));
                for found in [subject.straight(&rows, filtered), subject.detour(&rows, filtered, &route)] {
                    for group in 0..GROUPS {
                        let (values, counts) = entries(&found, group);
                        let taken = taken(&rows, group, filtered);
                        if call == "make_array(number)" {
                            let value = |list: ArrayRef| {
                                let number = list.as_primitive::<Int64Type>();
                                vec![if number.is_valid(0) { number.value(0) } else { i64::MIN }]
                            };
                            let values = values.as_list::<i32>().iter().flatten().map(value);
                            prop_assert_eq!(values.zip(counts).collect::<Vec<_>>(), best_of(taken.map(list), k));
                        } else {
                            let texts = arrow::compute::cast(&values, &DataType::Utf8).unwrap();
                            let texts = texts.as_string::<i32>().iter().flatten();
                            let expected = best_of(taken.filter_map(|row| row.word), k);
                            prop_assert_eq!(texts.zip(counts).collect::<Vec<_>>(), expected);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn zeros_of_both_signs_are_one_value() {
        let row = |price| Row { group: 0, number: None, price: Some(price), word: None, ts: 0, passes: None };
        let rows = [-0.0, 1.5, 0.0].map(row);
        let (values, counts) = entries(&Subject::new("top_k(price, 3)").straight(&rows, false), 0);
        assert_eq!(values.as_primitive::<arrow::datatypes::Float64Type>().values(), &[0.0, 1.5]);
        assert_eq!(counts, [2, 1]);
    }

    #[test]
    fn wrong_arguments_are_refused_with_what_would_be_right() {
        let found = refusal("top_k(number, 0)");
        assert!(found.contains("top_k(column, k) must be a number from 1 to 1000, found `0`"), "{found}");
        let found = refusal("top_k(number, 1001)");
        assert!(found.contains("found `1001`"), "{found}");
        let found = refusal("top_k(number, -1)");
        assert!(found.contains("found `-1`"), "{found}");
        let found = refusal("top_k(number)");
        assert!(found.contains("has two arguments, found 1"), "{found}");
    }
}
