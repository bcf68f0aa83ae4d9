//! DataFusion's aggregates where floating-point numbers need more than they do.
//!
//! | | DataFusion's | here |
//! |---|---|---|
//! | `min`, `max` | depend on the order of the rows where NaN is among them; the largest infinity is the largest number | NaN is the largest number of all, and each value itself |
//! | `approx_distinct`, `hll_distinct` | of no float | of floats too |
//!
//! Extremes are those of the numbers' ranks: integers of the same order (IEEE 754-2008, section 5.10, total order). The states
//! that are kept are numbers again.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::functions_aggregate::approx_distinct::approx_distinct_udaf;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

use super::one_group::OneGroup;

/// `min`, `max` and the sketch of distinct values, in the place of DataFusion's.
pub(super) fn aggregates() -> [AggregateUDF; 3] {
    let extreme = |inner: Arc<AggregateUDF>| AggregateUDF::from(Floats { inner, kind: Kind::Extreme });
    // DataFusion's own HyperLogLog (2^14 registers, small groups kept as lists of hashes, a fixed seed) under a second name;
    // both names mean one aggregate, so a table that uses both keeps one state.
    let distinct = AggregateUDF::from(Floats { inner: approx_distinct_udaf(), kind: Kind::Distinct });
    [extreme(min_udaf()), extreme(max_udaf()), distinct.with_aliases(["hll_distinct"])]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Extreme,
    Distinct,
}

/// An aggregate of DataFusion that is given integers for floats.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Floats {
    inner: Arc<AggregateUDF>,
    kind: Kind,
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

/// The type of the argument where it is a float.
fn float_type(args: &AccumulatorArgs) -> Option<DataType> {
    args.expr_fields.first().map(|field| field.data_type().clone()).filter(is_float)
}

impl AggregateUDFImpl for Floats {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arguments)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arguments)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match float_type(&args) {
            Some(_) => Ok(Box::new(OneGroup::new(self.create_groups_accumulator(args)?))),
            None => self.inner.accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        float_type(&args).is_some() || self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let Some(float_type) = float_type(&args) else { return self.inner.create_groups_accumulator(args) };
        let integers = [Arc::new(Field::new("rank", DataType::Int64, true))];
        let is_extreme = self.kind == Kind::Extreme;
        let return_field = if is_extreme { Arc::clone(&integers[0]) } else { Arc::clone(&args.return_field) };
        let inner =
            self.inner.create_groups_accumulator(AccumulatorArgs { return_field, expr_fields: &integers, ..args })?;
        Ok(Box::new(RankGroups { inner, results: is_extreme.then_some(float_type) }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.kind {
            Kind::Extreme => ReversedUDAF::Identical,
            Kind::Distinct => ReversedUDAF::NotSupported,
        }
    }
}

/// Groups that see the ranks of numbers.
struct RankGroups {
    inner: Box<dyn GroupsAccumulator>,
    /// The type of results and states where they are ranks.
    results: Option<DataType>,
}

impl RankGroups {
    fn numbers(&self, found: ArrayRef) -> Result<ArrayRef> {
        match &self.results {
            Some(float_type) => numbers(&found, float_type),
            None => Ok(found),
        }
    }

    fn ranks(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        match values {
            [values] => Ok(vec![ranks(values)?]),
            _ => internal_err!("an aggregate of one number has {} arguments", values.len()),
        }
    }
}

impl GroupsAccumulator for RankGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.update_batch(&Self::ranks(values)?, group_indices, opt_filter, total_num_groups)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        match self.results {
            Some(_) => self.inner.merge_batch(&Self::ranks(states)?, group_indices, total_num_groups),
            None => self.inner.merge_batch(states, group_indices, total_num_groups),
        }
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let found = self.inner.evaluate(emit_to)?;
        self.numbers(found)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)?.into_iter().map(|state| self.numbers(state)).collect()
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let states = self.inner.convert_to_state(&Self::ranks(values)?, opt_filter)?;
        states.into_iter().map(|state| self.numbers(state)).collect()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

/// Its own inverse: the integer whose order is that of the bits of a float, and back.
fn total_order(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

fn ranks(values: &ArrayRef) -> Result<ArrayRef> {
    let values = cast(values, &DataType::Float64)?;
    let rank = |value: f64| {
        let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
        total_order(value.to_bits().cast_signed())
    };
    Ok(Arc::new(values.as_primitive::<Float64Type>().unary::<_, Int64Type>(rank)))
}

fn numbers(ranks: &ArrayRef, float_type: &DataType) -> Result<ArrayRef> {
    let number = |rank: i64| f64::from_bits(total_order(rank).cast_unsigned());
    let numbers: ArrayRef = Arc::new(ranks.as_primitive::<Int64Type>().unary::<_, Float64Type>(number));
    Ok(cast(&numbers, float_type)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use arrow::datatypes::UInt64Type;
    use proptest::prelude::*;

    use super::*;
    use crate::sql::functions::harness::{GROUPS, Route, Row, Subject, floats, route, rows, taken};

    /// Numbers that DataFusion's own aggregates stumble over, among others.
    fn strange_rows() -> impl Strategy<Value = Vec<Row>> {
        let strange = prop::sample::select(vec![0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        (rows(), prop::collection::vec(prop_oneof![2 => strange.prop_map(Some), 1 => Just(None)], 120)).prop_map(
            |(mut rows, strange)| {
                for (row, strange) in rows.iter_mut().zip(strange).filter(|(_, strange)| strange.is_some()) {
                    row.price = strange;
                }
                rows
            },
        )
    }

    /// Numbers in order, NaN last, with one zero.
    fn sorted(rows: &[Row], group: usize, filtered: bool) -> Vec<f64> {
        let mut values: Vec<f64> = taken(rows, group, filtered)
            .filter_map(|row| row.price)
            .map(|price| if price.is_nan() { f64::NAN } else { price + 0.0 })
            .collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn check(rows: &[Row], filtered: bool, route: &Route) {
        for name in ["min", "max"] {
            let subject = Subject::new(&format!("{name}(price)"));
            for found in [subject.straight(rows, filtered), subject.detour(rows, filtered, route)] {
                for (group, found) in floats(&found).into_iter().enumerate().take(GROUPS) {
                    let values = sorted(rows, group, filtered);
                    // Tables declare groups before their values, as DataFusion takes those before one that it sees as seen.
                    if values.is_empty() {
                        continue;
                    }
                    let expected = if name == "min" { values.first() } else { values.last() };
                    assert_eq!(found.map(f64::to_bits), expected.map(|value| value.to_bits()), "{name} of {values:?}");
                }
            }
        }
        let subject = Subject::new("hll_distinct(price)");
        let (one, two) = (subject.straight(rows, filtered), subject.detour(rows, filtered, route));
        for group in 0..GROUPS {
            let mut values = sorted(rows, group, filtered);
            values.dedup_by_key(|value| value.to_bits());
            let [one, two] = [&one, &two].map(|found| found.as_primitive::<UInt64Type>().value(group));
            assert_eq!(one, two, "{values:?}");
            // A sketch of 2^14 registers: now and then two of so few values share one.
            let distinct = values.len() as u64;
            assert!((distinct.saturating_sub(2 + distinct / 8)..=distinct).contains(&one), "{one} of {values:?}");
        }
    }

    proptest! {
        #[test]
        fn extremes_and_distinct_values_do_not_depend_on_the_order(
            rows in strange_rows(), filtered in any::<bool>(), route in route(),
        ) {
            check(&rows, filtered, &route);
        }
    }

    /// The largest of infinities alone was 1.7976931348623157e308, and that of NaN and 1 depended on which came first.
    #[test]
    fn extremes_are_values_of_their_group() {
        let found = |call: &str, prices: &[f64]| {
            let row = |price| Row { group: 0, number: None, price: Some(price), word: None, ts: 0, passes: None };
            let rows: Vec<Row> = prices.iter().map(|price| row(*price)).collect();
            floats(&Subject::new(call).straight(&rows, false))[0].unwrap()
        };
        assert_eq!(found("max(price)", &[f64::NEG_INFINITY]), f64::NEG_INFINITY);
        assert_eq!(found("min(price)", &[f64::INFINITY]), f64::INFINITY);
        assert!(found("max(price)", &[f64::NAN, 1.0]).is_nan() && found("max(price)", &[1.0, f64::NAN]).is_nan());
        assert_eq!((found("min(price)", &[f64::NAN, 1.0]), found("min(price)", &[1.0, f64::NAN])), (1.0, 1.0));
    }

    #[test]
    fn other_types_are_those_of_datafusion() {
        for call in ["max(word)", "min(number)", "max(CAST(price AS FLOAT))", "hll_distinct(CAST(price AS FLOAT))"] {
            let row = |word| Row { group: 0, number: Some(3), price: Some(2.5), word: Some(word), ts: 0, passes: None };
            let found = Subject::new(call).straight(&[row("b"), row("a")], false);
            let shown = arrow::util::display::array_value_to_string(&found, 0).unwrap();
            let expected = ["b", "3", "2.5", "1"];
            assert!(expected.contains(&shown.as_str()) && found.is_valid(0), "{call}: {shown}");
        }
    }
}
