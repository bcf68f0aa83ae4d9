//! What a pipeline reads of a stream is changed: nothing is skipped in silence.

use super::*;

/// The subjects of a pipeline's stream.
fn reading(subjects: &str) -> String {
    format!("source = \"EVENTS\"\nsubjects = [{subjects}]")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_more_is_not_read_from_the_middle_on_unless_a_person_says_so() {
    let team = Team::with(events()).await;
    team.publish("shop.clicks", 0..6).await;
    team.publish("shop.views", 6..12).await;
    team.publish("shop.clicks", 12..15).await;
    let run = team.start(&team.pipeline("own", &reading("\"shop.clicks\""))).await;
    stopped_after(run, 9).await;

    let wider = team.pipeline("own", &reading("\"shop.views\", \"shop.clicks\""));
    let error = team.refused(&wider).await;
    let told = "it is read through shop.clicks, shop.views, and was read through shop.clicks up to 15: what it holds of the others \
                before that was never counted";
    assert!(error.contains(told) && error.contains("--from-scratch") && error.contains("--accept-loss"), "{error}");

    let run = team.try_start(&wider, OnLoss::Accept).await.unwrap();
    team.publish("shop.views", 15..18).await;
    stopped_after(run, 12).await;
    // In another order they are the same.
    let run = team.start(&team.pipeline("own", &reading("\"shop.clicks\", \"shop.views\""))).await;
    team.publish("shop.clicks", 18..20).await;
    stopped_after(run, 14).await;
    team.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_scratch_reads_all_subjects_from_the_beginning() {
    let team = Team::with(events()).await;
    team.publish("shop.clicks", 0..6).await;
    team.publish("shop.views", 6..12).await;
    let run = team.start(&team.pipeline("own", &reading("\"shop.clicks\""))).await;
    stopped_after(run, 6).await;
    let wider = team.pipeline("own", &reading("\"shop.*\""));
    let settings = RunSettings { version: "0.0.1".to_owned(), from_scratch: true, ..RunSettings::default() };
    let run = Run::start(Arc::clone(&wider), &team.bus, &settings).await.unwrap();
    assert_eq!(stopped_after(run, 12).await, [4, 4, 4]);
    team.stop().await;
}
