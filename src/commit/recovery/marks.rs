//! What a claim says: a marker in terms of the pipeline as it is configured now.

use crate::commit::marker::Marker;
use crate::commit::progress::InputMark;
use crate::commit::{Input, Progress};
use crate::pipeline::StreamPlan;

/// A recorded marker with the marks of the present streams; new ones begin at their beginning, those that are no longer read
/// are left out. What was counted stays counted.
pub(super) fn in_present_terms(recorded: Marker, streams: &[StreamPlan]) -> Marker {
    let recorded = recorded.in_terms_of(streams);
    let inputs = marks(&recorded.progress, streams.iter().map(|stream| stream.name.as_str()));
    Marker { progress: Progress { inputs, counts: recorded.progress.counts }, ..recorded }
}

fn marks<'a>(recorded: &Progress, streams: impl Iterator<Item = &'a str>) -> Vec<InputMark> {
    let mark = |name: &str| recorded.inputs.iter().find(|input| input.stream == name).cloned();
    streams.map(|name| mark(name).unwrap_or_else(|| InputMark::start(name, 0))).collect()
}

/// Counts it where losses of inputs were accepted: numbers of messages may mean others from then on.
pub(super) fn with_losses(marker: Marker, inputs: &[Input]) -> Marker {
    Marker { losses: marker.losses + u32::from(inputs.iter().any(|input| input.is_other)), ..marker }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::recovery::testing::input;

    #[test]
    fn streams_that_are_new_begin_and_those_that_are_gone_are_left_out() {
        let read = |stream: &str| InputMark { sequence: 9, ..InputMark::start(stream, 7) };
        let recorded = Progress { inputs: vec![read("clicks"), read("orders")], ..Progress::default() };
        let cases: [(&[&str], Vec<InputMark>); 4] = [
            (&["clicks", "orders"], vec![read("clicks"), read("orders")]),
            (&["orders", "clicks"], vec![read("orders"), read("clicks")]),
            (&["orders", "views"], vec![read("orders"), InputMark::start("views", 0)]),
            (&[], Vec::new()),
        ];
        for (streams, expected) in cases {
            assert_eq!(marks(&recorded, streams.iter().copied()), expected, "{streams:?}");
        }
        assert_eq!(marks(&Progress::default(), ["clicks"].into_iter()), [InputMark::start("clicks", 0)]);
    }

    #[test]
    fn however_many_inputs_were_lost_it_is_one_loss() {
        let marker = Marker { losses: 2, ..Marker::first("l".to_owned(), Progress::default()) };
        for (others, expected) in [([false, false], 2), ([false, true], 3), ([true, true], 3)] {
            let inputs = others.map(input);
            let claimed = with_losses(marker.clone(), &inputs);
            assert_eq!(claimed, Marker { losses: expected, ..marker.clone() });
        }
    }
}
