//! The pipelines beside one, as far as they would take its streams in the broker.
//!
//! Stream `c` of pipeline `a_b` and stream `b_c` of pipeline `a` are both `A_B_C`: both can be checked, and only one can run.

use std::fs;
use std::path::{Path, PathBuf};

use super::document::Draft;
use super::files::SETTINGS_FILE;
use super::problem::Problem;
use super::rules::{OwnStream, own_streams};
use super::source::Source;

/// Every stream of a pipeline that a pipeline of another name in a folder beside it would make too. Those of the same name
/// are other versions of it, and what can't be read is not this pipeline's to mend.
pub(super) fn rivals(folder: &Path, source: &Source) -> Vec<Problem> {
    let read = |source: &Source| Some(Draft::read(source, &mut Vec::new())).filter(|draft| draft.is_whole);
    let Some(draft) = read(source) else { return Vec::new() };
    let own = own_streams(&draft);
    let mut problems = Vec::new();
    for path in beside(folder) {
        let Some(other) = Source::read(&path.join(SETTINGS_FILE)).ok().and_then(|source| read(&source)) else {
            continue;
        };
        let Some(name) = other.name.as_ref().map(toml::Spanned::get_ref) else { continue };
        if draft.name.as_ref().is_some_and(|own| own.get_ref() == name) {
            continue;
        }
        let theirs = own_streams(&other);
        for stream in &own {
            let is_taken = |taken: &&OwnStream| taken.name == stream.name && !taken.is_shared_with(stream);
            if let Some(taken) = theirs.iter().find(is_taken) {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                let message = format!(
                    "{} is called `{}` in the broker, and so is {} of pipeline `{name}` in the folder `{file}` beside \
                     this one",
                    stream.what, stream.name, taken.what
                );
                let problem = source.problem_at(stream.place.clone(), message);
                let fix = "rename one of them: a broker has room for one of that name, which pipelines share where each \
                           gives it as `stream` with the same `subjects`";
                problems.push(problem.suggest(fix));
            }
        }
    }
    problems
}

/// The pipelines in the folder that this one is in, by name, without hidden ones.
fn beside(folder: &Path) -> Vec<PathBuf> {
    let Ok(folder) = fs::canonicalize(folder) else { return Vec::new() };
    let Some(entries) = folder.parent().and_then(|above| fs::read_dir(above).ok()) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .map(|entry| entry.path())
        .filter(|path| *path != folder && path.join(SETTINGS_FILE).is_file())
        .collect();
    found.sort();
    found
}
