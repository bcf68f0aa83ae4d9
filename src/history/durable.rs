//! Files that survive a power cut: the storage layer of the Delta library writes and renames, and leaves the rest to chance.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::error::HistoryError;

/// Puts files and the folders that name them onto the disk, up to the table's own folder.
pub(super) async fn sync(root: &Path, files: Vec<PathBuf>) -> Result<(), HistoryError> {
    let root = root.to_owned();
    let synced = tokio::task::spawn_blocking(move || sync_now(&root, &files)).await;
    synced.map_err(|error| HistoryError::Stopped(error.to_string()))?
}

fn sync_now(root: &Path, files: &[PathBuf]) -> Result<(), HistoryError> {
    let mut folders: Vec<&Path> = Vec::new();
    for file in files {
        sync_one(file)?;
        let above = file.ancestors().skip(1).take_while(|folder| folder.starts_with(root));
        folders.extend(above);
    }
    folders.sort_unstable();
    folders.dedup();
    folders.into_iter().try_for_each(sync_one)
}

fn sync_one(path: &Path) -> Result<(), HistoryError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| HistoryError::File { path: path.to_owned(), error })
}
