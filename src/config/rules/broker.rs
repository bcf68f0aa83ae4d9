//! Streams of the broker: each that a pipeline makes has a name that nothing else of it has.
//!
//! Names are joined and put in upper case, so that what is told apart in the file may be one stream in the broker.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;

use super::Facts;
use crate::bus;
use crate::config::document::Draft;
use crate::config::problem::Problem;

/// A stream of the broker that a pipeline makes.
pub(in crate::config) struct OwnStream {
    /// What of the pipeline it holds.
    pub(in crate::config) what: String,
    /// Its name in the broker.
    pub(in crate::config) name: String,
    /// Where the file says so.
    pub(in crate::config) place: Range<usize>,
    /// The subjects of one that the file names, and that others may name too.
    shared: Option<BTreeSet<String>>,
}

impl Facts<'_> {
    /// Whose a stream is, is said once: its name, its limits and where it is follow from that.
    fn check_sources(&self, problems: &mut Vec<Problem>) {
        for (name, (section, stream)) in &self.draft.streams.sound {
            let Some(source) = &stream.source else {
                let place = stream.domain.as_ref().map(Spanned::span).map(|place| ("domain", place));
                let place = place.or_else(|| stream.api_prefix.as_ref().map(|prefix| ("api_prefix", prefix.span())));
                if let Some((setting, place)) = place {
                    let message = format!("stream `{name}` has `{setting}` and no `source`");
                    let fix = "name the stream that is there as `source`, or leave it out: the pipeline makes its own streams \
                               in the account that it is connected to";
                    problems.push(self.at(&place, message).suggest(fix));
                }
                continue;
            };
            if let (Some(_), Some(prefix)) = (&stream.domain, &stream.api_prefix) {
                let message = format!("stream `{name}` has both `domain` and `api_prefix`");
                let fix = "`api_prefix` for another account, `domain` for another domain of this one: leave one out";
                problems.push(self.at(&prefix.span(), message).suggest(fix));
            }
            if let Some(made) = &stream.stream {
                let message =
                    format!("stream `{name}` reads `{source}`, and says what the stream is called that it makes");
                problems.push(self.at(&made.span(), message).suggest("leave out `stream`, or `source`"));
            }
            let limits = [("retain", stream.retain.is_some()), ("max_bytes", stream.max_bytes.is_some())];
            for (limit, _) in limits.into_iter().filter(|(_, is_given)| *is_given) {
                let message = format!("stream `{name}` reads `{source}`, which is somebody else's, and has `{limit}`");
                problems
                    .push(self.at(section, message).suggest(format!("leave out `{limit}`: that stream has its own")));
            }
        }
    }

    /// No two of the pipeline's streams are one in the broker, and no reference table reads what the pipeline itself keeps.
    pub(super) fn check_broker_streams(&self, problems: &mut Vec<Problem>) {
        self.check_sources(problems);
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
    let (Some(name), Some(names)) = (&draft.name, draft.names()) else { return Vec::new() };
    let places = draft.names.sound().map(|names| names.get_ref().places()).unwrap_or_default();
    let [output, impressions, models, registry] = places.map(|place| place.unwrap_or_else(|| name.span()));
    let own = |what: &str, stream: String, place: Range<usize>| OwnStream {
        what: what.to_owned(),
        name: stream,
        place,
        shared: None,
    };
    let mut streams = vec![own("what the pipeline puts out", names.output_stream(), output)];
    if !draft.labels.is_absent() {
        streams.push(own("what was shown", names.impressions_stream(), impressions));
    }
    if !draft.model.is_absent() {
        let held = names.registry_streams().into_iter().zip([models, registry]);
        streams.extend(held.map(|(stream, place)| own("the registry of models", stream, place)));
    }
    let made = draft.streams.sound.iter().filter(|(_, (_, stream))| stream.source.is_none());
    streams.extend(made.map(|(name, (place, stream))| OwnStream {
        what: format!("stream `{name}`"),
        name: stream.held_in(|| names.input_stream(name.as_str())),
        place: stream.stream.as_ref().map_or_else(|| place.clone(), Spanned::span),
        shared: stream.stream.as_ref().map(|_| stream.patterns().map(str::to_owned).collect()),
    }));
    streams
}

impl OwnStream {
    /// Whether it is one stream that two pipelines mean to share: both name it, and give it the same subjects.
    pub(in crate::config) fn is_shared_with(&self, other: &Self) -> bool {
        self.shared.is_some() && self.shared == other.shared
    }
}
