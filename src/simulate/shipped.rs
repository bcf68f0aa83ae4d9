//! The shipped pipelines and the contracts fit each other and the shop.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, TimeUnit};
use datafusion::datasource::MemTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::SessionContext;
use serde_json::{Value, json};

use super::{Shop, ShopSettings};
use crate::window::{FeaturePlan, Horizon};

const DAY: i64 = 86_400_000_000;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The columns of a contract whose event time is `ts`.
fn columns(contract: &str) -> SchemaRef {
    let contract: Value = serde_json::from_str(&read(contract)).unwrap();
    let fields = contract["properties"].as_object().unwrap().iter().map(|(name, property)| {
        let data_type = match (name.as_str(), property["type"].as_str().unwrap_or("string")) {
            ("ts", _) => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            (_, "integer") => DataType::Int64,
            (_, "number") => DataType::Float64,
            _ => DataType::Utf8,
        };
        Field::new(name, data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Every feature file of a pipeline, planned.
fn plans(pipeline: &str, stream: &str, contract: &str) -> Vec<FeaturePlan> {
    let planner = crate::window::planner();
    planner.add_relation(stream, columns(contract)).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("pipelines/{pipeline}/features"));
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let sql = fs::read_to_string(&path).unwrap();
            FeaturePlan::new(&planner, name, &sql, "ts", Horizon::new(7 * DAY))
                .unwrap_or_else(|error| panic!("{}: {error} {:?}", path.display(), error.suggestion))
        })
        .collect()
}

/// The vector of a request that no feature table knows anything about.
async fn vector_of_a_stranger(pipeline: &str, plans: &[FeaturePlan], requests: RecordBatch) -> RecordBatch {
    let context = SessionContext::new();
    for plan in plans {
        context.register_table(plan.name(), Arc::new(EmptyTable::new(Arc::clone(plan.schema())))).unwrap();
    }
    let requests = MemTable::try_new(requests.schema(), vec![vec![requests]]).unwrap();
    context.register_table("requests", Arc::new(requests)).unwrap();
    let vector = context.sql(&read(&format!("pipelines/{pipeline}/vector.sql"))).await.unwrap();
    let mut rows = vector.collect().await.unwrap();
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

fn one_row(schema: &SchemaRef, row: &Value) -> RecordBatch {
    let mut decoder = arrow::json::ReaderBuilder::new(Arc::clone(schema)).build_decoder().unwrap();
    decoder.serialize(&[row]).unwrap();
    decoder.flush().unwrap().unwrap()
}

/// At least eight columns, all numbers, none NULL, none infinite.
fn assert_fit_for_a_model(vector: &RecordBatch) {
    assert!(vector.num_columns() >= 8);
    assert_eq!(vector.num_rows(), 1);
    for (field, column) in vector.schema().fields().iter().zip(vector.columns()) {
        assert!(field.data_type().is_numeric(), "{field:?}");
        assert_eq!(column.null_count(), 0, "{field:?}");
        let column = arrow::compute::cast(column, &DataType::Float64).unwrap();
        assert!(column.as_primitive::<Float64Type>().value(0).is_finite(), "{field:?}");
    }
}

#[tokio::test]
async fn intent_plans_and_answers_for_a_stranger() {
    let schema = columns("schemas/behavior.json");
    let plans = plans("intent", "behavior", "schemas/behavior.json");
    let view = json!({"user_id": 1, "item_id": 2, "category_id": 3, "behavior": "pv", "ts": 1_511_658_000_000_000_i64});
    let vector = vector_of_a_stranger("intent", &plans, one_row(&schema, &view)).await;
    assert_fit_for_a_model(&vector);
}

#[tokio::test]
async fn recommend_plans_and_answers_for_a_stranger() {
    let plans = plans("recommend", "clicks", "schemas/click.json");
    let request = columns("schemas/ranking_request.json");
    let mut fields: Vec<_> = request.fields().iter().filter(|field| field.name() != "items").cloned().collect();
    fields.push(Arc::new(Field::new("item_id", DataType::Int64, true)));
    let schema = Arc::new(Schema::new(fields));
    // Without a time, which is optional.
    let candidate = json!({"request_id": "r1", "user_id": 1, "item_id": 2});
    let vector = vector_of_a_stranger("recommend", &plans, one_row(&schema, &candidate)).await;
    assert_fit_for_a_model(&vector);
}

#[test]
fn what_the_shop_writes_follows_the_contracts() {
    let mut shop = Shop::new(&ShopSettings::default());
    let click: Value = serde_json::from_str(&read("schemas/click.json")).unwrap();
    let request: Value = serde_json::from_str(&read("schemas/ranking_request.json")).unwrap();
    let mut written = Vec::new();
    for _ in 0..200 {
        let visit = shop.visit(1_511_658_000_000_000);
        for reaction in shop.react(&visit, &visit.candidates, visit.ts_micros).into_iter().chain([shop.browse(0)]) {
            written.clear();
            reaction.write_json(&mut written);
            assert_follows(&click, &serde_json::from_slice(&written).unwrap());
        }
        written.clear();
        visit.write_json(&mut written);
        assert_follows(&request, &serde_json::from_slice(&written).unwrap());
    }
}

/// Every required property is there, and every property is known and of a type and value that the contract names.
fn assert_follows(contract: &Value, event: &Value) {
    for name in contract["required"].as_array().unwrap() {
        assert!(event.get(name.as_str().unwrap()).is_some(), "{name} is missing in {event}");
    }
    for (name, value) in event.as_object().unwrap() {
        let property = &contract["properties"][name];
        let found = match value {
            Value::Number(number) if number.is_i64() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            other => panic!("{name} is {other}"),
        };
        let wanted = &property["type"];
        let is_wanted = wanted == found || wanted.as_array().is_some_and(|types| types.contains(&json!(found)));
        assert!(is_wanted, "{name} is {found}, not {wanted}");
        assert!(property["enum"].as_array().is_none_or(|values| values.contains(value)), "{name} is {value}");
    }
}
