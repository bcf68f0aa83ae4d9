//! What ONNX Runtime makes of imported files, through this program's own sessions, beside the libraries' predictions.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::feature::{Inputs, Kind, Number};
use crate::model::import::{Options, import};
use crate::model::onnx::Document;
use crate::model::session::Computation;
use crate::model::{Binding, Feed, Link, ModelError, Session, Values};

/// How far apart predictions may be, as a share of them, and of 0.01 where they are smaller.
const NEAR: f64 = 1e-6;

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/trees")
}

/// One file with rows and predictions.
pub(super) struct Golden {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) options: Options,
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    expected: Vec<Vec<f64>>,
}

/// Every one, by name.
pub(super) fn all() -> Vec<Golden> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<PathBuf> = files.filter(|path| path.to_str().unwrap().ends_with(".rows.json")).collect();
    names.sort();
    names.iter().map(|path| Golden::read(path)).collect()
}

impl Golden {
    fn read(path: &Path) -> Self {
        let golden: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let texts = |key: &str| -> Vec<String> { serde_json::from_value(golden[key].clone()).unwrap() };
        let arguments = texts("arguments");
        let rounds = arguments.iter().position(|argument| argument == "--rounds");
        Self {
            name: golden["file"].as_str().unwrap().to_owned(),
            bytes: fs::read(path.with_file_name(golden["file"].as_str().unwrap())).unwrap(),
            options: Options {
                rounds: rounds.map(|place| arguments[place + 1].parse().unwrap()),
                ..Options::default()
            },
            columns: texts("columns"),
            rows: serde_json::from_value(golden["rows"].clone()).unwrap(),
            expected: serde_json::from_value(golden["expected"].clone()).unwrap(),
        }
    }

    pub(super) fn onnx(&self) -> Vec<u8> {
        import(&self.bytes, &self.options).unwrap_or_else(|error| panic!("{}: {error}", self.name)).bytes
    }

    fn is_text(&self, column: usize) -> bool {
        self.rows[0][column].is_string()
    }

    /// The numbers of the columns that are no texts, row after row.
    fn numbers(&self) -> Vec<f64> {
        let numbers = |row: &Vec<Value>| -> Vec<f64> {
            let columns = (0..row.len()).filter(|column| !self.is_text(*column));
            columns.map(|column| row[column].as_f64().unwrap_or(f64::NAN)).collect()
        };
        self.rows.iter().flat_map(numbers).collect()
    }

    /// What the file gives for all rows, with `threads`.
    fn run(&self, threads: usize) -> Vec<f64> {
        let document = Document::read(&self.onnx()).unwrap();
        let output = document.graph().output[0].name().to_owned();
        let mut computation = Computation::open(&document, threads, &[output]).unwrap();
        let rows = self.rows.len();
        let numbers = self.numbers();
        let dims = [rows, numbers.len() / rows];
        let texts: Vec<(String, Vec<String>)> = (0..self.columns.len())
            .filter(|column| self.is_text(*column))
            .map(|column| {
                let texts = self.rows.iter().map(|row| row[column].as_str().unwrap().to_owned());
                (self.columns[column].clone(), texts.collect())
            })
            .collect();
        let mut feeds = vec![Feed { input: "features", dims: &dims, values: Values::Float64(&numbers) }];
        let column = [rows, 1];
        for (input, values) in &texts {
            feeds.push(Feed { input, dims: &column, values: Values::Text(values) });
        }
        let mut found = Vec::new();
        let run = computation.run(&feeds, |_, output| {
            let Some(Values::Float32(values)) = output.values else { panic!("no float32") };
            found.extend(values.iter().map(|value| f64::from(*value)));
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        found
    }

    /// The columns as a pipeline's vector has them.
    fn inputs(&self) -> Inputs {
        Inputs::of(
            self.columns.iter().enumerate().map(|(column, name)| {
                (name.clone(), if self.is_text(column) { Kind::Text } else { Kind::Float64 }, None)
            }),
        )
    }

    fn vectors(&self, inputs: &Inputs) -> Vec<f32> {
        let mut words = Vec::new();
        for row in &self.rows {
            let mut vector = vec![0.0; inputs.width()];
            for (column, value) in row.iter().enumerate() {
                let place = inputs.place(column).unwrap();
                match value {
                    Value::String(text) => assert!(place.put_text(&mut vector, 0, text)),
                    number => place.put(&mut vector, 0, Number::Float64(number.as_f64().unwrap_or(f64::NAN))),
                }
            }
            words.extend(vector);
        }
        words
    }

    fn assert_near(&self, found: &[f64], what: &str) {
        let expected: Vec<f64> = self.expected.iter().flatten().copied().collect();
        assert_eq!(found.len(), expected.len(), "{}", self.name);
        for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let allowed = NEAR * expected.abs().max(0.01);
            assert!((found - expected).abs() <= allowed, "{} {what}, {place}: {found} {expected}", self.name);
        }
    }
}

#[test]
fn imported_files_predict_what_their_libraries_do() {
    let all = all();
    assert!(all.len() > 40, "{} files", all.len());
    for golden in &all {
        golden.assert_near(&golden.run(1), "with a thread");
        golden.assert_near(&golden.run(2), "with two threads");
    }
}

/// As a pipeline does it: columns in their types, a final Sigmoid computed in double.
#[test]
fn imported_files_score_vectors() {
    let (mut scored, mut logistic) = (0, 0);
    for golden in all().iter().filter(|golden| golden.expected[0].len() == 1) {
        let inputs = golden.inputs();
        let binding = Binding { columns: &golden.columns, inputs: Some(&inputs), fingerprint: None, output: None };
        let mut scorer = Session::from_bytes(&golden.onnx(), 1).unwrap().bind(&binding).unwrap();
        let mut scores = Vec::new();
        scorer.score(&golden.vectors(&inputs), golden.rows.len(), &mut scores).unwrap();
        golden.assert_near(&scores.iter().map(|score| f64::from(*score)).collect::<Vec<_>>(), "as vectors");
        (scored, logistic) = (scored + 1, logistic + usize::from(scorer.link() == Link::Logistic));
    }
    assert!(scored > 25 && logistic > 15, "{scored} {logistic}");
}

/// The order of training is that of the matrix: another one would score nonsense.
#[test]
fn a_vector_in_another_order_is_refused() {
    for golden in all().iter().filter(|golden| golden.expected[0].len() == 1) {
        let mut columns = golden.columns.clone();
        columns.swap(0, 1);
        let inputs = golden.inputs();
        let binding = Binding { columns: &columns, inputs: Some(&inputs), fingerprint: None, output: None };
        let error = Session::from_bytes(&golden.onnx(), 1).unwrap().bind(&binding).unwrap_err();
        assert!(matches!(error, ModelError::InputsDoNotFit { .. }), "{}: {error}", golden.name);
    }
}

#[test]
fn an_imported_file_is_told_for_people() {
    let all = all();
    let about = |name: &str| {
        let golden = all.iter().find(|golden| golden.name.starts_with(name)).unwrap();
        import(&golden.bytes, &golden.options).unwrap().about
    };
    let found = about("lightgbm-categories-of-a-data-frame");
    let features: Vec<_> =
        found.features.iter().map(|one| format!("{} {} {:?}", one.name, one.takes, one.categories)).collect();
    assert_eq!(features[4..], ["shop a text Some(4)", "tens a number that is a category Some(4)"]);
    assert!(found.names_are_compared && found.features[4..].iter().all(|feature| feature.is_used));
    let found = about("xgboost-early-stopping");
    assert!(found.rounds < found.rounds_in_file && found.trees == found.rounds);
    let found = about("xgboost-multi-softprob");
    assert_eq!((found.output.name, found.output.width, found.output.classes), ("probabilities", 3, 3));
    assert_eq!((found.rounds, found.trees), (4, 12));
}
