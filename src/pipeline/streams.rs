//! The shapes of a pipeline's streams in the broker.

use std::time::Duration;

use super::pipeline::Pipeline;
use super::stream::StreamPlan;
use crate::bus::StreamSpec;

/// For how long the broker remembers message ids: longer than a restart takes.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);
/// How much longer than two windows what was shown is kept.
const IMPRESSION_SLACK: Duration = Duration::from_secs(3_600);

/// The stream that a pipeline makes for its events: named after pipeline and relation, `INTENT_BEHAVIOR`, unless it says
/// otherwise. It is not for one that is somebody else's.
pub fn input_spec(pipeline: &Pipeline, stream: &StreamPlan) -> StreamSpec {
    StreamSpec {
        name: stream.held_in.clone(),
        subjects: stream.subjects.clone(),
        max_age: Some(stream.retain),
        max_bytes: Some(stream.max_bytes),
        duplicate_window: DUPLICATE_WINDOW.min(stream.retain),
        // Whoever publishes an event that does not fit is told; nothing that was taken is dropped unread.
        discard_new: true,
        max_message_bytes: None,
        atomic: false,
        replicas: pipeline.replicas,
    }
}

/// The streams of a pipeline and how many bytes the broker sets aside for each when it is made.
pub(crate) fn reserved(pipeline: &Pipeline) -> Vec<(String, u64)> {
    let made = pipeline.streams.iter().filter(|stream| stream.source.is_none());
    let inputs = made.map(|stream| input_spec(pipeline, stream));
    let all = inputs.chain([output_spec(pipeline)]).chain(impressions_spec(pipeline));
    all.map(|spec| (spec.name, spec.max_bytes.unwrap_or_default())).collect()
}

/// The stream that holds what was shown in answer to requests, for as long as feedback on it may come.
pub(crate) fn impressions_spec(pipeline: &Pipeline) -> Option<StreamSpec> {
    let labels = pipeline.labels.as_ref()?;
    // A closed window is remembered for one more; the rest is for clocks that differ and for a worker that is down.
    let window = Duration::from_micros(labels.settings.window_micros.cast_unsigned());
    let max_age = window.saturating_mul(2).saturating_add(IMPRESSION_SLACK);
    let names = &pipeline.names;
    Some(StreamSpec {
        name: names.impressions_stream(),
        subjects: vec![names.impressions().as_str().to_owned()],
        max_age: Some(max_age),
        // They are read back into memory.
        max_bytes: Some(labels.settings.max_bytes as u64),
        duplicate_window: DUPLICATE_WINDOW.min(max_age),
        // As the join in memory, which is bounded alike: the oldest go first.
        discard_new: false,
        max_message_bytes: None,
        atomic: false,
        replicas: pipeline.replicas,
    })
}

/// The stream that holds all that a pipeline commits: rankings, rows of tables, examples, dead letters, and the markers of
/// its epochs. It is one stream because a batch of the broker is atomic within one.
pub fn output_spec(pipeline: &Pipeline) -> StreamSpec {
    let names = &pipeline.names;
    let published = pipeline.score.as_ref().and_then(|score| score.publish.clone());
    let tables = pipeline.tables.iter().filter_map(|table| table.publish.clone());
    let subjects = [names.dead_letters(), names.commits()]
        .into_iter()
        .chain(pipeline.labels.iter().map(|_| names.examples()))
        .chain(published)
        .chain(tables);
    let output = &pipeline.output;
    let examples = pipeline.labels.as_ref().map_or(Duration::ZERO, |labels| labels.retain);
    let retain = output.retain.max(examples);
    StreamSpec {
        name: names.output_stream(),
        subjects: subjects.map(|subject| subject.as_str().to_owned()).collect(),
        max_age: Some(retain),
        max_bytes: Some(output.max_bytes),
        duplicate_window: DUPLICATE_WINDOW.min(retain),
        // A full stream makes the pipeline wait rather than forget what nobody has read.
        discard_new: !output.drops_oldest,
        max_message_bytes: None,
        atomic: true,
        replicas: pipeline.replicas,
    }
}
