//! A thousand calls of `track` end to end: what a running pipeline counts is what plain maps count over the same JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tidewheel::config::Folder;
use tidewheel::engine::Run;
use tidewheel::pipeline::Pipeline;
use tidewheel::query;

use super::ready;
use crate::broker::{publish, server, start, through};

const EVENTS: usize = 1_000;
/// 2026-01-05T10:00:00Z.
const START_SECONDS: i64 = 1_767_607_200;

fn pipeline(folder: &Path) -> Arc<Pipeline> {
    let files = [
        (
            "pipeline.toml",
            "name = \"thousand\"\n[streams.calls]\nsubjects = [\"thousand.calls\"]\ncontract = \"schemas/track.json\"\n\
             time = \"timestamp\"\nid = \"id\"\ndisorder = \"0s\"\n"
                .to_owned(),
        ),
        ("schemas/track.json", ready("segment-track")),
        (
            "features/person.sql",
            "SELECT coalesce(user_id, anonymous_id) AS person, count(*) AS calls, \
             count(*) FILTER (WHERE event = 'Product Viewed') AS views, count(DISTINCT product_id) AS products, \
             sum(price * quantity) AS worth FROM calls GROUP BY coalesce(user_id, anonymous_id)"
                .to_owned(),
        ),
        (
            "features/category.sql",
            "SELECT category, count(*) AS calls, sum(quantity) AS pieces, min(context_page_path) AS path FROM calls \
             WHERE category IS NOT NULL GROUP BY category"
                .to_owned(),
        ),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    Arc::new(Folder::read(folder).unwrap().assemble().unwrap())
}

/// Calls in order of time: some of people who are not signed in, some without properties, a few sent twice.
fn calls() -> Vec<Value> {
    let mut random = ChaCha8Rng::seed_from_u64(14);
    let mut calls: Vec<Value> = Vec::with_capacity(EVENTS);
    for number in 0..EVENTS {
        let seconds = START_SECONDS + number as i64;
        let at = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        let at = at.format(&time::format_description::well_known::Rfc3339).unwrap();
        let user = random.random_range(0..40);
        let who = if random.random_bool(0.2) { "anonymousId" } else { "userId" };
        let item = random.random_range(0..60);
        let category = ["Games", "Küche & Bad", "本"][item % 3];
        let event = if random.random_bool(0.7) { "Product Viewed" } else { "Product Added" };
        let mut call = json!({
            "type": "track", "messageId": format!("m{number}"), "event": event, "timestamp": at,
            "context": {"page": {"path": format!("/products/{item}")}, "library": {"name": "x", "version": [1, 2]}},
            "properties": {
                "product_id": format!("p{item}"), "category": category,
                // Sums of quarters are exact in any order.
                "price": f64::from(random.random_range(1..400)) / 4.0, "quantity": random.random_range(1..5),
                "own": {"deep": [{"er": null}]},
            },
        });
        call[who] = json!(format!("{who}-{user}"));
        match number % 10 {
            3 => call["properties"] = Value::Null,
            7 => call["properties"] = json!({"category": "Games", "price": null}),
            _ => {}
        }
        calls.push(call);
    }
    calls
}

#[derive(Debug, Default, PartialEq)]
struct Person {
    calls: u64,
    views: u64,
    products: BTreeSet<String>,
    worth: Option<f64>,
}

fn people(calls: &[Value]) -> BTreeMap<String, Person> {
    let mut people: BTreeMap<String, Person> = BTreeMap::new();
    for call in calls {
        let name = call["userId"].as_str().or_else(|| call["anonymousId"].as_str()).unwrap();
        let person = people.entry(name.to_owned()).or_default();
        let properties = &call["properties"];
        person.calls += 1;
        person.views += u64::from(call["event"] == "Product Viewed");
        person.products.extend(properties["product_id"].as_str().map(str::to_owned));
        if let (Some(price), Some(quantity)) = (properties["price"].as_f64(), properties["quantity"].as_f64()) {
            *person.worth.get_or_insert(0.0) += price * quantity;
        }
    }
    people
}

/// Per category its calls, its pieces, and the first of its paths.
fn categories(calls: &[Value]) -> BTreeMap<String, (u64, u64, String)> {
    let mut found: BTreeMap<String, (u64, u64, String)> = BTreeMap::new();
    for call in calls {
        let Some(category) = call["properties"]["category"].as_str() else { continue };
        let path = call["context"]["page"]["path"].as_str().unwrap();
        let entry = found.entry(category.to_owned()).or_insert_with(|| (0, 0, path.to_owned()));
        entry.0 += 1;
        entry.1 += call["properties"]["quantity"].as_u64().unwrap_or(0);
        entry.2 = entry.2.clone().min(path.to_owned());
    }
    found
}

async fn table(run: &Run, name: &str) -> Vec<Value> {
    let view = run.views().take(vec![name.to_owned()]).await.unwrap();
    let answer = query::run_view(&format!("SELECT * FROM {name}"), view, &query::Limits::default()).unwrap();
    serde_json::from_str(&answer.render(query::Format::Json).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_give_the_counts_of_plain_maps() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(&folder.path().join("broker")).await;
    let pipeline = pipeline(folder.path());
    let run = start(&pipeline, &bus).await;
    let calls = calls();
    // Every hundredth is sent again, as a library does whose answer was lost.
    let again = calls.iter().step_by(100);
    let payloads = calls.iter().chain(again).map(|call| serde_json::to_vec(call).unwrap());
    publish(&bus, "thousand.calls", payloads).await;
    through(&run, &bus, &pipeline).await;
    let counts = run.stats().snapshot().counts;
    assert_eq!((counts.counted, counts.duplicate, counts.rejected, counts.late), (1_000, 10, 0, 0));

    let expected = people(&calls);
    let rows = table(&run, "person").await;
    assert_eq!(rows.len(), expected.len());
    for row in rows {
        let person = &expected[row["person"].as_str().unwrap()];
        assert_eq!(row["calls"], person.calls, "{row}");
        assert_eq!(row["views"], person.views, "{row}");
        assert_eq!(row["products"], person.products.len(), "{row}");
        assert_eq!(row["worth"].as_f64(), person.worth, "{row}");
    }
    let expected = categories(&calls);
    let rows = table(&run, "category").await;
    assert_eq!(rows.len(), expected.len());
    for row in rows {
        let (calls, pieces, path) = &expected[row["category"].as_str().unwrap()];
        assert_eq!((&row["calls"], &row["pieces"]), (&json!(calls), &json!(pieces)), "{row}");
        assert_eq!(row["path"], path.as_str());
    }
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}
