//! The steps between a state and the marker, as they were taken.

use std::collections::HashSet;
use std::time::Duration;

use crate::bus::{Bus, ReadLimits, StreamSequence};
use crate::commit::marker::Marker;
use crate::commit::{CommitError, Progress, Run};
use crate::pipeline::{Pipeline, StreamIndex, output_spec};

/// Markers that are read at once.
const READ_ROWS: usize = 1_024;

/// What lies between a state and a marker.
pub(crate) struct Stretch<'a> {
    /// How far the state has come.
    pub(crate) state: &'a Progress,
    /// The message of the output stream whose marker covers the state.
    pub(crate) covered: StreamSequence,
    pub(crate) marker: &'a Marker,
    /// Where the marker is in the output stream.
    pub(crate) last: StreamSequence,
}

/// What is known of the steps between a state and the marker.
#[derive(Debug, Default)]
pub(crate) struct Again {
    /// In their order.
    pub(crate) steps: Vec<Run>,
    /// Rankings that a model failed to make in them, where that has to be known.
    pub(crate) unscored: HashSet<String>,
}

/// How the steps are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Steps {
    /// There is none.
    None,
    /// One stream does not interleave with others: how it was cut does not matter.
    One(Run),
    /// Markers say how the streams interleaved.
    Recorded,
}

impl Stretch<'_> {
    fn steps(&self, streams: usize) -> Steps {
        let marked = &self.marker.progress;
        if streams < 2 {
            return Steps::One(Run {
                stream: StreamIndex(0),
                until: marked.sequence(StreamIndex(0)),
                is_present: true,
            });
        }
        let mut marks = self.state.inputs.iter().zip(&marked.inputs);
        match marks.all(|(here, there)| here.sequence >= there.sequence) {
            true => Steps::None,
            false => Steps::Recorded,
        }
    }
}

/// The steps between a state and the marker.
pub(crate) async fn steps_between(pipeline: &Pipeline, bus: &Bus, stretch: &Stretch<'_>) -> Result<Again, CommitError> {
    let steps = stretch.steps(pipeline.streams.len());
    let mut again = match steps != Steps::None && (steps == Steps::Recorded || pipeline.labels_what_it_scores()) {
        true => recorded(pipeline, bus, stretch).await?,
        false => Again::default(),
    };
    if let Steps::One(step) = steps {
        again.steps = vec![step];
    }
    Ok(again)
}

/// What the markers say that lie between.
async fn recorded(pipeline: &Pipeline, bus: &Bus, stretch: &Stretch<'_>) -> Result<Again, CommitError> {
    let limits = ReadLimits { rows: READ_ROWS, linger: Duration::ZERO };
    let subject = pipeline.names.commits();
    let mut reader = bus.reader_of(&output_spec(pipeline).name, &subject, stretch.covered.next(), limits);
    let (mut again, mut is_there) = (Again::default(), false);
    while !is_there {
        for message in reader.next_batch().await? {
            let recorded = Marker::read(&message.payload, message.sequence.0)?;
            is_there |= message.sequence >= stretch.last;
            if recorded.lineage == stretch.marker.lineage {
                let recorded = recorded.in_terms_of(&pipeline.streams);
                again.steps.extend(recorded.steps);
                again.unscored.extend(recorded.unscored);
            }
        }
    }
    Ok(again)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::recovery::testing::{marker, progress};

    fn steps(state: (u64, u64), streams: usize) -> Steps {
        let (state, marker) = (progress(state.0, state.1), marker(5, progress(9, 4)));
        let (covered, last) = (StreamSequence(40), StreamSequence(50));
        Stretch { state: &state, covered, marker: &marker, last }.steps(streams)
    }

    #[test]
    fn markers_are_read_again_only_where_several_streams_are_behind() {
        let cases = [
            ("both are at the marker", (9, 4), Steps::None),
            ("one is ahead, as after a loss", (9, 5), Steps::None),
            ("one is behind by one", (9, 3), Steps::Recorded),
            ("one is behind and one ahead", (8, 5), Steps::Recorded),
            ("the state is empty", (0, 0), Steps::Recorded),
        ];
        for (case, state, expected) in cases {
            assert_eq!(steps(state, 2), expected, "{case}");
        }
    }

    #[test]
    fn one_stream_is_read_up_to_its_mark_however_it_was_cut() {
        for state in [(0, 0), (8, 0), (9, 0)] {
            let step = Run { stream: StreamIndex(0), until: 9, is_present: true };
            assert_eq!(steps(state, 1), Steps::One(step));
        }
    }
}
