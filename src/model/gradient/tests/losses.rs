use crate::model::{
    TensorSpec,
    gradient::{
        GradientSpec, Loss, ScoredColumn, differentiate, names,
        testing::{Data, Fed, Trial, plain, random, uniform},
    },
    onnx::{
        Dimension::{Fixed, Named},
        Document, GraphBuilder,
        proto::data_type::FLOAT,
    },
};

/// `build` computes `p` of this width from the product `z` of `x` `[batch, 3]` and a weight `[3, width]`.
fn model(width: usize, build: impl Fn(&mut GraphBuilder)) -> Document {
    let mut graph = GraphBuilder::new("model");
    graph.input("x", FLOAT, &[Named("batch"), Fixed(3)]);
    graph.initializer("w", &[3, width], &uniform(&mut random(1), 3 * width, -1.0, 1.0));
    graph.node("MatMul", &["x", "w"], "z");
    build(&mut graph);
    graph.output("p", FLOAT, &[Named("batch"), Fixed(width as u32)]);
    Document::new(graph.finish())
}

fn x() -> Fed {
    Fed::floats("x", &[6, 3], uniform(&mut random(2), 18, -1.0, 1.0))
}

fn agrees(document: &Document, loss: Loss) {
    Trial::new(document, &plain(loss), vec![x()], 3).agrees();
}

#[test]
fn binary_cross_entropy_is_taken_from_logits_also_behind_a_squeeze() {
    let sigmoid = model(1, |graph| graph.node("Sigmoid", &["z"], "p"));
    let graph = differentiate(&sigmoid, &plain(Loss::BinaryCrossEntropy)).unwrap().document;
    assert!(!graph.graph().node.iter().any(|node| matches!(node.op_type(), "Log" | "Clip")));
    agrees(&sigmoid, Loss::BinaryCrossEntropy);
    agrees(&model(3, |graph| graph.node("Sigmoid", &["z"], "p")), Loss::BinaryCrossEntropy);
    let squeezed = model(1, |graph| {
        graph.whole_initializer("axis", &[1], &[1]);
        graph.node("Sigmoid", &["z"], "s");
        graph.node("Squeeze", &["s", "axis"], "t");
        graph.node("Identity", &["t"], "p");
    });
    agrees(&squeezed, Loss::BinaryCrossEntropy);
}

#[test]
fn binary_cross_entropy_of_a_probability_made_otherwise_agrees_too() {
    let document = model(2, |graph| {
        graph.initializer("half", &[], &[0.5]);
        graph.initializer("reach", &[], &[0.45]);
        graph.node("Tanh", &["z"], "t");
        graph.node("Mul", &["t", "reach"], "u");
        graph.node("Add", &["u", "half"], "p");
    });
    let spec = GradientSpec { freeze: vec!["half".to_owned(), "reach".to_owned()], ..plain(Loss::BinaryCrossEntropy) };
    Trial::new(&document, &spec, vec![x()], 3).agrees();
}

/// One label per row is held against one of the columns, whatever the others are.
#[test]
fn one_of_many_columns_agrees_from_softmax_and_from_other_probabilities() {
    let of = |class| GradientSpec { class, ..plain(Loss::BinaryCrossEntropy) };
    let softmax = model(4, |graph| graph.node("Softmax", &["z"], "p"));
    let sigmoid = model(3, |graph| graph.node("Sigmoid", &["z"], "p"));
    let inputs = |spec: &GradientSpec, document: &Document| {
        let graph = differentiate(document, spec).unwrap().document;
        let label = graph.graph().input.iter().find(|input| input.name() == names::LABEL).cloned();
        TensorSpec::of(&label.unwrap()).unwrap().dims.unwrap().len()
    };
    for (document, columns) in [(&softmax, 4), (&sigmoid, 3)] {
        for class in 0..columns {
            let spec = of(ScoredColumn::At(class));
            assert_eq!(inputs(&spec, document), 1, "a label for each row");
            moves_one_column(document, &spec, columns as usize, class as usize);
        }
        assert_eq!(inputs(&of(ScoredColumn::SecondOfTwo), document), 2, "a label for each of more than two columns");
    }
}

/// The step's loss is the binary cross-entropy of that column, computed here in float64 from the weights.
fn moves_one_column(document: &Document, spec: &GradientSpec, columns: usize, class: usize) {
    let mut trial = Trial::new(document, spec, vec![x()], 3);
    let labels = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
    trial.label = Data::Float(labels.to_vec());
    (trial.weight, trial.offset) = (vec![1.0; 6], vec![0.0; 6]);
    let (w, x) = (uniform(&mut random(1), 3 * columns, -1.0, 1.0), uniform(&mut random(2), 18, -1.0, 1.0));
    let is_softmax = document.graph().node.iter().any(|node| node.op_type() == "Softmax");
    let probability = |w: &[f64], row: usize| {
        let z = |column: usize| (0..3).map(|at| f64::from(x[row * 3 + at]) * w[at * columns + column]).sum::<f64>();
        let others = if is_softmax { (0..columns).map(|column| z(column).exp()).sum() } else { 1.0 + z(class).exp() };
        z(class).exp() / others
    };
    let loss = |w: &[f64]| {
        let of_row = |row: usize| {
            let p = probability(w, row);
            -if labels[row] > 0.5 { p.ln() } else { (1.0 - p).ln() }
        };
        (0..6).map(of_row).sum::<f64>() / 6.0
    };
    let w: Vec<f64> = w.into_iter().map(f64::from).collect();
    let step = trial.step();
    assert!((step.loss - loss(&w)).abs() < 1e-5, "{} {}", step.loss, loss(&w));
    for (at, found) in step.gradients[0].iter().enumerate() {
        let moved =
            |by: f64| loss(&w.iter().enumerate().map(|(n, w)| if n == at { w + by } else { *w }).collect::<Vec<_>>());
        let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((found - expected).abs() < 1e-5, "weight {at}: {found} {expected}");
    }
}

#[test]
fn classes_agree_from_softmax_and_from_other_probabilities() {
    agrees(&model(4, |graph| graph.node("Softmax", &["z"], "p")), Loss::SoftmaxCrossEntropy);
    let mixture = model(4, |graph| {
        graph.node("Neg", &["z"], "n");
        graph.node("Softmax", &["z"], "s");
        graph.node("Softmax", &["n"], "t");
        graph.node("Mean", &["s", "t"], "p");
    });
    agrees(&mixture, Loss::SoftmaxCrossEntropy);
}

#[test]
fn squared_error_agrees_over_several_outputs() {
    agrees(&model(1, |graph| graph.node("Identity", &["z"], "p")), Loss::MeanSquaredError);
    agrees(&model(5, |graph| graph.node("Tanh", &["z"], "p")), Loss::MeanSquaredError);
}

/// The logit of each row is its only input times 1.
fn logits(loss: Loss, logits: &[f32], label: Data) -> Trial {
    let mut graph = GraphBuilder::new("logit");
    let width = match loss {
        Loss::SoftmaxCrossEntropy => 2,
        _ => 1,
    };
    graph.input("x", FLOAT, &[Named("batch"), Fixed(width)]);
    graph.initializer("w", &[1], &[1.0]);
    graph.node("Mul", &["x", "w"], "z");
    graph.node(if width == 1 { "Sigmoid" } else { "Softmax" }, &["z"], "p");
    graph.output("p", FLOAT, &[Named("batch"), Fixed(width)]);
    let rows = logits.len() / width as usize;
    let x = Fed::floats("x", &[rows, width as usize], logits.to_vec());
    let mut trial = Trial::new(&Document::new(graph.finish()), &plain(loss), vec![x], 1);
    trial.label = label;
    trial
}

#[test]
fn extreme_logits_give_finite_losses_and_gradients() {
    let z = [1e4, -1e4, 1e4, -1e4, 0.0, 30.0];
    let y = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0];
    let mut trial = logits(Loss::BinaryCrossEntropy, &z, Data::Float(y.to_vec()));
    trial.weight = vec![1.0; 6];
    trial.offset = vec![0.0; 6];
    let step = trial.step();
    let loss = (1e4 + 1e4 + 0.0 + 0.0 + 2.0_f64.ln() + 30.0) / 6.0;
    assert!((step.loss - loss).abs() < 1e-3, "{} {loss}", step.loss);
    // Σ (p - y) z / 6
    let slope = (1e4 + 1e4 + 30.0) / 6.0;
    assert!((step.gradients[0][0] - slope).abs() < 1e-2, "{} {slope}", step.gradients[0][0]);

    let z = [1e4, -1e4, 1e4, -1e4];
    let mut trial = logits(Loss::SoftmaxCrossEntropy, &z, Data::Int(vec![0, 1]));
    trial.weight = vec![1.0, 1.0];
    let step = trial.step();
    assert!((step.loss - 1e4).abs() < 1e-2, "{}", step.loss);
    assert!(step.gradients[0][0].is_finite());
}

/// The gradient of a rare event was off by percents from a logit of -14 on and nothing beyond -15.84; that of a sure one pushed
/// away from it beyond 15.84.
#[test]
fn sure_and_rare_events_have_the_gradient_of_their_logit() {
    for z in [-14.0_f32, -16.0, -20.0, -40.0] {
        let gradient = |z: f32, label: f32| {
            let mut trial = logits(Loss::BinaryCrossEntropy, &[z], Data::Float(vec![label]));
            (trial.weight, trial.offset) = (vec![1.0], vec![0.0]);
            trial.step().gradients[0][0] / f64::from(z)
        };
        let rare = f64::from(z).exp() / (1.0 + f64::from(z).exp());
        assert!((gradient(z, 0.0) / rare - 1.0).abs() < 1e-5, "{z}: {}, not {rare}", gradient(z, 0.0));
        let sure = gradient(-z, 1.0);
        assert!(sure <= 0.0 && (sure + rare).abs() < 1e-7, "{z}: {sure}, not -{rare}");
    }
}

#[test]
fn a_saturated_probability_without_logits_stays_finite() {
    let mut graph = GraphBuilder::new("direct");
    graph.input("x", FLOAT, &[Named("batch"), Fixed(1)]);
    graph.initializer("w", &[1], &[1.0]);
    graph.node("Mul", &["x", "w"], "p");
    graph.output("p", FLOAT, &[Named("batch"), Fixed(1)]);
    let x = Fed::floats("x", &[3, 1], vec![0.0, 1.0, 1.5]);
    let mut trial = Trial::new(&Document::new(graph.finish()), &plain(Loss::BinaryCrossEntropy), vec![x], 1);
    trial.label = Data::Float(vec![1.0, 0.0, 0.0]);
    let step = trial.step();
    assert!(step.loss.is_finite() && step.loss > 10.0, "{}", step.loss);
    assert!(step.gradients[0][0].is_finite());
}

#[test]
fn the_offset_moves_the_loss_and_not_the_prediction() {
    let z = [0.3, -1.2, 2.0];
    let y = [1.0, 0.0, 1.0];
    let mut trial = logits(Loss::BinaryCrossEntropy, &z, Data::Float(y.to_vec()));
    trial.weight = vec![1.0, 0.0, 2.5];
    trial.offset = vec![-1.5, 4.0, 0.25];
    let step = trial.step();
    let (mut loss, mut slope) = (0.0_f64, 0.0_f64);
    for row in [0, 2] {
        let (z, offset, weight) = (f64::from(z[row]), f64::from(trial.offset[row]), f64::from(trial.weight[row]));
        let p = 1.0 / (1.0 + (-(z + offset)).exp());
        let y = f64::from(y[row]);
        loss -= weight * (y * p.ln() + (1.0 - y) * (1.0 - p).ln());
        slope += weight * (p - y) * z;
    }
    assert!((step.loss - loss / 3.5).abs() < 1e-6, "{} {}", step.loss, loss / 3.5);
    assert!((step.gradients[0][0] - slope / 3.5).abs() < 1e-6);
    for (prediction, z) in step.prediction.iter().zip(z) {
        assert!((prediction - 1.0 / (1.0 + (-z).exp())).abs() < 1e-6);
    }
}

#[test]
fn names_are_as_promised() {
    let document = model(1, |graph| graph.node("Sigmoid", &["z"], "p"));
    let graph = differentiate(&document, &plain(Loss::BinaryCrossEntropy)).unwrap().document;
    let inputs: Vec<_> = graph.graph().input.iter().map(crate::model::onnx::proto::ValueInfoProto::name).collect();
    assert_eq!(inputs, ["x", names::LABEL, names::WEIGHT, names::OFFSET, "w"]);
    let outputs: Vec<_> =
        graph.graph().output.iter().map(crate::model::onnx::proto::ValueInfoProto::name).take(2).collect();
    assert_eq!(outputs, [names::LOSS, names::PREDICTION]);
}
#[test]
fn one_number_for_each_row_agrees_also_with_a_batch_of_fixed_size() {
    for rows in [Fixed(4), Named("batch")] {
        let mut graph = GraphBuilder::new("model");
        graph.input("x", FLOAT, &[rows, Fixed(3)]);
        graph.initializer("w", &[3], &[0.1, 0.2, 0.3]);
        graph.node("MatMul", &["x", "w"], "z");
        graph.node("Sigmoid", &["z"], "p");
        graph.output("p", FLOAT, &[rows]);
        let x = Fed::floats("x", &[4, 3], uniform(&mut random(2), 12, -1.0, 1.0));
        Trial::new(&Document::new(graph.finish()), &plain(Loss::BinaryCrossEntropy), vec![x], 3).agrees();
    }
}
