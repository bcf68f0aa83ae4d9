//! Streams of the broker: each that a pipeline makes has a name that nothing else of it has.
//!
//! Names are joined and put in upper case, so that what is told apart in the file may be one stream in the broker.

use std::ops::Range;

use super::Facts;
use crate::bus;
use crate::config::document::Draft;
use crate::config::problem::Problem;
use crate::pipeline::Names;

/// A stream of the broker that a pipeline makes.
pub(in crate::config) struct OwnStream {
    /// What of the pipeline it holds.
    pub(in crate::config) what: String,
    /// Its name in the broker.
    pub(in crate::config) name: String,
    /// Where the file says so.
    pub(in crate::config) place: Range<usize>,
}

impl Facts<'_> {
    /// No two of the pipeline's streams are one in the broker, and no reference table reads what the pipeline itself keeps.
    pub(super) fn check_broker_streams(&self, problems: &mut Vec<Problem>) {
        let mut seen: Vec<OwnStream> = Vec::new();
        for own in own_streams(self.draft) {
            if let Some(other) = seen.iter().find(|other| other.name == own.name) {
                let message = format!("{} and {} are both called `{}` in the broker", own.what, other.what, own.name);
                problems.push(self.at(&own.place, message).suggest("give the stream another name"));
            }
            seen.push(own);
        }
        for (name, (_, reference)) in &self.draft.references.sound {
            let Some(bucket) = &reference.bucket else { continue };
            let stream = bus::bucket_stream(bucket.get_ref());
            if let Some(other) = seen.iter().find(|other| other.name == stream) {
                let message =
                    format!("bucket \"{}\" of reference table `{name}` is what holds {}", bucket.get_ref(), other.what);
                problems
                    .push(self.at(&bucket.span(), message).suggest("name a bucket that only has rows of the table"));
            }
        }
    }
}

/// The streams that a pipeline makes, as far as its sections are sound; none without a name.
pub(in crate::config) fn own_streams(draft: &Draft) -> Vec<OwnStream> {
    let Some(name) = &draft.name else { return Vec::new() };
    let names = Names::of(name.get_ref().as_str());
    let own = |what: &str, stream: String| OwnStream { what: what.to_owned(), name: stream, place: name.span() };
    let mut streams = vec![own("what the pipeline puts out", names.output_stream())];
    if !draft.labels.is_absent() {
        streams.push(own("what was shown", names.impressions_stream()));
    }
    if !draft.model.is_absent() {
        streams.extend(names.registry_streams().map(|stream| own("the registry of models", stream)));
    }
    streams.extend(draft.streams.sound.iter().map(|(stream, (place, _))| OwnStream {
        what: format!("stream `{stream}`"),
        name: names.input_stream(stream.as_str()),
        place: place.clone(),
    }));
    streams
}
