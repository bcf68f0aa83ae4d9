//! Any number of pipelines on one stream, and the shipped ones on one broker.

use super::*;
use crate::broker::{pipeline, publish, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_on_one_stream_each_read_all_of_it() {
    let team = Team::with(events()).await;
    let pipelines: Vec<_> = ["one", "two", "three"].map(|name| team.pipeline(name, "source = \"EVENTS\"")).into();
    let mut runs = Vec::new();
    for pipeline in &pipelines {
        runs.push(team.start(pipeline).await);
    }
    team.publish("shop.clicks", 0..30).await;
    for run in runs {
        assert_eq!(stopped_after(run, 30).await, [10, 10, 10]);
    }
    team.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_share_a_stream_that_each_makes_where_it_is_missing() {
    let team = Team::without_stream().await;
    let shared = |name: &str| team.pipeline(name, "stream = \"SHOP\"\nmax_bytes = \"1 MB\"");
    let first = team.start(&shared("one")).await;
    let second = team.start(&shared("two")).await;
    team.publish("shop.clicks", 0..9).await;
    for run in [first, second] {
        assert_eq!(stopped_after(run, 9).await, [3, 3, 3]);
    }
    assert_eq!(config_of(&team, "SHOP").await.subjects, ["shop.clicks"]);
    let unnamed = team.pipeline("three", "max_bytes = \"1 MB\"");
    let error = team.refused(&unnamed).await;
    assert!(error.contains("source = \"SHOP\"") && error.contains("stream = \"SHOP\""), "{error}");
    team.stop().await;
}

/// `trends` could not start beside `recommend`: both claimed the subjects of the clicks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_pipelines_run_side_by_side_on_one_broker() {
    let team = Team::without_stream().await;
    let mut runs = Vec::new();
    for name in ["recommend", "trends", "intent"] {
        runs.push(start(&pipeline(name), &team.bus).await);
    }
    let click = |id: u64| {
        let click = json!({"event_id": format!("e{id}"), "user_id": id % 5, "item_id": id % 7, "category_id": 1,
            "kind": "view", "price": 9.5, "ts": FIRST + id});
        serde_json::to_vec(&click).unwrap()
    };
    publish(&team.bus, "shop.clicks.web", (0..50).map(click)).await;
    let view = |id: u64| {
        let view =
            json!({"user_id": id % 5, "item_id": id % 7, "category_id": 1, "behavior": "pv", "ts": FIRST / 1_000});
        serde_json::to_vec(&view).unwrap()
    };
    publish(&team.bus, "shop.behavior", (0..20).map(view)).await;
    for (run, counted) in runs.into_iter().zip([50, 50, 20]) {
        counted_to(&run, counted).await;
        run.stop().await.unwrap();
    }
    team.stop().await;
}
