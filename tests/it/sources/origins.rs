//! Streams that have their messages from others: a mirror whose origin is another one by now, an aggregate of which a source is.

use async_nats::jetstream::stream::Source;

use super::*;

fn origin() -> Source {
    Source { name: "EVENTS".to_owned(), ..Source::default() }
}

/// Waits until the stream holds so many messages.
async fn holds(team: &Team, stream: &str, messages: u64) {
    until("the stream to follow its origin", async || {
        let found = team.bus.stream_state(stream).await.unwrap().messages;
        (found == messages).then_some(())
    })
    .await;
}

async fn made_anew(team: &Team, ids: Range<u64>) {
    team.js.delete_stream("EVENTS").await.unwrap();
    team.js.create_stream(events()).await.unwrap();
    team.publish("shop.clicks", ids).await;
}

/// The mirror went on to say that it was up to date, and all checks of it passed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_whose_origin_was_made_anew_stops_the_pipeline_that_reads_it() {
    let team = Team::with(events()).await;
    team.publish("shop.clicks", 0..9).await;
    let copy = || Config { name: "COPY".to_owned(), mirror: Some(origin()), ..Config::default() };
    team.js.create_stream(copy()).await.unwrap();
    holds(&team, "COPY", 9).await;
    let pipeline = team.pipeline("own", "source = \"COPY\"");
    let run = team.start(&pipeline).await;
    stopped_after(run, 9).await;
    let mut run = team.start(&pipeline).await;
    made_anew(&team, 20..24).await;
    let error = tokio::time::timeout(PATIENCE, run.failed()).await.unwrap().to_string();
    let told = "stream COPY: its origin EVENTS ends at 4, and it holds messages of that up to 9";
    // While it is made anew it may not be there, or shorter yet.
    assert!(error.contains("stream COPY: its origin EVENTS") && error.contains("delete the mirror"), "{error}");
    drop(run);
    let error = team.refused(&pipeline).await;
    assert!(error.contains(told) && error.contains("--accept-loss"), "{error}");
    // As long as before, it is no better.
    team.publish("shop.clicks", 24..40).await;
    let error = team.refused(&pipeline).await;
    assert!(error.contains("message 9 of its origin EVENTS is not the one that it holds"), "{error}");

    let run = team.try_start(&pipeline, OnLoss::Accept).await.unwrap();
    stopped_after(run, 9).await;
    team.js.delete_stream("COPY").await.unwrap();
    team.js.create_stream(copy()).await.unwrap();
    holds(&team, "COPY", 20).await;
    let run = team.try_start(&pipeline, OnLoss::Accept).await.unwrap();
    stopped_after(run, 29).await;
    team.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_source_appends_again_stops_a_pipeline_without_ids_and_is_found_by_one_with_them() {
    let team = Team::with(events()).await;
    team.publish("shop.clicks", 0..6).await;
    let others = Config { name: "OTHERS".to_owned(), subjects: vec!["other.>".to_owned()], ..Config::default() };
    team.js.create_stream(others).await.unwrap();
    let sources = Some(vec![origin(), Source { name: "OTHERS".to_owned(), ..Source::default() }]);
    team.js.create_stream(Config { name: "ALL".to_owned(), sources, ..Config::default() }).await.unwrap();
    holds(&team, "ALL", 6).await;
    let blind = team.pipeline("blind", "source = \"ALL\"");
    let sharp = team.pipeline("sharp", "source = \"ALL\"\nid = \"event_id\"");
    for pipeline in [&blind, &sharp] {
        let run = team.start(pipeline).await;
        stopped_after(run, 6).await;
    }
    // Another source is no change of this one.
    team.publish("other.clicks", 50..51).await;
    holds(&team, "ALL", 7).await;
    let mut running = team.start(&blind).await;
    // The same events again, and two new ones.
    made_anew(&team, 0..8).await;
    holds(&team, "ALL", 15).await;
    let told = "EVENTS, which it takes messages from, was made anew or put back from a backup: from message 8 on";
    let error = tokio::time::timeout(PATIENCE, running.failed()).await.unwrap().to_string();
    assert!(error.contains(told), "{error}");
    drop(running);
    let error = match team.try_start(&blind, OnLoss::Stop).await {
        Ok(mut run) => tokio::time::timeout(PATIENCE, run.failed()).await.unwrap().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(error.contains(told) && error.contains("--accept-loss"), "{error}");
    let run = team.try_start(&blind, OnLoss::Accept).await.unwrap();
    stopped_after(run, 14).await;
    // Once accepted it is known.
    let run = team.start(&blind).await;
    team.publish("shop.clicks", 8..9).await;
    stopped_after(run, 15).await;

    let run = team.start(&sharp).await;
    counted_to(&run, 9).await;
    assert_eq!(run.stats().snapshot().counts.duplicate, 6);
    run.stop().await.unwrap();
    team.stop().await;
}
