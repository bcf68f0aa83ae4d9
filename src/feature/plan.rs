//! `vector.sql` → look-ups and a select list.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;

use super::column::{ColumnForm, VectorColumn};
use super::join::{JoinPlan, collect_joins, joined};
use super::matrix::{Matrix, Unscorable};
use super::meaning::{Meaning, TableText};
use super::missing::{IfNull, Missing};
use super::{Fingerprint, Inputs, LivePlan};
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
