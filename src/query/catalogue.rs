//! What there is to ask: the tables of a pipeline and their columns, known without reading a row.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use super::known::Known;
use super::statement::Relation;
use super::tables::Table;
use super::{CATALOG, QueryError, SCHEMA};
use crate::feature::LivePlan;
use crate::pipeline::Pipeline;

/// The schema of the two tables that list the others.
pub(super) const INFORMATION: &str = "information_schema";
/// The one of tables.
pub(super) const TABLES: &str = "tables";
/// The one of their columns.
pub(super) const COLUMNS: &str = "columns";

/// The tables that a statement can read, and the streams, which it can't.
pub(super) struct Catalogue {
    tables: Vec<Entry>,
    streams: Vec<String>,
}

struct Entry {
    name: String,
    kind: Kind,
    /// The columns that a row is found by.
    key: Vec<String>,
    schema: SchemaRef,
}

#[derive(Clone, Copy)]
enum Kind {
    Feature,
    Reference,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Feature => "feature table",
            Self::Reference => "reference table",
        }
    }
}

impl Catalogue {
    /// All of a pipeline.
    pub(super) fn of(pipeline: &Pipeline) -> Self {
        let features = pipeline.tables.iter().map(|table| Entry {
            name: table.plan.name().to_owned(),
            kind: Kind::Feature,
            key: key_of(&table.plan),
            schema: Arc::clone(table.plan.schema()),
        });
        let references = pipeline.references.iter().map(|reference| Entry {
            name: reference.spec.name.clone(),
            kind: Kind::Reference,
            key: reference.spec.key.clone(),
            schema: reference.table.schema(),
        });
        let streams = pipeline.streams.iter().map(|stream| stream.name.clone()).collect();
        Self { tables: features.chain(references).collect(), streams }.sorted()
    }

    /// Rows that somebody brings.
    pub(super) fn of_rows(tables: &[Table]) -> Self {
        let tables = tables.iter().filter_map(|(name, batches)| {
            let schema = batches.first()?.schema();
            Some(Entry { name: name.clone(), kind: Kind::Feature, key: Vec::new(), schema })
        });
        Self { tables: tables.collect(), streams: Vec::new() }.sorted()
    }

    fn sorted(mut self) -> Self {
        self.tables.sort_by(|a, b| a.name.cmp(&b.name));
        self
    }

    /// What SHOW TABLES answers.
    pub(super) fn shown(&self) -> Result<RecordBatch, ArrowError> {
        self.tables()?.project(&[2, 4, 5])
    }

    /// What DESCRIBE answers.
    pub(super) fn described(&self, relation: &Relation) -> Result<RecordBatch, QueryError> {
        let render = |error: ArrowError| QueryError::Render(error.to_string());
        let described = match relation {
            Relation::Information(table) => {
                let listing = if *table == TABLES { self.tables() } else { self.columns() };
                let schema = listing.map_err(render)?.schema();
                columns_of(&[&Entry { name: (*table).to_owned(), kind: Kind::Feature, key: Vec::new(), schema }])
            }
            Relation::Live(name) => {
                let entry = self.tables.iter().find(|entry| entry.name == *name).ok_or_else(|| self.unknown(name))?;
                columns_of(&[entry])
            }
        };
        described.and_then(|columns| columns.project(&[3, 5, 6, 7])).map_err(render)
    }

    /// `information_schema.tables`.
    pub(super) fn tables(&self) -> Result<RecordBatch, ArrowError> {
        let texts = |text: fn(&Entry) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(self.tables.iter().map(text)))
        };
        RecordBatch::try_from_iter([
            ("table_catalog", texts(|_| CATALOG.to_owned())),
            ("table_schema", texts(|_| SCHEMA.to_owned())),
            ("table_name", texts(|entry| entry.name.clone())),
            ("table_type", texts(|_| "BASE TABLE".to_owned())),
            ("kind", texts(|entry| entry.kind.words().to_owned())),
            ("key", texts(|entry| entry.key.join(", "))),
        ])
    }

    /// `information_schema.columns`.
    pub(super) fn columns(&self) -> Result<RecordBatch, ArrowError> {
        columns_of(&self.tables.iter().collect::<Vec<_>>())
    }

    /// What a fault of planning means for a statement that reads these relations.
    pub(super) fn planning(&self, error: &DataFusionError, relations: &[Relation]) -> QueryError {
        let text = error.strip_backtrace();
        let unknown = relations.iter().find_map(|relation| match relation {
            Relation::Live(name) if !self.tables.iter().any(|entry| entry.name == *name) => Some(name),
            _ => None,
        });
        // DataFusion has no error of its own for it.
        match unknown.filter(|name| text.contains(&format!("table '{CATALOG}.{SCHEMA}.{name}' not found"))) {
            Some(name) => self.unknown(name),
            None => QueryError::planning(error),
        }
    }

    fn unknown(&self, name: &str) -> QueryError {
        let names = self.tables.iter().map(|entry| (entry.name.clone(), entry.name.clone()));
        let (name, known) = (name.to_owned(), Known::of(name, names));
        if self.streams.contains(&name) {
            QueryError::Stream { name, known }
        } else {
            QueryError::UnknownTable { name, known }
        }
    }
}

fn key_of(plan: &LivePlan) -> Vec<String> {
    match plan {
        LivePlan::AsOf(plan) => plan.keys().iter().map(|key| key.name.clone()).collect(),
        // A key that is not selected finds no row.
        LivePlan::Windows(plan) => {
            let selected = plan.keys().iter().filter(|key| key.output_index.is_some());
            selected.map(|key| key.name.clone()).collect()
        }
    }
}

/// A row for each column of tables.
fn columns_of(entries: &[&Entry]) -> Result<RecordBatch, ArrowError> {
    let (mut tables, mut names, mut positions) = (Vec::new(), Vec::new(), Vec::new());
    let (mut types, mut nullable, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    let yes_or_no = |is_so: bool| if is_so { "YES" } else { "NO" };
    for entry in entries {
        for (position, field) in (1..).zip(entry.schema.fields()) {
            tables.push(entry.name.as_str());
            names.push(field.name().as_str());
            positions.push(position);
            types.push(field.data_type().to_string());
            nullable.push(yes_or_no(field.is_nullable()));
            keys.push(yes_or_no(entry.key.contains(field.name())));
        }
    }
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; names.len()])) };
    let texts = |texts: &[&str]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    RecordBatch::try_from_iter([
        ("table_catalog", same(CATALOG)),
        ("table_schema", same(SCHEMA)),
        ("table_name", texts(&tables)),
        ("column_name", texts(&names)),
        ("ordinal_position", Arc::new(Int32Array::from(positions)) as ArrayRef),
        ("data_type", Arc::new(StringArray::from(types)) as ArrayRef),
        ("is_nullable", texts(&nullable)),
        ("is_key", texts(&keys)),
    ])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Folder;
    use crate::query::{Answer, Format};

    fn of_a_pipeline(name: &str) -> Catalogue {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(name);
        Catalogue::of(&Folder::read(&folder).unwrap().assemble_without_model().unwrap())
    }

    fn text(rows: RecordBatch) -> String {
        let answer = Answer { schema: rows.schema(), batches: vec![rows], truncated: false, more: None };
        answer.render(Format::Table).unwrap()
    }

    #[test]
    fn tables_are_listed_with_what_their_rows_are_found_by() {
        insta::assert_snapshot!(text(of_a_pipeline("recommend").shown().unwrap()), @r"
        +----------------+---------------+----------------------+
        | table_name     | kind          | key                  |
        +----------------+---------------+----------------------+
        | category_trend | feature table | category_id          |
        | item_trend     | feature table | item_id              |
        | user_activity  | feature table | user_id              |
        | user_category  | feature table | user_id, category_id |
        +----------------+---------------+----------------------+
        ");
    }

    #[test]
    fn columns_are_listed_with_their_types_and_so_are_those_of_the_lists() {
        let catalogue = of_a_pipeline("trends");
        insta::assert_snapshot!(text(catalogue.described(&Relation::Live("visit".to_owned())).unwrap()), @r#"
        +-------------+-------------------------+-------------+--------+
        | column_name | data_type               | is_nullable | is_key |
        +-------------+-------------------------+-------------+--------+
        | user_id     | Int64                   | YES         | YES    |
        | began       | Timestamp(µs, "+00:00") | YES         | NO     |
        | events      | Int64                   | YES         | NO     |
        | buys        | Int64                   | YES         | NO     |
        | dearest     | Float64                 | YES         | NO     |
        +-------------+-------------------------+-------------+--------+
        "#);
        insta::assert_snapshot!(text(catalogue.described(&Relation::Information(TABLES)).unwrap()), @r"
        +---------------+-----------+-------------+--------+
        | column_name   | data_type | is_nullable | is_key |
        +---------------+-----------+-------------+--------+
        | table_catalog | Utf8      | NO          | NO     |
        | table_schema  | Utf8      | NO          | NO     |
        | table_name    | Utf8      | NO          | NO     |
        | table_type    | Utf8      | NO          | NO     |
        | kind          | Utf8      | NO          | NO     |
        | key           | Utf8      | NO          | NO     |
        +---------------+-----------+-------------+--------+
        ");
    }
}
