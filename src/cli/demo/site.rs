//! Where a demo runs: in a folder that goes away with it, or in one that is kept, with the pipeline beside its data.
//!
//! ```text
//!   DIR/recommend/…            the pipeline's folder
//!   DIR/schemas/click.json     contracts that it shares with others
//!   DIR/.state/recommend/…     what it has left: streams, models, snapshots
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use crate::cli::assemble;
use crate::cli::exit::misuse;
use crate::cli::replay::{TemporaryFolder, tempfile_folder};
use crate::cli::run::settings;
use crate::config::Folder;
use crate::engine::RunSettings;
use crate::pipeline::Pipeline;
use crate::snapshot::Location;

/// The place of one demo.
pub(super) struct Site {
    /// The pipeline's folder.
    pub(super) folder: PathBuf,
    /// Of the broker and the pipeline.
    pub(super) state: PathBuf,
    pub(super) pipeline: Arc<Pipeline>,
    /// The folder that is kept.
    pub(super) kept: Option<PathBuf>,
    _temporary: Option<TemporaryFolder>,
}

impl Site {
    /// The place of a demo of a pipeline's folder, to be kept in `keep`.
    pub(super) fn new(folder: &Path, keep: Option<&Path>) -> anyhow::Result<Self> {
        let Some(keep) = keep else {
            let temporary = tempfile_folder()?;
            return Ok(Self {
                folder: folder.to_owned(),
                state: temporary.0.clone(),
                pipeline: Arc::new(assemble(folder)?.1),
                kept: None,
                _temporary: Some(temporary),
            });
        };
        let is_empty = fs::read_dir(keep).map_or(!keep.exists(), |mut entries| entries.next().is_none());
        if !is_empty {
            misuse!("{} is there and not empty: name another folder with --keep", keep.display());
        }
        let (source, _) = assemble(folder)?;
        let copy = keep.join(source.settings.name.as_str());
        copy_pipeline(&source, keep, &copy).with_context(|| format!("{} can't be copied", folder.display()))?;
        let (copied, pipeline) = assemble(&copy)?;
        let state = keep.join(copied.settings.state_folder());
        Ok(Self { folder: copy, state, pipeline: Arc::new(pipeline), kept: Some(keep.to_owned()), _temporary: None })
    }

    /// How the pipeline runs there: one that is kept leaves all that `tidewheel run` goes on with.
    pub(super) fn settings(&self) -> RunSettings {
        if self.kept.is_none() {
            return settings();
        }
        let snapshots = self.pipeline.state.snapshots.clone();
        RunSettings {
            copies: Some(self.state.join("models")),
            history: Some(self.state.join("history")),
            snapshots: Some(snapshots.unwrap_or_else(|| Location::folder(self.state.join("snapshots")))),
            ..settings()
        }
    }
}

/// Copies a pipeline's folder, and the files that it has found above it.
fn copy_pipeline(source: &Folder, keep: &Path, copy: &Path) -> anyhow::Result<()> {
    copy_folder(&source.path, copy)?;
    let settings = &source.settings;
    let request = settings.score.as_ref().and_then(|score| score.request.as_ref());
    let references =
        settings.references.values().flat_map(|reference| [reference.contract.as_ref(), reference.file.as_ref()]);
    let files = settings.streams.values().map(|stream| &stream.contract).chain(request).chain(references.flatten());
    for file in files.map(toml::Spanned::get_ref) {
        if copy.join(file).is_file() || file.is_absolute() {
            continue;
        }
        let found = source.find_above(file).with_context(|| format!("{} not found", file.display()))?;
        let target = keep.join(file);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        fs::copy(&found, &target).with_context(|| found.display().to_string())?;
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry.with_context(|| from.display().to_string())?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            fs::copy(&path, &target).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/recommend")
    }

    #[test]
    fn a_demo_that_is_kept_has_a_folder_that_is_a_pipeline_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let keep = folder.path().join("shop");
        let site = Site::new(&shipped(), Some(&keep)).unwrap();
        assert_eq!((site.folder, site.state), (keep.join("recommend"), keep.join(".state/recommend")));
        for file in ["schemas/click.json", "schemas/ranking_request.json", "recommend/model/recommend.onnx"] {
            assert!(keep.join(file).is_file(), "{file}");
        }
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine"), "mine").unwrap();
        let error = Site::new(&shipped(), Some(folder.path())).err().unwrap().to_string();
        assert!(error.ends_with("is there and not empty: name another folder with --keep"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
