//! Where a pipeline's files are found: in its folder, and above it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use super::problem::Problem;

/// The file that makes a folder a pipeline.
pub(super) const SETTINGS_FILE: &str = "pipeline.toml";

/// The first file with this relative path in a folder or the folders above it.
pub(super) fn find_above(folder: &Path, relative: &Path) -> Option<PathBuf> {
    // Without links and `..`: "above" is where the folder really is.
    let folder = fs::canonicalize(folder).ok()?;
    let file = folder.ancestors().map(|above| above.join(relative)).find(|file| file.is_file())?;
    Some(below_working_folder(&file))
}

/// The files of a folder with an extension, by name, without hidden ones; none when there is no such folder.
pub(super) fn files_with_extension(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Problem> {
    let unreadable = |error: io::Error| Problem::new(folder, format!("can't be read: {error}"));
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        if !is_hidden && Path::new(&name).extension() == Some(OsStr::new(extension)) {
            files.push(folder.join(name));
        }
    }
    files.sort();
    Ok(files)
}

/// A path as a person in the working folder would write it.
pub(super) fn below_working_folder(path: &Path) -> PathBuf {
    let below = env::current_dir().ok().and_then(|folder| path.strip_prefix(folder).ok().map(Path::to_owned));
    match below {
        Some(below) if below.as_os_str().is_empty() => PathBuf::from("."),
        Some(below) => below,
        None => path.to_owned(),
    }
}
