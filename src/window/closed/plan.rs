//! A select with a window in its GROUP BY → what its table keeps, and how rows are made of that.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection};
use datafusion::physical_expr::PhysicalExpr;

use super::aggregate::{AggregateBuilder, Aggregates, OutputSource};
use super::rewrite::{GroupWindow, WINDOW_END, WINDOW_START};
use super::spec::WindowSpec;
use crate::sql::{FORM, PlanError, Planner, columns_form, group_columns, is_total, normal_form};
use crate::window::asof::mentions_within;
use crate::window::budget::Budget;
use crate::window::source::Source;

/// When rows of a table are emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Emit {
    /// Once, when the watermark passes the end of the window; again for events within the lateness.
    #[default]
    OnClose,
    /// Whenever a row has changed, at most once per interval of event time. Of windows that overlap, the one that closes
    /// next is followed: it is the fullest.
    OnUpdate {
        /// The interval, microseconds.
        every: i64,
    },
    /// What has changed, at every interval of event time, before the final row at the close.
    Early {
        /// The interval, microseconds.
        every: i64,
    },
}

/// What a pipeline says about a table of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowSettings {
    /// When rows are emitted.
    pub emit: Emit,
    /// How long after its close a window still takes events, microseconds; each change is emitted again.
    pub lateness: i64,
    /// How much memory the table may hold. Tables that share panes may hold the sum of theirs, checked after each step.
    pub budget: Budget,
}

/// A checked table of windows.
pub struct WindowPlan {
    pub(super) name: String,
    pub(super) source: Arc<Source>,
    pub(super) spec: WindowSpec,
    pub(super) settings: WindowSettings,
    pub(super) keys: Vec<WindowKey>,
    /// What the columns of the GROUP BY are, in its order.
    pub(super) groups: Vec<GroupColumn>,
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    /// WHERE and keys as they were planned: tables that agree in them share panes.
    pub(super) identity: (Option<Expr>, Vec<Expr>),
    pub(super) aggregates: Aggregates,
    /// Those that can fail on an event, which is then left out of the table: tables that agree in them share panes.
    fallible: Vec<String>,
    pub(super) outputs: Vec<OutputSource>,
    /// Groups and aggregates: the input of HAVING and of the projection.
    pub(super) aggregate_schema: SchemaRef,
    pub(super) having: Option<Arc<dyn PhysicalExpr>>,
    pub(super) projection: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
    logical: String,
    meaning: String,
}

/// A column of the GROUP BY that is not a bound of the window.
pub struct WindowKey {
    /// Its name: in the select list when it is selected, else in the GROUP BY.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Its place in the select list, if it is there.
    pub output_index: Option<usize>,
    pub(super) expression: Arc<dyn PhysicalExpr>,
}

/// A column of the GROUP BY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupColumn {
    Key(usize),
    Start,
    End,
}

impl WindowPlan {
    /// Plans the table `name`. `time` is the event-time column of its streams.
    pub(in crate::window) fn new(
        planner: &Planner,
        name: &str,
        (plan, sql): (&LogicalPlan, &str),
        window: &GroupWindow,
        time: &str,
        settings: WindowSettings,
    ) -> Result<Self, PlanError> {
        if window.time != time {
            return Err(PlanError::new(format!("the window is over `{}`", window.time))
                .suggest(format!("the event time of this stream is `{time}`")));
        }
        let form = Form::of(plan)?;
        let text = normal_form(sql)?;
        let source = Source::of(planner, &form.aggregate.input, time)?;
        let input = source.schema();
        let (mut keys, mut groups, mut key_expressions) = (Vec::new(), Vec::new(), Vec::new());
        for (group, field) in group_columns(form.aggregate) {
            groups.push(match group {
                Expr::ScalarFunction(call) if call.func.name() == WINDOW_START => GroupColumn::Start,
                Expr::ScalarFunction(call) if call.func.name() == WINDOW_END => GroupColumn::End,
                Expr::GroupingSet(_) => {
                    return Err(PlanError::new("GROUPING SETS, CUBE and ROLLUP are not windows")
                        .suggest("write one table per key"));
                }
                _ => {
                    let output_index = form.projection.expr.iter().position(|expression| {
                        matches!(expression.clone().unalias(), Expr::Column(column) if column.name == *field.name())
                    });
                    let selected = output_index.map(|index| form.projection.schema.field(index).name().clone());
                    keys.push(WindowKey {
                        name: selected.unwrap_or_else(|| field.name().clone()),
                        data_type: field.data_type().clone(),
                        output_index,
                        expression: planner.physical(group, input)?,
                    });
                    key_expressions.push(group.clone());
                    GroupColumn::Key(keys.len() - 1)
                }
            });
        }
        let mut builder =
            AggregateBuilder { planner, time: source.time_expression(), input, aggregates: Aggregates::new() };
        let mut outputs = Vec::with_capacity(form.aggregate.aggr_expr.len());
        for call in &form.aggregate.aggr_expr {
            if mentions_within(call) {
                return Err(PlanError::new(format!("`{call}` has a horizon, and the table has a window"))
                    .suggest("keep one of them: within(...) is for tables without a window in GROUP BY"));
            }
            outputs.push(builder.output(call)?);
        }
        let aggregates = builder.aggregates;
        let physical = |expression: &Expr| planner.physical(expression, input);
        let filter = source.filter().map(physical).transpose()?;
        let schema = form.aggregate.schema.as_ref();
        let having = form.having.map(|condition| planner.physical(condition, schema)).transpose()?;
        let projection: Result<Vec<_>, _> =
            form.projection.expr.iter().map(|expression| planner.physical(expression, schema)).collect();
        Ok(Self {
            name: name.to_owned(),
            spec: window.spec,
            settings,
            keys,
            groups,
            filter,
            identity: (source.filter().cloned(), key_expressions),
            fallible: aggregates.fallible(|call| is_total(call, input)),
            aggregates,
            outputs,
            aggregate_schema: nullable(form.aggregate.schema.as_arrow()),
            having,
            projection: projection?,
            schema: nullable(form.projection.schema.as_arrow()),
            logical: plan.display_indent().to_string(),
            meaning: meaning(&text, &columns_form(input.as_arrow()), time, settings),
            source: Arc::new(source),
        })
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its events come from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Its window.
    pub fn spec(&self) -> WindowSpec {
        self.spec
    }

    /// When its rows are emitted, and how late events may be.
    pub fn settings(&self) -> WindowSettings {
        self.settings
    }

    /// The columns of the GROUP BY that are not bounds of the window.
    pub fn keys(&self) -> &[WindowKey] {
        &self.keys
    }

    /// The columns of its rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// DataFusion's logical plan, as text.
    pub fn logical(&self) -> &str {
        &self.logical
    }

    /// What the table computes and when it emits, in words of our own. How much memory it may hold is not part of it: who
    /// raises a limit that was reached goes on with the state.
    pub(crate) fn meaning(&self) -> &str {
        &self.meaning
    }

    /// How long after an event, in event time, microseconds, nothing of the table can change by it any more and every row
    /// that it changed has been emitted.
    pub fn longest_wait(&self) -> i64 {
        let every = match self.settings.emit {
            Emit::OnClose => 0,
            Emit::OnUpdate { every } | Emit::Early { every } => every,
        };
        // Late rows are looked at once a second, or as often as early ones.
        let last_look = if self.settings.lateness > 0 { every.max(1_000_000) } else { every };
        [self.spec.slide(), self.settings.lateness, last_look, last_look]
            .iter()
            .fold(self.spec.size(), |wait, part| wait.saturating_add(*part))
    }

    /// How many counts and sums, distinct counts and merged states are kept per key and pane.
    pub fn kept(&self) -> (usize, usize, usize) {
        (self.aggregates.additive.len(), self.aggregates.distinct.len(), self.aggregates.merged.len())
    }

    /// Whether a column is a sum of integers.
    pub(super) fn has_integer_sums(&self) -> bool {
        self.outputs.iter().any(|output| matches!(output, OutputSource::IntegerSum { .. }))
    }

    /// The types that keys are told apart by; a window over everything has one key, zero.
    pub(in crate::window) fn key_types(&self) -> Vec<DataType> {
        match self.keys.is_empty() {
            true => vec![DataType::Int64],
            false => self.keys.iter().map(|key| key.data_type.clone()).collect(),
        }
    }

    /// Whether another table can share its panes: the same input, WHERE, keys and aggregates that can fail, and pane
    /// widths of which one divides the other.
    pub fn shares_panes_with(&self, other: &Self) -> bool {
        let is_session = |plan: &Self| matches!(plan.spec, WindowSpec::Session { .. });
        let (one, two) = (self.spec.slide(), other.spec.slide());
        !is_session(self)
            && !is_session(other)
            && self.source.is_same(&other.source)
            && self.identity == other.identity
            && self.fallible == other.fallible
            && self.settings.budget.at_limit == other.settings.budget.at_limit
            && (one % two == 0 || two % one == 0)
    }
}

fn meaning(text: &str, columns: &str, time: &str, settings: WindowSettings) -> String {
    let emission = match settings.emit {
        Emit::OnClose => "on close".to_owned(),
        Emit::OnUpdate { every } => format!("on update every {every} microseconds"),
        Emit::Early { every } => format!("early every {every} microseconds"),
    };
    let lateness = settings.lateness;
    format!(
        "table of windows {FORM}\n{text}\nover {columns}\nby {time:?}, {emission}, {lateness} microseconds of lateness"
    )
}

/// The parts of the select.
struct Form<'a> {
    projection: &'a Projection,
    having: Option<&'a Expr>,
    aggregate: &'a Aggregate,
}

impl<'a> Form<'a> {
    fn of(plan: &'a LogicalPlan) -> Result<Self, PlanError> {
        let shape =
            "write SELECT keys, window_start, aggregates FROM stream [WHERE ...] GROUP BY keys, window [HAVING ...]";
        let unexpected = |what: &str| PlanError::new(format!("a table of windows has no {what}")).suggest(shape);
        let LogicalPlan::Projection(projection) = plan else {
            return Err(unexpected(match plan {
                LogicalPlan::Sort(_) => "ORDER BY",
                LogicalPlan::Limit(_) => "LIMIT",
                LogicalPlan::Distinct(_) => "SELECT DISTINCT",
                LogicalPlan::Union(_) => "UNION outside FROM",
                _ => "such part",
            }));
        };
        let (having, inner) = match projection.input.as_ref() {
            LogicalPlan::Filter(filter) => (Some(&filter.predicate), filter.input.as_ref()),
            other => (None, other),
        };
        match inner {
            LogicalPlan::Aggregate(aggregate) => Ok(Self { projection, having, aggregate }),
            LogicalPlan::Window(_) => Err(unexpected("OVER (...)")),
            _ => Err(unexpected("such part")),
        }
    }
}

fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| Field::new(field.name(), field.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
