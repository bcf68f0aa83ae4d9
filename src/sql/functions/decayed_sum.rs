//! `decayed_sum(x, half_life)`: a sum in which older events count less, as of the newest event time it holds:
//!
//! ```text
//!   sum over events of  x_i · 2^-((T - t_i) / half_life),     T = the newest t_i with an x
//! ```
//!
//! NULL without any x. `decay(sum, T, to, half_life)` moves the value to another time; T is `max(ts)` over the rows that
//! have an x and pass the filter.
//!
//! The state is `[sum, rest, time]`. `sum + rest` is the total against the end of the epoch of `time` (see `decay.rs`), as
//! a pair of floats that carries 106 bits (Dekker, "A floating-point technique for extending the available precision",
//! 1971). Moving it to a newer epoch is a multiplication by a power of two and therefore exact. Floating sums depend on
//! their order, here by about 2^-105 of the largest partial sum: so that how rows were grouped into states, or their
//! order, all but never shows in the 53 bits of the result. It can where x of both signs cancel.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::cast::as_float64_array;
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

use super::arguments;
use super::decay::{HalfLife, times_power_of_two};
use super::one_group::OneGroup;
use super::rows::{each_row_alone, for_each_row, wanted};

pub(super) const DECAYED_SUM: &str = "decayed_sum";
const CALL: &str = "decayed_sum(x, half_life)";

/// The aggregate function itself.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DecayedSum {
    signature: Signature,
}

impl DecayedSum {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for DecayedSum {
    fn name(&self) -> &'static str {
        DECAYED_SUM
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let (x, half_life, time) = match arguments {
            [x, half_life] => (x, half_life, None),
            [x, half_life, time] => (x, half_life, Some(time)),
            _ => return plan_err!("{CALL} has two arguments, or three with a time, found {}", arguments.len()),
        };
        let mut types = vec![arguments::quantity_type(x, CALL)?, arguments::text_type(half_life, CALL)?];
        if let Some(time) = time {
            types.push(arguments::time_type(time, CALL)?);
        }
        Ok(types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let [_, _, time] = args.input_fields else { return no_time() };
        let state = |part: &str, data_type: &DataType| {
            Arc::new(Field::new(format!("{}[{part}]", args.name), data_type.clone(), true))
        };
        Ok(vec![state("sum", &DataType::Float64), state("rest", &DataType::Float64), state("time", time.data_type())])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup::new(self.create_groups_accumulator(args)?)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        arguments::refuse_modifiers(&args, CALL)?;
        let half_life = HalfLife { micros: arguments::duration_micros(&args, CALL)? };
        let [_, _, time] = args.expr_fields else { return no_time() };
        Ok(Box::new(DecayedGroups { half_life, time_type: time.data_type().clone(), groups: Vec::new() }))
    }
}

fn no_time<T>() -> Result<T> {
    plan_err!("{CALL} has no time: outside feature tables give the time column as third argument")
}

/// A sum of two floats, the second too small to show in the first.
#[derive(Debug, Clone, Copy)]
struct Pair {
    sum: f64,
    rest: f64,
}

impl Pair {
    /// The product without its rounding.
    fn product(left: f64, right: f64) -> Self {
        let sum = left * right;
        // Infinities and NaN have no rest.
        Self { sum, rest: if sum.is_finite() { left.mul_add(right, -sum) } else { 0.0 } }
    }

    fn plus(self, other: Self) -> Self {
        let (sum, error) = two_sum(self.sum, other.sum);
        if !sum.is_finite() {
            return Self { sum, rest: 0.0 };
        }
        let (rest, rest_error) = two_sum(self.rest, other.rest);
        let (sum, error) = fast_two_sum(sum, error + rest);
        let (sum, rest) = fast_two_sum(sum, error + rest_error);
        Self { sum, rest }
    }

    fn times_power_of_two(self, power: i64) -> Self {
        Self { sum: times_power_of_two(self.sum, power), rest: times_power_of_two(self.rest, power) }
    }

    fn divided(self, divisor: f64) -> f64 {
        let quotient = self.sum / divisor;
        let remainder = (-quotient).mul_add(divisor, self.sum) + self.rest;
        if quotient.is_finite() { quotient + remainder / divisor } else { quotient }
    }
}

/// The sum and its rounding error (Knuth, The Art of Computer Programming, volume 2, section 4.2.2, theorem B).
fn two_sum(left: f64, right: f64) -> (f64, f64) {
    let sum = left + right;
    let of_right = sum - left;
    (sum, (left - (sum - of_right)) + (right - of_right))
}

/// The same when the left is the larger.
fn fast_two_sum(left: f64, right: f64) -> (f64, f64) {
    let sum = left + right;
    (sum, right - (sum - left))
}

/// A total against the end of the epoch of `time`.
#[derive(Debug, Clone, Copy)]
struct Total {
    value: Pair,
    time: i64,
}

impl Total {
    fn plus(self, other: Self, half_life: HalfLife) -> Self {
        let (older, newer) = if self.time <= other.time { (self, other) } else { (other, self) };
        let epochs = half_life.epoch(newer.time).saturating_sub(half_life.epoch(older.time));
        let older = if epochs == 0 { older.value } else { older.value.times_power_of_two(-epochs) };
        Self { value: older.plus(newer.value), time: newer.time }
    }
}

struct DecayedGroups {
    half_life: HalfLife,
    time_type: DataType,
    groups: Vec<Option<Total>>,
}

impl DecayedGroups {
    fn add(&mut self, group: usize, part: Total) {
        let total = &mut self.groups[group];
        *total = Some(match total {
            Some(total) => total.plus(part, self.half_life),
            None => part,
        });
    }
}

impl GroupsAccumulator for DecayedGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize(total_num_groups, None);
        let [x, _, time] = values else {
            return internal_err!("{CALL} expects x, half-life and time");
        };
        let wanted = wanted(&[x, time], opt_filter);
        let (x, times) = (as_float64_array(x)?, arguments::times(time)?);
        for_each_row(wanted.as_ref(), x.len(), |row| {
            let time = times.value(row);
            let value = Pair::product(x.value(row), self.half_life.weight(time));
            self.add(group_indices[row], Total { value, time });
        });
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize(total_num_groups, None);
        let [sums, rests, times] = values else {
            return internal_err!("{CALL} merges sum, rest and time");
        };
        let wanted = wanted(&[sums, rests, times], None);
        let (sums, rests, times) = (as_float64_array(sums)?, as_float64_array(rests)?, arguments::times(times)?);
        for_each_row(wanted.as_ref(), sums.len(), |row| {
            let value = Pair { sum: sums.value(row), rest: rests.value(row) };
            self.add(group_indices[row], Total { value, time: times.value(row) });
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        // From the end of the epoch back to the newest time, which has weight one.
        let now = |total: &Total| total.value.divided(self.half_life.weight(total.time));
        Ok(Arc::new(groups.iter().map(|total| total.as_ref().map(now)).collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit_to.take_needed(&mut self.groups);
        let float = |part: fn(&Total) -> f64| -> ArrayRef {
            Arc::new(groups.iter().map(|total| total.as_ref().map(part)).collect::<Float64Array>())
        };
        let times = groups.iter().map(|total| total.map(|total| total.time)).collect::<TimestampMicrosecondArray>();
        Ok(vec![
            float(|total| total.value.sum),
            float(|total| total.value.rest),
            Arc::new(times.with_data_type(self.time_type.clone())),
        ])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let fresh = Self { half_life: self.half_life, time_type: self.time_type.clone(), groups: Vec::new() };
        each_row_alone(fresh, values, opt_filter)
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Option<Total>>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::sql::functions::harness::{GROUPS, Row, Subject, floats, refusal, route, rows, taken};
    fn model(rows: &[Row], group: usize, filtered: bool, half_life_micros: f64) -> Option<f64> {
        let found: Vec<(i64, f64)> =
            taken(rows, group, filtered).filter_map(|row| Some((row.ts, row.price?))).collect();
        let newest = found.iter().map(|(ts, _)| *ts).max()?;
        Some(found.iter().map(|(ts, x)| x * 2_f64.powf(-((newest - ts) as f64) / half_life_micros)).sum())
    }

    fn row(price: f64, ts: i64) -> Row {
        Row { group: 0, number: None, price: Some(price), word: None, ts, passes: Some(true) }
    }

    proptest! {
        #[test]
        fn the_sum_follows_its_formula_whatever_the_division(
            rows in rows(), filtered in any::<bool>(), route in route(),
            half_life in prop::sample::select(vec![("1us", 1.0), ("7us", 7.0), ("3ms", 3e3), ("1s", 1e6), ("1 hour", 3.6e9)]),
        ) {
            let subject = Subject::new(&format!("decayed_sum(price, '{}', ts)", half_life.0));
            let straight = floats(&subject.straight(&rows, filtered));
            let detour = floats(&subject.detour(&rows, filtered, &route));
            for group in 0..GROUPS {
                let expected = model(&rows, group, filtered, half_life.1);
                prop_assert_eq!(straight[group].is_some(), expected.is_some());
                let (Some(found), Some(expected)) = (straight[group], expected) else { continue };
                let size: f64 = taken(&rows, group, filtered).filter_map(|row| row.price).map(f64::abs).sum();
                prop_assert!((found - expected).abs() <= 1e-12 * size, "{} {}", found, expected);
                let other = detour[group].unwrap();
                prop_assert!((found - other).abs() <= 1e-30 * size, "{} {}", found, other);
            }
        }

        #[test]
        fn sums_of_one_sign_are_the_same_bits_in_any_order(
            mut rows in prop::collection::vec((0.0..1e6_f64, 0_i64..5_000_000), 2..60), route in route(),
        ) {
            let subject = Subject::new("decayed_sum(price, '1234567us', ts)");
            let forwards: Vec<Row> = rows.iter().map(|(price, ts)| row(*price, *ts)).collect();
            rows.reverse();
            let backwards: Vec<Row> = rows.iter().map(|(price, ts)| row(*price, *ts)).collect();
            let straight = floats(&subject.straight(&forwards, false));
            prop_assert_eq!(&floats(&subject.detour(&forwards, true, &route)), &straight);
            prop_assert_eq!(&floats(&subject.detour(&backwards, true, &route)), &straight);
        }

        #[test]
        fn one_event_is_its_own_sum(price in any::<f64>(), ts in any::<i64>()) {
            let found = floats(&Subject::new("decayed_sum(price, '1 hour', ts)").straight(&[row(price, ts)], false))[0];
            // The product's error of a number near the smallest is itself too small to hold.
            let least = price.abs() < 1e-280;
            prop_assert!(least || found.map(f64::to_bits) == Some(price.to_bits()) || price.is_nan(), "{:?} {}", found, price);
        }
    }

    #[test]
    fn a_million_small_events_lose_nothing() {
        let rows: Vec<Row> = (0..1_000_000).map(|ts| row(0.1, ts)).collect();
        let found = floats(&Subject::new("decayed_sum(price, '365 days', ts)").straight(&rows, false))[0].unwrap();
        // A geometric series: 0.1 (1 - r^n) / (1 - r).
        let step = std::f64::consts::LN_2 / (365.0 * 86_400e6);
        let expected = 0.1 * (-(-1e6 * step).exp_m1()) / -(-step).exp_m1();
        assert!((found - expected).abs() <= 1e-14 * expected, "{found} {expected}");
    }

    #[test]
    fn events_an_age_apart_leave_the_newest() {
        let subject = Subject::new("decayed_sum(price, '1us', ts)");
        let rows = [row(1.0, i64::MIN), row(3.0, i64::MAX), row(5.0, 0)];
        assert_eq!(floats(&subject.straight(&rows, false))[0], Some(3.0));
        let rows = [row(f64::INFINITY, 0), row(3.0, 1)];
        assert_eq!(floats(&subject.straight(&rows, false))[0], Some(f64::INFINITY));
    }

    #[test]
    fn integers_are_summed_as_floats() {
        let rows = [3, 4].map(|number| Row { number: Some(number), ..row(0.0, number * 1_000_000) });
        let found = Subject::new("decayed_sum(number, '1 second', ts)").straight(&rows, false);
        assert_eq!(floats(&found)[0], Some(5.5));
    }

    #[test]
    fn wrong_arguments_are_refused_with_what_would_be_right() {
        let found = refusal("decayed_sum(price, 'soon', ts)");
        assert!(
            found.contains("decayed_sum(x, half_life) needs a duration such as '1 hour', 'soon' is none"),
            "{found}"
        );
        let found = refusal("decayed_sum(price, '1 month', ts)");
        assert!(found.contains("months and years have no fixed length"), "{found}");
        let found = refusal("decayed_sum(price, '1ns', ts)");
        assert!(found.contains("a microsecond or more, found '1ns'"), "{found}");
        let found = refusal("decayed_sum(price, word, ts)");
        assert!(found.contains("found something that depends on rows"), "{found}");
        let found = refusal("decayed_sum(price, 60, ts)");
        assert!(found.contains("needs a duration such as '1 hour', found Int64"), "{found}");
        let found = refusal("decayed_sum(word, '1 hour', ts)");
        assert!(found.contains("needs a number, found Utf8"), "{found}");
        let found = refusal("decayed_sum(price, '1 hour')");
        assert!(found.contains("give the time column as third argument"), "{found}");
    }
}
