//! Two workers of one pipeline: the second one is refused, and one that was thought dead can do no harm.

use rustix::process::Signal;

use super::alone;
use super::compare::compare;
use super::producer::Producer;
use super::site::Site;
use super::worker::Start;

const RATE: u64 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_one_commits_and_the_other_names_it() {
    let _alone = alone().await;
    let site = Site::new().await;
    let producer = Producer::start(&site.bus, 2, RATE).await;
    let mut first = site.start(&Start::default());
    site.runs(&mut first).await;
    let refused = site.start(&Start::default()).gave_up().await;
    assert!(
        refused.contains("the worker of pipeline faults is ") && refused.contains(&format!("process {}", first.id())),
        "{refused}"
    );
    first.must_run();

    for _ in 0..3 {
        // Asleep for longer than the question waits, with batches of its own on their way.
        first.signal(Signal::STOP);
        let mut second = site.start(&Start::default());
        site.runs(&mut second).await;
        first.signal(Signal::CONT);
        let stopped = first.gave_up().await;
        let names_it = stopped.contains("was taken over by") && stopped.contains(&format!("process {}", second.id()));
        assert!(names_it, "{stopped}");
        site.runs(&mut second).await;
        first = second;
    }
    let sent = producer.finish().await;
    site.caught_up(&mut first).await;
    first.stop().await;
    compare(&site, sent).await.must_be_clean();
    site.close().await;
}
