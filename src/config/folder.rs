//! The folder itself: which files make a pipeline, read whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::document::Draft;
use super::files::{SETTINGS_FILE, below_working_folder, files_with_extension, find_above};
use super::name::SqlName;
use super::neighbours::suggest_pipeline;
use super::problem::{Problem, Problems};
use super::rivals::rivals;
use super::rules::Facts;
use super::settings::Settings;
use super::source::Source;
use super::syntax;
use super::text::Refusal;
use crate::pipeline::Pipeline;

/// A pipeline's files. Its settings are sound; its SQL has not been looked at.
#[derive(Debug, Clone)]
pub struct Folder {
    /// The folder, as it was named: relative to the working folder, or absolute.
    pub path: PathBuf,
    /// `pipeline.toml` as values.
    pub settings: Settings,
    /// `pipeline.toml` as text: makes problems with a place of the spans in the settings.
    pub source: Source,
    /// `features/*.sql` by name, at least one.
    pub features: Vec<SqlFile>,
    /// `vector.sql`. It is there when there is a model or anything to score.
    pub vector: Option<Source>,
    /// `tests/*.toml` by name.
    pub cases: Vec<PathBuf>,
    /// Relations that there are and that could not be read: nothing is said of SQL that selects from them. None in a folder
    /// that is sound, and so it is with the next.
    pub(super) unsound: BTreeSet<String>,
    /// Streams that are wrong in parts: what follows from that is not said.
    pub(super) spoilt: BTreeSet<String>,
    /// Whether the settings are TOML.
    is_whole: bool,
}

/// A feature table's SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlFile {
    /// The table: the file's name without `.sql`.
    pub name: SqlName,
    /// The text.
    pub source: Source,
}

impl Folder {
    /// Reads a pipeline's folder.
    ///
    /// # Errors
    /// With everything that is wrong in it.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let folder = Self::inspect(path, &mut problems)?;
        Problems::check(problems)?;
        folder.ok_or_else(|| Problem::new(path, "can't be read").into())
    }

    /// Reads a folder and plans what is in it, as far as its settings are sound.
    ///
    /// # Errors
    /// With everything that is wrong in the folder, settings, contracts, SQL and model, and with what a pipeline beside it
    /// would take from it in the broker.
    pub fn check(path: &Path) -> Result<Pipeline, Problems> {
        let mut problems = Vec::new();
        let folder = Self::inspect(path, &mut problems)?;
        let planned = folder.as_ref().map(Self::assemble);
        if let Some(Err(found)) = &planned {
            // Settings that name a missing file are noticed by both.
            let at = |problem: &Problem| (problem.file.clone(), problem.line, problem.column);
            let known: Vec<_> = problems.iter().map(at).collect();
            let is_new = |problem: &&Problem| !known.contains(&at(problem));
            // What settings lack that are no TOML may only be hidden.
            let hidden = folder.as_ref().filter(|folder| !folder.is_whole).map(|folder| folder.source.problem("").file);
            let is_told = |problem: &&Problem| hidden.as_ref() != Some(&problem.file);
            problems.extend(found.iter().filter(is_new).filter(is_told).cloned());
        }
        problems.extend(folder.iter().flat_map(|folder| rivals(&folder.path, &folder.source)));
        for case in files_with_extension(&below_working_folder(path).join("tests"), "toml").unwrap_or_default() {
            match Source::read(&case) {
                Ok(source) => problems.extend(syntax::check(&source)),
                Err(problem) => problems.push(problem),
            }
        }
        Problems::check(problems)?;
        planned.unwrap_or_else(|| Err(Problem::new(path, "can't be read").into()))
    }

    /// The folder with what is sound of its settings.
    fn inspect(path: &Path, problems: &mut Vec<Problem>) -> Result<Option<Self>, Problems> {
        let path = below_working_folder(path);
        if !path.is_dir() {
            let message = if path.exists() { "not a folder" } else { "folder not found" };
            return Err(Problem::new(&path, message).suggest(suggest_pipeline(&path)).into());
        }
        if !path.join(SETTINGS_FILE).exists() {
            let message = format!("no {SETTINGS_FILE} in this folder");
            return Err(Problem::new(&path, message).suggest(suggest_pipeline(&path)).into());
        }
        let features = Features::read(&path.join("features"), problems);
        let vector = read_vector(&path.join("vector.sql"), problems);
        let cases = keep(files_with_extension(&path.join("tests"), "toml"), problems).unwrap_or_default();
        let Some(source) = keep(Source::read(&path.join(SETTINGS_FILE)), problems) else { return Ok(None) };
        let draft = Draft::read(&source, problems);
        if draft.is_whole {
            let facts = Facts {
                folder: &path,
                source: &source,
                draft: &draft,
                feature_names: &features.names,
                has_vector: path.join("vector.sql").exists(),
            };
            problems.extend(facts.check());
        }
        // Without a name there is nothing that SQL could select from.
        if draft.streams.declared.is_empty() {
            return Ok(None);
        }
        let (unsound, is_whole) = (draft.unsound(), draft.is_whole);
        let spoilt = draft.streams.spoilt.keys().map(ToString::to_string).collect();
        let Some(settings) = draft.finish() else { return Ok(None) };
        Ok(Some(Self { path, settings, source, features: features.files, vector, cases, unsound, spoilt, is_whole }))
    }

    /// The first file with this relative path in the pipeline's folder or the folders above it: where contracts are
    /// found.
    pub fn find_above(&self, relative: &Path) -> Option<PathBuf> {
        find_above(&self.path, relative)
    }
}

/// The files in `features/`.
struct Features {
    /// Of all, readable or not.
    names: Vec<String>,
    files: Vec<SqlFile>,
}

impl Features {
    fn read(folder: &Path, problems: &mut Vec<Problem>) -> Self {
        let mut features = Self { names: Vec::new(), files: Vec::new() };
        let Some(paths) = keep(files_with_extension(folder, "sql"), problems) else { return features };
        if paths.is_empty() {
            problems.push(
                Problem::new(folder, "no .sql file: a pipeline has at least one feature table")
                    .suggest("write features/NAME.sql with a SELECT ... GROUP BY over a stream"),
            );
        }
        for path in paths {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = keep(feature_name(&stem).map_err(|refusal| refusal.into_problem_of(&path)), problems);
            let source = keep(Source::read(&path), problems);
            features.files.extend(name.zip(source).map(|(name, source)| SqlFile { name, source }));
            features.names.push(stem);
        }
        features
    }
}

fn feature_name(stem: &str) -> Result<SqlName, Refusal> {
    if stem == "requests" {
        return Err(Refusal::new("\"requests\" can't name a table", "vector.sql calls the rows to score so"));
    }
    SqlName::parse(stem)
}

fn read_vector(path: &Path, problems: &mut Vec<Problem>) -> Option<Source> {
    if path.exists() { keep(Source::read(path), problems) } else { None }
}

/// The value, or nothing and one problem more.
fn keep<T>(result: Result<T, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}
