//! What a window keeps of each aggregate call, so that tables over the same panes can share it.
//!
//! | | kept per key and pane | a window is |
//! |---|---|---|
//! | additive: count, sum, avg | a number | the sum of its panes, followed by adding and taking away |
//! | distinct: count(DISTINCT integer) | the values | the number of values whose last pane is in it |
//! | merged: everything else | DataFusion's partial state | the merge of its panes' states |

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{Expr, ExprSchemable, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use crate::sql::{DecayedParts, PlanError, Planner, decayed_parts, declared_accumulator, needs_time, new_accumulator};
use crate::window::integer_sum::Half;

/// What an event adds to an additive aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Additive {
    /// One, when the argument is not NULL.
    Count,
    /// A half of the argument, a 64-bit integer.
    Integer(Half),
    /// The argument, a 64-bit float.
    Float,
}

/// A count or sum.
#[derive(Clone)]
pub(super) struct AdditiveAggregate {
    pub(super) kind: Additive,
    /// What is counted or summed; none for `count(*)`.
    pub(super) argument: Option<Arc<dyn PhysicalExpr>>,
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    identity: (Additive, Option<Expr>, Option<Expr>),
}

/// A count of distinct integers.
#[derive(Clone)]
pub(super) struct DistinctAggregate {
    pub(super) argument: Arc<dyn PhysicalExpr>,
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    identity: (Expr, Option<Expr>),
}

/// Any other aggregate.
#[derive(Clone)]
pub(super) struct MergedAggregate {
    pub(super) function: Arc<AggregateFunctionExpr>,
    pub(super) arguments: Vec<Arc<dyn PhysicalExpr>>,
    argument_types: Vec<DataType>,
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    identity: Expr,
}

impl MergedAggregate {
    /// A fresh accumulator that knows `groups` groups, none of which has a value yet.
    pub(super) fn accumulator(&self, groups: usize) -> Result<Box<dyn GroupsAccumulator>, DataFusionError> {
        declared_accumulator(&self.function, &self.argument_types, groups)
    }
}

/// How the column of an aggregate call is answered from what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputSource {
    Count {
        count: usize,
    },
    Sum {
        sum: usize,
        count: usize,
    },
    /// A sum of integers, of its halves.
    IntegerSum {
        low: usize,
        high: usize,
        count: usize,
    },
    Average {
        sum: usize,
        count: usize,
    },
    Distinct {
        distinct: usize,
    },
    Merged {
        merged: usize,
    },
    /// The sum as of `newest`, moved to the end of the window.
    Decayed {
        sum: usize,
        newest: usize,
        half_life: i64,
    },
}

impl OutputSource {
    /// The same call in a list of aggregates that holds these at other places.
    pub(super) fn moved(self, places: &Places) -> Self {
        let Places { additive, distinct: distincts, merged: mergeds } = places;
        match self {
            Self::Count { count } => Self::Count { count: additive[count] },
            Self::Sum { sum, count } => Self::Sum { sum: additive[sum], count: additive[count] },
            Self::IntegerSum { low, high, count } => {
                Self::IntegerSum { low: additive[low], high: additive[high], count: additive[count] }
            }
            Self::Average { sum, count } => Self::Average { sum: additive[sum], count: additive[count] },
            Self::Distinct { distinct } => Self::Distinct { distinct: distincts[distinct] },
            Self::Merged { merged } => Self::Merged { merged: mergeds[merged] },
            Self::Decayed { sum, newest, half_life } => {
                Self::Decayed { sum: mergeds[sum], newest: mergeds[newest], half_life }
            }
        }
    }
}

/// What is kept, each thing once.
#[derive(Clone, Default)]
pub(super) struct Aggregates {
    /// The first counts rows: a key is in a window as long as it has any.
    pub(super) additive: Vec<AdditiveAggregate>,
    pub(super) distinct: Vec<DistinctAggregate>,
    pub(super) merged: Vec<MergedAggregate>,
}

/// Where the aggregates of one list are in another.
pub(super) struct Places {
    pub(super) additive: Vec<usize>,
    pub(super) distinct: Vec<usize>,
    pub(super) merged: Vec<usize>,
}

impl Aggregates {
    /// A list that counts rows.
    pub(super) fn new() -> Self {
        let rows = AdditiveAggregate {
            kind: Additive::Count,
            argument: None,
            filter: None,
            identity: (Additive::Count, None, None),
        };
        Self { additive: vec![rows], ..Self::default() }
    }

    /// The aggregates that can fail on an event, in an order of their own.
    pub(super) fn fallible(&self, is_total: impl Fn(&Expr) -> bool) -> Vec<String> {
        let inputs = |argument: Option<&Expr>, filter: Option<&Expr>| -> Option<String> {
            let can_fail = argument.into_iter().chain(filter).any(|part| !is_total(part));
            can_fail.then(|| format!("{argument:?} {filter:?}"))
        };
        let additive = self.additive.iter().map(|one| inputs(one.identity.1.as_ref(), one.identity.2.as_ref()));
        let distinct = self.distinct.iter().map(|one| inputs(Some(&one.identity.0), one.identity.1.as_ref()));
        let merged = self.merged.iter().map(|one| inputs(Some(&one.identity), None));
        let mut fallible: Vec<String> = additive.chain(distinct).chain(merged).flatten().collect();
        fallible.sort_unstable();
        fallible.dedup();
        fallible
    }

    /// Adds what another list keeps and this one does not; tells where everything of it is now.
    pub(super) fn join(&mut self, other: &Self) -> Places {
        Places {
            additive: join(&mut self.additive, &other.additive, |one| &one.identity),
            distinct: join(&mut self.distinct, &other.distinct, |one| &one.identity),
            merged: join(&mut self.merged, &other.merged, |one| &one.identity),
        }
    }
}

fn join<T: Clone, I: PartialEq>(to: &mut Vec<T>, from: &[T], identity: impl Fn(&T) -> &I) -> Vec<usize> {
    let mut places = Vec::with_capacity(from.len());
    for one in from {
        let known = to.iter().position(|known| identity(known) == identity(one));
        places.push(known.unwrap_or(to.len()));
        if known.is_none() {
            to.push(one.clone());
        }
    }
    places
}

/// Takes aggregate calls apart.
pub(super) struct AggregateBuilder<'a> {
    pub(super) planner: &'a Planner,
    /// The event-time column.
    pub(super) time: Expr,
    pub(super) input: &'a DFSchema,
    pub(super) aggregates: Aggregates,
}

impl AggregateBuilder<'_> {
    /// Keeps what a call needs and tells how it is answered.
    pub(super) fn output(&mut self, call: &Expr) -> Result<OutputSource, PlanError> {
        // Where types are made equal, the call is wrapped to keep its name.
        let Expr::AggregateFunction(AggregateFunction { func, mut params }) = call.clone().unalias() else {
            return Err(PlanError::new(format!("`{call}` is not an aggregate")));
        };
        for argument in &mut params.args {
            *argument = self.planner.simplify(argument.clone(), self.input)?;
        }
        if let Some(filter) = &mut params.filter {
            **filter = self.planner.simplify((**filter).clone(), self.input)?;
        }
        let call = &Expr::AggregateFunction(AggregateFunction { func: Arc::clone(&func), params: params.clone() });
        if !params.order_by.is_empty() {
            return Err(PlanError::new(format!("`{call}` has an ORDER BY"))
                .suggest("last_n(column, n) and first_n(column, n) keep values in the order of event time"));
        }
        let is_plain = !params.distinct && params.null_treatment.is_none();
        let filter = params.filter.as_deref().cloned();
        if let (true, [argument]) = (is_plain, params.args.as_slice())
            && let Some(output) = self.additive(func.name(), argument, filter.as_ref())?
        {
            return Ok(output);
        }
        if let (true, "count", [argument]) = (params.distinct, func.name(), params.args.as_slice())
            && argument.get_type(self.input)? == DataType::Int64
        {
            return self.distinct(argument, filter);
        }
        if func.name() == "decayed_sum" {
            return self.decayed(call);
        }
        let mut args = params.args.clone();
        if needs_time(func.name()) && args.len() == 2 {
            args.push(self.time.clone());
        }
        let params = AggregateFunctionParams { args, ..params.clone() };
        let call = Expr::AggregateFunction(AggregateFunction { func, params });
        Ok(OutputSource::Merged { merged: self.merged(call)? })
    }

    fn additive(
        &mut self,
        name: &str,
        argument: &Expr,
        filter: Option<&Expr>,
    ) -> Result<Option<OutputSource>, PlanError> {
        let is_row_count = matches!(argument, Expr::Literal(value, _) if !value.is_null());
        let counted = (!is_row_count).then(|| argument.clone());
        let kind = match (name, argument.get_type(self.input)?) {
            ("count", _) => {
                let count = self.keep(Additive::Count, counted, filter)?;
                return Ok(Some(OutputSource::Count { count }));
            }
            ("sum", DataType::Int64) => {
                let low = self.keep(Additive::Integer(Half::Low), Some(argument.clone()), filter)?;
                let high = self.keep(Additive::Integer(Half::High), Some(argument.clone()), filter)?;
                let count = self.keep(Additive::Count, counted, filter)?;
                return Ok(Some(OutputSource::IntegerSum { low, high, count }));
            }
            ("sum" | "avg", DataType::Float64) => Additive::Float,
            _ => return Ok(None),
        };
        let sum = self.keep(kind, Some(argument.clone()), filter)?;
        let count = self.keep(Additive::Count, counted, filter)?;
        Ok(Some(match name {
            "sum" => OutputSource::Sum { sum, count },
            _ => OutputSource::Average { sum, count },
        }))
    }

    fn keep(&mut self, kind: Additive, argument: Option<Expr>, filter: Option<&Expr>) -> Result<usize, PlanError> {
        let identity = (kind, argument, filter.cloned());
        let known = self.aggregates.additive.iter().position(|one| one.identity == identity);
        if let Some(known) = known {
            return Ok(known);
        }
        let (argument, filter) = (self.physical(identity.1.as_ref())?, self.physical(identity.2.as_ref())?);
        self.aggregates.additive.push(AdditiveAggregate { kind, argument, filter, identity });
        Ok(self.aggregates.additive.len() - 1)
    }

    fn distinct(&mut self, argument: &Expr, filter: Option<Expr>) -> Result<OutputSource, PlanError> {
        let identity = (argument.clone(), filter);
        let known = self.aggregates.distinct.iter().position(|one| one.identity == identity);
        let distinct = match known {
            Some(known) => known,
            None => {
                let physical = self.planner.physical(argument, self.input)?;
                let filter = self.physical(identity.1.as_ref())?;
                self.aggregates.distinct.push(DistinctAggregate { argument: physical, filter, identity });
                self.aggregates.distinct.len() - 1
            }
        };
        Ok(OutputSource::Distinct { distinct })
    }

    /// The accumulator gives the sum as of the newest event it holds; with the time of that event it can be moved.
    fn decayed(&mut self, call: &Expr) -> Result<OutputSource, PlanError> {
        let DecayedParts { sum, newest, half_life } = decayed_parts(call, &self.time)?;
        Ok(OutputSource::Decayed { sum: self.merged(sum)?, newest: self.merged(newest)?, half_life })
    }

    fn merged(&mut self, call: Expr) -> Result<usize, PlanError> {
        if let Some(known) = self.aggregates.merged.iter().position(|one| one.identity == call) {
            return Ok(known);
        }
        let lowered = self.planner.aggregate(&call, self.input)?;
        // Errors of the function's own arguments show here instead of at the first event.
        new_accumulator(&lowered.aggregate)?;
        let arguments = lowered.aggregate.expressions();
        let types: Result<_, _> = arguments.iter().map(|argument| argument.data_type(self.input.as_arrow())).collect();
        self.aggregates.merged.push(MergedAggregate {
            arguments,
            argument_types: types?,
            function: lowered.aggregate,
            filter: lowered.filter,
            identity: call,
        });
        Ok(self.aggregates.merged.len() - 1)
    }

    fn physical(&self, expression: Option<&Expr>) -> Result<Option<Arc<dyn PhysicalExpr>>, PlanError> {
        expression.map(|expression| self.planner.physical(expression, self.input)).transpose()
    }
}
