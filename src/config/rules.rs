//! What the parts of a folder say of each other: references that must lead somewhere, subjects that must not meet.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;

use super::document::Draft;
use super::folder::find_above;
use super::name::SqlName;
use super::nearest::did_you_mean;
use super::problem::Problem;
use super::score::Score;
use super::source::Source;
use super::subject::{Subject, SubjectFilter};

/// The relation of rows to score in `vector.sql`: no stream or table may have its name.
const REQUESTS: &str = "requests";

/// What the rules look at.
pub(super) struct Facts<'a> {
    pub(super) folder: &'a Path,
    pub(super) source: &'a Source,
    pub(super) draft: &'a Draft,
    /// The names of all files in `features/`, readable or not.
    pub(super) feature_names: &'a [String],
    /// Whether there is a `vector.sql`.
    pub(super) has_vector: bool,
}

impl Facts<'_> {
    /// Every rule that is broken.
    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_names(&mut problems);
        self.check_contracts(&mut problems);
        self.check_stream_subjects(&mut problems);
        self.check_own_subjects(&mut problems);
        self.check_vector(&mut problems);
        if let Some(score) = self.draft.score.sound() {
            self.check_score(score, &mut problems);
            self.check_score_stream(score, &mut problems);
        }
        problems
    }

    /// A section of a table belongs to a file, and nobody takes the name of the rows to score.
    fn check_names(&self, problems: &mut Vec<Problem>) {
        let names = || self.feature_names.iter().map(String::as_str);
        for (table, (place, _)) in &self.draft.tables.sound {
            if !names().any(|name| name == table.as_str()) {
                let suggestion = did_you_mean(table.as_str(), names())
                    .unwrap_or_else(|| format!("write features/{table}.sql, or remove the section"));
                problems.push(self.at(place, format!("there is no features/{table}.sql")).suggest(suggestion));
            }
        }
        if let Some((place, _)) = self.draft.streams.sound.get(REQUESTS) {
            let message = format!("a stream can't be called `{REQUESTS}`: vector.sql calls the rows to score so");
            problems.push(self.at(place, message));
        }
    }

    fn check_contracts(&self, problems: &mut Vec<Problem>) {
        let streams = self.draft.streams.sound.values().map(|(_, stream)| &stream.contract);
        let request = self.draft.score.sound().and_then(|score| score.get_ref().request.as_ref());
        for contract in streams.chain(request) {
            if find_above(self.folder, contract.get_ref()).is_none() {
                let message = format!("contract {:?} not found", contract.get_ref());
                problems.push(
                    self.at(&contract.span(), message)
                        .suggest("it is looked for in the pipeline's folder and in each folder above it"),
                );
            }
        }
    }

    /// An event belongs to one stream, once.
    fn check_stream_subjects(&self, problems: &mut Vec<Problem>) {
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
    fn check_own_subjects(&self, problems: &mut Vec<Problem>) {
        let dead = self.draft.name.as_ref().map(|name| OwnSubject {
            what: "dead letters",
            subject: name.get_ref().dead_letter_subject(),
            place: name.span(),
        });
        let score = self.draft.score.sound().map(Spanned::get_ref);
        let own = |what, subject: Option<&Spanned<Subject>>| {
            subject.map(|subject| OwnSubject { what, subject: subject.get_ref().clone(), place: subject.span() })
        };
        let service = own("requests", score.and_then(|score| score.service.as_ref()));
        let publish = own("rankings", score.and_then(|score| score.publish.as_ref()));

        let mut seen: Vec<OwnSubject> = Vec::new();
        for OwnSubject { what, subject, place } in [dead, service, publish].into_iter().flatten() {
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

    /// Whatever scores needs a vector.
    fn check_vector(&self, problems: &mut Vec<Problem>) {
        let needed_by = [("[score]", self.draft.score.is_absent()), ("[model]", self.draft.model.is_absent())];
        if let Some((section, _)) = needed_by.into_iter().find(|(_, is_absent)| !self.has_vector && !is_absent) {
            problems.push(
                Problem::new(&self.folder.join("vector.sql"), format!("file not found, and {section} needs it"))
                    .suggest(format!("write a SELECT from `{REQUESTS}` whose columns are the model's inputs")),
            );
        }
    }

    fn check_score(&self, score: &Spanned<Score>, problems: &mut Vec<Problem>) {
        let Score { service, request, on, .. } = score.get_ref();
        if self.draft.model.is_absent() {
            problems.push(
                self.at(&score.span(), "[score] needs a section [model]")
                    .suggest("add graph = \"model/NAME.onnx\" to it; `tidewheel model new` makes such a file"),
            );
        }
        match (service, on, request) {
            (None, None, _) => problems.push(
                self.at(&score.span(), "[score] has neither `service` nor `on`, so nothing would ever be scored")
                    .suggest("add service = \"SUBJECT\" to answer requests, or on = \"CONDITION\" to score events"),
            ),
            (Some(service), None, None) => problems.push(
                self.at(&service.span(), "`service` needs `request`, the contract of its requests")
                    .suggest("add request = \"schemas/NAME.json\""),
            ),
            (None, Some(_), Some(request)) => problems.push(
                self.at(&request.span(), "`request` has no meaning without `service`")
                    .suggest("remove it, or add service = \"SUBJECT\""),
            ),
            _ => {}
        }
    }

    /// The stream whose events are scored is known.
    fn check_score_stream(&self, score: &Spanned<Score>, problems: &mut Vec<Problem>) {
        let Score { stream, on, .. } = score.get_ref();
        let declared = &self.draft.streams.declared;
        let list = declared.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match (stream, on) {
            (Some(stream), _) if !declared.iter().any(|name| name == stream.get_ref().as_str()) => {
                let suggestion = did_you_mean(stream.get_ref().as_str(), declared.iter().map(String::as_str))
                    .unwrap_or_else(|| format!("declared are {list}"));
                problems.push(self.at(&stream.span(), format!("stream `{stream}` not found")).suggest(suggestion));
            }
            (Some(stream), None) => problems.push(
                self.at(&stream.span(), "`stream` has no meaning without `on`")
                    .suggest("remove it, or add on = \"CONDITION\" to score its events"),
            ),
            (None, Some(on)) if declared.len() > 1 => problems.push(
                self.at(&on.span(), "`on` needs `stream`, for there are several")
                    .suggest(format!("add stream = \"NAME\", one of {list}")),
            ),
            _ => {}
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

    fn at(&self, place: &Range<usize>, message: impl Into<String>) -> Problem {
        self.source.problem_at(place.clone(), message)
    }
}

/// A subject that the pipeline itself publishes to or serves.
struct OwnSubject {
    what: &'static str,
    subject: Subject,
    place: Range<usize>,
}
