//! Training on the examples that closed: what is left out of a batch is what can't be learnt from alone, and the rest moves the
//! weights as it would by itself.

use tidewheel::engine::load_model;
use tidewheel::learn::{Examples, Learner};
use tidewheel::model::onnx::Document;
use tidewheel::model::train::{Batch, Outcome, Trainer};
use tidewheel::pipeline::Pipeline;

/// Learns from examples in batches of at most this many.
pub fn check(pipeline: &Pipeline, examples: &Examples, batch: usize) {
    if examples.is_empty() {
        return;
    }
    let mut alone = trainer(pipeline);
    let scorer = || load_model(pipeline).unwrap().unwrap();
    let settings = pipeline.train.as_ref().unwrap().learner.clone();
    let mut learner = Learner::new(trainer(pipeline), scorer(), scorer(), settings);
    let rows: Vec<usize> = (0..examples.len()).collect();
    for rows in rows.chunks(batch) {
        let all = picked(examples, rows);
        let expected = faulty(&mut alone, &all);
        let lesson = learner.learn(&mut all.clone()).unwrap();
        let left_out = &lesson.left_out.rows;
        let kept: Vec<usize> = (0..rows.len()).filter(|row| !left_out.contains(row)).collect();
        if *left_out != expected {
            // What is too large in one may cancel out what is in another: then they can be learnt from together.
            let is_alone = |row: &usize| !works(alone.try_step(of(&picked(&all, &[*row]))));
            assert!(left_out.iter().all(is_alone), "{left_out:?} were left out, {expected:?} are at fault: {all:?}");
            assert!(works(alone.try_step(of(&picked(&all, &kept)))), "{left_out:?}, not {expected:?}: {all:?}");
        }
        let good: Vec<usize> = kept.into_iter().map(|row| rows[row]).collect();
        let is_learnt = !good.is_empty() && works(alone.step(of(&picked(examples, &good))));
        let learnt = format!("{:?}", lesson.learnt);
        let outcome = match (good.is_empty(), is_learnt) {
            (true, _) => "Nothing",
            (_, true) => "Updated",
            (_, false) => "Skipped",
        };
        assert!(learnt.starts_with(outcome), "{learnt}, not {outcome}");
        assert!(learner.trainer().weights_are_finite(), "after {learnt}");
        assert!(learner.trainer().save() == alone.save(), "the weights are those of the good examples alone");
        learner.decide().unwrap();
    }
}

fn trainer(pipeline: &Pipeline) -> Trainer {
    let (model, vector) = (pipeline.model.as_ref().unwrap(), pipeline.vector.as_ref().unwrap());
    let settings = &pipeline.train.as_ref().unwrap().settings;
    Trainer::new(Document::read(&model.bytes).unwrap(), &model.binding(vector), settings).unwrap()
}

/// The rows of a batch that can't be learnt from alone, where the batch can't be either; none where nothing can.
fn faulty(trainer: &mut Trainer, examples: &Examples) -> Vec<usize> {
    let all: Vec<usize> = (0..examples.len()).collect();
    let mut works_alone = |rows: &[usize]| works(trainer.try_step(of(&picked(examples, rows))));
    if works_alone(&all) {
        return Vec::new();
    }
    let bad: Vec<usize> = all.iter().copied().filter(|row| !works_alone(&[*row])).collect();
    if bad.len() == all.len() {
        let zeros = vec![0.0; examples.width()];
        let zero = Batch { matrix: &zeros, rows: 1, labels: &[0.0], weights: &[], offsets: &[] };
        return if works(trainer.try_step(zero)) { bad } else { Vec::new() };
    }
    bad
}

fn works<E>(outcome: Result<Outcome, E>) -> bool {
    matches!(outcome, Ok(Outcome::Updated { .. }))
}

fn picked(examples: &Examples, rows: &[usize]) -> Examples {
    let mut picked = Examples::new(examples.inputs());
    rows.iter().for_each(|row| picked.push(examples.get(*row).unwrap()).unwrap());
    picked
}

fn of(examples: &Examples) -> Batch<'_> {
    Batch { matrix: examples.vectors(), rows: examples.len(), labels: examples.labels(), weights: &[], offsets: &[] }
}
