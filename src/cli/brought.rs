//! `tidewheel model add|adopt`: models that a person brings, and weights that a person takes over to another vector.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use toml::Spanned;

use super::output::say;
use super::registry::{Place, with_registry};
use super::{Format, observe};
use crate::clock;
use crate::config::Folder;
use crate::feature::VectorPlan;
use crate::model::onnx::read_file;
use crate::model::{Adopted, ModelVersion, Session, Tie, adopt as adopt_file, lay_out};
use crate::pipeline::ModelPlan;
use crate::registry::ModelRecord;

/// Arguments of `model add`.
#[derive(Args)]
pub(super) struct AddArguments {
    #[command(flatten)]
    place: Place,
    /// The ONNX file.
    file: PathBuf,
}

/// Arguments of `model adopt`.
#[derive(Args)]
pub(super) struct AdoptArguments {
    #[command(flatten)]
    place: Place,
    /// A version in the registry, or the first of its digits that no other has: it is stored anew for the vector of now. Without
    /// it the model file of the folder is adopted, and with it, at the next start, the weights that are active.
    version: Option<String>,
}

/// Stores a file as a version that serves nobody yet.
pub(super) fn add(arguments: &AddArguments) -> anyhow::Result<bool> {
    let AddArguments { place, file } = arguments;
    let mut folder = Folder::read(&place.folder)?;
    let settings =
        folder.settings.model.as_mut().context("the pipeline has no [model]: add it to pipeline.toml first")?;
    // Whatever the folder's own file must pass, this one must.
    let path = file.canonicalize().with_context(|| file.display().to_string())?;
    settings.graph = Spanned::new(settings.graph.span(), path);
    settings.version = None;
    let pipeline = folder.assemble()?;
    let model = pipeline.model.context("the pipeline has no model")?;
    let vector = vector(pipeline.vector, &folder)?;
    with_registry(place, async |registry, pointer| {
        let record = ModelRecord {
            note: file.display().to_string(),
            ..ModelRecord::initial(&model.bytes, vector.fingerprint().as_str(), clock::unix_micros())
        };
        registry.store(model.bytes.into(), &record).await?;
        if place.format == Format::Json {
            return observe::print_json(&record);
        }
        say!("{}: version {}, {} bytes, SHA-256 {}", file.display(), record.version, record.bytes, record.sha256);
        say!("stored for vector {}; {} serves on", record.fingerprint, pointer.active);
        Ok(())
    })
}

/// Ties weights to the vector of now.
pub(super) fn adopt(arguments: &AdoptArguments) -> anyhow::Result<bool> {
    let place = &arguments.place;
    let folder = Folder::read(&place.folder)?;
    let vector = vector(folder.assemble_without_model()?.vector, &folder)?.in_newest_form();
    match &arguments.version {
        None => adopt_folder(place.format, &folder, &vector).map(|()| true),
        Some(version) => adopt_version(place, version, &folder, &vector),
    }
}

fn adopt_folder(format: Format, folder: &Folder, vector: &VectorPlan) -> anyhow::Result<()> {
    let settings = folder.settings.model.as_ref().context("the pipeline has no [model]")?;
    let path = folder.path.join(settings.graph.get_ref());
    let bytes = read_file(&path).with_context(|| path.display().to_string())?;
    let (adopted, version) = tie(folder, vector, &bytes).with_context(|| path.display().to_string())?;
    let now = vector.fingerprint().as_str();
    let is_new = adopted.made_for.as_deref() != Some(now);
    if is_new {
        replace(&path, &adopted.bytes).with_context(|| path.display().to_string())?;
    }
    let version = if is_new { version } else { adopted.from.clone() };
    if format == Format::Json {
        return observe::print_json(&json!({
            "file": path.display().to_string(),
            "vector": { "from": adopted.made_for, "to": now },
            "version": { "from": adopted.from, "to": version },
        }));
    }
    if !is_new {
        say!("{}: made for vector {now}, that of now: nothing to adopt", path.display());
        return Ok(());
    }
    let made_for = adopted.made_for.as_deref().unwrap_or("(none named)");
    say!("{}: vector {made_for} → {now}, version {} → {version}", path.display(), adopted.from);
    say!("the next start goes on with the weights that are active, tied to this vector");
    if let Some(named) = &settings.version {
        say!("pipeline.toml names version {}: write version = \"{version}\"", named.get_ref());
    }
    Ok(())
}

fn adopt_version(place: &Place, prefix: &str, folder: &Folder, vector: &VectorPlan) -> anyhow::Result<bool> {
    let now = vector.fingerprint().as_str();
    with_registry(place, async |registry, _| {
        let before = registry.record(&registry.resolve(prefix).await?).await?;
        let bytes = registry.fetch(&before.version).await?;
        let (adopted, version) = tie(folder, vector, &bytes).with_context(|| format!("model {}", before.version))?;
        let is_new = before.fingerprint != now;
        if is_new {
            let record = before.adopted(&adopted.bytes, before.root.clone(), now, clock::unix_micros());
            registry.store(adopted.bytes.into(), &record).await?;
        }
        let version = if is_new { version } else { before.version.clone() };
        if place.format == Format::Json {
            return observe::print_json(&json!({
                "vector": { "from": before.fingerprint, "to": now },
                "version": { "from": before.version, "to": version },
            }));
        }
        if is_new {
            say!("vector {} → {now}, version {} → {version}", before.fingerprint, before.version);
            say!("stored; `tidewheel model promote {} {version}` makes it active", place.folder.display());
        } else {
            say!("{version}: made for vector {now}, that of now: nothing to adopt");
        }
        Ok(())
    })
}

/// A model tied to the vector of now, and tried.
fn tie(folder: &Folder, vector: &VectorPlan, bytes: &[u8]) -> anyhow::Result<(Adopted, ModelVersion)> {
    // The folder's pipeline is read without its model, whose inputs say which types the columns have.
    let inputs = lay_out(bytes, vector.described(), None)?;
    let vector = &vector.with_inputs(inputs);
    let adopted = adopt_file(bytes, Tie::to(vector, &vector.meaning().digests()))?;
    let settings = folder.settings.model.as_ref().context("the pipeline has no [model]")?;
    let output = settings.output.as_ref().map(|output| output.get_ref().clone());
    let plan = ModelPlan { bytes: Vec::new(), output, activation: None, class: settings.class.clone() };
    let session = Session::from_bytes(&adopted.bytes, 1)?;
    let version = session.version().clone();
    session.bind(&plan.binding(vector))?;
    Ok((adopted, version))
}

fn vector(vector: Option<Arc<VectorPlan>>, folder: &Folder) -> anyhow::Result<Arc<VectorPlan>> {
    vector.with_context(|| {
        let name = folder.settings.name.as_str();
        format!("pipeline `{name}` has no vector: write vector.sql and [score]")
    })
}

/// Writes a file that is there whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("adopting");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(temporary, path)
}
