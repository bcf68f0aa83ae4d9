//! A step of more outputs than one batch holds, whose worker ends among its batches.
//!
//! ```text
//!   output stream   990 outputs, "unfinished" │ 990 outputs, "unfinished" │ ← the worker ends here
//!   the next one    makes the step again, cut in its own way, leaves out what is stored │ the rest, "complete"
//! ```

use std::sync::Arc;
use std::time::Duration;

use tidewheel::bus::{Bus, ConnectSettings};
use tidewheel::engine::{Run, RunSettings};
use tidewheel::pipeline::StreamIndex;

use super::alone;
use super::compare::compare;
use super::determinism::{messages, publish};
use super::events::Kind;
use super::outputs::newest_marker;
use super::site::{PATIENCE, Site};
use super::worker::Start;

/// A worker that has finished everything before its end would come is killed after this.
const LIFE: Duration = Duration::from_secs(5);
/// Where one worker after the other ends, and of how many messages the steps of the last one are.
const CASES: [(&[(&str, u64)], usize); 8] = [
    (&[("commit:sent", 2)], 7),
    (&[("commit:sent", 3)], 1),
    (&[("commit:answered", 1)], 4_096),
    (&[("commit:answered", 3)], 1),
    (&[("commit:filled", 4)], 100),
    (&[("commit:sent", 4), ("commit:sent", 1)], 7),
    (&[("commit:sent", 4), ("commit:answered", 1), ("recover:replayed", 1)], 4_096),
    (&[("commit:filled", 4), ("commit:filled", 2), ("commit:sent", 2)], 100),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_is_cut_off_among_its_batches_is_finished_without_a_gap_or_a_repeat() {
    let _alone = alone().await;
    let sent = messages(&Kind::ALL);
    let (mut unfinished, mut labels) = (0_usize, 0);
    for (ends, step_rows) in CASES {
        let site = Site::new().await;
        // All at once, so that the steps are large; what closes the windows comes after the worker has ended.
        let (before, after) = sent.split_at(sent.len() - 4);
        publish(&site, before).await;
        for (place, passage) in ends {
            site.start(&Start::crashing(place, *passage)).crashed_or_killed(LIFE).await;
            let marker = newest_marker(&site.bus, &site.pipeline).await;
            unfinished += usize::from(marker.is_some_and(|marker| !marker.complete));
        }
        publish(&site, after).await;

        let bus = Bus::connect(&ConnectSettings::to_url(site.url.clone())).await.unwrap();
        let settings = RunSettings { step_rows: Some(step_rows), ..RunSettings::default() };
        let run = Run::start(Arc::clone(&site.pipeline), &bus, &settings).await.unwrap();
        let (mut settled, last) = (run.settled(), site.input_ends().await);
        let reached = settled
            .wait_for(|position| (0..last.len()).all(|stream| position.of(StreamIndex(stream)).0 >= last[stream]));
        tokio::time::timeout(PATIENCE, reached).await.unwrap().unwrap();
        run.stop().await.unwrap();
        bus.close().await.unwrap();
        let report = compare(&site, sent.len() as u64).await;
        report.examples.iter().for_each(|example| println!("{ends:?}, steps of {step_rows}: {example}"));
        report.must_be_clean();
        labels += report.labels;
        site.close().await;
    }
    println!("{unfinished} ends in the midst of a step");
    assert!(unfinished > 1, "where workers ended, steps were finished");
    assert!(labels > 0, "something was learnt");
}
