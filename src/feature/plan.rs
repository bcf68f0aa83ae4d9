//! `vector.sql` → look-ups and a select list.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;

use super::column::{ColumnForm, VectorColumn};
use super::matrix::{Matrix, Unscorable};
use super::meaning::{Joined, Meaning, TableText};
use super::missing::{IfNull, Missing};
use super::{Fingerprint, Inputs, LivePlan, REQUESTS};
use crate::sql::{PlanError, Planner};
use crate::window::WindowError;

/// A checked vector.
#[derive(Clone)]
pub struct VectorPlan {
    pub(super) joins: Vec<JoinPlan>,
    /// Columns of `requests`, then of each joined table.
    pub(super) joined_schema: SchemaRef,
    pub(super) outputs: Vec<Arc<dyn PhysicalExpr>>,
    /// Per column of the joined schema, the first output that reads it, if any does.
    pub(super) readers: Vec<Option<usize>>,
    requests: SchemaRef,
    columns: Vec<String>,
    described: Vec<VectorColumn>,
    inputs: Inputs,
    meaning: Arc<Meaning>,
    fingerprint: Fingerprint,
    /// As earlier versions made it of the same texts.
    earlier: Fingerprint,
}

/// One `LEFT JOIN table ON key = expression`.
#[derive(Clone)]
pub(super) struct JoinPlan {
    /// Index of the table in the pipeline.
    pub(super) table: usize,
    /// Per key of the table, the expression over the columns joined so far.
    pub(super) keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Columns of the batch that the keys are evaluated over.
    pub(super) schema: SchemaRef,
    /// Whether the keys read nothing but `requests`.
    pub(super) is_direct: bool,
}

impl VectorPlan {
    /// Plans the vector. The planner must know `requests` and the tables; `sources` are the texts of the tables, in the order of
    /// `tables`, and `missing` the columns whose NULL is NaN.
    ///
    /// # Errors
    /// When the SQL is not valid, joins other than by key, or gives a column that is no number, text or list of numbers, or can be
    /// NULL where that is not NaN; a list can.
    pub(crate) fn new(
        planner: &Planner,
        sql: &str,
        requests: SchemaRef,
        tables: &[LivePlan],
        (sources, missing): (&[TableText], &Missing),
    ) -> Result<Self, PlanError> {
        let plan = planner.plan(sql)?;
        let shape = "a vector is SELECT numbers FROM requests r LEFT JOIN table t ON r.key = t.key ...";
        let LogicalPlan::Projection(projection) = &plan else {
            return Err(PlanError::new("the vector's select has more than a select list and joins").suggest(shape));
        };
        let mut joins = Vec::new();
        collect_joins(planner, &projection.input, &requests, tables, &mut joins)?;
        let input = projection.input.schema();
        let (mut columns, mut described) = (Vec::new(), Vec::new());
        let mut outputs = Vec::new();
        let mut names = HashSet::new();
        for (expression, field) in projection.expr.iter().zip(projection.schema.fields()) {
            let name = field.name();
            let (form, if_null) = check_output(expression, input, name, missing)?;
            if !names.insert(name.clone()) {
                return Err(PlanError::new(format!("two columns are named `{name}`")).suggest("give each an AS name"));
            }
            columns.push(name.clone());
            let is_id = form == ColumnForm::Number { is_whole: true } && is_of_request(expression, input, &requests)?;
            described.push(VectorColumn { name: name.clone(), form, is_id, if_null });
            outputs.push(planner.physical(expression, input)?);
        }
        let used = joins.iter().filter_map(|join: &JoinPlan| sources.get(join.table));
        let canonical = planner.canonical(sql)?;
        let earlier =
            Fingerprint::of(std::iter::once(canonical.as_str()).chain(used.map(|source| source.earlier.as_str())));
        let joined_schema: SchemaRef = Arc::new(input.as_arrow().clone());
        let mut readers = vec![None; joined_schema.fields().len()];
        for (output, expression) in outputs.iter().enumerate() {
            for column in collect_columns(expression) {
                readers.get_mut(column.index()).into_iter().for_each(|reader| *reader = reader.or(Some(output)));
            }
        }
        let inputs = Inputs::from(columns.len());
        let joined = joined(&joins, &joined_schema, &readers, (requests.fields().len(), tables, sources))?;
        let meaning = Meaning::of(sql, &joined)?;
        let fingerprint = meaning.fingerprint();
        let meaning = Arc::new(meaning);
        Ok(Self {
            joins,
            joined_schema,
            outputs,
            readers,
            requests,
            columns,
            described,
            inputs,
            meaning,
            fingerprint,
            earlier,
        })
    }

    /// The same vector as a model knows it that says it was made for this fingerprint: an earlier version of this program made
    /// other ones of the same texts.
    #[must_use]
    pub(crate) fn known_as(self, made_for: Option<&str>) -> Self {
        match made_for == Some(self.earlier.as_str()) {
            true => Self { fingerprint: self.earlier.clone(), ..self },
            false => self,
        }
    }

    /// The same vector under the fingerprint that this version makes of it.
    #[must_use]
    pub(crate) fn in_newest_form(&self) -> Self {
        Self { fingerprint: self.meaning.fingerprint(), ..self.clone() }
    }

    /// Whether a fingerprint is one of this vector, in this form or the earlier one.
    pub(crate) fn is_named(&self, fingerprint: &str) -> bool {
        [&self.fingerprint, &self.earlier].iter().any(|own| own.as_str() == fingerprint)
    }

    /// What it is made of.
    pub(crate) fn meaning(&self) -> &Meaning {
        &self.meaning
    }

    /// The same vector with its columns in other types.
    #[must_use]
    pub(crate) fn with_inputs(&self, inputs: Inputs) -> Self {
        Self { inputs, ..self.clone() }
    }

    /// The types of the columns, and where they are in a row.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// The columns as the select list has them.
    pub(crate) fn described(&self) -> &[VectorColumn] {
        &self.described
    }

    /// What ties examples to the vector.
    pub fn examples_fingerprint(&self) -> String {
        self.inputs.fingerprint(self.fingerprint.as_str())
    }

    /// Names of the columns, in the model's order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// What ties the vector to a model.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Columns of the relation `requests`.
    pub fn requests(&self) -> &SchemaRef {
        &self.requests
    }

    /// Vectors of these columns, an array for each as the select list gives it. `failed` rows could not be computed.
    pub(super) fn matrix_of(
        &self,
        columns: &[ArrayRef],
        rows: usize,
        failed: Vec<Unscorable>,
    ) -> Result<Matrix, WindowError> {
        Matrix::from_columns(&self.described, &self.inputs, columns, rows, failed)
    }

    /// Vectors of columns that come from elsewhere.
    ///
    /// # Errors
    /// When a column can't be brought into the type that it has in vectors.
    pub(crate) fn matrix(&self, columns: &[ArrayRef], rows: usize) -> Result<Matrix, WindowError> {
        self.matrix_of(columns, rows, Vec::new())
    }

    /// The tables that are joined, by their index in the pipeline.
    pub(crate) fn tables(&self) -> impl Iterator<Item = usize> {
        self.joins.iter().map(|join| join.table)
    }

    /// The first table whose key comes from another table instead of `requests`, if any.
    pub fn first_chained_table(&self) -> Option<usize> {
        self.joins.iter().find(|join| !join.is_direct).map(|join| join.table)
    }
}

/// What the vector reads of each table: the columns that its outputs read, those by which other tables are joined, and the keys.
fn joined<'a>(
    joins: &[JoinPlan],
    schema: &Schema,
    readers: &[Option<usize>],
    (requests, tables, sources): (usize, &[LivePlan], &'a [TableText]),
) -> Result<Vec<Joined<'a>>, PlanError> {
    let mut is_read: Vec<bool> = readers.iter().map(Option::is_some).collect();
    for key in joins.iter().flat_map(|join| &join.keys) {
        // The columns joined so far come first in all that is joined.
        for column in collect_columns(key) {
            is_read.get_mut(column.index()).into_iter().for_each(|read| *read = true);
        }
    }
    let mut joined = Vec::new();
    let mut first = requests;
    for join in joins {
        let (Some(table), Some(text)) = (tables.get(join.table), sources.get(join.table)) else { continue };
        let columns = first..first + table.schema().fields().len();
        first = columns.end;
        let names = columns.filter(|column| is_read.get(*column) == Some(&true));
        let mut read: BTreeSet<String> =
            names.filter_map(|column| schema.fields().get(column).map(|field| field.name().clone())).collect();
        read.extend(table.keys()?.into_iter().map(|(name, _)| name.to_owned()));
        joined.push(Joined { text, read });
    }
    Ok(joined)
}

fn check_output(
    expression: &Expr,
    input: &DFSchema,
    name: &str,
    missing: &Missing,
) -> Result<(ColumnForm, IfNull), PlanError> {
    let data_type = expression.get_type(input)?;
    let Some(form) = ColumnForm::of(&data_type) else {
        return Err(PlanError::new(format!(
            "column `{name}` is {data_type}, and a model takes numbers, texts and lists of numbers"
        ))
        .suggest("compute a number from it, such as array_length(...) or a CASE"));
    };
    // Nobody has seen anything where there is no row.
    let is_nullable = expression.nullable(input)?;
    let if_null = missing.in_column(name, form, is_nullable);
    if is_nullable && if_null == IfNull::Refused && !matches!(form, ColumnForm::List { .. }) {
        let advice = match form {
            ColumnForm::Text => format!("say what that becomes: coalesce(..., '') AS {name}"),
            _ => format!(
                "say what that becomes: coalesce(..., 0) AS {name}; or, where the model takes NaN as a missing value, \
                 missing = {{ {name} = \"nan\" }} under [model]"
            ),
        };
        return Err(PlanError::new(format!("column `{name}` can be NULL: a look-up may find no row")).suggest(advice));
    }
    Ok((form, if_null))
}

/// Whether an expression is a column of the requests as it came, perhaps with a number for where it is absent.
fn is_of_request(expression: &Expr, input: &DFSchema, requests: &Schema) -> Result<bool, PlanError> {
    Ok(match expression {
        Expr::Alias(alias) => is_of_request(&alias.expr, input, requests)?,
        Expr::Column(column) => input.index_of_column(column)? < requests.fields().len(),
        Expr::ScalarFunction(function) if function.name() == "coalesce" => match function.args.as_slice() {
            [given, Expr::Literal(..)] => is_of_request(given, input, requests)?,
            _ => false,
        },
        _ => false,
    })
}

/// Walks the joins from the left; every relation but the first is a feature table.
fn collect_joins(
    planner: &Planner,
    plan: &LogicalPlan,
    requests: &Schema,
    tables: &[LivePlan],
    joins: &mut Vec<JoinPlan>,
) -> Result<(), PlanError> {
    match plan {
        LogicalPlan::Join(join) => {
            collect_joins(planner, &join.left, requests, tables, joins)?;
            joins.push(plan_join(planner, join, requests, tables)?);
            Ok(())
        }
        other => match relation(other) {
            Some(REQUESTS) => Ok(()),
            Some(name) => Err(PlanError::new(format!("the vector selects from `{name}` first"))
                .suggest(format!("FROM {REQUESTS} r LEFT JOIN {name} ON ..."))),
            None => Err(PlanError::new("the vector has more than a select list and joins")
                .suggest("leave WHERE, GROUP BY, ORDER BY and sub-selects out")),
        },
    }
}

fn plan_join(planner: &Planner, join: &Join, requests: &Schema, tables: &[LivePlan]) -> Result<JoinPlan, PlanError> {
    let Some(name) = relation(&join.right) else {
        return Err(
            PlanError::new("a join's right side is not a feature table").suggest("LEFT JOIN table ON key = key")
        );
    };
    if join.join_type != JoinType::Left {
        return Err(PlanError::new(format!("{} JOIN of `{name}`", join.join_type))
            .suggest("LEFT JOIN: a request is scored also when a table has no row for it"));
    }
    let Some(table) = tables.iter().position(|table| table.name() == name) else {
        return Err(PlanError::new(format!("`{name}` is not a feature table")));
    };
    let plan = &tables[table];
    let mut pairs: Vec<(Expr, Expr)> = join.on.clone();
    for term in join.filter.iter().flat_map(split_conjunction) {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = term else {
            return Err(PlanError::new(format!("`{name}` is joined on `{term}`"))
                .suggest("look-ups are by key: ON r.key = t.key AND ..."));
        };
        pairs.push((left.as_ref().clone(), right.as_ref().clone()));
    }
    let left = join.left.schema();
    let mut keys = Vec::new();
    let mut is_direct = true;
    for (key, place) in plan.keys()? {
        let is_key = |expression: &Expr| {
            matches!(without_cast(expression), Expr::Column(column)
                if column.name == key && join.right.schema().has_column(column))
        };
        let matching: Vec<&Expr> = pairs
            .iter()
            .filter_map(|(a, b)| match (is_key(a), is_key(b)) {
                // That the key is cast for it says that the types differ.
                (_, true) => Some(if matches!(b, Expr::Cast(_)) { without_cast(a) } else { a }),
                (true, false) => Some(if matches!(a, Expr::Cast(_)) { without_cast(b) } else { b }),
                (false, false) => None,
            })
            .collect();
        let [value] = matching.as_slice() else {
            return Err(PlanError::new(format!("`{name}` is not joined on its key `{key}`"))
                .suggest(format!("ON ... = {name}.{key}")));
        };
        let (given, wanted) = (value.get_type(left)?, plan.schema().field(place).data_type());
        if given != *wanted {
            return Err(PlanError::new(format!("`{value}` is {given}, the key {name}.{key} is {wanted}"))
                .near(value.to_string())
                .suggest("make the types equal with a CAST on the requests' side"));
        }
        is_direct &= reads_only_requests(value, left, requests)?;
        keys.push(planner.physical(value, left)?);
    }
    if pairs.len() != keys.len() {
        return Err(PlanError::new(format!("`{name}` is joined on more than its key"))
            .suggest("filter in the select list with CASE instead"));
    }
    Ok(JoinPlan { table, keys, schema: Arc::new(left.as_arrow().clone()), is_direct })
}

/// What the planner casts to make types equal.
fn without_cast(side: &Expr) -> &Expr {
    if let Expr::Cast(cast) = side { without_cast(&cast.expr) } else { side }
}

/// Whether every column of the expression is one of the first relation's.
fn reads_only_requests(expression: &Expr, schema: &DFSchema, requests: &Schema) -> Result<bool, PlanError> {
    let mut direct = true;
    expression.apply(|node| {
        if let Expr::Column(column) = node {
            direct &= schema.index_of_column(column)? < requests.fields().len();
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(direct)
}

/// The name of the relation that a plan only scans, perhaps under an alias.
fn relation(plan: &LogicalPlan) -> Option<&str> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(scan.table_name.table()),
        LogicalPlan::SubqueryAlias(alias) => relation(&alias.input),
        _ => None,
    }
}

/// Whether a schema has a column under this qualified or bare name.
trait HasColumn {
    fn has_column(&self, column: &Column) -> bool;
}

impl HasColumn for Arc<DFSchema> {
    fn has_column(&self, column: &Column) -> bool {
        self.maybe_index_of_column(column).is_some()
    }
}
