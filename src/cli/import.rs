//! `tidewheel model import`: trees of other libraries as ONNX files.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::exit::misuse;
use super::output::say;
use super::{Format, observe};
use crate::model::Session;
use crate::model::import::{About, Imported, Library, Options, import};

/// Arguments of `model import`.
#[derive(Args)]
pub(super) struct ImportArguments {
    /// The model file that LightGBM, XGBoost or CatBoost wrote.
    file: PathBuf,
    /// The ONNX file to write: the model file's name with `.onnx` unless given.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Who wrote the file; told by its content unless given.
    #[arg(long, value_enum, value_name = "LIBRARY")]
    from: Option<From>,
    /// Names of the columns in the order of training, instead of those in the file.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    columns: Option<Vec<String>>,
    /// Takes the first rounds of boosting only: so many trees, or as many for each class.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Replaces the ONNX file if it exists.
    #[arg(long)]
    force: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum From {
    Lightgbm,
    Xgboost,
    Catboost,
}

/// Names of features in a row of text.
const SHOWN: usize = 200;

pub(super) fn run(arguments: &ImportArguments) -> anyhow::Result<bool> {
    let ImportArguments { file, force, format, .. } = arguments;
    let out = arguments.out.clone().unwrap_or_else(|| file.with_extension("onnx"));
    if out.exists() && !force {
        misuse!("{} exists: add --force to replace it, or name another file with --out", out.display());
    }
    let options = Options {
        library: arguments.from.map(|from| match from {
            From::Lightgbm => Library::LightGbm,
            From::Xgboost => Library::XgBoost,
            From::Catboost => Library::CatBoost,
        }),
        rounds: arguments.rounds,
        columns: arguments.columns.clone(),
    };
    let given = std::fs::read(file).with_context(|| file.display().to_string())?;
    let Imported { bytes, about } = import(&given, &options).with_context(|| file.display().to_string())?;
    // What was written must be what `check` reads.
    let session = Session::from_bytes(&bytes, 1)?;
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    std::fs::write(&out, &bytes).with_context(|| out.display().to_string())?;
    let (signature, version) = (session.signature(), session.version());
    if *format == Format::Json {
        let written = json!({ "file": out.display().to_string(), "bytes": bytes.len(), "version": version, "signature": signature.to_string() });
        observe::print_json(&json!({ "model": about, "written": written }))?;
        return Ok(true);
    }
    describe(file, &about);
    say!("{}: {signature}, {} bytes, version {version}", out.display(), bytes.len());
    Ok(true)
}

fn describe(file: &Path, about: &About) {
    let About { library, version, objective, kind, output, .. } = about;
    say!("{}: {library} {version}, objective {objective}, {kind}", file.display());
    let of = if about.rounds < about.rounds_in_file { format!(" of {}", about.rounds_in_file) } else { String::new() };
    say!("{} rounds{of}, {} trees, {} leaves", about.rounds, about.trees, about.leaves);
    say!("features, in the order of training:");
    for feature in about.features.iter().take(SHOWN) {
        let categories = feature.categories.map_or(String::new(), |count| format!(", one of {count} that are known"));
        let unused = if feature.is_used { "" } else { "; no tree asks for it" };
        say!("  {}: {}{categories}{unused}", feature.name, feature.takes);
    }
    if about.features.len() > SHOWN {
        say!("  and {} more", about.features.len() - SHOWN);
    }
    if !about.names_are_compared {
        say!(
            "the file has no names of its own for them: --columns a,b,c gives some, and then `check` compares vector.sql with these"
        );
    }
    let width = if output.width > 1 { format!(", {} numbers for each row", output.width) } else { String::new() };
    say!("output {}: {}{width}", output.name, output.meaning);
}
