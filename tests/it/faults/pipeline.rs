//! The pipeline under test: `tests/faults/pipeline` unless a test asks for another one, copied to where a test may change it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidewheel::config::Folder;
use tidewheel::model::{MlpSpec, build_mlp};
use tidewheel::pipeline::Pipeline;

use crate::taobao::root;
use crate::training::copy;

/// What a test changes about the pipeline.
#[derive(Debug, Clone)]
pub struct Changes {
    /// Which of the pipelines below `tests/faults`.
    pub pipeline: &'static str,
    /// The time between two snapshots.
    pub checkpoint: &'static str,
    /// Where the state is kept; below the test's folder unless given.
    pub state: Option<PathBuf>,
    /// Copies of each stream that the broker keeps.
    pub replicas: usize,
    /// Lines after all others of `pipeline.toml`: further sections.
    pub more: String,
}

impl Default for Changes {
    fn default() -> Self {
        Self { pipeline: "pipeline", checkpoint: "500ms", state: None, replicas: 1, more: String::new() }
    }
}

/// Puts the pipeline below a folder, with a model for its vector; where it is.
pub fn prepare(folder: &Path, changes: &Changes) -> PathBuf {
    let to = folder.join("pipeline");
    copy(&root().join("tests/faults/pipeline/schemas"), &to.join("schemas"));
    copy(&root().join("tests/faults").join(changes.pipeline), &to);
    let file = to.join("pipeline.toml");
    let settings = fs::read_to_string(&file).unwrap();
    let state = changes.state.clone().unwrap_or_else(|| folder.join("state"));
    let settings = format!(
        "{settings}\n[state]\nfolder = \"{}\"\ncheckpoint = \"{}\"\n\n[output]\nmax_bytes = \"2 GB\"\nreplicas = {}\n{}",
        state.display(),
        changes.checkpoint,
        changes.replicas,
        changes.more
    );
    fs::write(&file, settings).unwrap();
    let plan = Folder::read(&to).unwrap().assemble_without_model().unwrap();
    let vector = plan.vector.as_ref().unwrap();
    let spec = MlpSpec {
        columns: vector.columns().to_vec(),
        hidden: vec![4],
        dropout: 0.0,
        seed: 1,
        fingerprint: vector.fingerprint().as_str().to_owned(),
    };
    fs::write(to.join("model.onnx"), build_mlp(&spec).unwrap()).unwrap();
    to
}

/// The pipeline of a folder.
pub fn read(folder: &Path) -> Arc<Pipeline> {
    Arc::new(Folder::read(folder).unwrap().assemble().unwrap())
}
