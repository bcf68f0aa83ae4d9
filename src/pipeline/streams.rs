//! The shapes of a pipeline's streams in the broker.

use std::time::Duration;

use super::pipeline::Pipeline;
use super::stream::StreamPlan;
use crate::bus::StreamSpec;

/// For how long the broker remembers message ids: longer than a restart takes.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);
/// How much longer than two windows what was shown is kept.
const IMPRESSION_SLACK: Duration = Duration::from_secs(3_600);

/// The stream that holds a pipeline's events: named after pipeline and relation, `INTENT_BEHAVIOR`.
pub fn input_spec(pipeline: &Pipeline, stream: &StreamPlan) -> StreamSpec {
    StreamSpec {
        name: format!("{}_{}", pipeline.name, stream.name).to_uppercase(),
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

/// The subject of a pipeline's examples.
pub fn examples_subject(pipeline: &str) -> String {
    format!("{pipeline}.examples")
}

/// The subject of what was shown in answer to requests.
pub(crate) fn impressions_subject(pipeline: &str) -> String {
    format!("{pipeline}.impressions")
}

/// The stream that holds what was shown in answer to requests, for as long as feedback on it may come.
pub(crate) fn impressions_spec(pipeline: &Pipeline) -> Option<StreamSpec> {
    let labels = pipeline.labels.as_ref()?;
    // A closed window is remembered for one more; the rest is for clocks that differ and for a worker that is down.
    let window = Duration::from_micros(labels.settings.window_micros.cast_unsigned());
    let max_age = window.saturating_mul(2).saturating_add(IMPRESSION_SLACK);
    Some(StreamSpec {
        name: format!("{}_IMPRESSIONS", pipeline.name).to_uppercase(),
        subjects: vec![impressions_subject(&pipeline.name)],
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
    let published = pipeline.score.as_ref().and_then(|score| score.publish.as_ref());
    let mut subjects = vec![format!("{}.dead", pipeline.name), format!("{}.commits", pipeline.name)];
    subjects.extend(pipeline.labels.iter().map(|_| examples_subject(&pipeline.name)));
    subjects.extend(published.map(|subject| subject.as_str().to_owned()));
    let tables = pipeline.tables.iter().filter_map(|table| table.publish.as_ref());
    subjects.extend(tables.map(|subject| subject.as_str().to_owned()));
    let output = &pipeline.output;
    let examples = pipeline.labels.as_ref().map_or(Duration::ZERO, |labels| labels.retain);
    let retain = output.retain.max(examples);
    StreamSpec {
        name: format!("{}_OUT", pipeline.name).to_uppercase(),
        subjects,
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
