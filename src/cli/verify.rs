//! `tidewheel model verify`: a model's scores beside its owner's predictions, row by row.
//!
//! ```text
//!   --inputs ─▶ columns ─▶ vectors ─▶ the scorer that serves ─┐
//!   --expect ─▶ a column of numbers ──────────────────────────┴▶ Comparison ─▶ what it says · verdict ─▶ registry, or a file
//! ```

mod columns;
mod compare;

use std::path::{Path, PathBuf};

use anyhow::Context;
use arrow::array::{ArrayRef, RecordBatch};
use clap::Args;
use serde::Serialize;

use super::exit::misuse;
use super::output::say;
use super::registry::{Place, with_registry};
use super::verified::Verified;
use super::{Format, assemble, observe};
use crate::clock;
use crate::engine::load_model;
use crate::model::{ElementType, ModelVersion, Session};
use crate::pipeline::Pipeline;
use crate::reference::read_rows;
use crate::score::score_each;
use compare::{Comparison, Difference};

/// Arguments of `model verify`.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// A version in the registry, or the first of its digits that no other has: it is compared in the place of the folder's file.
    version: Option<String>,
    /// The rows: CSV, JSON lines or Parquet by the file's ending, with a column for each of the vector's, by name.
    #[arg(long, value_name = "FILE")]
    inputs: PathBuf,
    /// What the owner's own program predicts for these rows, in their order: a file with a column of scores. It may be the same
    /// file.
    #[arg(long, value_name = "FILE")]
    expect: PathBuf,
    /// The column of scores; unless given the one that is called like the model's output, else `score`, else the only one.
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// The largest difference that is allowed, of the expected value where that is above 1 either way; 1e-5 unless given, 1e-3 for
    /// a model that computes in float16.
    #[arg(long, value_parser = parse_tolerance)]
    tolerance: Option<f64>,
}

fn parse_tolerance(text: &str) -> Result<f64, String> {
    let number: Result<f64, _> = text.parse();
    number.ok().filter(|number| number.is_finite() && *number >= 0.0).ok_or_else(|| {
        format!("`{text}` is not a difference that can be allowed: write a number that is zero or more, such as 1e-5")
    })
}

/// What is allowed unless it is given, of a model that computes in float32 and of one that does in float16, with its 11 binary
/// digits.
const TOLERANCES: [f64; 2] = [1e-5, 1e-3];

/// What is said.
#[derive(Serialize)]
struct Report {
    model: String,
    version: ModelVersion,
    agrees: bool,
    tolerance: f64,
    #[serde(flatten)]
    comparison: Comparison,
    /// Columns of the inputs that no vector has.
    unused: Vec<String>,
    /// Where the verdict is kept.
    kept: String,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let place = &arguments.place;
    let (folder, mut pipeline) = assemble(&place.folder)?;
    let model = pipeline.model.as_ref().context("the pipeline has no [model]: there is nothing to compare")?;
    let file = ModelVersion::of(&model.bytes);
    if arguments.version.is_none() && !place.names_broker() {
        let Compared { comparison, unused, tolerance } = compare(arguments, &pipeline)?;
        let verdict = comparison.verdict(tolerance, clock::unix_micros());
        let agrees = verdict.agrees();
        let kept = Verified { version: file.clone(), verdict }.write(&folder)?;
        let model = folder.settings.model.as_ref().map(|model| folder.path.join(model.graph.get_ref()));
        let model = model.unwrap_or_default().display().to_string();
        let kept = kept.display().to_string();
        tell(place.format, &Report { model, version: file, agrees, tolerance, comparison, unused, kept })?;
        return Ok(agrees);
    }
    let mut agrees = false;
    with_registry(place, async |registry, _| {
        let version = match &arguments.version {
            Some(version) => registry.resolve(version).await?,
            None => file,
        };
        let bytes = registry.fetch(&version).await.with_context(|| {
            "the verdict is kept in the registry where --nats or NATS_URL is given: start `tidewheel run` once or \
             `tidewheel model add` the file, or leave the server out to keep the verdict beside the file"
        })?;
        if let Some(model) = &mut pipeline.model {
            model.bytes = bytes.into();
        }
        let Compared { comparison, unused, tolerance } = compare(arguments, &pipeline)?;
        let verdict = comparison.verdict(tolerance, clock::unix_micros());
        agrees = verdict.agrees();
        registry.note_verdict(&version, verdict).await?;
        let (model, kept) = (format!("model {version} of the registry"), "the registry".to_owned());
        tell(place.format, &Report { model, version, agrees, tolerance, comparison, unused, kept })
    })?;
    Ok(agrees)
}

/// A comparison, the columns that were of no use for it, and what it allowed.
struct Compared {
    comparison: Comparison,
    unused: Vec<String>,
    tolerance: f64,
}

fn compare(arguments: &Arguments, pipeline: &Pipeline) -> anyhow::Result<Compared> {
    let (vector, model) =
        pipeline.vector.as_ref().zip(pipeline.model.as_ref()).context("the pipeline has no vector")?;
    let scorer = load_model(pipeline)?.context("the pipeline has no model")?;
    let given = read_rows(&arguments.inputs)?;
    let signature = Session::from_bytes(&model.bytes, 1)?.signature().clone();
    let [usual, of_half] = TOLERANCES;
    let is_half = signature.inputs.iter().chain(&signature.outputs).any(|end| end.element == ElementType::Float16);
    let tolerance = arguments.tolerance.unwrap_or(if is_half { of_half } else { usual });
    let inputs: Vec<String> = signature.inputs.into_iter().map(|input| input.name).collect();
    let found = columns::find(&arguments.inputs, &given, vector.described(), &inputs)?;
    let expected = expected(arguments, scorer.output())?;
    if expected.len() != given.num_rows() {
        misuse!(
            "{} has {} row(s), {} has {}: a row of one is about the same row of the other",
            arguments.inputs.display(),
            given.num_rows(),
            arguments.expect.display(),
            expected.len()
        );
    }
    let matrix = vector.matrix(&found.arrays, given.num_rows())?;
    let batch = pipeline.score.as_ref().map_or(1, |score| score.batch_rows);
    let scores = score_each(scorer, matrix, batch)?;
    Ok(Compared { comparison: Comparison::of(&scores, &expected, tolerance), unused: found.unused, tolerance })
}

/// What is expected of each row.
fn expected(arguments: &Arguments, output: &str) -> anyhow::Result<Vec<Option<f64>>> {
    let path = &arguments.expect;
    let batch = read_rows(path)?;
    let (name, column) = expected_column(path, &batch, arguments.column.as_deref(), output)?;
    columns::numbers(path, &name, &column)
}

fn expected_column(
    path: &Path,
    batch: &RecordBatch,
    wanted: Option<&str>,
    output: &str,
) -> anyhow::Result<(String, ArrayRef)> {
    let schema = batch.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let name = match (wanted, names.as_slice()) {
        (Some(wanted), _) => Some(wanted),
        (None, [only]) => Some(*only),
        (None, names) => [output, "score"].into_iter().find(|name| names.contains(name)),
    };
    let file = path.display();
    let Some(name) = name else {
        misuse!("{file} has columns {}: say which has the scores with --column", names.join(", "));
    };
    let column = batch.column_by_name(name);
    let column = column.with_context(|| format!("{file} has no column {name:?}: it has {}", names.join(", ")))?;
    Ok((name.to_owned(), column.clone()))
}

fn tell(format: Format, report: &Report) -> anyhow::Result<()> {
    if format == Format::Json {
        return observe::print_json(report);
    }
    said(report).iter().for_each(|line| say!("{line}"));
    Ok(())
}

/// A report for people.
fn said(report: &Report) -> Vec<String> {
    let Comparison { rows, beyond, p50, p99, worst, incomplete, incomplete_rows, neither } = &report.comparison;
    let mut lines = vec![format!("{}: version {}, {rows} row(s) compared", report.model, report.version)];
    if let (Some(Difference { row, score, expected, difference }), Some(p50), Some(p99)) = (worst.first(), p50, p99) {
        lines.push(format!(
            "largest difference {difference:.3e} in row {row}: the model gives {}, expected {}",
            number(*score),
            number(*expected)
        ));
        lines.push(format!("half of the rows within {p50:.3e}, 99 of 100 within {p99:.3e}"));
        lines.push(format!("{beyond} row(s) beyond {:e}", report.tolerance));
        lines.push(format!("\n{:>8}  {:>24}  {:>24}  {:>10}", "row", "score", "expected", "difference"));
        lines.extend(worst.iter().map(|Difference { row, score, expected, difference }| {
            format!("{row:>8}  {:>24}  {:>24}  {difference:>10.3e}", number(*score), number(*expected))
        }));
        lines.push(String::new());
    }
    if *incomplete > 0 {
        lines.push(format!("{incomplete} row(s) have a score or an expected value, and not both:"));
        lines.extend(
            incomplete_rows.iter().map(|incomplete| format!("  row {}: {}", incomplete.row, incomplete.reason)),
        );
    }
    if *neither > 0 {
        lines.push(format!("{neither} row(s) have neither a score nor an expected value"));
    }
    if !report.unused.is_empty() {
        lines.push(format!("columns that the vector does not have: {}", report.unused.join(", ")));
    }
    let verdict =
        if report.agrees { "the model gives what is expected" } else { "the model does not give what is expected" };
    lines.push(format!("{verdict}; the verdict is kept in {}", report.kept));
    lines
}

/// A number with all its digits, and without the zeros of a very small or a very large one.
fn number(number: f64) -> String {
    let is_plain = number == 0.0 || !number.is_finite() || (1e-4..1e9).contains(&number.abs());
    if is_plain { number.to_string() } else { format!("{number:e}") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;

    use super::*;

    #[test]
    fn a_report_shows_the_worst_rows_and_ends_with_the_verdict() {
        let scores = [Ok(0.5), Ok(0.25), Err("feature `age` is NULL".to_owned()), Ok(0.125)];
        let comparison = Comparison::of(&scores, &[Some(0.5), Some(0.75), Some(1.0), Some(0.125)], 1e-5);
        let report = Report {
            model: "shop/model/m.onnx".to_owned(),
            version: ModelVersion::of(b"one"),
            agrees: false,
            tolerance: 1e-5,
            comparison,
            unused: vec!["id".to_owned()],
            kept: "shop/model/verified.json".to_owned(),
        };
        insta::assert_snapshot!(said(&report).join("\n"), @r"
        shop/model/m.onnx: version 7692c3ad3540, 3 row(s) compared
        largest difference 5.000e-1 in row 2: the model gives 0.25, expected 0.75
        half of the rows within 0.000e0, 99 of 100 within 5.000e-1
        1 row(s) beyond 1e-5

             row                     score                  expected  difference
               2                      0.25                      0.75    5.000e-1
               1                       0.5                       0.5     0.000e0
               4                     0.125                     0.125     0.000e0

        1 row(s) have a score or an expected value, and not both:
          row 3: 1 is expected, and there is no score: feature `age` is NULL
        columns that the vector does not have: id
        the model does not give what is expected; the verdict is kept in shop/model/verified.json
        ");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["agrees"], &json["worst"][0]["row"], &json["beyond"]), (&false.into(), &2.into(), &1.into()));
    }

    #[test]
    fn the_column_of_scores_is_named_or_clear() {
        let batch = |names: &[&str]| {
            let column = || Arc::new(Float64Array::from(vec![0.5])) as ArrayRef;
            RecordBatch::try_from_iter(names.iter().map(|name| (*name, column()))).unwrap()
        };
        let found = |names: &[&str], wanted| {
            let column = expected_column(Path::new("out.csv"), &batch(names), wanted, "probabilities");
            column.map(|(name, _)| name).map_err(|error| error.to_string())
        };
        assert_eq!(found(&["p"], None).unwrap(), "p");
        assert_eq!(found(&["score", "id", "probabilities"], None).unwrap(), "probabilities");
        assert_eq!(found(&["id", "score"], None).unwrap(), "score");
        assert_eq!(found(&["id", "p"], Some("p")).unwrap(), "p");
        insta::assert_snapshot!(found(&["id", "p"], None).unwrap_err(), @"out.csv has columns id, p: say which has the scores with --column");
        insta::assert_snapshot!(found(&["id", "p"], Some("q")).unwrap_err(), @r#"out.csv has no column "q": it has id, p"#);
    }

    #[test]
    fn a_tolerance_is_a_size() {
        assert_eq!((parse_tolerance("1e-5"), parse_tolerance("0")), (Ok(1e-5), Ok(0.0)));
        for bad in ["-1", "nan", "inf", "small"] {
            assert!(parse_tolerance(bad).unwrap_err().contains("such as 1e-5"), "{bad}");
        }
    }
}
