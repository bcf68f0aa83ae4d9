//! Expressions row by row, where one fails on the data: the row that it fails on is found, and the others keep their values.
//!
//! ```text
//!   whole batch ──works──▶ values
//!        └──fails──▶ the rows that are wanted ──▶ halves ──▶ halves ... ──▶ one row: noted, and NULL
//! ```
//!
//! While nothing fails that costs nothing. A row that fails among `n` costs `2 log n` evaluations of ever smaller parts.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, prep_null_mask_filter, take, take_record_batch};
use arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;

use super::evaluate::evaluate;
use super::zero;

/// The rows of a batch that expressions failed on, each with the first that did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Failures(BTreeMap<usize, Failed>);

/// Why a row has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// The expression as it was written: without the places of its columns, and what brings zeros to one.
    pub(crate) expression: String,
    /// What it failed with.
    pub(crate) reason: String,
}

impl Failures {
    /// Whether nothing has failed.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this row has failed.
    pub(crate) fn has(&self, row: usize) -> bool {
        !self.0.is_empty() && self.0.contains_key(&row)
    }

    /// The rows that have failed, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Failed)> {
        self.0.iter().map(|(row, failed)| (*row, failed))
    }

    /// Takes note of a row; what it failed on before stands.
    pub(crate) fn note(&mut self, row: usize, failed: Failed) {
        self.0.entry(row).or_insert(failed);
    }

    /// Which of `rows` rows have not failed, where any has.
    pub(crate) fn kept(&self, rows: usize) -> Option<BooleanBuffer> {
        (!self.0.is_empty()).then(|| BooleanBuffer::collect_bool(rows, |row| !self.0.contains_key(&row)))
    }

    /// The value of an expression for every row; NULL for those that it fails on, which are noted. The rows that are not
    /// `wanted` and those that have failed before are not looked at more than the others need, and may have any value.
    ///
    /// # Errors
    /// When the expression has no type over these columns.
    pub(crate) fn evaluate(
        &mut self,
        expression: &Arc<dyn PhysicalExpr>,
        batch: &RecordBatch,
        wanted: impl FnOnce() -> Option<BooleanBuffer>,
    ) -> Result<ArrayRef, DataFusionError> {
        match evaluate(expression, batch) {
            Ok(values) => Ok(values),
            Err(_) => self.isolate(expression, batch, wanted().as_ref()),
        }
    }

    /// The rows for which a condition is true; NULL is not true, and neither is a failure. `None` when there is no condition.
    pub(crate) fn evaluate_filter(
        &mut self,
        condition: Option<&Arc<dyn PhysicalExpr>>,
        batch: &RecordBatch,
        wanted: impl FnOnce() -> Option<BooleanBuffer>,
    ) -> Result<Option<BooleanArray>, DataFusionError> {
        let Some(condition) = condition else { return Ok(None) };
        let mask = self.evaluate(condition, batch, wanted)?;
        if *mask.data_type() != DataType::Boolean {
            return Ok(Some(BooleanArray::from(vec![false; batch.num_rows()])));
        }
        let mask = mask.as_boolean();
        Ok(Some(if mask.null_count() == 0 { mask.clone() } else { prep_null_mask_filter(mask) }))
    }

    fn isolate(
        &mut self,
        expression: &Arc<dyn PhysicalExpr>,
        batch: &RecordBatch,
        wanted: Option<&BooleanBuffer>,
    ) -> Result<ArrayRef, DataFusionError> {
        let is_wanted = |row: &usize| wanted.is_none_or(|wanted| wanted.value(*row));
        let rows: Vec<usize> = (0..batch.num_rows()).filter(is_wanted).filter(|row| !self.has(*row)).collect();
        let empty = new_null_array(&expression.data_type(&batch.schema())?, 1);
        let picked = take_record_batch(batch, &UInt32Array::from_iter_values(rows.iter().map(|row| *row as u32)))?;
        let mut parts = vec![Arc::clone(&empty)];
        // Parts still to be evaluated, the first of the rows on top.
        let mut open = Vec::new();
        let mut next = Some(0..rows.len()).filter(|part| !part.is_empty());
        while let Some(part) = next.take().or_else(|| open.pop()) {
            match evaluate(expression, &picked.slice(part.start, part.len())) {
                Ok(values) => parts.push(values),
                Err(error) if part.len() == 1 => {
                    self.note(rows[part.start], Failed::new(expression, &error));
                    parts.push(Arc::clone(&empty));
                }
                Err(_) => {
                    let middle = part.start + part.len() / 2;
                    open.push(middle..part.end);
                    next = Some(part.start..middle);
                }
            }
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        // The first value is the NULL of the rows that are not wanted.
        let mut places = vec![0_u32; batch.num_rows()];
        for (place, row) in rows.iter().enumerate() {
            places[*row] = place as u32 + 1;
        }
        Ok(take(&concat(&parts)?, &UInt32Array::from(places), None)?)
    }
}

impl Failed {
    pub(crate) fn new(expression: &Arc<dyn PhysicalExpr>, error: &DataFusionError) -> Self {
        let text = expression.to_string().replace(zero::CALL, "(");
        Self { expression: plain(&text), reason: reason(error) }
    }
}

/// The rows that both of two masks let through; no mask lets all through.
pub(crate) fn both(one: Option<&BooleanBuffer>, other: Option<&BooleanBuffer>) -> Option<BooleanBuffer> {
    match (one, other) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(one.clone()),
        (Some(one), Some(other)) => Some(one & other),
    }
}

/// An expression as people write it: without the `@3` that says where a column is.
fn plain(expression: &str) -> String {
    let mut text = String::with_capacity(expression.len());
    let mut rest = expression;
    while let Some(at) = rest.find('@') {
        let (before, after) = rest.split_at(at);
        let digits = after[1..].bytes().take_while(u8::is_ascii_digit).count();
        text.push_str(before);
        if digits == 0 {
            text.push('@');
        }
        rest = &after[1 + digits..];
    }
    text.push_str(rest);
    text
}

/// What is wrong, without the names of the libraries that found it.
fn reason(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => error.to_string(),
        error => error.strip_backtrace(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::Int64Type;
    use datafusion::logical_expr::{ColumnarValue, ScalarFunctionImplementation, Volatility, create_udf};
    use proptest::prelude::*;

    use super::*;
    use crate::sql::Planner;

    fn batch(values: Vec<Option<i64>>) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(values));
        RecordBatch::try_from_iter_with_nullable([("quantity", column, true)]).unwrap()
    }

    fn expression(text: &str, batch: &RecordBatch) -> Arc<dyn PhysicalExpr> {
        Planner::new([]).expression(text, &batch.schema()).unwrap()
    }

    #[test]
    fn a_row_that_fails_is_named_with_its_expression_and_reason() {
        let batch = batch(vec![Some(2), Some(0), None]);
        let mut failures = Failures::default();
        let values = failures.evaluate(&expression("10 / quantity", &batch), &batch, || None).unwrap();
        let values: Vec<_> = values.as_primitive::<Int64Type>().iter().collect();
        assert_eq!(values, [Some(5), None, None]);
        let found: Vec<_> = failures.iter().collect();
        let failed = Failed { expression: "10 / quantity".to_owned(), reason: "Divide by zero error".to_owned() };
        assert_eq!(found, [(1, &failed)]);
        let condition = expression("1 / quantity = 0", &batch);
        let holds = Failures::default().evaluate_filter(Some(&condition), &batch, || None).unwrap().unwrap();
        assert_eq!(holds.iter().collect::<Vec<_>>(), [Some(true), Some(false), Some(false)]);
    }

    #[test]
    fn places_of_columns_are_left_out_and_nothing_else() {
        assert_eq!(plain("a@12 / b@0 + c"), "a / b + c");
        assert_eq!(plain("mail LIKE %@x.org"), "mail LIKE %@x.org");
    }

    /// It ended the thread of the step, and the next one at the same message.
    #[test]
    fn a_function_that_panics_on_a_value_fails_on_its_row() {
        let panicking: ScalarFunctionImplementation = Arc::new(|arguments| {
            let ColumnarValue::Array(values) = &arguments[0] else { return Ok(arguments[0].clone()) };
            assert!(!values.as_primitive::<Int64Type>().values().contains(&7), "seven");
            Ok(arguments[0].clone())
        });
        let function = create_udf("f", vec![DataType::Int64], DataType::Int64, Volatility::Immutable, panicking);
        let batch = batch(vec![Some(1), Some(7), Some(2)]);
        let expression = Planner::new([function]).expression("f(quantity)", &batch.schema()).unwrap();
        let mut failures = Failures::default();
        let values = failures.evaluate(&expression, &batch, || None).unwrap();
        assert_eq!(values.as_ref(), &Int64Array::from(vec![Some(1), None, Some(2)]) as &dyn Array);
        let (row, failed) = failures.iter().next().unwrap();
        assert_eq!((row, failed.reason.as_str()), (1, "Execution error: a panic: seven"));
    }

    proptest! {
        /// The oracle evaluates each row by itself.
        #[test]
        fn rows_have_what_each_has_by_itself(
            values in prop::collection::vec(prop::option::weighted(0.9, -2_i64..3), 0..70),
            unwanted in prop::collection::vec(any::<bool>(), 70),
            failed_before in prop::option::of(0_usize..70),
        ) {
            let rows = values.len();
            let batch = batch(values);
            let expression = expression("100 / quantity", &batch);
            let mut failures = Failures::default();
            let before = Failed { expression: "WHERE".to_owned(), reason: "earlier".to_owned() };
            if let Some(row) = failed_before.filter(|row| *row < rows) {
                failures.note(row, before.clone());
            }
            let wanted: BooleanBuffer = unwanted[..rows].iter().map(|unwanted| !unwanted).collect();
            let found = failures.evaluate(&expression, &batch, || Some(wanted.clone())).unwrap();
            prop_assert_eq!(found.len(), rows);
            for row in 0..rows {
                let alone = evaluate(&expression, &batch.slice(row, 1));
                let noted = failures.0.get(&row);
                if failed_before == Some(row) {
                    prop_assert_eq!(noted, Some(&before));
                } else if !wanted.value(row) {
                    prop_assert_eq!(noted, None);
                } else {
                    prop_assert_eq!(noted.is_some(), alone.is_err());
                    if let Ok(alone) = alone {
                        prop_assert_eq!(&found.slice(row, 1), &alone);
                    }
                }
            }
        }
    }
}
