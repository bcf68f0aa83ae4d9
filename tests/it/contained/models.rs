//! A model that fails on a row, whatever it fails with, costs that row its ranking.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tidewheel::model::onnx::proto::data_type::{FLOAT, INT64};
use tidewheel::model::onnx::{Dimension, Document, GraphBuilder};
use tidewheel::pipeline::Pipeline;
use tidewheel::score::Arms;

use super::Kind;
use super::events::{
    ALWAYS, EVENTS, Ranking, SIZES, assert_alike, bad, events, good_events, rankings, scoring, with_model,
};
use super::expressions::says;

const ADDS: &str = "SELECT user_id, sum(quantity) AS n FROM clicks GROUP BY user_id";

/// A graph of `x` and the number `seen`, whose score is `known`, made of `x`, and a little of `seen`.
fn model(element: i32, known: impl Fn(&mut GraphBuilder)) -> Vec<u8> {
    let mut graph = GraphBuilder::new("known");
    graph.input("x", element, &[Dimension::Named("batch")]);
    graph.input("seen", FLOAT, &[Dimension::Named("batch")]);
    graph.initializer("little", &[1], &[0.01]);
    known(&mut graph);
    graph.node("Mul", &["seen", "little"], "a_little");
    graph.node("Add", &["known", "a_little"], "sum");
    graph.output("score", FLOAT, &[Dimension::Named("batch")]);
    Document::new(graph.finish()).write()
}

fn plain(element: i32, known: impl Fn(&mut GraphBuilder)) -> Vec<u8> {
    model(element, |graph| {
        known(graph);
        graph.node("Identity", &["sum"], "score");
    })
}

fn unary(operator: &'static str) -> Vec<u8> {
    plain(FLOAT, |graph| graph.node(operator, &["x"], "known"))
}

/// Divides whole numbers by what is left to seven, or by zero.
fn dividing() -> Vec<u8> {
    plain(INT64, |graph| {
        graph.whole_initializer("ten", &[1], &[10]);
        graph.whole_initializer("seven", &[1], &[7]);
        graph.node("Sub", &["seven", "x"], "left");
        graph.whole_initializer("zero", &[1], &[0]);
        graph.node("Max", &["left", "zero"], "bounded");
        graph.node("Div", &["ten", "bounded"], "whole");
        graph.node_with("Cast", &["whole"], "known", &[("to", i64::from(FLOAT))]);
    })
}

/// As many scores as rows of a condition: fewer than there are, where it does not hold for all.
fn dropping() -> Vec<u8> {
    model(FLOAT, |graph| {
        graph.initializer("none", &[1], &[0.0]);
        graph.node("Identity", &["x"], "known");
        graph.node("GreaterOrEqual", &["x", "none"], "is_shown");
        graph.node_with("Compress", &["sum", "is_shown"], "score", &[("axis", 0)]);
    })
}

/// A tensor of so many zeros, of which it takes the sum.
fn counting() -> Vec<u8> {
    plain(INT64, |graph| {
        graph.whole_initializer("first", &[1], &[0]);
        graph.node_with("ReduceMax", &["x"], "most", &[("keepdims", 1)]);
        graph.node("Mul", &["most", "most"], "squared");
        graph.node("ConstantOfShape", &["squared"], "zeros");
        graph.node_with("ReduceSum", &["zeros"], "nothing", &[("keepdims", 1)]);
        graph.node_with("Cast", &["x"], "as_float", &[("to", i64::from(FLOAT))]);
        graph.node("Add", &["as_float", "nothing"], "known");
    })
}

/// Models that fail on bad events, what they see of an event as `x`, and what they say.
fn failing(kind: Kind) -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let looked_up = || {
        plain(INT64, |graph| {
            graph.initializer("table", &[5], &[0.5, -1.0, 2.0, 0.0, 1.0]);
            graph.node("Gather", &["table", "x"], "known");
        })
    };
    match kind {
        Kind::ZeroDivision => vec![
            (unary("Reciprocal"), "r.quantity", "the model's score is inf"),
            (dividing(), "7 - r.quantity", "integer division by zero"),
        ],
        Kind::Overflow => vec![
            (looked_up(), "CASE WHEN r.quantity > 0 THEN r.quantity ELSE r.big END", "idx=3000000000"),
            (unary("Exp"), "r.big / 10", "the model's score is inf"),
        ],
        Kind::NotFinite => vec![
            (unary("Sqrt"), "r.price", "the model's score is nan"),
            (unary("Log"), "r.price", "the model's score is nan"),
        ],
        Kind::OutOfRange => vec![(looked_up(), "5 - r.quantity", "idx=5")],
        Kind::TooLarge => vec![(counting(), "CASE WHEN r.quantity > 0 THEN 3 ELSE 16777216 END", "the model failed")],
        Kind::WrongShape => vec![(dropping(), "r.price", "has shape [0]")],
    }
}

type Scored = (Arc<Pipeline>, Arms);

fn scored(folder: &Path, column: &str, mixing: &str, model: &[u8]) -> Scored {
    let vector =
        format!("SELECT {column} AS x, coalesce(a.n, 0) AS seen FROM requests r LEFT JOIN a ON r.user_id = a.user_id");
    let files = [("features/a.sql", ADDS), ("vector.sql", vector.as_str())];
    with_model(folder, &(scoring(ALWAYS) + mixing), &files, model)
}

pub fn row(kind: Kind) {
    for (model, column, reason) in failing(kind) {
        let folder = tempfile::tempdir().unwrap();
        // What a model makes room for follows from all rows of a batch.
        let mixing = if kind == Kind::TooLarge { "mixing = \"per-request\"\n" } else { "" };
        let mut scored = scored(folder.path(), column, mixing, &model);
        let expected = rankings(&mut scored, &good_events(), EVENTS);
        for size in SIZES {
            let mut found = rankings(&mut scored, &events(), size);
            let left_out: Vec<Ranking> =
                found.extract_if(.., |_, ranking| ranking.left_out.is_some()).map(|(_, ranking)| ranking).collect();
            assert_eq!(left_out.len(), bad().len(), "{kind:?} in batches of {size}");
            for ranking in left_out {
                let says_why = says(ranking.left_out.as_ref().unwrap(), reason);
                assert!(says_why && ranking.is_models_fault && ranking.is_empty(), "{kind:?}: {ranking:?}");
            }
            assert_alike(&found, &expected, &format!("{kind:?} in batches of {size}"));
        }
    }
}

/// Models that take five rows and fail on more.
pub fn batch(kind: Kind) {
    let model = match kind {
        Kind::WrongShape => model(FLOAT, |graph| {
            for (name, value) in [("from", 0), ("to", 5)] {
                graph.whole_initializer(name, &[1], &[value]);
            }
            graph.node("Identity", &["x"], "known");
            graph.node("Slice", &["sum", "from", "to"], "score");
        }),
        _ => plain(FLOAT, |graph| {
            graph.whole_initializer("most", &[1], &[5]);
            graph.node("Shape", &["x"], "rows");
            graph.node("Sub", &["most", "rows"], "left");
            // A tensor of less than nothing is refused.
            graph.node("ConstantOfShape", &["left"], "zeros");
            graph.node_with("ReduceSum", &["zeros"], "nothing", &[("keepdims", 1)]);
            graph.node("Add", &["x", "nothing"], "known");
        }),
    };
    let folder = tempfile::tempdir().unwrap();
    let mut scored = scored(folder.path(), "r.price", "", &model);
    let expected: BTreeMap<String, Ranking> = rankings(&mut scored, &events(), 1);
    assert_eq!(expected.len(), EVENTS);
    for size in SIZES {
        let found = rankings(&mut scored, &events(), size);
        assert!(found.values().all(|ranking| ranking.left_out.is_none()), "{kind:?} in batches of {size}");
        assert_alike(&found, &expected, &format!("{kind:?} in batches of {size}"));
    }
}
