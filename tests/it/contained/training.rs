//! An example that a model can't learn from is left out of its batch: the weights are those of training without it.

use std::path::Path;
use std::sync::Arc;

use tidewheel::learn::{Example, ExampleKind, Examples, Provenance, encode, read_head};
use tidewheel::model::onnx::proto::data_type::{FLOAT, INT64};
use tidewheel::model::onnx::{Dimension, Document, GraphBuilder};
use tidewheel::pipeline::{Names, Pipeline, output_spec};
use tidewheel::registry::Registry;
use tokio::runtime::Runtime;

use super::Kind;
use super::events::{ALWAYS, scoring, with_model};
use crate::broker::{publish, server};
use crate::learning::fingerprint;
use crate::training::train;

/// Good examples of a message, and messages.
const ROWS: usize = 40;
const MESSAGES: usize = 6;
/// Ids that the model's table has.
const IDS: usize = 5;

const ADDS: &str = "SELECT user_id, sum(quantity) AS n FROM clicks GROUP BY user_id";
const VECTOR: &str = "SELECT r.quantity AS item, coalesce(a.n, 0) AS divisor \
     FROM requests r LEFT JOIN a ON r.user_id = a.user_id";
const SETTINGS: &str = r#"
[labels]
join     = ["user_id"]
positive = "price > 0"
window   = "1s"

[train]
optimizer    = { type = "adamw", learning_rate = 1e-2 }
batch        = 20
replay       = 0
promote      = { every = "1h" }
checkpoint   = "1s"
"#;

/// What a table says of an item, and a weight by one more than the divisor.
fn model() -> Vec<u8> {
    let mut graph = GraphBuilder::new("table");
    graph.input("item", INT64, &[Dimension::Named("batch")]);
    graph.input("divisor", FLOAT, &[Dimension::Named("batch")]);
    graph.initializer("table", &[IDS, 1], &[0.5, -1.0, 2.0, 0.0, 1.0]);
    graph.initializer("weight", &[1, 1], &[0.25]);
    graph.initializer("one", &[1], &[1.0]);
    graph.whole_initializer("last", &[1], &[1]);
    graph.node("Gather", &["table", "item"], "known");
    graph.node("Add", &["divisor", "one"], "more");
    graph.node("Reciprocal", &["more"], "part");
    graph.node("Unsqueeze", &["part", "last"], "parts");
    graph.node("MatMul", &["parts", "weight"], "seen");
    graph.node("Add", &["known", "seen"], "logit");
    graph.node("Sigmoid", &["logit"], "score");
    graph.output("score", FLOAT, &[Dimension::Named("batch"), Dimension::Fixed(1)]);
    Document::new(graph.finish()).write()
}

/// Vectors that the model can't learn from.
fn bad_vectors(kind: Kind) -> &'static [[f32; 2]] {
    match kind {
        Kind::ZeroDivision => &[[1.0, -1.0]],
        Kind::Overflow => &[[3e9, 1.0], [1e30, 1.0]],
        _ => &[[IDS as f32, 1.0], [-1.0 - IDS as f32, 1.0]],
    }
}

/// A row of the vector: the item as a whole number of 64 bits, its lower half first, and the divisor.
fn row_of([item, divisor]: [f32; 2]) -> [f32; 3] {
    let bits = (item as i64).cast_unsigned();
    [f32::from_bits(bits as u32), f32::from_bits((bits >> 32) as u32), divisor]
}

/// A message of examples: good ones, and bad ones among them.
fn examples(pipeline: &Pipeline, message: usize, bad: &[[f32; 2]]) -> Examples {
    let mut examples = Examples::new(pipeline.vector.as_ref().unwrap().inputs());
    let mut push = |vector: &[f32; 2], row: usize| {
        let vector = &row_of(*vector);
        let micros = ((message * ROWS + row) * 10_000) as i64;
        let kind = if row.is_multiple_of(3) { ExampleKind::Positive } else { ExampleKind::Negative };
        let (shown_micros, labelled_micros) = (micros, micros + 1_000_000);
        examples
            .push(Example {
                vector,
                kind,
                sampling: 1.0,
                shown_micros,
                labelled_micros,
                place: 0,
                provenance: Provenance::unknown(),
            })
            .unwrap();
    };
    for row in 0..ROWS {
        push(&[(row % IDS) as f32, (row % 7) as f32], row);
        if let Some(bad) = bad.get(row % 10).filter(|_| row > 5) {
            push(bad, row);
        }
    }
    examples
}

/// How many are left out, how many there are without them, and where training stands: weights, optimiser and all.
fn trained(bad: &[[f32; 2]], strange: Option<&[u8]>) -> (u64, u64, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let files = [("features/a.sql", ADDS), ("vector.sql", VECTOR)];
    let (pipeline, _) = with_model(folder.path(), &(scoring(ALWAYS) + SETTINGS), &files, &model());
    Runtime::new().unwrap().block_on(trained_in(folder.path(), &pipeline, bad, strange))
}

async fn trained_in(
    folder: &Path,
    pipeline: &Arc<Pipeline>,
    bad: &[[f32; 2]],
    strange: Option<&[u8]>,
) -> (u64, u64, Vec<u8>) {
    let (server, bus) = server(&folder.join("store")).await;
    bus.ensure_stream(&output_spec(pipeline)).await.unwrap();
    let subject = Names::of(&pipeline.name).examples();
    let mut left_out = 0;
    let mut learnt = 0;
    // The second half is learnt after a restart, from a checkpoint.
    for half in [0..MESSAGES / 2, MESSAGES / 2..MESSAGES] {
        let messages = half.map(|number| encode(&examples(pipeline, number, bad), fingerprint(pipeline)).unwrap());
        publish(&bus, subject.as_str(), strange.map(<[u8]>::to_vec).into_iter().chain(messages)).await;
        let (report, _) = train(&bus, pipeline).await;
        assert_eq!((report.stopped, report.skipped), (None, 0));
        left_out += report.left_out;
        learnt = report.examples;
    }
    let registry = Registry::open(&bus, Names::of(&pipeline.name).registry(), None).await.unwrap();
    let checkpoint = registry.load_checkpoint().await.unwrap().unwrap();
    server.stop().await.unwrap();
    (left_out, learnt - left_out, read_head(&checkpoint).unwrap().1.to_vec())
}

pub fn example(kind: Kind) {
    let (_, learnt, weights) = trained(&[], None);
    assert_eq!(learnt, (ROWS * MESSAGES) as u64);
    if kind == Kind::WrongShape {
        let mut wide = Examples::new(3);
        let vector = [1.0, 2.0, 3.0];
        let example = Example {
            vector: &vector,
            kind: ExampleKind::Positive,
            sampling: 1.0,
            shown_micros: 0,
            labelled_micros: 0,
            place: 0,
            provenance: Provenance::unknown(),
        };
        wide.push(example).unwrap();
        let strange = encode(&wide, "f00d").unwrap();
        assert_eq!(trained(&[], Some(&strange)), (0, learnt, weights), "a message that is of another vector");
        return;
    }
    let bad = bad_vectors(kind);
    let expected = (0..ROWS).filter(|row| *row > 5 && row % 10 < bad.len()).count() * MESSAGES;
    assert_eq!(trained(bad, None), (expected as u64, learnt, weights), "{kind:?}");
}
