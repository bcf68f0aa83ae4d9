//! `tidewheel model`: make models, and look after their versions.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};

use super::exit::misuse;
use super::output::say;
use super::{brought, import, registry, verify};
use crate::config::Folder;
use crate::feature::{ColumnForm, VectorColumn, VectorPlan};
use crate::model::onnx::Document;
use crate::model::{DeepFmSpec, LstmSpec, MlpSpec, Session, build_deepfm, build_lstm, build_mlp, metadata};

/// Verbs of `model`.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Writes an ONNX model with seeded initial weights for a pipeline's vector.
    #[command(
        after_help = "Examples:\n  tidewheel model new --kind mlp --hidden 64,32 --out pipelines/intent/model/intent.onnx pipelines/intent\n  tidewheel model new --kind deepfm --categorical user=4096,item=4096 --out my.onnx pipelines/recommend\n  tidewheel model new --kind lstm --vocab 10000 --dim 32 --hidden 128 --length 100 --out sequence.onnx"
    )]
    New(NewArguments),
    /// Makes an ONNX model of a LightGBM, XGBoost or CatBoost file, which scores as that library does.
    #[command(
        after_help = "Examples:\n  tidewheel model import model.txt --out pipelines/intent/model/intent.onnx\n  tidewheel model import model.json --columns price,views,moment --format json\n  tidewheel model import model.ubj --rounds 120\n\nThe file is read, not run: LightGBM's text, XGBoost's JSON or UBJSON, CatBoost's JSON. What would score otherwise than in its\nlibrary is refused by name."
    )]
    Import(import::ImportArguments),
    /// Lists the versions that the registry has, newest first.
    #[command(after_help = "Examples:\n  tidewheel model list pipelines/recommend")]
    List(registry::Place),
    /// Shows a version: where it comes from, what was measured, when it was promoted.
    #[command(after_help = "Examples:\n  tidewheel model show pipelines/recommend 3f2a")]
    Show(registry::ShowArguments),
    /// Makes a version the active one; running workers swap to it within seconds.
    #[command(after_help = "Examples:\n  tidewheel model promote pipelines/recommend 3f2a --reason \"for the sale\"")]
    Promote(registry::PromoteArguments),
    /// Makes the version before the active one active again, and holds it.
    #[command(
        after_help = "Examples:\n  tidewheel model rollback pipelines/recommend\n\nIt stays over any number of starts, and training promotes nothing over it until `model promote` or `model resume`, or\nuntil the pipeline's folder has another model file."
    )]
    Rollback(registry::RollbackArguments),
    /// Keeps a version in service for a share of the people, to compare with; `off` ends it.
    #[command(
        after_help = "Examples:\n  tidewheel model control pipelines/recommend 3f2a --share 0.1\n  tidewheel model control pipelines/recommend off"
    )]
    Control(registry::ControlArguments),
    /// Stores a file as a version beside the one that serves: to promote, keep as the control, or have the gate decide on.
    #[command(
        after_help = "Examples:\n  tidewheel model add pipelines/recommend nightly.onnx\n  tidewheel model add pipelines/recommend nightly.onnx --format json"
    )]
    Add(brought::AddArguments),
    /// Ties a model to the vector of now, after a change of SQL that leaves every value what it was: the weights stay.
    #[command(
        after_help = "Examples:\n  tidewheel model adopt pipelines/recommend\n  tidewheel model adopt pipelines/recommend 3f2a --format json\n\nWithout a version it writes the folder's model file anew, with the fingerprint of the vector of now; start the pipeline\nafterwards. Nothing is compared: whether every value stays what it was is yours to know."
    )]
    Adopt(brought::AdoptArguments),
    /// Compares a model's scores with its owner's predictions, row by row, and keeps the verdict.
    #[command(
        after_help = "Examples:\n  tidewheel model verify pipelines/intent --inputs rows.csv --expect predicted.csv\n  tidewheel model verify pipelines/intent 3f2a --inputs rows.parquet --expect rows.parquet --column p --nats nats://localhost:4222\n\nIt ends with 1 where the model does not give what is expected. Without a server the verdict is verified.json beside the\nmodel; with --nats or NATS_URL it is kept with the version in the registry."
    )]
    Verify(verify::Arguments),
    /// Lets the gate of training decide on a version: it takes over once it is not worse than the active one; `off` ends it.
    #[command(
        after_help = "Examples:\n  tidewheel model candidate pipelines/recommend 3f2a\n  tidewheel model candidate pipelines/recommend off"
    )]
    Candidate(registry::CandidateArguments),
    /// Lets training promote again after a roll-back.
    #[command(after_help = "Examples:\n  tidewheel model resume pipelines/recommend")]
    Resume(registry::Place),
    /// Shows how two versions differ: training, figures, and every weight.
    #[command(after_help = "Examples:\n  tidewheel model diff pipelines/recommend 3f2a 90bc")]
    Diff(registry::DiffArguments),
}

/// Arguments of `model new`.
#[derive(Args)]
pub(super) struct NewArguments {
    /// The pipeline's folder. `lstm` can do without, and is then for no vector in particular.
    folder: Option<PathBuf>,
    /// What kind of network.
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// Units of the hidden layers, first to last; `none` for no hidden layer. One number for `lstm`: the width of its state,
    /// 128 unless given.
    #[arg(long, value_delimiter = ',', value_parser = parse_hidden)]
    hidden: Vec<usize>,
    /// Columns of the vector that hold ids, each with the rows of its embedding table: `NAME=ROWS,...` (deepfm).
    #[arg(long, value_delimiter = ',', value_parser = parse_categorical)]
    categorical: Vec<(String, usize)>,
    /// Numbers per embedding: 8 for deepfm and 32 for lstm unless given.
    #[arg(long)]
    dim: Option<usize>,
    /// Rows of the embedding table (lstm).
    #[arg(long, default_value_t = 10_000)]
    vocab: usize,
    /// Steps of the sequence: the vector's columns, unless given (lstm).
    #[arg(long)]
    length: Option<usize>,
    /// The share of hidden values that training leaves out, from 0 to below 1 (mlp, deepfm).
    #[arg(long, default_value_t = 0.0)]
    dropout: f32,
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
    /// Embeddings of ids with a factorisation machine beside dense layers.
    Deepfm,
    /// Embedding of a sequence of ids, LSTM, dense layer, sigmoid.
    Lstm,
}

/// Layers: a number each, `none` stands for no layer and is read as 0.
fn parse_hidden(text: &str) -> Result<usize, String> {
    match text {
        "none" => Ok(0),
        number => number.parse().map_err(|_| format!("`{number}` is neither a number of units nor `none`")),
    }
}

fn parse_categorical(text: &str) -> Result<(String, usize), String> {
    let (name, rows) = text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=ROWS"))?;
    let rows = rows.parse().map_err(|_| format!("`{rows}` is not a number of rows"))?;
    Ok((name.to_owned(), rows))
}

pub(super) fn run(verb: &Verb) -> anyhow::Result<bool> {
    match verb {
        Verb::New(arguments) => new(arguments),
        Verb::Import(arguments) => import::run(arguments),
        Verb::List(place) => registry::list(place),
        Verb::Show(arguments) => registry::show(arguments),
        Verb::Promote(arguments) => registry::promote(arguments),
        Verb::Rollback(arguments) => registry::rollback(arguments),
        Verb::Control(arguments) => registry::control(arguments),
        Verb::Add(arguments) => brought::add(arguments),
        Verb::Adopt(arguments) => brought::adopt(arguments),
        Verb::Verify(arguments) => verify::run(arguments),
        Verb::Candidate(arguments) => registry::candidate(arguments),
        Verb::Resume(place) => registry::resume(place),
        Verb::Diff(arguments) => registry::diff(arguments),
    }
}

fn new(arguments: &NewArguments) -> anyhow::Result<bool> {
    let vector = match &arguments.folder {
        Some(folder) => {
            let pipeline = Folder::read(folder)?.assemble_without_model()?;
            let name = pipeline.name;
            let vector = pipeline.vector;
            Some(vector.with_context(|| format!("pipeline `{name}` has no vector: write vector.sql and [score]"))?)
        }
        None => None,
    };
    if arguments.out.exists() && !arguments.force {
        misuse!("{} exists: add --force to replace it", arguments.out.display());
    }
    let described = vector.iter().flat_map(|vector| vector.described());
    for VectorColumn { name, form, .. } in described {
        if !matches!(form, ColumnForm::Number { .. }) {
            misuse!(
                "column `{name}` is {}: the models that this makes take numbers; export one with an input {name:?}",
                form.name()
            );
        }
    }
    let columns = vector.as_ref().map(|vector| vector.columns().to_vec()).unwrap_or_default();
    let fingerprint = vector.as_ref().map(|vector| vector.fingerprint().as_str().to_owned());
    let bytes = build(arguments, columns, fingerprint)?;
    let bytes = match &vector {
        Some(vector) => with_meaning(&bytes, vector)?,
        None => bytes,
    };
    let folder = arguments.out.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    std::fs::write(&arguments.out, &bytes).with_context(|| arguments.out.display().to_string())?;
    let session = Session::from_bytes(&bytes, 1)?;
    let (signature, version) = (session.signature(), session.version());
    say!("{}: {signature}, {} bytes, version {version}", arguments.out.display(), bytes.len());
    Ok(true)
}

/// A model that says what its vector is made of, so that it can be told later what of that has changed.
fn with_meaning(bytes: &[u8], vector: &VectorPlan) -> anyhow::Result<Vec<u8>> {
    let mut document = Document::read(bytes)?;
    document.set_metadata(metadata::MEANING, &vector.meaning().digests());
    Ok(document.write())
}

fn build(arguments: &NewArguments, columns: Vec<String>, fingerprint: Option<String>) -> anyhow::Result<Vec<u8>> {
    let NewArguments { categorical, seed, dropout, vocab, .. } = arguments;
    let hidden = match arguments.hidden.as_slice() {
        [] => vec![64, 32],
        [0] => Vec::new(),
        given => given.to_vec(),
    };
    let needs_vector = "this kind of model is for a vector: name the pipeline's folder";
    Ok(match arguments.kind {
        Kind::Mlp => build_mlp(&MlpSpec {
            columns,
            hidden,
            dropout: *dropout,
            seed: *seed,
            fingerprint: fingerprint.context(needs_vector)?,
        })?,
        Kind::Deepfm => build_deepfm(&DeepFmSpec {
            columns,
            categorical: categorical.clone(),
            dim: arguments.dim.unwrap_or(8),
            hidden,
            dropout: *dropout,
            seed: *seed,
            fingerprint: fingerprint.context(needs_vector)?,
        })?,
        Kind::Lstm => {
            let state = match arguments.hidden.as_slice() {
                [] => 128,
                [state] => *state,
                _ => misuse!("an LSTM has one width: give one number as --hidden"),
            };
            let length = match arguments.length {
                Some(length) => length,
                None if columns.is_empty() => {
                    misuse!("give --length, the steps of the sequence, or a pipeline's folder")
                }
                None => columns.len(),
            };
            build_lstm(&LstmSpec {
                columns,
                vocab: *vocab,
                dim: arguments.dim.unwrap_or(32),
                hidden: state,
                length,
                seed: *seed,
                fingerprint,
            })?
        }
    })
}
