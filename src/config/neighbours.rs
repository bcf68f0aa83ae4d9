//! The pipelines found around a path that is none: what the operator may have meant.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::SETTINGS_FILE;
use super::nearest::nearest;

/// As many are listed as a person reads.
const LISTED: usize = 8;

/// Advice for a path at which there is no pipeline: the folders inside it, beside it and in `pipelines` beside it that
/// are pipelines.
pub(super) fn suggest_pipeline(path: &Path) -> String {
    if path.ends_with(SETTINGS_FILE) && path.is_file() {
        return format!("name the folder: `{}`", parent(path).display());
    }
    let around = [path.to_owned(), parent(path), parent(path).join("pipelines")];
    let mut found: Vec<PathBuf> = around.iter().flat_map(|folder| pipelines_in(folder)).collect();
    found.sort();
    found.dedup();
    let wanted = file_name(path);
    let names: Vec<String> = found.iter().map(|pipeline| file_name(pipeline)).collect();
    let close = nearest(&wanted, names.iter().map(String::as_str));
    if let Some(pipeline) = close.and_then(|close| found.iter().find(|pipeline| file_name(pipeline) == close)) {
        return format!("did you mean `{}`?", pipeline.display());
    }
    if found.is_empty() {
        return format!("a pipeline is a folder with a {SETTINGS_FILE} in it");
    }
    let list: Vec<String> = found.iter().take(LISTED).map(|pipeline| format!("`{}`", pipeline.display())).collect();
    format!("pipelines found: {}", list.join(", "))
}

fn pipelines_in(folder: &Path) -> Vec<PathBuf> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // A folder that can't be listed has no advice to give.
    let Ok(entries) = fs::read_dir(here) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .map(|entry| folder.join(entry.file_name()))
        .filter(|path| path.join(SETTINGS_FILE).is_file())
        .collect()
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_folder_gets_its_neighbour_and_another_one_gets_the_list() {
        let root = tempfile::tempdir().unwrap();
        for name in ["intent", "recommend"] {
            fs::create_dir_all(root.path().join("pipelines").join(name)).unwrap();
            fs::write(root.path().join("pipelines").join(name).join(SETTINGS_FILE), "").unwrap();
        }
        fs::create_dir_all(root.path().join("pipelines/empty")).unwrap();
        let suggest =
            |path: &str| suggest_pipeline(&root.path().join(path)).replace(&root.path().display().to_string(), "ROOT");

        let meant = "did you mean `ROOT/pipelines/intent`?";
        assert_eq!(suggest("pipelines/intnet"), meant, "a neighbour");
        assert_eq!(suggest("intent"), meant, "the folder above was left out");
        let both = "pipelines found: `ROOT/pipelines/intent`, `ROOT/pipelines/recommend`";
        assert_eq!(suggest("pipelines/fraud"), both);
        assert_eq!(suggest("pipelines"), both, "the folder of the pipelines was named");
        assert_eq!(suggest("pipelines/intent/pipeline.toml"), "name the folder: `ROOT/pipelines/intent`");
        assert_eq!(suggest("elsewhere/fraud"), "a pipeline is a folder with a pipeline.toml in it");
    }
}
