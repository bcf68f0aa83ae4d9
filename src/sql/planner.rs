//! The door to DataFusion's planner: SQL text → analysed logical plan, expressions → physical expressions.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::SchemaProvider;
use datafusion::common::DFSchema;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, ScalarUDF};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{LoweredAggregate, LoweredAggregateBuilder};
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use futures::executor::block_on;

use super::checked::{check_constants, checked};
use super::choices::Choices;
use super::functions;
use super::leaves::Leaves;
use super::shape::{MAX_NESTED_WITH, Shape};
use super::sums::check_sums;
use super::zero::with_one_zero;
use crate::fault::{Judged, Judgement};
use crate::reference::ReferenceTable;

/// The longest text, bytes.
const LONGEST_SQL: usize = 256 * 1024;

/// Operators and keywords on one way down the tree of a statement. On the usual stack of a thread (2 MiB) four times as many
/// overflow it.
const LONGEST_CHAIN: usize = 1_000;

/// Levels of parentheses, brackets and CASE.
const MAX_DEPTH: usize = 100;

/// Plans selects over a set of relations of known schema.
pub struct Planner {
    context: SessionContext,
    /// Key columns of the reference tables.
    references: HashMap<String, Vec<String>>,
    choices: Choices,
}

impl Planner {
    /// A planner that knows DataFusion's functions whose results are of the size of their arguments, those of
    /// [this folder](super::functions), the given ones that stand for something else in a plan, and no relation yet.
    pub fn new(functions: impl IntoIterator<Item = ScalarUDF>) -> Self {
        let mut config = SessionConfig::new();
        config.options_mut().sql_parser.collect_spans = true;
        let context = SessionContext::new_with_config(config);
        functions::leave_unbounded_out(&context);
        for function in functions {
            context.register_udf(function);
        }
        functions::register(&context);
        Self { context, references: HashMap::new(), choices: Choices::default() }
    }

    /// Makes a relation known by name.
    pub fn add_relation(&self, name: &str, schema: SchemaRef) -> Result<(), PlanError> {
        self.context.register_table(name, Arc::new(EmptyTable::new(schema)))?;
        Ok(())
    }

    /// Makes a reference table known, that streams can be joined with.
    pub fn add_reference(&mut self, table: &ReferenceTable) -> Result<(), PlanError> {
        self.add_relation(table.name(), table.schema())?;
        let key = table.key().into_iter().map(str::to_owned).collect();
        self.references.insert(table.name().to_owned(), key);
        Ok(())
    }

    /// Makes known that a column of a relation has no other values than these, as texts. Comparisons with others are refused
    /// from then on; without any nothing is known.
    pub(crate) fn add_choices(&mut self, relation: &str, column: &str, values: Vec<String>) {
        self.choices.add(relation, column, values);
    }

    /// The key columns of a reference table; `None` when there is none of this name.
    pub(crate) fn reference_key(&self, name: &str) -> Option<Vec<String>> {
        self.references.get(name).cloned()
    }

    /// Parses and type-checks one select.
    pub(crate) fn plan(&self, sql: &str) -> Result<LogicalPlan, PlanError> {
        self.plan_statement(self.parse(sql)?)
    }

    /// Parses one statement, with the columns that stand for values in objects.
    pub(crate) fn parse(&self, sql: &str) -> Result<Statement, PlanError> {
        check_shape(sql)?;
        let state = self.context.state();
        let mut statement = state.sql_to_statement(sql, &state.config_options().sql_parser.dialect)?;
        if let Statement::Statement(statement) = &mut statement
            && sql.contains('[')
        {
            let relations = self.catalog().map(|catalog| catalog.table_names()).unwrap_or_default();
            let schemas: Vec<_> = relations.iter().filter_map(|relation| self.schema_of(relation)).collect();
            Leaves::of(schemas.iter().map(Arc::as_ref)).take(statement.as_mut())?;
        }
        Ok(statement)
    }

    /// Parses and type-checks an expression.
    fn parse_expression(&self, sql: &str, schema: &DFSchema) -> Result<Expr, PlanError> {
        check_shape(sql)?;
        let state = self.context.state();
        let mut expression = state.sql_to_expr_with_alias(sql, &state.config_options().sql_parser.dialect)?;
        Leaves::of([schema.as_arrow()]).take(&mut expression)?;
        Ok(state.create_logical_expr_from_sql_expr(expression, schema)?)
    }

    /// Type-checks a statement.
    pub(crate) fn plan_statement(&self, statement: Statement) -> Result<LogicalPlan, PlanError> {
        let state = self.context.state();
        let plan = block_on(state.statement_to_plan(statement)).map_err(|error| self.explain(error.into()))?;
        let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
        self.choices.check_plan(&plan)?;
        Ok(plan)
    }

    /// The relations that a select reads, each once, whether they are known or not.
    pub(crate) fn relations(&self, sql: &str) -> Result<Vec<String>, PlanError> {
        let references = self.context.state().resolve_table_references(&self.parse(sql)?)?;
        Ok(references.iter().map(|reference| reference.table().to_owned()).collect())
    }

    /// An unknown relation in words of our own.
    fn explain(&self, error: PlanError) -> PlanError {
        let name = error.message.split_once("table '").and_then(|(_, rest)| rest.split_once("' not found"));
        let Some(name) = name.and_then(|(name, _)| name.rsplit('.').next()) else { return error };
        PlanError { place: error.place, ..self.no_relation(name) }
    }

    /// That there is no such relation, and which ones there are.
    pub(super) fn no_relation(&self, name: &str) -> PlanError {
        let mut known = self.catalog().map(|catalog| catalog.table_names()).unwrap_or_default();
        known.sort_unstable();
        PlanError::new(format!("there is no `{name}` to select from")).near(name).unknown(name, known)
    }

    /// The columns of a relation; `None` when there is none of this name.
    pub(super) fn schema_of(&self, relation: &str) -> Option<SchemaRef> {
        block_on(self.catalog()?.table(relation)).ok().flatten().map(|table| table.schema())
    }

    fn catalog(&self) -> Option<Arc<dyn SchemaProvider>> {
        self.context.catalog("datafusion").and_then(|catalog| catalog.schema("public"))
    }

    /// The select in DataFusion's own words, independent of white space and comments; what fingerprints are made of.
    pub fn canonical(&self, sql: &str) -> Result<String, PlanError> {
        let statement = self.parse(sql)?;
        Ok(block_on(self.context.state().statement_to_plan(statement))?.display_indent().to_string())
    }

    /// An expression over columns of `schema`, such as the condition that makes an event worth scoring.
    pub fn expression(&self, sql: &str, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>, PlanError> {
        let schema = DFSchema::try_from(schema.clone())?;
        let expression = self.parse_expression(sql, &schema)?;
        self.physical(&expression, &schema)
    }

    /// An expression over columns of one of the relations, of which `schema` has the columns.
    pub(crate) fn expression_over(
        &self,
        relation: &str,
        sql: &str,
        schema: &Schema,
    ) -> Result<Arc<dyn PhysicalExpr>, PlanError> {
        let schema = DFSchema::try_from(schema.clone())?;
        let expression = self.parse_expression(sql, &schema)?;
        self.choices.check_expression(relation, &expression)?;
        self.physical(&expression, &schema)
    }

    /// The executable form of an expression of a plan.
    pub fn physical(&self, expression: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, PlanError> {
        let expression = self.simplify(expression.clone(), schema)?;
        Ok(checked(self.context.state().create_physical_expr(expression, schema)?, schema.as_arrow())?)
    }

    /// Types made equal, constants folded, functions that exist only in SQL (such as `coalesce`) rewritten, and zeros without a
    /// sign.
    pub(crate) fn simplify(&self, expression: Expr, schema: &DFSchema) -> Result<Expr, PlanError> {
        let state = self.context.state();
        let context = SimplifyContext::builder()
            .with_schema(Arc::new(schema.clone()))
            .with_config_options(Arc::clone(state.config_options()))
            .build();
        let simplifier = ExprSimplifier::new(context);
        let expression = simplifier.coerce(expression, schema)?;
        check_constants(&expression, schema, &state)?;
        Ok(simplifier.simplify(with_one_zero(expression, schema)?)?)
    }

    /// The executable form of an aggregate call.
    pub(crate) fn aggregate(&self, call: &Expr, schema: &DFSchema) -> Result<LoweredAggregate, PlanError> {
        check_sums(call, schema)?;
        let state = self.context.state();
        check_constants(call, schema, &state)?;
        let planning = PhysicalPlanningContext::default();
        let arrow_schema = schema.as_arrow();
        let call = &with_one_zero(call.clone(), schema)?;
        let builder = LoweredAggregateBuilder::new(call, schema, arrow_schema, state.execution_props(), &planning);
        let mut lowered = builder.build()?;
        let checked = |expression: Arc<dyn PhysicalExpr>| checked(expression, arrow_schema);
        let aggregate = &lowered.aggregate;
        let order: Vec<_> = aggregate.order_bys().iter().map(|order| Arc::clone(&order.expr)).collect();
        let arguments = aggregate.expressions().into_iter().map(checked).collect::<Result<_, _>>()?;
        if let Some(aggregate) = aggregate.with_new_expressions(arguments, order) {
            lowered.aggregate = Arc::new(aggregate);
        }
        lowered.filter = lowered.filter.map(checked).transpose()?;
        Ok(lowered)
    }
}

/// The expressions of a GROUP BY with the columns that they become: one that stands there twice is one column.
pub(crate) fn group_columns(aggregate: &Aggregate) -> impl Iterator<Item = (&Expr, &Arc<Field>)> {
    let groups = &aggregate.group_expr;
    let is_first = |(index, group): &(usize, &Expr)| groups.iter().position(|other| other == *group) == Some(*index);
    groups.iter().enumerate().filter(is_first).map(|(_, group)| group).zip(aggregate.schema.fields())
}

/// Refuses text whose tree would overflow the stack while it is planned, or that takes for ever to plan.
fn check_shape(sql: &str) -> Result<(), PlanError> {
    if sql.len() > LONGEST_SQL {
        return Err(PlanError::new(format!("the text has {} bytes, the limit is {LONGEST_SQL}", sql.len()))
            .suggest("split the table into several"));
    }
    // What is not made of SQL's words is the parser's to refuse, which knows the place.
    let Ok(shape) = Shape::of(sql) else { return Ok(()) };
    if shape.depth > MAX_DEPTH {
        return Err(PlanError::new(format!("the text nests {} levels deep, the limit is {MAX_DEPTH}", shape.depth))
            .suggest("write it with fewer parentheses"));
    }
    if shape.nested_withs > MAX_NESTED_WITH {
        return Err(PlanError::new(format!("WITH is nested deeper than {MAX_NESTED_WITH} levels"))
            .suggest("list all parts in one WITH"));
    }
    if shape.chain > LONGEST_CHAIN {
        return Err(PlanError::new(format!(
            "an expression has {} operators and keywords, the limit is {LONGEST_CHAIN}",
            shape.chain
        ))
        .suggest("use IN lists, or several columns"));
    }
    Ok(())
}

/// Why a select cannot be kept as a feature table or a vector, and what to write instead.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PlanError {
    /// What is wrong, with the text that is.
    pub message: String,
    /// Line and column in the SQL text, from one, where they are known.
    pub place: Option<(usize, usize)>,
    /// What would be right.
    pub suggestion: Option<String>,
    /// What stands at the place, where that is not known by line and column.
    pub(crate) near: Option<String>,
    /// A word that is not known, where that is what is wrong.
    pub(crate) unknown: Option<Unknown>,
}

/// A word that is not known.
#[derive(Debug)]
pub(crate) struct Unknown {
    pub(crate) word: String,
    /// Those that are.
    pub(crate) known: Vec<String>,
}

impl PlanError {
    /// An error without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, suggestion: None, near: None, unknown: None }
    }

    /// The same error, at the first place where this text stands, unless its place is known.
    #[must_use]
    pub(crate) fn near(self, text: impl Into<String>) -> Self {
        Self { near: Some(text.into()), ..self }
    }

    /// The same error, about a word that is none of the known ones.
    #[must_use]
    pub(crate) fn unknown(self, word: impl Into<String>, known: Vec<String>) -> Self {
        Self { unknown: Some(Unknown { word: word.into(), known }), ..self }
    }

    /// The same error with advice.
    #[must_use]
    pub fn suggest(self, suggestion: impl Into<String>) -> Self {
        Self { suggestion: Some(suggestion.into()), ..self }
    }
}

impl Judged for PlanError {
    fn judgement(&self) -> Judgement {
        Judgement::OPERATOR
    }
}

impl From<DataFusionError> for PlanError {
    fn from(error: DataFusionError) -> Self {
        let (place, suggestion) = match error.diagnostic() {
            Some(diagnostic) => (
                diagnostic.span.map(|span| (span.start.line as usize, span.start.column as usize)),
                diagnostic.helps.first().map(|help| help.message.clone()),
            ),
            None => (None, None),
        };
        let message = error.strip_backtrace();
        let place = place.or_else(|| parser_place(&message));
        let message = own_words(&message).unwrap_or(&message).to_owned();
        Self { place, suggestion, ..Self::new(message) }
    }
}

/// What is wrong, without what DataFusion wraps around it.
fn own_words(message: &str) -> Option<&str> {
    // The analyzer's rule that has found it.
    let message = message.split_once("\ncaused by\n").map_or(message, |(_, cause)| cause);
    let plain = message.strip_prefix("Error during planning: ").or_else(|| message.strip_prefix("Schema error: "));
    of_arguments(message).or(plain)
}

/// What a function says of its arguments.
fn of_arguments(message: &str) -> Option<&str> {
    let (_, own) = message.split_once("user-defined coercion failed with: Error during planning: ")?;
    Some(own.split_once(". No function matches").map_or(own, |(own, _)| own))
}

/// The place that the SQL parser writes at the end of its messages: `... at Line: 3, Column: 7`.
fn parser_place(message: &str) -> Option<(usize, usize)> {
    let (line, column) = message.rsplit_once("Line: ")?.1.split_once(", Column: ")?;
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some((line.parse().ok()?, digits.parse().ok()?))
}
