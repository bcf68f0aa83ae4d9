//! `tidewheel model list|show|promote|rollback|resume|control|candidate|diff`: the versions of a pipeline's model.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::broker::Broker;
use super::exit::misuse;
use super::figures::{at, named, short};
use super::output::say;
use super::run::runtime;
use super::verified::with_verdicts;
use super::versions::{described, held, listed, role};
use super::{BrokerArguments, Format, observe, verified};
use crate::clock;
use crate::config::Folder;
use crate::model::ModelVersion;
use crate::model::onnx::{Document, read_file, weight_changes};
use crate::registry::{Control, Pointer, Registry, RegistryError};

/// Which registry.
#[derive(Args)]
pub(super) struct Place {
    /// The pipeline's folder.
    pub(super) folder: PathBuf,
    #[command(flatten)]
    broker: BrokerArguments,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

impl Place {
    /// Whether a server is named.
    pub(super) fn names_broker(&self) -> bool {
        self.broker.nats.is_some()
    }
}

/// Arguments of `model show`.
#[derive(Args)]
pub(super) struct ShowArguments {
    #[command(flatten)]
    place: Place,
    /// The version, or the first of its digits that no other has; the active one unless given.
    version: Option<String>,
}

/// Arguments of `model promote`.
#[derive(Args)]
pub(super) struct PromoteArguments {
    #[command(flatten)]
    place: Place,
    /// The version, or the first of its digits that no other has.
    version: String,
    /// Why, for the history.
    #[arg(long, default_value = "by hand")]
    reason: String,
}

/// Arguments of `model rollback`.
#[derive(Args)]
pub(super) struct RollbackArguments {
    #[command(flatten)]
    place: Place,
    /// Why, for the history.
    #[arg(long, default_value = "rolled back by hand")]
    reason: String,
}

/// Arguments of `model control`.
#[derive(Args)]
pub(super) struct ControlArguments {
    #[command(flatten)]
    place: Place,
    /// The version that the control group keeps, or `off`.
    version: String,
    /// The share of the people in the control group, 0 to 1.
    #[arg(long, default_value_t = 0.1)]
    share: f64,
}

/// Arguments of `model candidate`.
#[derive(Args)]
pub(super) struct CandidateArguments {
    #[command(flatten)]
    place: Place,
    /// The version that the gate decides on, or `off`.
    version: String,
}

/// Arguments of `model diff`.
#[derive(Args)]
pub(super) struct DiffArguments {
    #[command(flatten)]
    place: Place,
    /// One version.
    from: String,
    /// Another one; the active one unless given.
    to: Option<String>,
}

pub(super) fn list(place: &Place) -> anyhow::Result<bool> {
    with_registry(place, async |registry, pointer| {
        let records = with_verdicts(registry.list().await?, &place.folder)?;
        if place.format == Format::Json {
            let rows: Vec<Value> = records.iter().map(|record| described(record, &pointer)).collect();
            return observe::print_json(&rows);
        }
        say!("{}", listed(&records, &pointer));
        tell_stopped(&registry).await
    })
}

/// Says why training has stopped by itself, if it has, and how that ends.
async fn tell_stopped(registry: &Registry) -> anyhow::Result<()> {
    if let Some(reason) = registry.stopped().await? {
        say!(
            "training has stopped by itself: {reason}; once the cause is mended, start its process again, which resumes it"
        );
    }
    Ok(())
}

pub(super) fn show(arguments: &ShowArguments) -> anyhow::Result<bool> {
    with_registry(&arguments.place, async |registry, pointer| {
        let version = match &arguments.version {
            Some(version) => registry.resolve(version).await?,
            None => pointer.active.clone(),
        };
        let mut records = with_verdicts(vec![registry.record(&version).await?], &arguments.place.folder)?;
        let record = records.pop().context("there is one record")?;
        let moves: Vec<_> = pointer.history.iter().filter(|moved| moved.to == version).collect();
        if arguments.place.format == Format::Json {
            let mut shown = described(&record, &pointer);
            shown["promotions"] = serde_json::to_value(&moves)?;
            return observe::print_json(&shown);
        }
        say!("version      {}", record.version);
        say!("role         {}", role(&version, &pointer));
        say!("sha256       {}", record.sha256);
        say!("bytes        {}", record.bytes);
        say!("created      {}", at(record.created_micros));
        say!("parent       {}", record.parent.as_ref().map_or("-", ModelVersion::as_str));
        say!("root         {}", record.root);
        say!("vector       {}", record.fingerprint);
        say!("learnt up to {} of the examples, {} steps", record.example_position, record.steps);
        for (name, figure) in named(&record.metrics) {
            say!("{name:<32} {figure}");
        }
        if let Some(verdict) = &record.verified {
            let outcome = if verdict.agrees() { "yes" } else { "no" };
            say!("verified     {outcome}: {}", verified::told(verdict));
        }
        if !record.note.is_empty() {
            say!("note         {}", record.note);
        }
        for moved in moves {
            say!("promoted     {}: {}", at(moved.at_micros), moved.reason);
        }
        if let Some(held) = held(&pointer).filter(|_| version == pointer.active) {
            say!("{held}");
        }
        Ok(())
    })
}

pub(super) fn promote(arguments: &PromoteArguments) -> anyhow::Result<bool> {
    let fingerprint = vector_of_now(&arguments.place)?;
    with_registry(&arguments.place, async |registry, pointer| {
        let version = registry.resolve(&arguments.version).await?;
        let record = registry.record(&version).await?;
        // The folder's file is tried with the vector of now at every start.
        if record.fingerprint != fingerprint && folder_file(&arguments.place) != Some(version.clone()) {
            return Err(
                RegistryError::OtherVector { version, made_for: record.fingerprint, vector: fingerprint }.into()
            );
        }
        let moved = registry.promote(&version, pointer.revision, &arguments.reason, clock::unix_micros()).await?;
        told(&arguments.place, &moved)
    })
}

pub(super) fn rollback(arguments: &RollbackArguments) -> anyhow::Result<bool> {
    let fingerprint = vector_of_now(&arguments.place)?;
    with_registry(&arguments.place, async |registry, _| {
        told(&arguments.place, &registry.rollback(&fingerprint, &arguments.reason, clock::unix_micros()).await?)
    })
}

pub(super) fn resume(place: &Place) -> anyhow::Result<bool> {
    with_registry(place, async |registry, _| {
        told(place, &registry.resume().await?)?;
        match place.format {
            Format::Text => tell_stopped(&registry).await,
            Format::Json => Ok(()),
        }
    })
}

pub(super) fn candidate(arguments: &CandidateArguments) -> anyhow::Result<bool> {
    let place = &arguments.place;
    if Folder::read(&place.folder)?.settings.train.is_none() {
        let version = &arguments.version;
        misuse!("the pipeline has no [train], and with it no gate: `tidewheel model promote` makes {version} active");
    }
    with_registry(place, async |registry, _| {
        let candidate = match arguments.version.as_str() {
            "off" => None,
            version => Some(registry.resolve(version).await?),
        };
        told(place, &registry.set_candidate(candidate).await?)
    })
}

pub(super) fn control(arguments: &ControlArguments) -> anyhow::Result<bool> {
    with_registry(&arguments.place, async |registry, _| {
        let control = match arguments.version.as_str() {
            "off" => None,
            version => Some(Control { version: registry.resolve(version).await?, share: arguments.share }),
        };
        told(&arguments.place, &registry.set_control(control).await?)
    })
}

pub(super) fn diff(arguments: &DiffArguments) -> anyhow::Result<bool> {
    with_registry(&arguments.place, async |registry, pointer| {
        let from = registry.resolve(&arguments.from).await?;
        let to = match &arguments.to {
            Some(version) => registry.resolve(version).await?,
            None => pointer.active.clone(),
        };
        let (old, new) = (registry.fetch(&from).await?, registry.fetch(&to).await?);
        let changes = weight_changes(&Document::read(&old)?, &Document::read(&new)?);
        let (old, new) = (registry.record(&from).await?, registry.record(&to).await?);
        if arguments.place.format == Format::Json {
            let weights: Vec<Value> = changes
                .iter()
                .map(|change| {
                    json!({ "name": change.name, "dims": change.dims, "relative": change.relative, "largest": change.largest })
                })
                .collect();
            return observe::print_json(&json!({ "from": old, "to": new, "weights": weights }));
        }
        say!("{from} → {to}");
        say!("steps     {} → {}", old.steps, new.steps);
        say!("position  {} → {}", old.example_position, new.example_position);
        let before: HashMap<_, _> = named(&old.metrics).into_iter().collect();
        for (name, figure) in named(&new.metrics) {
            say!("{name:<32}  {} → {figure}", before.get(&name).map_or("-", String::as_str));
        }
        say!("\nweights                           relative change  largest change");
        for change in &changes {
            match (change.relative, change.largest) {
                (Some(relative), Some(largest)) => {
                    say!("{:<32}  {:>15}  {:>14}", change.name, short(relative), short(f64::from(largest)));
                }
                _ => say!("{:<32}  only in one of them, or of another shape", change.name),
            }
        }
        Ok(())
    })
}

pub(super) fn with_registry(
    place: &Place,
    work: impl AsyncFnOnce(Registry, Pointer) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let folder = Folder::read(&place.folder)?;
    let state = folder.settings.state_folder();
    runtime()?.block_on(async {
        let broker = Broker::find_or_open(&place.broker, &state).await?;
        let replicas = folder.settings.output.replicas.get();
        let names = folder.settings.names().registry();
        let registry = Registry::open_replicated(&broker.bus, names, None, replicas).await?;
        let outcome = match registry.pointer().await? {
            Some(pointer) => work(registry, pointer).await,
            None => Err(anyhow::anyhow!("no model of this pipeline is registered: start `tidewheel run` once")),
        };
        broker.close().await?;
        outcome.map(|()| true)
    })
}

/// The fingerprint of the vector that the folder has now.
fn vector_of_now(place: &Place) -> anyhow::Result<String> {
    let vector = Folder::read(&place.folder)?.assemble_without_model()?.vector;
    let vector = vector.context("the pipeline has no vector: write vector.sql and [score]")?;
    Ok(vector.fingerprint().as_str().to_owned())
}

/// The version of the folder's model file, if it can be read.
fn folder_file(place: &Place) -> Option<ModelVersion> {
    let folder = Folder::read(&place.folder).ok()?;
    let file = folder.path.join(folder.settings.model?.graph.get_ref());
    read_file(&file).ok().map(|bytes| ModelVersion::of(&bytes))
}

fn told(place: &Place, pointer: &Pointer) -> anyhow::Result<()> {
    if place.format == Format::Json {
        return observe::print_json(pointer);
    }
    let last = pointer.history.last().context("a pointer has a history")?;
    say!("active {}: {}", pointer.active, last.reason);
    if let Some(control) = &pointer.control {
        say!("control {} for {} of the people", control.version, control.share);
    }
    if let Some(candidate) = &pointer.candidate {
        say!("candidate {candidate}: it takes over once the gate finds it not worse than the active model");
    }
    if let Some(held) = held(pointer) {
        say!("{held}");
    }
    Ok(())
}
