//! The text of `pipeline.toml` → its sections, each read for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::labels::Labels;
use super::name::{PipelineName, SqlName};
use super::naming::Naming;
use super::problem::Problem;
use super::reference::Reference;
use super::schema::{check_keys, section_schema};
use super::score::Score;
use super::section::{self, Reading};
use super::settings::{Model, Settings};
use super::source::Source;
use super::state::{Output, State};
use super::stream::Stream;
use super::syntax;
use super::table::Table;
use super::train::Train;
use crate::feature::REQUESTS;
use crate::pipeline::Names;

/// What a pipeline is called whose name is missing or wrong, while the rest of it is looked at.
const NAMELESS: &str = "nameless";

/// What could be read of a document: the sound sections, and which others there are.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: Option<Spanned<PipelineName>>,
    pub(super) streams: Sections<Stream>,
    pub(super) tables: Sections<Table>,
    pub(super) references: Sections<Reference>,
    pub(super) model: Section<Model>,
    pub(super) score: Section<Score>,
    pub(super) labels: Section<Labels>,
    pub(super) train: Section<Train>,
    pub(super) state: Section<State>,
    pub(super) output: Section<Output>,
    pub(super) names: Section<Naming>,
    /// Whether the document is TOML. Of one that is not, only what is sound is told.
    pub(super) is_whole: bool,
}

impl Draft {
    /// Reads a document. One that is not TOML is read without the lines at fault, and nothing is said of what it says then: what
    /// is missing may only be hidden.
    pub(super) fn read(source: &Source, problems: &mut Vec<Problem>) -> Self {
        let (root, errors) = DeTable::parse_recoverable(&source.text);
        if errors.is_empty() {
            check_keys(source, &section_schema::<Settings>(), root.get_ref(), None, problems);
            return Self::of(source, root.get_ref(), true, problems);
        }
        problems.extend(syntax::problems(source, &errors));
        let rest = syntax::without_faults(&source.text);
        let (root, _) = DeTable::parse_recoverable(&rest);
        let mut draft = Self::of(source, root.get_ref(), false, &mut Vec::new());
        draft.distrust(&syntax::touched(&source.text, &rest, root.get_ref()));
        draft
    }

    /// Takes the sections of these headers for what they are without some of their lines. A stream is known if its contract is.
    fn distrust(&mut self, headers: &[Vec<String>]) {
        for header in headers {
            let mut words = header.iter().map(String::as_str);
            match (words.next(), words.next()) {
                (Some("streams"), Some(name)) => self.streams.spoil(name),
                (Some("tables"), Some(name)) => self.tables.spoil(name),
                (Some("references"), Some(name)) => self.references.distrust(name),
                (Some("model"), _) => self.model = Section::Faulty,
                (Some("score"), _) => self.score = Section::Faulty,
                (Some("labels"), _) => self.labels = Section::Faulty,
                (Some("train"), _) => self.train = Section::Faulty,
                (Some("state"), _) => self.state = Section::Faulty,
                (Some("output"), _) => self.output = Section::Faulty,
                (Some("names"), _) => self.names = Section::Faulty,
                _ => {}
            }
        }
    }

    fn of(source: &Source, root: &DeTable<'_>, is_whole: bool, problems: &mut Vec<Problem>) -> Self {
        Self {
            name: Section::read(source, root.get("name"), problems).into_sound(),
            streams: Sections::read(source, root, "streams", problems),
            tables: Sections::read(source, root, "tables", problems),
            references: Sections::read(source, root, "references", problems),
            model: Section::read(source, root.get("model"), problems),
            score: Section::read(source, root.get("score"), problems),
            labels: Section::read(source, root.get("labels"), problems),
            train: Section::read(source, root.get("train"), problems),
            state: Section::read(source, root.get("state"), problems),
            output: Section::read(source, root.get("output"), problems),
            names: Section::read(source, root.get("names"), problems),
            is_whole,
        }
    }

    /// What the pipeline is called in the broker, and where the file says so; nothing without a name.
    pub(super) fn names(&self) -> Option<Names> {
        let name = self.name.as_ref()?.get_ref().as_str();
        let mut streams = self.streams.sound.values().map(|(_, stream)| stream).chain(self.streams.spoilt.values());
        let reads_sources = streams.any(|stream| stream.source.is_some());
        let given = self.names.sound().map(|names| names.get_ref().clone()).unwrap_or_default();
        Some(Names::choosing(name, given.chosen(name, reads_sources)))
    }

    /// The names in SQL of what is not sound: nothing can be said of a select that reads one of them.
    pub(super) fn unsound(&self) -> BTreeSet<String> {
        let mut unsound: BTreeSet<String> = self.streams.unsound().chain(self.references.unsound()).collect();
        if matches!(self.score, Section::Faulty) {
            unsound.insert(REQUESTS.to_owned());
        }
        unsound
    }

    /// The settings. Sections that are not sound are left out, and parts that are wrong are as if they were not given: so the
    /// settings of a draft with problems are for looking further, and nothing else.
    pub(super) fn finish(self) -> Option<Settings> {
        let name = match self.name {
            Some(name) => name.into_inner(),
            // It has been reported, and no SQL depends on it.
            None => PipelineName::parse(NAMELESS).ok()?,
        };
        Some(Settings {
            name,
            streams: self.streams.into_values(),
            tables: self.tables.into_values(),
            references: self.references.into_values(),
            model: self.model.into_value(),
            score: self.score.into_value(),
            labels: self.labels.into_value(),
            train: self.train.into_value(),
            state: self.state.into_value().unwrap_or_default(),
            output: self.output.into_value().unwrap_or_default(),
            names: self.names.into_value().unwrap_or_default(),
        })
    }
}

/// A section that there is at most one of.
#[derive(Debug)]
pub(super) enum Section<T> {
    Absent,
    /// It has been reported.
    Faulty,
    Sound(Spanned<T>),
}

impl<T: DeserializeOwned + JsonSchema> Section<T> {
    fn read(source: &Source, value: Option<&Spanned<DeValue<'_>>>, problems: &mut Vec<Problem>) -> Self {
        let Some(value) = value else { return Self::Absent };
        let section = section::read(source, value, problems).sound();
        section.map_or(Self::Faulty, |section| Self::Sound(Spanned::new(value.span(), section)))
    }
}

impl<T> Section<T> {
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    pub(super) fn sound(&self) -> Option<&Spanned<T>> {
        if let Self::Sound(section) = self { Some(section) } else { None }
    }

    fn into_sound(self) -> Option<Spanned<T>> {
        if let Self::Sound(section) = self { Some(section) } else { None }
    }

    fn into_value(self) -> Option<T> {
        self.into_sound().map(Spanned::into_inner)
    }
}

/// Sections of one kind, each with a name.
#[derive(Debug)]
pub(super) struct Sections<T> {
    /// The sound ones by name, with the place of the name.
    pub(super) sound: BTreeMap<SqlName, (Range<usize>, T)>,
    /// Those that are wrong in parts, without these.
    pub(super) spoilt: BTreeMap<SqlName, T>,
    /// The names of all, sound or not.
    pub(super) declared: Vec<String>,
}

impl<T: DeserializeOwned + JsonSchema> Sections<T> {
    fn read(source: &Source, root: &DeTable<'_>, kind: &str, problems: &mut Vec<Problem>) -> Self {
        let mut sections = Self { sound: BTreeMap::new(), spoilt: BTreeMap::new(), declared: Vec::new() };
        let Some(value) = root.get(kind) else { return sections };
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!("`{kind}` is of type {}, expected named sections", value.get_ref().type_str());
            problems.push(source.problem_at(value.span(), message).suggest(format!("write sections [{kind}.NAME]")));
            return sections;
        };
        if table.is_empty() {
            let message = format!("`{kind}` has no section");
            problems.push(source.problem_at(value.span(), message).suggest(format!("write sections [{kind}.NAME]")));
        }
        for (key, value) in table {
            sections.declared.push(key.get_ref().to_string());
            let name = SqlName::parse(key.get_ref());
            let section = section::read(source, value, problems);
            match (name, section) {
                (Ok(name), Reading::Sound(section)) => {
                    sections.sound.insert(name, (key.span(), section));
                }
                (Ok(name), Reading::Spoilt(section)) => {
                    sections.spoilt.insert(name, section);
                }
                (Ok(_), Reading::Faulty) => {}
                (Err(refusal), _) => problems.push(refusal.into_problem(source, key.span())),
            }
        }
        sections
    }
}

impl<T> Sections<T> {
    /// The names, as SQL takes them, of those of which nothing can be told.
    fn unsound(&self) -> impl Iterator<Item = String> {
        let is_known = |name: &str| self.sound.contains_key(name) || self.spoilt.contains_key(name);
        self.declared.iter().filter(move |name| !is_known(name)).map(|name| name.to_lowercase())
    }

    /// Takes a section for one that is wrong in parts.
    fn spoil(&mut self, name: &str) {
        match self.sound.remove_entry(name) {
            Some((name, (_, section))) => {
                self.spoilt.insert(name, section);
            }
            None if self.spoilt.contains_key(name) => {}
            None => self.distrust(name),
        }
    }

    /// Takes a section for one of which nothing can be told.
    fn distrust(&mut self, name: &str) {
        self.sound.remove(name);
        self.spoilt.remove(name);
        if !self.declared.iter().any(|declared| declared == name) {
            self.declared.push(name.to_owned());
        }
    }

    fn into_values(self) -> BTreeMap<SqlName, T> {
        self.sound.into_iter().map(|(name, (_, section))| (name, section)).chain(self.spoilt).collect()
    }
}
