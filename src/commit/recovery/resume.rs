//! How far a state has come that the marker is reached from: that of a snapshot, or the empty one.

use crate::commit::marker::Marker;
use crate::commit::progress::InputMark;
use crate::commit::{Head, Input, Progress};

/// How far the state of a snapshot has come; nothing where it can't be brought to where the marker is.
///
/// What was lost of a stream stays counted; reading goes on where the marker was set to.
pub(crate) fn from_snapshot(head: &Head, marker: &Marker, inputs: &[Input]) -> Option<Progress> {
    if !is_covered(head, marker, inputs) {
        return None;
    }
    let mut progress = head.progress.clone();
    for ((mark, marked), input) in progress.inputs.iter_mut().zip(&marker.progress.inputs).zip(inputs) {
        match input.is_other {
            true => *mark = marked.clone(),
            false => mark.restored_micros = marked.restored_micros,
        }
    }
    Some(progress)
}

/// How far the empty state has come: nowhere, but in streams of which something was lost.
pub(crate) fn from_nothing(marker: &Marker, inputs: &[Input]) -> Progress {
    let marks = marker.progress.inputs.iter().zip(inputs).map(|(marked, input)| match input.is_other {
        true => marked.clone(),
        false => InputMark {
            restored_micros: marked.restored_micros,
            subjects: marked.subjects.clone(),
            ..InputMark::start(&marked.stream, marked.created_micros)
        },
    });
    Progress { inputs: marks.collect(), ..Progress::default() }
}

/// Whether a state can be brought from a snapshot to where the marker is.
fn is_covered(head: &Head, marker: &Marker, inputs: &[Input]) -> bool {
    head.lineage == marker.lineage
        && head.epoch <= marker.epoch
        && head.progress.inputs.len() == marker.progress.inputs.len()
        && head.progress.inputs.iter().zip(&marker.progress.inputs).enumerate().all(|(place, (here, there))| {
            inputs.get(place).is_some_and(|input| input.is_other)
                || (here.stream == there.stream
                    && (here.created_micros, &here.subjects) == (there.created_micros, &there.subjects)
                    && here.sequence <= there.sequence)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::FORMAT;
    use crate::commit::recovery::testing::{CREATED, input, mark, marker, progress};
    use crate::step::{Counts, Shown};

    const SAME: [bool; 2] = [false, false];

    fn head(lineage: &str, epoch: u64, progress: Progress) -> Head {
        let lineage = lineage.to_owned();
        Head {
            format: FORMAT,
            lineage,
            epoch,
            output: 40,
            progress,
            impressions: Shown::default(),
            messages_per_second: None,
        }
    }

    #[test]
    fn a_snapshot_is_used_where_the_marker_can_be_reached_from_it() {
        let marker = marker(5, progress(9, 4));
        let inputs = SAME.map(input);
        let renamed = Progress { inputs: vec![mark("clicks", 9), mark("views", 4)], ..Progress::default() };
        let recreated = Progress {
            inputs: vec![mark("clicks", 9), InputMark::start("orders", CREATED + 1)],
            ..Progress::default()
        };
        let fewer = Progress { inputs: vec![mark("clicks", 9)], ..Progress::default() };
        let cases = [
            ("it is of the marker", head("a", 5, progress(9, 4)), true),
            ("it is one epoch older", head("a", 4, progress(9, 4)), true),
            ("it is one epoch newer", head("a", 6, progress(9, 4)), false),
            ("it is of another lineage", head("b", 5, progress(9, 4)), false),
            ("it is one message behind", head("a", 5, progress(9, 3)), true),
            ("it is of an empty state", head("a", 0, progress(0, 0)), true),
            ("it is one message ahead", head("a", 5, progress(9, 5)), false),
            ("one of its streams has another name", head("a", 5, renamed), false),
            ("one of its streams was created anew", head("a", 5, recreated), false),
            ("it has a stream less", head("a", 5, fewer), false),
        ];
        for (case, head, is_used) in cases {
            let expected = is_used.then(|| head.progress.clone());
            assert_eq!(from_snapshot(&head, &marker, &inputs), expected, "{case}");
        }
    }

    #[test]
    fn streams_of_which_something_was_lost_go_on_at_the_marker_and_what_was_counted_stays() {
        let marker = marker(5, progress(9, 4));
        let counts = Counts { counted: 11, late: 1, ..Counts::default() };
        // The snapshot is ahead of what is left of the orders.
        let head = head("a", 5, Progress { counts, ..progress(8, 6) });
        assert_eq!(from_snapshot(&head, &marker, &SAME.map(input)), None);
        let others = [false, true].map(input);
        assert_eq!(from_snapshot(&head, &marker, &others), Some(Progress { counts, ..progress(8, 4) }));
        assert_eq!(from_snapshot(&head, &marker, &[true, false].map(input)), None, "each stream for itself");
    }

    #[test]
    fn the_empty_state_reads_everything_but_what_lies_before_a_loss() {
        let counts = Counts { counted: 11, ..Counts::default() };
        let marker = marker(5, Progress { counts, ..progress(9, 4) });
        let cases = [([false, false], progress(0, 0)), ([false, true], progress(0, 4)), ([true, true], progress(9, 4))];
        for (others, expected) in cases {
            assert_eq!(from_nothing(&marker, &others.map(input)), expected, "{others:?}: nothing is counted yet");
        }
    }
}
