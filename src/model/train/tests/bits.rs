//! What must stay the same, bit for bit.

use super::*;
use crate::model::train::testing::ITEMS;

const FTRL: OptimizerSpec = OptimizerSpec::Ftrl { learning_rate: 0.1, beta: 1.0, l1: 0.01, l2: 0.1 };
const MOMENTUM: OptimizerSpec = OptimizerSpec::Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: true };
const ADAGRAD: OptimizerSpec = OptimizerSpec::Adagrad { learning_rate: 0.1, epsilon: 1e-7, initial_accumulator: 0.1 };

/// Batch `number` of a stream that never names item 5.
fn batch(number: usize) -> Rows {
    let row = |row: usize| {
        let wave = ((number * 7 + row * 3) as f64).sin();
        ([wave, 1.0 - wave * wave], (number + row) % (ITEMS - 1), f64::from(wave > 0.2), 1.0 + wave / 2.0, 0.0)
    };
    Rows::of(&(0..5).map(row).collect::<Vec<_>>())
}

#[test]
fn a_run_that_is_saved_and_restored_half_way_equals_a_straight_one() {
    for optimizer in [PLAIN, MOMENTUM, ADAMW, ADAGRAD, FTRL] {
        let mut straight = trainer(&settings(optimizer));
        for number in 0..10 {
            straight.step(batch(number).batch()).unwrap();
        }
        let mut first = trainer(&settings(optimizer));
        for number in 0..5 {
            first.step(batch(number).batch()).unwrap();
        }
        let saved = first.save();
        let mut second = trainer(&settings(optimizer));
        second.restore(&saved).unwrap();
        assert_eq!(second.save(), saved);
        for number in 5..10 {
            second.step(batch(number).batch()).unwrap();
        }
        assert_eq!(second.save(), straight.save(), "{optimizer:?}");
        assert_eq!(second.document(), straight.document(), "{optimizer:?}");
        assert_eq!(second.steps(), 10);
    }
}

#[test]
fn a_batch_with_a_value_that_is_no_number_is_skipped_and_changes_nothing() {
    let mut trainer = trainer(&settings(ADAMW));
    trainer.step(batch(0).batch()).unwrap();
    let before = trainer.save();
    let mut bad = batch(1);
    bad.matrix[0] = f32::NAN;
    assert_eq!(trainer.step(bad.batch()).unwrap(), Outcome::Skipped { reason: NotFinite::Loss });
    bad.matrix[0] = f32::INFINITY;
    assert!(matches!(trainer.step(bad.batch()).unwrap(), Outcome::Skipped { .. }));
    let mut weightless = batch(1);
    weightless.weights.fill(0.0);
    assert_eq!(trainer.step(weightless.batch()).unwrap(), Outcome::Skipped { reason: NotFinite::Loss });
    // Finite in the loss, but its gradient's square is not.
    let mut steep = batch(1);
    steep.matrix[0] = -3e38;
    steep.labels[0] = 1.0;
    let outcome = trainer.step(steep.batch()).unwrap();
    assert!(matches!(outcome, Outcome::Skipped { reason: NotFinite::Gradient { .. } }), "{outcome:?}");
    let Outcome::Skipped { reason } = outcome else { panic!("not skipped") };
    insta::assert_snapshot!(reason, @r#"the gradient of "w" is not finite"#);

    assert_eq!(trainer.save(), before);
    assert_eq!(trainer.steps(), 1);
    assert!(trainer.weights_are_finite());
    assert!(matches!(trainer.step(batch(1).batch()).unwrap(), Outcome::Updated { .. }));
}

#[test]
fn rows_of_a_table_that_no_batch_names_stay_bit_for_bit() {
    for optimizer in [MOMENTUM, ADAMW, ADAGRAD, FTRL] {
        let mut trainer = trainer(&settings(optimizer));
        for number in 0..10 {
            trainer.step(batch(number).batch()).unwrap();
        }
        let document = trainer.document();
        let initializers = &document.graph().initializer;
        let table = initializers.iter().find(|tensor| tensor.name() == "table").unwrap();
        let table = crate::model::onnx::float_values(table);
        assert_eq!(table[ITEMS - 1].to_bits(), 1.0_f32.to_bits(), "{optimizer:?}");
        assert_ne!(table[0], 0.0);
    }
}

#[test]
fn a_state_of_something_else_is_refused_with_what_differs_and_changes_nothing() {
    let mut trainer = trainer(&settings(ADAMW));
    let saved = trainer.save();
    trainer.step(batch(0).batch()).unwrap();
    let before = trainer.save();
    let mut refused = |bytes: &[u8]| {
        let error = trainer.restore(bytes).unwrap_err().to_string();
        assert_eq!(trainer.save(), before);
        error
    };
    insta::assert_snapshot!(refused(b"ONNX"), @"can't continue from the saved training state: it is not a training state of this version");
    insta::assert_snapshot!(refused(&saved[..20]), @"can't continue from the saved training state: it is damaged, its digest is another");
    let mut flipped = saved.clone();
    *flipped.last_mut().unwrap() ^= 1;
    insta::assert_snapshot!(refused(&flipped), @"can't continue from the saved training state: it is damaged, its digest is another");
    insta::assert_snapshot!(
        refused(&super::trainer(&settings(FTRL)).save()),
        @"can't continue from the saved training state: it was saved by optimizer ftrl, the settings say adamw"
    );

    let altered = |change: fn(&mut crate::model::onnx::proto::GraphProto), keep: usize, dims: [usize; 2]| {
        let (mut document, mut gradient) = (document(), gradient());
        gradient.parameters.truncate(keep);
        for parameter in gradient.parameters.iter_mut().filter(|parameter| parameter.name == "table") {
            parameter.dims = dims.to_vec();
        }
        change(document.graph_mut());
        Trainer::with_gradient(document, gradient, fitted(), feeding(), &settings(ADAMW))
    };
    let frozen = altered(|_| {}, 2, [ITEMS, 1]);
    insta::assert_snapshot!(
        refused(&frozen.unwrap().save()),
        @r#"can't continue from the saved training state: it has no "table", which is trained now"#
    );
    let renamed = altered(|graph| graph.name = Some("other".to_owned()), 3, [ITEMS, 1]);
    insta::assert_snapshot!(
        refused(&renamed.unwrap().save()),
        @"can't continue from the saved training state: its weights fit, but the operators or the frozen weights around them are others"
    );
    insta::assert_snapshot!(
        altered(|_| {}, 3, [ITEMS, 2]).unwrap_err(),
        @r#"initializer "table" has 6 float32 values for shape [6, 2]"#
    );
}

#[test]
fn momentum_that_is_switched_on_later_needs_its_state() {
    let saved = trainer(&settings(PLAIN)).save();
    insta::assert_snapshot!(
        trainer(&settings(MOMENTUM)).restore(&saved).unwrap_err(),
        @r#"can't continue from the saved training state: it has no "w/velocity", which is trained now"#
    );
    let saved = trainer(&settings(MOMENTUM)).save();
    insta::assert_snapshot!(
        trainer(&settings(PLAIN)).restore(&saved).unwrap_err(),
        @"can't continue from the saved training state: it has 3 tensors of optimizer state, sgd as set now keeps 0"
    );
}
