//! Networks that this program builds: their gradients against finite differences, and what a step costs.

use std::time::Instant;

use super::{
    GradientForm, GradientSpec, Loss,
    testing::{Fed, Trial, plain, random, uniform},
};
use crate::model::{Binding, DeepFmSpec, LstmSpec, Session, build_deepfm, build_lstm, onnx::Document};

fn deepfm(hidden: &[usize]) -> DeepFmSpec {
    DeepFmSpec {
        columns: ["user", "price", "item", "age"].map(str::to_owned).to_vec(),
        categorical: vec![("item".to_owned(), 11), ("user".to_owned(), 7)],
        dim: 3,
        hidden: hidden.to_vec(),
        dropout: 0.0,
        seed: 5,
        fingerprint: "8a21".to_owned(),
    }
}

fn lstm(vocab: usize, dim: usize, hidden: usize, length: usize) -> LstmSpec {
    LstmSpec { columns: Vec::new(), vocab, dim, hidden, length, seed: 5, fingerprint: None }
}

fn looked_up(trial: &Trial) -> Vec<&str> {
    let rows =
        trial.graph.parameters.iter().filter(|parameter| matches!(parameter.gradient, GradientForm::Rows { .. }));
    rows.map(|parameter| parameter.name.as_str()).collect()
}

fn ids(count: usize) -> Vec<f32> {
    (0..count).map(|at| (at * 7919 % 10_007) as f32).collect()
}

#[test]
fn a_deepfm_trains_by_rows_and_has_its_gradient() {
    for hidden in [&[][..], &[6, 4]] {
        let document = Document::read(&build_deepfm(&deepfm(hidden)).unwrap()).unwrap();
        let spec = GradientSpec { freeze: vec!["normalise.*".to_owned()], ..plain(Loss::BinaryCrossEntropy) };
        let x = Fed::floats("features", &[20, 4], uniform(&mut random(1), 80, -30.0, 90.0));
        let mut trial = Trial::new(&document, &spec, vec![x], 2);
        assert_eq!(looked_up(&trial), ["embedding.weight", "linear.weight"]);
        trial.agrees();
    }
}

#[test]
fn an_lstm_trains_by_rows_and_has_its_gradient() {
    let document = Document::read(&build_lstm(&lstm(13, 3, 4, 6)).unwrap()).unwrap();
    let x = Fed::floats("sequence", &[5, 6], ids(30));
    let mut trial = Trial::new(&document, &plain(Loss::BinaryCrossEntropy), vec![x], 2);
    assert_eq!(looked_up(&trial), ["embedding.weight"]);
    trial.agrees();
}

/// The least time and the median of 60 runs in milliseconds.
fn time(mut run: impl FnMut()) -> (f64, f64) {
    let mut times: Vec<f64> = (0..70)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        })
        .skip(10)
        .collect();
    times.sort_by(f64::total_cmp);
    (times[0], times[30])
}

#[test]
#[ignore = "a measurement: run with --nocapture on an idle machine"]
fn time_of_a_step_of_an_lstm() {
    const BATCH: usize = 32;
    let spec = lstm(10_000, 32, 128, 100);
    let bytes = build_lstm(&spec).unwrap();
    let sequences = ids(BATCH * spec.length);
    let document = Document::read(&bytes).unwrap();
    let x = Fed::floats("sequence", &[BATCH, spec.length], sequences.clone());
    let mut trial = Trial::new(&document, &plain(Loss::BinaryCrossEntropy), vec![x], 1);
    let (least, median) = time(|| trial.run_only());
    eprintln!("embedding 10,000 x 32, LSTM 128, 100 steps at batch {BATCH}, one thread:");
    eprintln!("  gradients: least {least:.2} ms, median {median:.2} ms");
    let columns: Vec<String> = (0..spec.length).map(|step| format!("s{step}")).collect();
    for threads in [1, 2] {
        let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
        let mut scorer = Session::from_bytes(&bytes, threads).unwrap().bind(&binding).unwrap();
        let mut probabilities = Vec::new();
        let (least, median) = time(|| scorer.score(&sequences, BATCH, &mut probabilities).unwrap());
        eprintln!("  scores, {threads} threads: least {least:.2} ms, median {median:.2} ms");
    }
}
