//! `tidewheel model`: make models.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::config::Folder;
use crate::model::{MlpSpec, build_mlp};

/// Verbs of `model`.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Writes an ONNX model with seeded initial weights for a pipeline's vector.
    #[command(
        after_help = "Examples:\n  tidewheel model new --kind mlp --hidden 64,32 --out pipelines/intent/model/intent.onnx pipelines/intent"
    )]
    New(NewArguments),
}

/// Arguments of `model new`.
#[derive(Args)]
pub(super) struct NewArguments {
    /// The pipeline's folder.
    folder: PathBuf,
    /// What kind of network.
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// Units of the hidden layers, first to last.
    #[arg(long, value_delimiter = ',', default_value = "64,32")]
    hidden: Vec<usize>,
    /// Seed of the initial weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The file to write.
    #[arg(long)]
    out: PathBuf,
    /// Replaces the file if it exists.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Kind {
    /// Normalisation, dense layers, sigmoid.
    #[default]
    Mlp,
}

pub(super) fn run(verb: &Verb) -> anyhow::Result<bool> {
    let Verb::New(arguments) = verb;
    let pipeline = Folder::read(&arguments.folder)?.assemble_without_model()?;
    let Some(vector) = &pipeline.vector else {
        bail!("pipeline `{}` has no vector: write vector.sql and [score]", pipeline.name);
    };
    if arguments.out.exists() && !arguments.force {
        bail!("{} exists: add --force to replace it", arguments.out.display());
    }
    let Kind::Mlp = arguments.kind;
    let bytes = build_mlp(&MlpSpec {
        columns: vector.columns().to_vec(),
        hidden: arguments.hidden.clone(),
        seed: arguments.seed,
        fingerprint: vector.fingerprint().as_str().to_owned(),
    })?;
    let folder = arguments.out.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    std::fs::write(&arguments.out, &bytes).with_context(|| arguments.out.display().to_string())?;
    println!(
        "{}: {} inputs, hidden {:?}, {} bytes, for vector {}",
        arguments.out.display(),
        vector.columns().len(),
        arguments.hidden,
        bytes.len(),
        vector.fingerprint()
    );
    Ok(true)
}
