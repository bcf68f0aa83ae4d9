use super::*;
use crate::bus::Subject;
use crate::commit::progress::InputMark;
use crate::commit::{FORMAT, Progress};
use crate::pipeline::Names;
use crate::step::Shown;

const BOTH: [OnLoss; 2] = [OnLoss::Stop, OnLoss::Accept];

fn progress(sequence: u64) -> Progress {
    Progress { inputs: vec![InputMark { sequence, ..InputMark::start("clicks", 7) }], ..Progress::default() }
}

fn marker(lineage: &str, epoch: u64) -> Marker {
    Marker { epoch, writer: "w".to_owned(), ..Marker::first(lineage.to_owned(), progress(epoch)) }
}

/// A snapshot of an epoch, whose marker is at `output`.
fn head(lineage: &str, epoch: u64, output: u64) -> Head {
    let (lineage, progress) = (lineage.to_owned(), progress(epoch));
    Head { format: FORMAT, lineage, epoch, output, progress, impressions: Shown::default(), messages_per_second: None }
}

fn stored(sequence: u64, payload: impl Into<bytes::Bytes>) -> StoredMessage {
    StoredMessage {
        subject: Subject::new("shop.commits").unwrap(),
        sequence: StreamSequence(sequence),
        published_micros: 1,
        headers: Vec::new(),
        payload: payload.into(),
    }
}

fn stored_marker(sequence: u64, marker: &Marker) -> StoredMessage {
    stored(sequence, marker.message(Names::of("shop").commits()).unwrap().payload)
}

fn facts(last: u64, newest: Option<StoredMessage>, heads: &[Head]) -> Facts<'_> {
    Facts { stream: "SHOP_OUT".to_owned(), last: StreamSequence(last), newest, heads }
}

/// The decision in a few words, with what was accepted before.
fn shown(decision: &Decision) -> String {
    let error = |error: &CommitError| match error {
        CommitError::OutputLost { last, known, .. } => format!("lost, {last} of {known}"),
        CommitError::ForeignOutput { marker, last, .. } => format!("foreign, {marker} of {last}"),
        CommitError::MarkerLost { last, .. } => format!("no marker up to {last}"),
        CommitError::Marker { sequence, .. } => format!("no marker at {sequence}"),
        CommitError::MarkerFormat { sequence, found, .. } => format!("format {found} at {sequence}"),
        other => other.to_string(),
    };
    let mut words: Vec<String> = Vec::new();
    for accepted in &decision.accepted {
        words.push(match accepted {
            Accepted::Lost(lost) => format!("accept outputs {}", error(lost)),
            Accepted::Foreign(foreign) => format!("accept outputs {}", error(foreign)),
        });
    }
    words.push(match &decision.recovery {
        Recovery::GoOn(marker) => format!("go on from {} {}", marker.lineage, marker.epoch),
        Recovery::GoOnFromSnapshot(marker) => format!("go on from snapshot {} {}", marker.lineage, marker.epoch),
        Recovery::BeginAnew => "begin anew".to_owned(),
        Recovery::LookAgain => "look again".to_owned(),
        Recovery::Stop(reason) => format!("stop: {}", error(reason)),
    });
    words.join("; ")
}

/// What is decided with each choice about losses.
fn decided(facts: &Facts<'_>) -> [String; 2] {
    BOTH.map(|on_loss| shown(&decide(facts, on_loss, false)))
}

#[test]
fn who_begins_from_scratch_asks_nothing_of_the_past() {
    let heads = [head("a", 5, 50)];
    for facts in [
        facts(0, None, &heads),
        facts(9, None, &[]),
        facts(40, Some(stored_marker(40, &marker("a", 4))), &heads),
        facts(40, Some(stored(12, "no marker")), &heads),
    ] {
        for on_loss in BOTH {
            assert_eq!(shown(&decide(&facts, on_loss, true)), "begin anew", "{facts:?}");
        }
    }
}

#[test]
fn a_stream_that_never_had_a_message_begins_or_has_lost_what_the_newest_snapshot_knows_of() {
    assert_eq!(decided(&facts(0, None, &[])), ["begin anew", "begin anew"]);
    let heads = [head("b", 2, 20), head("a", 7, 70)];
    let lost = "outputs lost, 0 of 20";
    assert_eq!(
        decided(&facts(0, None, &heads)),
        ["stop: lost, 0 of 20".to_owned(), format!("accept {lost}; go on from snapshot b 2")]
    );
}

#[test]
fn without_a_marker_only_a_snapshot_of_the_very_end_tells_how_far_the_inputs_were_done() {
    let heads = [head("a", 5, 51), head("a", 4, 50)];
    let cases = [
        (facts(50, None, &heads), "go on from snapshot a 4"),
        (facts(51, None, &heads), "go on from snapshot a 5"),
        (facts(49, None, &heads), "stop: no marker up to 49"),
        (facts(52, None, &heads), "stop: no marker up to 52"),
        (facts(50, None, &[]), "stop: no marker up to 50"),
    ];
    for (facts, expected) in cases {
        assert_eq!(decided(&facts), [expected; 2], "accepting losses does not tell it either: {facts:?}");
    }
}

#[test]
fn a_marker_at_the_end_is_where_to_go_on_whatever_other_snapshots_say() {
    let newest = marker("a", 4);
    let at_end = |heads| facts(40, Some(stored_marker(40, &newest)), heads);
    let cases: [(&str, &[Head]); 4] = [
        ("no snapshot", &[]),
        ("of the same epoch", &[head("a", 4, 40)]),
        ("of an older one", &[head("a", 3, 30)]),
        ("ahead, and of another lineage", &[head("b", 5, 50)]),
    ];
    for (case, heads) in cases {
        assert_eq!(decided(&at_end(heads)), ["go on from a 4"; 2], "{case}");
    }
    let Recovery::GoOn(marker) = decide(&at_end(&[]), OnLoss::Stop, false).recovery else { panic!("does not go on") };
    assert_eq!(marker, newest, "as it is stored");
}

#[test]
fn a_snapshot_ahead_of_its_own_lineage_s_marker_knows_of_outputs_that_are_lost() {
    let newest = stored_marker(40, &marker("a", 4));
    let heads = [head("b", 9, 90), head("a", 6, 60), head("a", 5, 50)];
    let expected = ["stop: lost, 40 of 60", "accept outputs lost, 40 of 60; go on from snapshot a 6"];
    assert_eq!(decided(&facts(40, Some(newest.clone()), &heads)), expected, "the newest of them");
    let expected = ["stop: lost, 40 of 50", "accept outputs lost, 40 of 50; go on from snapshot a 5"];
    assert_eq!(decided(&facts(40, Some(newest), &heads[2..])), expected, "one epoch is enough");
}

#[test]
fn outputs_after_the_newest_marker_are_somebody_else_s() {
    let newest = stored_marker(39, &marker("a", 4));
    let expected = ["stop: foreign, 39 of 40", "accept outputs foreign, 39 of 40; go on from a 4"];
    assert_eq!(decided(&facts(40, Some(newest.clone()), &[head("a", 4, 39)])), expected);
    let expected = [
        "stop: foreign, 39 of 41",
        "accept outputs foreign, 39 of 41; accept outputs lost, 41 of 50; go on from snapshot a 5",
    ];
    assert_eq!(decided(&facts(41, Some(newest), &[head("a", 5, 50)])), expected, "both can be true");
}

#[test]
fn a_marker_that_came_since_we_looked_is_looked_at_again() {
    for newest in [stored_marker(41, &marker("a", 5)), stored(41, "no marker")] {
        for heads in [&[][..], &[head("a", 9, 90)]] {
            assert_eq!(decided(&facts(40, Some(newest.clone()), heads)), ["look again"; 2]);
        }
    }
}

#[test]
fn a_marker_that_cannot_be_read_stops_the_worker_even_where_losses_are_accepted() {
    let broken = || stored(40, "no marker");
    assert_eq!(decided(&facts(40, Some(broken()), &[])), ["stop: no marker at 40"; 2]);
    let expected = ["stop: foreign, 40 of 42", "accept outputs foreign, 40 of 42; stop: no marker at 40"];
    assert_eq!(decided(&facts(42, Some(broken()), &[])), expected);
    let text = String::from_utf8(stored_marker(40, &marker("a", 4)).payload.to_vec()).unwrap();
    let other = stored(40, text.replace("\"format\":1", "\"format\":2"));
    assert_eq!(decided(&facts(40, Some(other), &[head("a", 9, 90)])), ["stop: format 2 at 40"; 2]);
}

#[test]
fn the_marker_that_stands_for_a_snapshot_begins_nothing_and_claims_nothing() {
    let heads = [head("a", 4, 50)];
    let recovery = decide(&facts(50, None, &heads), OnLoss::Stop, false).recovery;
    let Recovery::GoOnFromSnapshot(marker) = recovery else { panic!("{recovery:?}") };
    let expected = Marker { epoch: 4, ..Marker::first("a".to_owned(), progress(4)) };
    assert_eq!(marker, expected);
}
