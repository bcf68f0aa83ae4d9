//! Subjects: an event belongs to one stream, and what the pipeline says is never what it hears.

use std::ops::Range;

use toml::Spanned;

use super::Facts;
use crate::config::name::{PipelineName, SqlName};
use crate::config::problem::Problem;
use crate::config::subject::{Subject, SubjectFilter};

impl Facts<'_> {
    /// An event belongs to one stream, once.
    pub(super) fn check_stream_subjects(&self, problems: &mut Vec<Problem>) {
        let mut seen: Vec<(&SqlName, &Spanned<SubjectFilter>)> = Vec::new();
        for (stream, filter) in self.filters() {
            if let Some((other, earlier)) =
                seen.iter().find(|(_, earlier)| filter.get_ref().overlaps(earlier.get_ref()))
            {
                let message =
                    format!("subject `{filter}` of stream `{stream}` overlaps `{earlier}` of stream `{other}`");
                problems.push(
                    self.at(&filter.span(), message)
                        .suggest("an event belongs to one stream: narrow or remove one of them"),
                );
            }
            seen.push((stream, filter));
        }
        for (name, (_, stream)) in &self.draft.streams.sound {
            if stream.subjects.get_ref().is_empty() {
                problems.push(self.at(&stream.subjects.span(), format!("stream `{name}` has no subject")));
            }
        }
    }

    /// What the pipeline publishes or serves is not what it reads, and each has a subject of its own.
    pub(super) fn check_own_subjects(&self, problems: &mut Vec<Problem>) {
        let named = |what, subject: fn(&PipelineName) -> Subject| {
            let name = self.draft.name.as_ref()?;
            Some(OwnSubject { what, subject: subject(name.get_ref()), place: name.span() })
        };
        let score = self.draft.score.sound().map(Spanned::get_ref);
        let given = |what, subject: Option<&Spanned<Subject>>| {
            subject.map(|subject| OwnSubject { what, subject: subject.get_ref().clone(), place: subject.span() })
        };
        let learns = !self.draft.labels.is_absent();
        let tables =
            self.draft.tables.sound.values().map(|(_, table)| given("rows of a table", table.publish.as_ref()));
        let own = [
            named("dead letters", PipelineName::dead_letter_subject),
            named("commits", PipelineName::commit_subject),
            named("impressions", PipelineName::impression_subject).filter(|_| learns),
            named("examples", PipelineName::example_subject).filter(|_| learns),
            given("requests", score.and_then(|score| score.service.as_ref())),
            given("rankings", score.and_then(|score| score.publish.as_ref())),
        ];

        let mut seen: Vec<OwnSubject> = Vec::new();
        for OwnSubject { what, subject, place } in own.into_iter().chain(tables).flatten() {
            if let Some((stream, filter)) =
                self.filters().into_iter().find(|(_, filter)| filter.get_ref().matches(&subject))
            {
                let message = format!("{what} go to `{subject}`, which stream `{stream}` reads through `{filter}`");
                problems.push(self.at(&place, message).suggest("choose another subject, or narrow the stream's"));
            }
            if let Some(other) = seen.iter().find(|other| other.subject == subject) {
                let message = format!("{what} and {} both go to `{subject}`", other.what);
                problems.push(self.at(&place, message).suggest("give each a subject of its own"));
            }
            seen.push(OwnSubject { what, subject, place });
        }
    }

    /// The subjects of all streams, in the order of the file.
    fn filters(&self) -> Vec<(&SqlName, &Spanned<SubjectFilter>)> {
        let streams = self.draft.streams.sound.iter();
        let mut filters: Vec<_> = streams
            .flat_map(|(name, (_, stream))| stream.subjects.get_ref().iter().map(move |filter| (name, filter)))
            .collect();
        filters.sort_by_key(|(_, filter)| filter.span().start);
        filters
    }
}

/// A subject that the pipeline itself publishes to or serves.
struct OwnSubject {
    what: &'static str,
    subject: Subject,
    place: Range<usize>,
}
