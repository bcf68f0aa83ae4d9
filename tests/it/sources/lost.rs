//! A stream that is put back, wiped, rolled back, purged or thinned by others, while a pipeline is stopped and while it runs: it
//! goes on exactly, or stops and says why and what there is to do.

use super::*;

const SOURCE: &str = "source = \"EVENTS\"";
const WAYS_OUT: [&str; 2] = ["--accept-loss", "--from-scratch"];

/// A pipeline that has counted these events and was stopped.
async fn counted(team: &Team, events: u64) -> Arc<Pipeline> {
    team.publish("shop.clicks", 0..events).await;
    let pipeline = team.pipeline("own", SOURCE);
    let run = team.start(&pipeline).await;
    stopped_after(run, events).await;
    pipeline
}

fn assert_ways_out(error: &str) {
    for way in WAYS_OUT {
        assert!(error.contains(way), "{error}");
    }
}

/// What ends a run that goes on by itself.
async fn ended(mut run: Run) -> String {
    tokio::time::timeout(PATIENCE, run.failed()).await.unwrap().to_string()
}

/// "It was created anew", though it held all that was read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_put_back_from_its_backup_is_gone_on_with() {
    let team = Team::with(events()).await;
    let pipeline = counted(&team, 9).await;
    team.publish("shop.orders", 9..12).await;
    team.js.get_stream("EVENTS").await.unwrap().delete_message(3).await.unwrap();
    let backup = team.backup().await;
    let created = team.js.get_stream("EVENTS").await.unwrap().cached_info().created;
    team.restore(&backup).await;
    assert_ne!(team.js.get_stream("EVENTS").await.unwrap().cached_info().created, created);
    // Twice, since a start after the first one finds a marker that knows of it, and snapshots that do not.
    for counted in [10, 11] {
        let run = team.start(&pipeline).await;
        team.publish("shop.clicks", counted + 10..counted + 11).await;
        let table = stopped_after(run, counted).await;
        assert_eq!(table.iter().sum::<u64>(), counted, "{table:?}");
    }
    // And put back again.
    let again = team.backup().await;
    team.restore(&again).await;
    let run = team.start(&pipeline).await;
    team.publish("shop.clicks", 30..31).await;
    stopped_after(run, 12).await;
    team.stop().await;
}

/// A publisher that goes on from the backup's moment sends again what the backup lacks, or what it holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_again_after_a_restore_is_found_by_its_id() {
    let team = Team::with(events()).await;
    team.publish("shop.clicks", 0..9).await;
    let pipeline = team.pipeline("own", &format!("{SOURCE}\nid = \"event_id\""));
    let run = team.start(&pipeline).await;
    stopped_after(run, 9).await;
    let backup = team.backup().await;
    team.restore(&backup).await;
    team.publish("shop.clicks", 6..12).await;
    let run = team.start(&pipeline).await;
    counted_to(&run, 12).await;
    assert_eq!(run.stats().snapshot().counts.duplicate, 3);
    assert_eq!(stopped_after(run, 12).await, [4, 4, 4]);
    team.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_put_back_while_the_pipeline_runs_stops_it_and_the_next_start_goes_on() {
    let team = Team::with(events()).await;
    let pipeline = counted(&team, 9).await;
    let backup = team.backup().await;
    let run = team.start(&pipeline).await;
    team.js.delete_stream("EVENTS").await.unwrap();
    let error = ended(run).await;
    assert!(error.contains("the broker has no stream of this name any more"), "{error}");
    assert_ways_out(&error);
    team.js.create_stream(events()).await.unwrap();
    team.restore(&backup).await;
    let run = team.start(&pipeline).await;
    team.publish("shop.clicks", 9..10).await;
    stopped_after(run, 10).await;
    team.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_made_anew_is_refused_until_a_person_chooses() {
    let team = Team::with(events()).await;
    let pipeline = counted(&team, 9).await;
    team.js.delete_stream("EVENTS").await.unwrap();
    team.js.create_stream(events()).await.unwrap();
    // The same events, so that only their times tell.
    for longer in [0..0, 0..9, 9..20] {
        team.publish("shop.clicks", longer).await;
        let error = team.refused(&pipeline).await;
        assert!(error.contains("it is another stream than the one that was read up to 9"), "{error}");
        assert_ways_out(&error);
    }
    let run = team.try_start(&pipeline, OnLoss::Accept).await.unwrap();
    stopped_after(run, 9 + 20).await;
    let run = team.start(&pipeline).await;
    team.publish("shop.clicks", 40..41).await;
    stopped_after(run, 30).await;
    team.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_made_anew_while_the_pipeline_runs_stops_it() {
    let team = Team::with(events()).await;
    let pipeline = counted(&team, 9).await;
    let run = team.start(&pipeline).await;
    team.js.delete_stream("EVENTS").await.unwrap();
    team.js.create_stream(events()).await.unwrap();
    team.publish("shop.clicks", 0..20).await;
    let error = ended(run).await;
    assert!(error.contains("EVENTS"), "{error}");
    assert_ways_out(&error);
    assert_ways_out(&team.refused(&pipeline).await);
    team.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_put_back_from_a_backup_of_before_is_refused() {
    let team = Team::with(events()).await;
    team.publish("shop.clicks", 0..5).await;
    let backup = team.backup().await;
    team.publish("shop.clicks", 5..9).await;
    let pipeline = team.pipeline("own", SOURCE);
    let run = team.start(&pipeline).await;
    stopped_after(run, 9).await;
    team.restore(&backup).await;
    // Whether it ends before what was read, or goes on under the same numbers.
    for more in [0..0, 20..30] {
        team.publish("shop.clicks", more).await;
        let error = team.refused(&pipeline).await;
        assert!(error.contains("put back from a backup of before"), "{error}");
        assert_ways_out(&error);
    }
    team.stop().await;
}

/// It no longer had 40 messages, said the error, though it had had none of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_purged_after_it_was_read_costs_nothing() {
    let team = Team::with(events()).await;
    let pipeline = counted(&team, 10).await;
    let stream = team.js.get_stream("EVENTS").await.unwrap();
    stream.purge().await.unwrap();
    let run = team.start(&pipeline).await;
    team.publish("shop.clicks", 10..12).await;
    counted_to(&run, 12).await;
    // Far beyond its end, while it runs: first 50, last 49. The next look takes note of it, at the latest when it stops.
    stream.purge().sequence(50).await.unwrap();
    assert_eq!(stopped_after(run, 12).await.iter().sum::<u64>(), 12);
    let run = team.start(&pipeline).await;
    team.publish("shop.clicks", 12..14).await;
    stopped_after(run, 14).await;
    team.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beginning_that_has_passed_what_was_read_is_a_question_and_not_a_number_of_lost_messages() {
    let team = Team::with(events()).await;
    let pipeline = counted(&team, 10).await;
    let stream = team.js.get_stream("EVENTS").await.unwrap();
    stream.purge().sequence(50).await.unwrap();
    let error = team.refused(&pipeline).await;
    let told = "stream EVENTS: it begins at 50 by now, and was read up to 10: what was between expired or was purged, and whether any \
                of it was for this pipeline can't be told";
    assert!(error.contains(told), "{error}");
    assert_ways_out(&error);
    let run = team.try_start(&pipeline, OnLoss::Accept).await.unwrap();
    team.publish("shop.clicks", 10..12).await;
    assert_eq!(stopped_after(run, 12).await, [4, 4, 4]);
    let run = team.start(&pipeline).await;
    stopped_after(run, 12).await;
    team.stop().await;
}

/// What others wrote and the broker let expire: the pipeline's own events are rare.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_that_expire_while_the_pipeline_is_stopped_are_not_asked_about_where_it_had_seen_them() {
    let team = Team::with(events()).await;
    let pipeline = team.pipeline("own", SOURCE);
    let run = team.start(&pipeline).await;
    team.publish("shop.clicks", 0..3).await;
    counted_to(&run, 3).await;
    team.publish("shop.orders", 3..40).await;
    run.stop().await.unwrap();
    // Its own three and most of the others.
    team.js.get_stream("EVENTS").await.unwrap().purge().sequence(35).await.unwrap();
    let run = team.start(&pipeline).await;
    team.publish("shop.clicks", 40..43).await;
    assert_eq!(stopped_after(run, 6).await, [2, 2, 2]);
    team.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_deleted_or_replaced_one_by_one_leave_gaps_that_are_passed() {
    let team = Team::with(Config { max_messages_per_subject: 4, ..events() }).await;
    let pipeline = counted(&team, 4).await;
    let run = team.start(&pipeline).await;
    for id in 4..10 {
        team.publish("shop.clicks", id..id + 1).await;
        counted_to(&run, id + 1).await;
    }
    run.stop().await.unwrap();
    // Of ten that come while it is stopped four are left, and the message that was read last is gone.
    team.publish("shop.clicks", 10..20).await;
    let stream = team.js.get_stream("EVENTS").await.unwrap();
    stream.delete_message(19).await.unwrap();
    let run = team.start(&pipeline).await;
    assert_eq!(stopped_after(run, 13).await.iter().sum::<u64>(), 13);
    team.stop().await;
}
