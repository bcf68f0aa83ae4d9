//! `quantile(x, q)`: the value of rank ⌊q · (n - 1)⌋ (counted from zero, lowest first) of the n values of a group, within 1 % of
//! it; NULL without values.
//!
//! A sketch (see `sketch.rs`) holds integer counts: at most 2,048 of 12 bytes each, some hundreds for prices or durations.
//! Merging adds them, so the result is the same bits whatever the order and the grouping of the rows. NULL and NaN are
//! left out; infinities count as the lowest and highest values.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::cast::{as_float64_array, as_int32_array, as_int64_array, as_list_array};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

use super::arguments;
use super::lists::{list_field, list_state, offsets};
use super::one_group::OneGroup;
use super::rows::{each_row_alone, for_each_row, wanted};
use super::sketch::{Bucket, Buckets, Sketch};

const CALL: &str = "quantile(x, q)";

/// The aggregate function itself.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Quantile {
    signature: Signature,
}

impl Quantile {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Quantile {
    fn name(&self) -> &'static str {
        "quantile"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [x, q] = arguments else {
            return plan_err!("{CALL} has two arguments, found {}", arguments.len());
        };
        Ok(vec![arguments::quantity_type(x, CALL)?, arguments::quantity_type(q, CALL)?])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![list_state(args.name, "keys", &DataType::Int32), list_state(args.name, "counts", &DataType::Int64)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup::new(self.create_groups_accumulator(args)?)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        arguments::refuse_modifiers(&args, CALL)?;
        Ok(Box::new(SketchGroups::new(arguments::fraction(&args, CALL)?)))
    }
}

struct SketchGroups {
    q: f64,
    buckets: Buckets,
    groups: Vec<Sketch>,
    /// Memory of the sketches' buckets, bytes.
    bucket_bytes: usize,
}

impl SketchGroups {
    fn new(q: f64) -> Self {
        Self { q, buckets: Buckets::new(), groups: Vec::new(), bucket_bytes: 0 }
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Sketch> {
        let groups = emit_to.take_needed(&mut self.groups);
        self.bucket_bytes -= groups.iter().map(Sketch::size).sum::<usize>();
        groups
    }
}

impl GroupsAccumulator for SketchGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups, Sketch::default);
        let Some(x) = values.first() else {
            return internal_err!("{CALL} expects a value");
        };
        let wanted = wanted(&[x], opt_filter);
        let x = as_float64_array(x)?;
        for_each_row(wanted.as_ref(), x.len(), |row| {
            if let Some(key) = self.buckets.key(x.value(row)) {
                self.bucket_bytes += self.groups[group_indices[row]].add(Bucket { key, count: 1 });
            }
        });
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize_with(total_num_groups, Sketch::default);
        let [keys, counts] = values else {
            return internal_err!("{CALL} merges keys and counts");
        };
        let (keys, counts) = (as_list_array(keys)?, as_list_array(counts)?);
        let (all_keys, all_counts) = (as_int32_array(keys.values())?, as_int64_array(counts.values())?);
        for (list, group) in group_indices.iter().enumerate() {
            let (first_key, first_count) = (keys.value_offsets()[list], counts.value_offsets()[list]);
            let buckets = (0..keys.value_length(list).max(0) as usize).map(|place| Bucket {
                key: all_keys.value(first_key as usize + place),
                count: all_counts.value(first_count as usize + place),
            });
            let sketch = &mut self.groups[*group];
            self.bucket_bytes -= sketch.size();
            sketch.merge(buckets);
            self.bucket_bytes += sketch.size();
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let quantiles = self.take(emit_to).iter().map(|sketch| sketch.quantile(self.q)).collect::<Float64Array>();
        Ok(Arc::new(quantiles))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sketches = self.take(emit_to);
        let lengths: Vec<usize> = sketches.iter().map(|sketch| sketch.buckets().len()).collect();
        let offsets = offsets(&lengths)?;
        let buckets = || sketches.iter().flat_map(Sketch::buckets);
        let keys: ArrayRef = Arc::new(Int32Array::from_iter_values(buckets().map(|bucket| bucket.key)));
        let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(buckets().map(|bucket| bucket.count)));
        Ok(vec![
            Arc::new(ListArray::try_new(list_field(&DataType::Int32), offsets.clone(), keys, None)?),
            Arc::new(ListArray::try_new(list_field(&DataType::Int64), offsets, counts, None)?),
        ])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        each_row_alone(Self::new(self.q), values, opt_filter)
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Sketch>() + self.bucket_bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sql::functions::harness::{GROUPS, Row, Subject, floats, refusal, route, rows, taken};

    proptest! {
        #[test]
        fn quantiles_are_near_the_sorted_values_and_forget_the_division(
            rows in rows(), filtered in any::<bool>(), route in route(), q in 0.0..=1.0_f64,
        ) {
            let subject = Subject::new(&format!("quantile(price, {q:?})"));
            let straight = floats(&subject.straight(&rows, filtered));
            prop_assert_eq!(&floats(&subject.detour(&rows, filtered, &route)), &straight);
            for (group, found) in straight.into_iter().enumerate().take(GROUPS) {
                let mut values: Vec<f64> = taken(&rows, group, filtered).filter_map(|row| row.price).collect();
                values.sort_by(f64::total_cmp);
                let Some(last) = values.len().checked_sub(1) else {
                    prop_assert_eq!(found, None);
                    continue;
                };
                let exact = values[(q * last as f64).floor() as usize];
                let found = found.unwrap();
                prop_assert!((found - exact).abs() <= 0.010_000_01 * exact.abs(), "{} for {}", found, exact);
            }
        }
    }

    #[test]
    fn size_is_given_back_when_groups_leave() {
        let row = |price| Row { group: 0, number: None, price: Some(price), word: None, ts: 0, passes: None };
        let rows: Vec<Row> = (1..2_000).map(|price| row(f64::from(price))).collect();
        let subject = Subject::new("quantile(price, 0.5)");
        let mut accumulator = subject.accumulator();
        accumulator.update_batch(&subject.arguments(&rows), &vec![0; rows.len()], None, 1).unwrap();
        assert!((2_000..20_000).contains(&accumulator.size()), "{}", accumulator.size());
        let found = floats(&accumulator.evaluate(EmitTo::All).unwrap())[0].unwrap();
        assert!((found - 1_000.0).abs() <= 10.0, "{found}");
        assert_eq!(accumulator.size(), 0);
    }

    #[test]
    fn wrong_arguments_are_refused_with_what_would_be_right() {
        let found = refusal("quantile(price, 95)");
        assert!(found.contains("quantile(x, q) must be a number from 0 to 1, such as 0.95, found `95`"), "{found}");
        let found = refusal("quantile(price, -0.1)");
        assert!(found.contains("found `-0.1`"), "{found}");
        let found = refusal("quantile(price, NULL)");
        assert!(found.contains("found `NULL`"), "{found}");
        let found = refusal("quantile(price, price)");
        assert!(found.contains("found something that depends on rows"), "{found}");
        let found = refusal("quantile(word, 0.5)");
        assert!(found.contains("quantile(x, q) needs a number, found Utf8"), "{found}");
    }
}
