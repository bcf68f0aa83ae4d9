//! Subjects: an event belongs to one stream, and what the pipeline says is never what it hears.

use std::ops::Range;

use toml::Spanned;

use super::Facts;
use crate::bus;
use crate::config::name::SqlName;
use crate::config::problem::Problem;
use crate::config::stream::Stream;
use crate::config::subject::{Subject, SubjectFilter, overlap};
use crate::pipeline::{PRESENCE, STATUS};

/// Subjects that belong to somebody else, and what they are for. Others that begin with `$` are refused as they are read.
const SET_ASIDE: [(&str, &str); 5] = [
    ("$JS.>", "where the broker itself is asked"),
    ("_INBOX.>", "where replies go"),
    (PRESENCE[0], "where workers are asked whether they are there"),
    (PRESENCE[1], "where trainers are asked whether they are there"),
    (STATUS, "where pipelines are asked how they do"),
];

impl Facts<'_> {
    /// An event belongs to one stream, once.
    pub(super) fn check_stream_subjects(&self, problems: &mut Vec<Problem>) {
        let mut seen: Vec<(&SqlName, &Spanned<SubjectFilter>)> = Vec::new();
        for (stream, filter) in self.filters(|_| true) {
            let is_met = |other: &SqlName, earlier: &Spanned<SubjectFilter>| {
                self.is_of_one_home(stream, other) && filter.get_ref().overlaps(earlier.get_ref())
            };
            if let Some((other, earlier)) = seen.iter().find(|(other, earlier)| is_met(other, earlier)) {
                let message =
                    format!("subject `{filter}` of stream `{stream}` overlaps `{earlier}` of stream `{other}`");
                problems.push(
                    self.at(&filter.span(), message)
                        .suggest("an event belongs to one stream: narrow or remove one of them"),
                );
            }
            seen.push((stream, filter));
        }
        for (stream, filter) in self.filters(|stream| stream.source.is_none()) {
            if let Some((subjects, use_of_them)) =
                SET_ASIDE.into_iter().find(|(aside, _)| filter.get_ref().matches(aside))
            {
                let message = format!("subject `{filter}` of stream `{stream}` overlaps `{subjects}`, {use_of_them}");
                problems
                    .push(self.at(&filter.span(), message).suggest("begin with a word of your own, such as `shop.>`"));
            }
        }
        for (name, (_, stream)) in &self.draft.streams.sound {
            if stream.subjects.get_ref().is_empty() {
                problems.push(self.at(&stream.subjects.span(), format!("stream `{name}` has no subject")));
            }
        }
    }

    /// What the pipeline publishes or serves is not what it reads, and each has a subject of its own that is nobody else's.
    pub(super) fn check_own_subjects(&self, problems: &mut Vec<Problem>) {
        let mut seen: Vec<OwnSubject> = Vec::new();
        for own in self.named_subjects().into_iter().chain(self.given_subjects()) {
            let OwnSubject { what, subject, place } = &own;
            if let Some((stream, filter)) = self
                .filters(|stream| stream.source.is_none())
                .into_iter()
                .find(|(_, filter)| filter.get_ref().matches(subject))
            {
                let message = format!("{what} go to `{subject}`, which stream `{stream}` reads through `{filter}`");
                problems.push(self.at(place, message).suggest("choose another subject, or narrow the stream's"));
            }
            if let Some((subjects, use_of_them)) = SET_ASIDE.into_iter().find(|(aside, _)| overlap(aside, subject)) {
                let message = format!("{what} go to `{subject}`, one of `{subjects}`, {use_of_them}");
                problems.push(self.at(place, message).suggest("begin with a word of your own, such as `shop.ranked`"));
            }
            if let Some(other) = seen.iter().find(|other| other.subject == *subject) {
                let message = format!("{what} and {} both go to `{subject}`", other.what);
                problems.push(self.at(place, message).suggest("give each a subject of its own"));
            }
            seen.push(own);
        }
    }

    /// The subjects that are made from the pipeline's name.
    fn named_subjects(&self) -> Vec<OwnSubject> {
        let (Some(name), Some(names)) = (&self.draft.name, self.draft.names()) else { return Vec::new() };
        let chosen = self.draft.names.sound().and_then(|names| names.get_ref().subjects.as_ref());
        let place = chosen.map_or_else(|| name.span(), Spanned::span);
        let mut subjects = vec![("dead letters", names.dead_letters()), ("commits", names.commits())];
        if !self.draft.labels.is_absent() {
            subjects.extend([("impressions", names.impressions()), ("examples", names.examples())]);
        }
        subjects.push(("queries", names.queries()));
        let own = |(what, subject): (&str, bus::Subject)| OwnSubject {
            what: what.to_owned(),
            subject: subject.as_str().to_owned(),
            place: place.clone(),
        };
        subjects.into_iter().map(own).collect()
    }

    /// The subjects that the sections choose.
    fn given_subjects(&self) -> Vec<OwnSubject> {
        let given = |what: String, subject: &Spanned<Subject>| OwnSubject {
            what,
            subject: subject.get_ref().as_str().to_owned(),
            place: subject.span(),
        };
        let score = self.draft.score.sound().map(Spanned::get_ref);
        let service = score.and_then(|score| score.service.as_ref());
        let rankings = score.and_then(|score| score.publish.as_ref());
        let tables = self.draft.tables.sound.iter().filter_map(|(name, (_, table))| {
            table.publish.as_ref().map(|subject| given(format!("rows of `{name}`"), subject))
        });
        let service = service.map(|subject| given("requests".to_owned(), subject));
        let rankings = rankings.map(|subject| given("rankings".to_owned(), subject));
        service.into_iter().chain(rankings).chain(tables).collect()
    }

    /// Whether two streams are read from one place in the broker: there a message would be an event of both.
    fn is_of_one_home(&self, one: &SqlName, other: &SqlName) -> bool {
        let home = |name: &SqlName| {
            let (_, stream) = self.draft.streams.sound.get(name)?;
            let source = stream.source.as_ref()?.get_ref().clone();
            Some((source, stream.found_in()))
        };
        home(one) == home(other)
    }

    /// The subjects of these streams, in the order of the file.
    fn filters(&self, of: impl Fn(&Stream) -> bool) -> Vec<(&SqlName, &Spanned<SubjectFilter>)> {
        let streams = self.draft.streams.sound.iter();
        let mut filters: Vec<_> = streams
            .filter(|(_, (_, stream))| of(stream))
            .flat_map(|(name, (_, stream))| stream.subjects.get_ref().iter().map(move |filter| (name, filter)))
            .collect();
        filters.sort_by_key(|(_, filter)| filter.span().start);
        filters
    }
}

/// A subject that the pipeline itself publishes to or serves.
struct OwnSubject {
    what: String,
    subject: String,
    place: Range<usize>,
}
