//! A condition over the columns of a batch.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Schema};
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;

use super::each::Failures;

/// An expression whose values are true, false or NULL.
#[derive(Debug, Clone)]
pub struct Condition(Arc<dyn PhysicalExpr>);

impl Condition {
    /// An expression as a condition; `None` if it is not one.
    pub(crate) fn of(expression: Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Self> {
        matches!(expression.data_type(schema), Ok(DataType::Boolean)).then_some(Self(expression))
    }

    /// Which rows it holds for; NULL counts as no, and so does a row that it fails on, which is noted.
    pub(crate) fn rows(&self, batch: &RecordBatch, failures: &mut Failures) -> Result<BooleanBuffer, DataFusionError> {
        let holds = failures.evaluate_filter(Some(&self.0), batch, || None)?;
        Ok(holds.map_or_else(|| BooleanBuffer::new_unset(batch.num_rows()), |holds| holds.values().clone()))
    }
}

/// As DataFusion writes the expression; fingerprints of saved state are made of it.
impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::*;
    use crate::sql::Planner;

    #[test]
    fn null_counts_as_no() {
        let prices: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(1)]));
        let batch = RecordBatch::try_from_iter_with_nullable([("price", prices, true)]).unwrap();
        let condition = Planner::new([]).expression("price > 3", &batch.schema()).unwrap();
        let rows = Condition::of(condition, &batch.schema()).unwrap().rows(&batch, &mut Failures::default()).unwrap();
        assert_eq!(rows.iter().collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn a_number_is_not_a_condition() {
        let schema = Schema::empty();
        let number = Planner::new([]).expression("1 + 1", &schema).unwrap();
        assert!(Condition::of(number, &schema).is_none());
    }
}
