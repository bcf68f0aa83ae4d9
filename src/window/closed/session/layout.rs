//! Which evaluated columns are kept for the aggregates that are neither counts nor sums: each once.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

use crate::window::closed::aggregate::Aggregates;
use crate::window::closed::input::Input;

/// See the module.
#[derive(Default)]
pub(super) struct Layout {
    columns: Vec<Column>,
    /// Per merged aggregate, where its arguments and its filter are.
    pub(super) merged: Vec<Stored>,
    /// Per distinct count, the column of its values; NULL does not count.
    pub(super) distinct: Vec<usize>,
}

/// Where a column comes from.
#[derive(Debug, Clone, Copy)]
enum Column {
    Argument { merged: usize, argument: usize },
    Filter { merged: usize },
    Distinct { distinct: usize },
}

/// The columns of a merged aggregate.
pub(super) struct Stored {
    pub(super) arguments: Vec<Argument>,
    pub(super) filter: Option<usize>,
}

/// An argument of an aggregate.
pub(super) enum Argument {
    Column(usize),
    /// The same for all rows: not kept.
    Constant(Arc<dyn PhysicalExpr>),
}

impl Layout {
    pub(super) fn new(aggregates: &Aggregates) -> Self {
        let mut layout = Self::default();
        let mut known: Vec<(Arc<dyn PhysicalExpr>, usize)> = Vec::new();
        let mut filters: Vec<(Arc<dyn PhysicalExpr>, usize)> = Vec::new();
        for (merged, aggregate) in aggregates.merged.iter().enumerate() {
            let mut arguments = Vec::with_capacity(aggregate.arguments.len());
            for (argument, expression) in aggregate.arguments.iter().enumerate() {
                if expression.downcast_ref::<Literal>().is_some() {
                    arguments.push(Argument::Constant(Arc::clone(expression)));
                    continue;
                }
                let column = Column::Argument { merged, argument };
                arguments.push(Argument::Column(layout.column(&mut known, expression, column)));
            }
            let filter = aggregate.filter.as_ref();
            let filter = filter.map(|filter| layout.column(&mut filters, filter, Column::Filter { merged }));
            layout.merged.push(Stored { arguments, filter });
        }
        for distinct in 0..aggregates.distinct.len() {
            layout.distinct.push(layout.columns.len());
            layout.columns.push(Column::Distinct { distinct });
        }
        layout
    }

    fn column(
        &mut self,
        known: &mut Vec<(Arc<dyn PhysicalExpr>, usize)>,
        expression: &Arc<dyn PhysicalExpr>,
        column: Column,
    ) -> usize {
        if let Some((_, place)) = known.iter().find(|(known, _)| known == expression) {
            return *place;
        }
        known.push((Arc::clone(expression), self.columns.len()));
        self.columns.push(column);
        self.columns.len() - 1
    }

    /// Whether nothing is kept: the table has counts and sums alone.
    pub(super) fn is_empty(&self) -> bool {
        self.merged.is_empty() && self.distinct.is_empty()
    }

    /// The columns of a batch.
    pub(super) fn columns(&self, input: &Input) -> Vec<ArrayRef> {
        let column = |column: &Column| -> Option<ArrayRef> {
            Some(match *column {
                Column::Argument { merged, argument } => Arc::clone(input.merged.get(merged)?.arguments.get(argument)?),
                Column::Filter { merged } => {
                    let filter = input.merged.get(merged)?.filter.clone();
                    Arc::new(filter.unwrap_or_else(|| BooleanArray::from(vec![true; input.slots.len()])))
                }
                Column::Distinct { distinct } => {
                    let distinct = input.distinct.get(distinct)?;
                    let counts = distinct.counts.clone().map(NullBuffer::new);
                    Arc::new(Int64Array::new(distinct.values.clone(), counts))
                }
            })
        };
        self.columns.iter().filter_map(column).collect()
    }

    /// How many columns are kept.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// The rows that any aggregate looks at; all without it.
    pub(super) fn wanted(input: &Input) -> Option<BooleanBuffer> {
        let mut wanted: Option<BooleanBuffer> = None;
        let filters = input.merged.iter().map(|merged| merged.filter.as_ref().map(BooleanArray::values));
        for rows in filters.chain(input.distinct.iter().map(|distinct| distinct.counts.as_ref())) {
            let rows = rows?;
            wanted = Some(wanted.map_or_else(|| rows.clone(), |wanted| &wanted | rows));
        }
        wanted
    }
}
