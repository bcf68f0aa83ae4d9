//! What exporters write down as they write weights, and is none: it stays to the last bit while the weights learn.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::model::{
    Activation, Binding,
    onnx::{
        Attribute,
        Dimension::{Fixed, Named},
        Document, GraphBuilder,
        proto::data_type::FLOAT,
    },
};

const FAST: OptimizerSpec =
    OptimizerSpec::AdamW { learning_rate: 0.02, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };

fn random_values(seed: u64, elements: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..elements).map(|_| random.random_range(-0.8..0.8)).collect()
}

/// A float32 initializer of random numbers.
fn weight(graph: &mut GraphBuilder, name: &str, dims: &[usize]) {
    let seed = name.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
    graph.initializer(name, dims, &random_values(seed, dims.iter().product()));
}

/// `build` makes `h [batch, 3]` of `x [batch, 4]`, whose third column is an id from 0 to 4; a dense layer and a sigmoid make
/// the score of that.
fn model(build: fn(&mut GraphBuilder)) -> Document {
    let mut graph = GraphBuilder::new("constants");
    graph.input("x", FLOAT, &[Named("batch"), Fixed(4)]);
    build(&mut graph);
    weight(&mut graph, "head", &[3, 1]);
    weight(&mut graph, "head.bias", &[1]);
    graph.node("Gemm", &["h", "head", "head.bias"], "z");
    graph.node("Sigmoid", &["z"], "p");
    graph.output("p", FLOAT, &[Named("batch"), Fixed(1)]);
    Document::new(graph.finish())
}

fn trainer_of(document: &Document, settings: &TrainSettings) -> Result<Trainer, ModelError> {
    let columns = ["a", "b", "id", "d"].map(str::to_owned);
    Trainer::new(
        document.clone(),
        &Binding { inputs: None, columns: &columns, fingerprint: None, output: None },
        settings,
    )
}

/// Rows whose label depends on the sum of two columns.
fn rows(random: &mut ChaCha8Rng) -> Rows {
    let mut rows = Rows::default();
    for _ in 0..32 {
        let [a, b, d] = [(); 3].map(|()| random.random_range(-1.5..1.5_f32));
        rows.matrix.extend([a, b, random.random_range(0..5_u8).into(), d]);
        rows.labels.push(f32::from(u8::from(a + d > 0.0)));
    }
    rows
}

/// Trains for a while; holds that the loss falls, that exactly these initializers have moved, and gives the listing.
fn learns(document: &Document, settings: &TrainSettings, moved: &[&str]) -> String {
    let mut trainer = trainer_of(document, settings).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut losses = Vec::new();
    for _ in 0..150 {
        match trainer.step(rows(&mut random).batch()).unwrap() {
            Outcome::Updated { loss, .. } => losses.push(loss),
            Outcome::Skipped { reason } => panic!("{reason} after {} steps", losses.len()),
        }
    }
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let (first, last) = (mean(&losses[..10]), mean(&losses[140..]));
    assert!(last < 0.9 * first, "the loss went from {first} to {last}");
    let trained = trainer.document();
    let pairs = document.graph().initializer.iter().zip(&trained.graph().initializer);
    let found: Vec<&str> = pairs.filter(|(before, after)| before != after).map(|(before, _)| before.name()).collect();
    assert_eq!(found, moved);
    trainer.inventory().to_string()
}

/// `h = x w` with a bias.
fn dense(graph: &mut GraphBuilder, from: &str, width: usize, to: &str) {
    weight(graph, "w", &[width, 3]);
    weight(graph, "w.bias", &[3]);
    graph.node("Gemm", &[from, "w", "w.bias"], to);
}

/// The first step moved the exponent, and the next losses were not finite.
#[test]
fn exponents_and_halves_of_a_factorisation_machine_stay() {
    let document = model(|graph| {
        graph.whole_initializer("ids", &[2], &[2, 2]);
        graph.whole_initializer("fields", &[1], &[1]);
        weight(graph, "table", &[5, 3]);
        graph.initializer("two", &[], &[2.0]);
        graph.initializer("half", &[1], &[0.5]);
        graph.node_with("Gather", &["x", "ids"], "id.float", &[("axis", 1)]);
        graph.node_with("Cast", &["id.float"], "id.whole", &[("to", 7)]);
        graph.node("Gather", &["table", "id.whole"], "e");
        graph.node_with("ReduceSum", &["e", "fields"], "sum", &[("keepdims", 0)]);
        graph.node("Pow", &["sum", "two"], "square");
        graph.node("Mul", &["square", "half"], "pairs");
        dense(graph, "x", 4, "deep");
        graph.node("Add", &["pairs", "deep"], "h");
    });
    let listed = learns(&document, &settings(FAST), &["table", "w", "w.bias", "head", "head.bias"]);
    insta::assert_snapshot!(listed, @r#"
    training of "p" moves 34 number(s) in 5 tensor(s):
      table      [5, 3]  the rows that a batch looks up
      w          [4, 3]
      w.bias     [3]
      head       [3, 1]
      head.bias  [1]
    and keeps 2 number(s) in 2 tensor(s):
      two        []      an exponent
      half       [1]     a single number
    "#);
}

#[test]
fn a_normalisation_written_out_trains_gain_and_bias_and_keeps_exponent_and_epsilon() {
    let document = model(|graph| {
        graph.initializer("two", &[1], &[2.0]);
        graph.initializer("epsilon", &[1], &[1e-5]);
        graph.initializer("gain", &[3], &[1.0; 3]);
        graph.initializer("bias", &[1, 3], &[0.0; 3]);
        dense(graph, "x", 4, "d");
        let mean = |graph: &mut GraphBuilder, from: &str, to: &str| {
            graph.node_of("ReduceMean", &[from], &[to], &[("axes", Attribute::Ints(vec![1]))]);
        };
        mean(graph, "d", "mean");
        graph.node("Sub", &["d", "mean"], "centred");
        graph.node("Pow", &["centred", "two"], "squares");
        mean(graph, "squares", "variance");
        graph.node("Add", &["variance", "epsilon"], "positive");
        graph.node("Sqrt", &["positive"], "deviation");
        graph.node("Div", &["centred", "deviation"], "normal");
        graph.node("Mul", &["normal", "gain"], "scaled");
        graph.node("Add", &["scaled", "bias"], "h");
    });
    learns(&document, &settings(FAST), &["gain", "bias", "w", "w.bias", "head", "head.bias"]);
}

#[test]
fn statistics_of_the_inputs_and_of_a_layer_stay() {
    let document = model(|graph| {
        graph.initializer("mean", &[4], &[0.1, -0.1, 2.0, 0.0]);
        graph.initializer("deviation", &[4], &[1.0, 0.9, 1.4, 1.1]);
        graph.initializer("layer.mean", &[3], &[0.0, 0.1, 0.2]);
        graph.initializer("layer.variance", &[3], &[1.0, 0.5, 2.0]);
        graph.initializer("layer.epsilon", &[], &[1e-3]);
        graph.initializer("gain", &[3], &[1.0; 3]);
        graph.initializer("bias", &[3], &[0.0; 3]);
        graph.node("Sub", &["x", "mean"], "centred");
        graph.node("Div", &["centred", "deviation"], "standard");
        dense(graph, "standard", 4, "d");
        graph.node("BatchNormalization", &["d", "gain", "bias", "layer.mean", "layer.variance"], "n");
        graph.node("Sub", &["n", "layer.mean"], "n.centred");
        graph.node("Add", &["layer.variance", "layer.epsilon"], "n.positive");
        graph.node("Sqrt", &["n.positive"], "n.deviation");
        graph.node("Div", &["n.centred", "n.deviation"], "h");
    });
    learns(&document, &settings(FAST), &["gain", "bias", "w", "w.bias", "head", "head.bias"]);
}

#[test]
fn inputs_that_are_shifted_and_scaled_stay_so_and_terms_of_a_linear_model_learn() {
    let document = model(|graph| {
        graph.initializer("scale", &[4], &[0.5, 0.4, 0.3, 0.6]);
        graph.initializer("least", &[4], &[0.1, 0.2, -0.5, 0.0]);
        graph.initializer("centre", &[4], &[0.1, -0.1, 2.0, 0.0]);
        graph.initializer("inverse", &[4], &[1.0, 0.9, 0.7, 1.1]);
        graph.node("Mul", &["x", "scale"], "x.scaled");
        graph.node("Add", &["x.scaled", "least"], "ranged");
        graph.node("Sub", &["x", "centre"], "x.centred");
        graph.node("Mul", &["x.centred", "inverse"], "standard");
        graph.node("Add", &["ranged", "standard"], "both");
        dense(graph, "both", 4, "d");
        weight(graph, "wide", &[4]);
        graph.whole_initializer("columns", &[1], &[1]);
        graph.node("Mul", &["x", "wide"], "terms");
        graph.node("ReduceSum", &["terms", "columns"], "linear");
        graph.node("Add", &["d", "linear"], "h");
    });
    learns(&document, &settings(FAST), &["w", "w.bias", "wide", "head", "head.bias"]);
}

#[test]
fn bounds_masks_tables_and_scales_stay() {
    let document = model(|graph| {
        graph.initializer("low", &[], &[-3.0]);
        graph.initializer("high", &[], &[3.0]);
        graph.initializer("least", &[3], &[-2.0, -2.5, -2.25]);
        graph.initializer("mask", &[3], &[1.0, 0.0, 1.0]);
        graph.initializer("hidden", &[3], &[0.0, -1e4, 0.0]);
        weight(graph, "positions", &[1, 3]);
        weight(graph, "places", &[7, 3]);
        graph.whole_initializer("third", &[1], &[2]);
        graph.initializer("scale", &[1], &[0.707]);
        dense(graph, "x", 4, "d");
        graph.node("Clip", &["d", "low", "high"], "clipped");
        graph.node("Max", &["clipped", "least"], "bounded");
        graph.node("Add", &["bounded", "hidden"], "shown");
        graph.node("Softmax", &["shown"], "attended");
        graph.node("Mul", &["bounded", "mask"], "masked");
        graph.node("Mul", &["masked", "scale"], "scaled");
        graph.node("Gather", &["places", "third"], "place");
        graph.node("Add", &["scaled", "place"], "placed");
        graph.node("Add", &["placed", "attended"], "mixed");
        graph.node("Add", &["mixed", "positions"], "h");
    });
    // A table of one row is a vector that is added: a bias.
    let listed = learns(&document, &settings(FAST), &["positions", "w", "w.bias", "head", "head.bias"]);
    let (_, kept) = listed.split_once("and keeps").unwrap();
    insta::assert_snapshot!(kept.trim_start(), @r"
    33 number(s) in 7 tensor(s):
      low        []      a bound
      high       []      a bound
      least      [3]     a bound
      mask       [3]     a mask
      hidden     [3]     a mask
      places     [7, 3]  a table that is not looked up in
      scale      [1]     a single number
    ");
}

#[test]
fn scales_of_quantisation_stay_and_layers_after_it_learn() {
    let document = model(|graph| {
        graph.initializer("step", &[], &[0.02]);
        graph.whole_initializer("codes", &[4, 3], &[5, -7, 20, 11, 3, -9, 30, 2, 1, -12, 8, 6]);
        graph.node_with("Cast", &["codes"], "codes.int8", &[("to", 3)]);
        graph.node("DequantizeLinear", &["codes.int8", "step"], "q");
        graph.node("MatMul", &["x", "q"], "fixed");
        dense(graph, "x", 4, "d");
        graph.node("Add", &["fixed", "d"], "h");
    });
    learns(&document, &settings(FAST), &["w", "w.bias", "head", "head.bias"]);
}

#[test]
fn a_bias_of_one_number_is_a_weight_wherever_it_is_added_to_a_product() {
    let document = model(|graph| {
        weight(graph, "narrow", &[4, 1]);
        graph.initializer("narrow.bias", &[1], &[0.1]);
        graph.initializer("one", &[], &[1.0]);
        graph.node("MatMul", &["x", "narrow"], "product");
        graph.node("Add", &["narrow.bias", "product"], "shifted");
        graph.node("Tanh", &["shifted"], "bent");
        graph.node("Add", &["bent", "one"], "raised");
        dense(graph, "x", 4, "d");
        graph.node("Mul", &["d", "raised"], "h");
    });
    learns(&document, &settings(FAST), &["narrow", "narrow.bias", "w", "w.bias", "head", "head.bias"]);
}

#[test]
fn a_number_that_is_written_once_for_a_bias_and_an_exponent_stays() {
    let document = model(|graph| {
        dense(graph, "x", 4, "d");
        graph.initializer("two", &[1], &[2.0]);
        graph.node("Pow", &["d", "two"], "squares");
        weight(graph, "narrow", &[4, 1]);
        graph.node("Gemm", &["x", "narrow", "two"], "product");
        graph.node("Mul", &["squares", "product"], "bent");
        graph.node("Add", &["bent", "d"], "h");
    });
    learns(&document, &settings(FAST), &["w", "w.bias", "narrow", "head", "head.bias"]);
}

#[test]
fn unfreezing_trains_what_looks_like_a_constant_and_freezing_beats_it() {
    let document = model(|graph| {
        graph.initializer("temperature", &[], &[1.5]);
        graph.initializer("shift", &[], &[0.5]);
        dense(graph, "x", 4, "d");
        graph.node("Mul", &["d", "temperature"], "warm");
        graph.node("Add", &["warm", "shift"], "h");
    });
    let [unfreeze, freeze] =
        [["temp*", "shift"], ["shift", "head.bias"]].map(|names| names.map(str::to_owned).to_vec());
    let chosen = TrainSettings { freeze, unfreeze, ..settings(FAST) };
    learns(&document, &chosen, &["temperature", "w", "w.bias", "head"]);
    let unknown = TrainSettings { unfreeze: vec!["temprature".to_owned()], ..settings(FAST) };
    insta::assert_snapshot!(
        trainer_of(&document, &unknown).unwrap_err(),
        @r#"can't unfreeze "temprature": no float32 initializer has that name; there are temperature, shift, w, w.bias, head, head.bias"#
    );
}

/// `z` of the logit model, whose output is no probability.
fn logits() -> Document {
    let mut document = model(|graph| dense(graph, "x", 4, "h"));
    let graph = document.graph_mut();
    graph.node.retain(|node| node.op_type() != "Sigmoid");
    graph.output[0].name = Some("z".to_owned());
    document
}

#[test]
fn a_logit_with_an_activation_trains_bit_for_bit_as_the_model_with_a_sigmoid() {
    let with_sigmoid = model(|graph| dense(graph, "x", 4, "h"));
    let activated = TrainSettings { activation: Some(Activation::Sigmoid), ..settings(FAST) };
    let mut one = trainer_of(&with_sigmoid, &settings(FAST)).unwrap();
    let mut other = trainer_of(&logits(), &activated).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for _ in 0..20 {
        let mut rows = rows(&mut random);
        rows.offsets = vec![0.3; rows.labels.len()];
        let [first, second] = [one.step(rows.batch()).unwrap(), other.step(rows.batch()).unwrap()];
        assert_eq!(first, second);
        let mut scores = [Vec::new(), Vec::new()];
        one.predict(&rows.matrix, 32, &mut scores[0]).unwrap();
        other.predict(&rows.matrix, 32, &mut scores[1]).unwrap();
        assert!(scores[0].iter().zip(&scores[1]).all(|(one, other)| (one - other).abs() < 1e-6), "{scores:?}");
    }
    assert_eq!(one.document().graph().initializer, other.document().graph().initializer);
    assert_eq!(other.document().graph().node, logits().graph().node, "the file gets no node of training");
}

/// The loss for two classes that no setting offered.
#[test]
fn two_classes_of_a_softmax_train_as_the_sigmoid_of_their_difference() {
    let classes = |operator: Option<&str>| {
        let mut graph = GraphBuilder::new("classes");
        graph.input("x", FLOAT, &[Named("batch"), Fixed(4)]);
        weight(&mut graph, "w", &[4, 2]);
        graph.node("MatMul", &["x", "w"], "z");
        let width = if let Some(operator) = operator {
            graph.node(operator, &["z"], "p");
            2
        } else {
            graph.whole_initializer("it", &[1], &[1]);
            graph.whole_initializer("other", &[1], &[0]);
            graph.node_with("Gather", &["z", "it"], "z1", &[("axis", 1)]);
            graph.node_with("Gather", &["z", "other"], "z0", &[("axis", 1)]);
            graph.node("Sub", &["z1", "z0"], "logit");
            graph.node("Sigmoid", &["logit"], "p");
            1
        };
        graph.output("p", FLOAT, &[Named("batch"), Fixed(width)]);
        Document::new(graph.finish())
    };
    let mut softmax = trainer_of(&classes(Some("Softmax")), &settings(PLAIN)).unwrap();
    let mut sigmoid = trainer_of(&classes(None), &settings(PLAIN)).unwrap();
    let mut apart = trainer_of(&classes(Some("Sigmoid")), &settings(PLAIN)).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let mut losses = Vec::new();
    for _ in 0..30 {
        let mut rows = rows(&mut random);
        rows.offsets = vec![-0.4; rows.labels.len()];
        let outcomes = [softmax.step(rows.batch()).unwrap(), sigmoid.step(rows.batch()).unwrap()];
        let [Outcome::Updated { loss, gradient_norm }, Outcome::Updated { loss: other, gradient_norm: norm }] =
            outcomes
        else {
            panic!("skipped")
        };
        assert!((loss - other).abs() < 1e-5 && (gradient_norm - norm).abs() < 1e-4, "{loss} {other}");
        let Outcome::Updated { loss, .. } = apart.step(rows.batch()).unwrap() else { panic!("skipped") };
        losses.push(loss);
    }
    assert!(losses[29] < losses[0], "of columns made otherwise the second is trained: {losses:?}");
}

#[test]
fn trees_are_said_to_be_no_matter_of_gradients_whatever_their_operator_set() {
    let mut document = model(|graph| dense(graph, "x", 4, "h"));
    let graph = document.graph_mut();
    graph.node[0].op_type = Some("TreeEnsembleRegressor".to_owned());
    graph.node[0].domain = Some("ai.onnx.ml".to_owned());
    insta::assert_snapshot!(
        trainer_of(&document, &settings(PLAIN)).unwrap_err(),
        @r#"trees can't be trained here (operator TreeEnsembleRegressor of node "h"), only scored: remove [train], train the model anew outside, and bring it in with "tidewheel model add FOLDER FILE""#
    );
}

#[test]
fn a_try_of_a_step_says_what_the_step_does_and_changes_nothing() {
    let document = model(|graph| dense(graph, "x", 4, "h"));
    let mut trainer = trainer_of(&document, &settings(ADAMW)).unwrap();
    let mut rows = rows(&mut ChaCha8Rng::seed_from_u64(8));
    let before = trainer.save();
    let tried = trainer.try_step(rows.batch()).unwrap();
    assert_eq!(trainer.save(), before);
    assert_eq!(trainer.step(rows.batch()).unwrap(), tried);
    rows.matrix[0] = f32::NAN;
    assert!(matches!(trainer.try_step(rows.batch()).unwrap(), Outcome::Skipped { .. }));
}
