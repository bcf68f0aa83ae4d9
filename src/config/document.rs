//! The text of `pipeline.toml` → its sections, each read for itself.

use std::collections::BTreeMap;
use std::ops::Range;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::labels::Labels;
use super::name::{PipelineName, SqlName};
use super::problem::Problem;
use super::reference::Reference;
use super::schema::{check_keys, section_schema};
use super::score::Score;
use super::section;
use super::settings::{Model, Settings};
use super::source::Source;
use super::state::{Output, State};
use super::stream::Stream;
use super::table::Table;
use super::train::Train;

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
}

impl Draft {
    /// Reads a document; nothing when it is not TOML, for then no part of it can be trusted.
    pub(super) fn read(source: &Source, problems: &mut Vec<Problem>) -> Option<Self> {
        let (root, errors) = DeTable::parse_recoverable(&source.text);
        if !errors.is_empty() {
            problems.extend(errors.iter().map(|error| syntax_problem(source, error)));
            return None;
        }
        let root = root.get_ref();
        check_keys(source, &section_schema::<Settings>(), root, None, problems);
        Some(Self {
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
        })
    }

    /// The settings; nothing without a name. Sections that are not sound are left out, so this is for a draft without
    /// problems.
    pub(super) fn finish(self) -> Option<Settings> {
        Some(Settings {
            name: self.name?.into_inner(),
            streams: self.streams.into_values(),
            tables: self.tables.into_values(),
            references: self.references.into_values(),
            model: self.model.into_value(),
            score: self.score.into_value(),
            labels: self.labels.into_value(),
            train: self.train.into_value(),
            state: self.state.into_value().unwrap_or_default(),
            output: self.output.into_value().unwrap_or_default(),
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
        section::read(source, value, problems)
            .map_or(Self::Faulty, |section| Self::Sound(Spanned::new(value.span(), section)))
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
    /// The names of all, sound or not.
    pub(super) declared: Vec<String>,
}

impl<T: DeserializeOwned + JsonSchema> Sections<T> {
    fn read(source: &Source, root: &DeTable<'_>, kind: &str, problems: &mut Vec<Problem>) -> Self {
        let mut sections = Self { sound: BTreeMap::new(), declared: Vec::new() };
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
                (Ok(name), Some(section)) => {
                    sections.sound.insert(name, (key.span(), section));
                }
                (Ok(_), None) => {}
                (Err(refusal), _) => problems.push(refusal.into_problem(source, key.span())),
            }
        }
        sections
    }
}

impl<T> Sections<T> {
    /// Whether there is one, and every one is sound.
    pub(super) fn are_sound(&self) -> bool {
        !self.sound.is_empty() && self.sound.len() == self.declared.len()
    }

    fn into_values(self) -> BTreeMap<SqlName, T> {
        self.sound.into_iter().map(|(name, (_, section))| (name, section)).collect()
    }
}

fn syntax_problem(source: &Source, error: &toml::de::Error) -> Problem {
    let problem = match error.span() {
        Some(span) => source.problem_at(span, error.message()),
        None => source.problem(error.message()),
    };
    // What the parser says of a word that begins with i or n, such as `name = intent`.
    let is_bare_word = error.message().starts_with("invalid float, expected `");
    problem.suggest_some(is_bare_word.then_some("text is written in quotes"))
}
