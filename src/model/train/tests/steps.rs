//! A step moves weights as plain arithmetic does.

use proptest::prelude::*;

use super::*;
use crate::feature::{Inputs, Kind, Number};
use crate::model::onnx::proto::data_type::{FLOAT, INT64};
use crate::model::onnx::{Dimension, Document, GraphBuilder, float_values};
use crate::model::{Binding, Scorer, Session, train::testing::ITEMS};

fn any_row() -> impl Strategy<Value = Row> {
    let label = prop_oneof![Just(0.0), Just(1.0), 0.0..1.0];
    ([-2.0..2.0, -2.0..2.0], 0..ITEMS, label, 0.1..3.0, prop_oneof![Just(0.0), -3.0..3.0])
}

fn scores_of(mut scorer: Scorer, matrix: &[f32], rows: usize) -> Vec<f32> {
    let mut scores = Vec::new();
    scorer.score(matrix, rows, &mut scores).unwrap();
    scores
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn loss_norm_weights_and_predictions_are_those_of_plain_arithmetic(
        batches in prop::collection::vec(prop::collection::vec(any_row(), 1..9), 1..6),
        clip in prop_oneof![Just(None), (0.01_f32..1.0).prop_map(Some)],
    ) {
        let mut trainer = trainer(&TrainSettings { clip_norm: clip, ..settings(PLAIN) });
        let mut naive = Naive::new();
        for batch in &batches {
            let rows = Rows::of(batch);
            let mut scores = Vec::new();
            trainer.predict(&rows.matrix, batch.len(), &mut scores).unwrap();
            for (score, row) in scores.iter().zip(batch) {
                // Without the offset, which is for the loss alone.
                let expected = 1.0 / (1.0 + (-naive.logit(row.0, row.1)).exp());
                prop_assert!((f64::from(*score) - expected).abs() < 1e-4, "{} {}", score, expected);
            }
            let (expected_loss, expected_norm) = naive.step(0.5, clip.map(f64::from), batch);
            let Outcome::Updated { loss, gradient_norm } = trainer.step(rows.batch()).unwrap() else { panic!("skipped") };
            prop_assert!((f64::from(loss) - expected_loss).abs() < 1e-4, "{} {}", loss, expected_loss);
            prop_assert!((f64::from(gradient_norm) - expected_norm).abs() < 1e-4, "{} {}", gradient_norm, expected_norm);
        }
        prop_assert_eq!(trainer.steps(), batches.len() as u64);
        let document = trainer.document();
        let found = |name: &str| {
            let initializers = &document.graph().initializer;
            float_values(initializers.iter().find(|tensor| tensor.name() == name).unwrap())
        };
        let expected = [("w", naive.w.to_vec()), ("bias", vec![naive.bias]), ("table", naive.table.to_vec())];
        for (name, expected) in expected {
            for (found, expected) in found(name).iter().zip(expected) {
                prop_assert!((f64::from(*found) - expected).abs() < 1e-4, "{} {} {}", name, found, expected);
            }
        }
    }
}

#[test]
fn no_weights_and_offsets_are_weights_of_one_and_offsets_of_zero() {
    let rows = Rows::of(&[([1.0, 0.5], 1, 1.0, 1.0, 0.0), ([-1.0, 2.0], 3, 0.0, 1.0, 0.0)]);
    let [mut full, mut short] = [trainer(&settings(ADAMW)), trainer(&settings(ADAMW))];
    full.step(rows.batch()).unwrap();
    short.step(Batch { weights: &[], offsets: &[], ..rows.batch() }).unwrap();
    assert_eq!(full.save(), short.save());
}

#[test]
fn the_document_is_the_model_with_its_new_weights() {
    let mut trainer = trainer(&settings(ADAMW));
    assert_eq!(trainer.document(), document());
    let rows = Rows::of(&[([1.0, 0.5], 1, 1.0, 1.0, 0.0), ([-1.0, 2.0], 3, 0.0, 1.0, 0.0)]);
    trainer.step(rows.batch()).unwrap();
    let trained = trainer.document();
    assert_ne!(trained, document());
    assert_eq!(trained.metadata(), document().metadata());

    let columns = COLUMNS.map(str::to_owned);
    let binding = crate::model::Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
    let scorer = Session::from_bytes(&trained.write(), 1).unwrap().bind(&binding).unwrap();
    let mut scores = Vec::new();
    trainer.predict(&rows.matrix, 2, &mut scores).unwrap();
    assert_eq!(scores_of(scorer, &rows.matrix, 2), scores);
}

#[test]
fn a_batch_that_does_not_fit_is_refused_with_what_is_wrong() {
    let mut trainer = trainer(&settings(PLAIN));
    let before = trainer.save();
    let rows = Rows::of(&[([1.0, 0.5], 1, 1.0, 1.0, 0.0), ([-1.0, 2.0], 3, 0.0, 1.0, 0.0)]);
    let mut refused = |batch: Batch<'_>| trainer.step(batch).unwrap_err().to_string();
    insta::assert_snapshot!(refused(Batch { labels: &[1.0], ..rows.batch() }), @"the batch has 1 labels for 2 rows");
    insta::assert_snapshot!(refused(Batch { offsets: &[1.0], ..rows.batch() }), @"the batch has 1 offsets for 2 rows");
    insta::assert_snapshot!(refused(Batch { labels: &[1.0, 2.0], ..rows.batch() }), @"the label of row 1 is 2: it must be from 0 to 1");
    insta::assert_snapshot!(refused(Batch { matrix: &[1.0], ..rows.batch() }), @"the matrix has 1 values, 2 rows of 3 columns were announced");
    insta::assert_snapshot!(refused(Batch { matrix: &[], rows: 0, labels: &[], weights: &[], offsets: &[] }), @"the batch has 0 labels for 0 rows");
    // An item that the table does not have is ONNX Runtime's to refuse.
    let outside = Rows::of(&[([1.0, 0.5], 99, 1.0, 1.0, 0.0)]);
    assert!(matches!(trainer.step(outside.batch()), Err(ModelError::Run { .. })));
    assert_eq!(trainer.save(), before);
    assert!(matches!(trainer.step(rows.batch()), Ok(Outcome::Updated { .. })));
}

#[test]
fn settings_out_of_range_are_refused() {
    let refused = |settings: TrainSettings| {
        Trainer::new(
            document(),
            &crate::model::Binding {
                inputs: None,
                columns: &COLUMNS.map(str::to_owned),
                fingerprint: None,
                output: None,
            },
            &settings,
        )
        .unwrap_err()
        .to_string()
    };
    insta::assert_snapshot!(
        refused(TrainSettings { clip_norm: Some(0.0), ..settings(PLAIN) }),
        @"clip_norm is 0: it must be above 0 and finite"
    );
    let backwards = OptimizerSpec::Sgd { learning_rate: -1.0, momentum: 0.0, nesterov: false };
    insta::assert_snapshot!(refused(settings(backwards)), @"optimizer sgd has learning_rate -1: it must be above 0 and finite");
}

/// Ids beyond 2^24 shared the row of another.
#[test]
fn ids_that_differ_in_their_last_bit_train_rows_of_their_own() {
    let mut graph = GraphBuilder::new("ids");
    graph.input("user", INT64, &[Dimension::Named("batch")]);
    graph.whole_initializer("rows", &[1], &[1_000]);
    graph.initializer("table", &[1_000, 1], &[0.0; 1_000]);
    graph.node("Mod", &["user", "rows"], "row");
    graph.node("Gather", &["table", "row"], "logit");
    graph.node("Sigmoid", &["logit"], "score");
    graph.output("score", FLOAT, &[Dimension::Named("batch"), Dimension::Fixed(1)]);
    let columns = ["user".to_owned()];
    let inputs = Inputs::of([("user".to_owned(), Kind::Int64, None)]);
    let binding = Binding { inputs: Some(&inputs), columns: &columns, fingerprint: None, output: None };
    let mut trainer = Trainer::new(Document::new(graph.finish()), &binding, &settings(PLAIN)).unwrap();
    let mut matrix = vec![0.0; 3 * inputs.width()];
    let users = [16_777_216, 16_777_217, 9_007_199_254_740_993];
    for (user, row) in users.into_iter().zip(matrix.chunks_mut(inputs.width())) {
        inputs.place(0).unwrap().put(row, 0, Number::Int64(user));
    }
    let batch = Batch { matrix: &matrix, rows: 3, labels: &[1.0, 0.0, 1.0], weights: &[], offsets: &[] };
    assert!(matches!(trainer.step(batch).unwrap(), Outcome::Updated { .. }));
    let mut scores = Vec::new();
    trainer.predict(&matrix, 3, &mut scores).unwrap();
    assert!(scores[0] > 0.5 && scores[1] < 0.5 && scores[2] > 0.5, "{scores:?}");
    let document = trainer.document();
    let table = document.graph().initializer.iter().find(|tensor| tensor.name() == "table").unwrap();
    let moved = float_values(table)
        .iter()
        .enumerate()
        .filter(|(_, weight)| **weight != 0.0)
        .map(|(row, _)| row)
        .collect::<Vec<_>>();
    assert_eq!(moved, [216, 217, 993]);
}
