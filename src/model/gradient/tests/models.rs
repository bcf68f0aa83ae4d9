use crate::model::{
    MlpSpec, build_mlp,
    gradient::{
        GradientSpec, Loss, differentiate,
        testing::{Data, Fed, Trial, in_opset, plain, random, uniform},
    },
    onnx::{
        Attribute,
        Dimension::{Fixed, Named},
        Document, GraphBuilder, declaration,
        proto::data_type::{FLOAT, INT64},
    },
};

#[test]
fn a_new_network_trains_its_layers_and_keeps_its_scaling() {
    let columns = (0..5).map(|column| format!("c{column}")).collect();
    let spec = MlpSpec { columns, hidden: vec![8, 4], dropout: 0.0, seed: 3, fingerprint: "8a21".to_owned() };
    let document = Document::read(&build_mlp(&spec).unwrap()).unwrap();
    let spec = GradientSpec { freeze: vec!["normalise.*".to_owned()], ..plain(Loss::BinaryCrossEntropy) };
    let x = Fed::floats("features", &[16, 5], uniform(&mut random(1), 80, -3.0, 30.0));
    let mut trial = Trial::new(&document, &spec, vec![x], 2);
    let names: Vec<_> = trial.graph.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let layers = ["dense_0.weight", "dense_0.bias", "dense_1.weight", "dense_1.bias", "logit.weight", "logit.bias"];
    assert_eq!(names, layers);
    let kept = trial.graph.document.graph().initializer.iter().filter(|tensor| tensor.name().starts_with("normalise."));
    assert_eq!(kept.count(), 2);
    trial.agrees();
}

/// Weights for a test, small enough for smooth gradients.
struct Weights {
    graph: GraphBuilder,
    seed: u64,
}

impl Weights {
    fn add(&mut self, name: &str, dims: &[usize]) {
        self.seed += 1;
        let values = uniform(&mut random(self.seed), dims.iter().product(), -0.8, 0.8);
        self.graph.initializer(name, dims, &values);
    }
}

/// Self-attention over a history of any length, as exporters write it.
fn attention() -> Document {
    let mut weights = Weights { graph: GraphBuilder::new("attention"), seed: 10 };
    weights.graph.input("ids", INT64, &[Named("batch"), Named("time")]);
    weights.add("table", &[7, 4]);
    for name in ["query", "key", "value", "out"] {
        weights.add(name, &[4, 4]);
    }
    for name in ["scale", "bias"] {
        weights.add(name, &[4]);
    }
    weights.add("head", &[8, 1]);
    weights.add("shift", &[1]);
    let graph = &mut weights.graph;
    graph.initializer("root", &[], &[2.0]);
    graph.node("Gather", &["table", "ids"], "e");
    for name in ["query", "key", "value"] {
        graph.node("MatMul", &["e", name], &name[..1]);
    }
    graph.node_of("Transpose", &["k"], &["kt"], &[("perm", Attribute::Ints(vec![0, 2, 1]))]);
    graph.node("MatMul", &["q", "kt"], "products");
    graph.node("Div", &["products", "root"], "scores");
    graph.node("Softmax", &["scores"], "attended");
    graph.node("MatMul", &["attended", "v"], "mixed");
    graph.node("MatMul", &["mixed", "out"], "projected");
    graph.node("Add", &["projected", "e"], "residual");
    graph.node("LayerNormalization", &["residual", "scale", "bias"], "normal");
    graph.node_of(
        "ReduceMean",
        &["normal"],
        &["pooled"],
        &[("axes", Attribute::Ints(vec![1])), ("keepdims", Attribute::Int(0))],
    );
    // The last step, whatever the length.
    for (name, value) in [("minus_one", -1), ("end", i64::MAX), ("one", 1)] {
        graph.whole_initializer(name, &[1], &[value]);
    }
    graph.node("Slice", &["normal", "minus_one", "end", "one"], "last_kept");
    graph.node("Squeeze", &["last_kept", "one"], "last");
    graph.node_with("Concat", &["pooled", "last"], "both", &[("axis", 1)]);
    graph.node("Gemm", &["both", "head", "shift"], "logit");
    graph.node("Sigmoid", &["logit"], "probability");
    graph.output("probability", FLOAT, &[Named("batch"), Fixed(1)]);
    Document::new(weights.graph.finish())
}

#[test]
fn attention_over_histories_of_any_length_agrees() {
    let spec = GradientSpec { freeze: vec!["root".to_owned()], ..plain(Loss::BinaryCrossEntropy) };
    for (batch, time) in [(3, 4), (1, 2), (5, 3), (2, 9)] {
        let ids = (0..batch * time).map(|at| (at * at + 3 * at) as i64 % 7).collect();
        let ids = Fed::ints("ids", &[batch, time], ids);
        Trial::new(&attention(), &spec, vec![ids], 4).agrees();
    }
}

#[test]
fn sums_and_joins_along_a_dimension_that_varies_agree() {
    let mut weights = Weights { graph: GraphBuilder::new("varying"), seed: 30 };
    weights.graph.input("x", FLOAT, &[Named("batch"), Named("time"), Fixed(3)]);
    weights.graph.input("u", FLOAT, &[Named("batch"), Named("more"), Fixed(3)]);
    weights.add("stretch", &[3]);
    weights.add("tilt", &[1, 1, 3]);
    weights.add("first", &[1, 3]);
    let graph = &mut weights.graph;
    graph.whole_initializer("axes", &[2], &[1, 2]);
    graph.whole_initializer("zero", &[], &[0]);
    graph.whole_initializer("minus_one", &[], &[-1]);
    graph.node("Mul", &["x", "stretch"], "a");
    graph.node("Mul", &["u", "tilt"], "b");
    graph.node_with("Concat", &["a", "b", "a"], "joined", &[("axis", 1)]);
    graph.node_with("Gather", &["joined", "zero"], "begin", &[("axis", 1)]);
    graph.node_with("Gather", &["joined", "minus_one"], "end", &[("axis", 1)]);
    graph.node("Tanh", &["joined"], "t");
    graph.node_of("ReduceSum", &["t", "axes"], &["total"], &[("keepdims", Attribute::Int(0))]);
    // [batch, time + more + time, 1]: a reshape with two sizes that vary.
    graph.node_of(
        "ReduceL2",
        &["joined"],
        &["lengths"],
        &[("axes", Attribute::Ints(vec![2])), ("keepdims", Attribute::Int(0))],
    );
    graph.whole_initializer("one", &[1], &[1]);
    graph.node_of("ReduceSum", &["lengths", "one"], &["path"], &[("keepdims", Attribute::Int(0))]);
    graph.node("Sum", &["begin", "end", "first"], "steps");
    graph.node_of("ReduceSum", &["steps", "one"], &["step"], &[("keepdims", Attribute::Int(0))]);
    graph.node("Sum", &["total", "step", "path"], "y");
    graph.output("y", FLOAT, &[Named("batch")]);
    let document = in_opset(&Document::new(weights.graph.finish()), 16);
    for (batch, time, more) in [(3, 2, 4), (2, 5, 1)] {
        let mut random = random(5);
        let x = Fed::floats("x", &[batch, time, 3], uniform(&mut random, batch * time * 3, -1.0, 1.0));
        let u = Fed::floats("u", &[batch, more, 3], uniform(&mut random, batch * more * 3, -1.0, 1.0));
        Trial::new(&document, &plain(Loss::MeanSquaredError), vec![x, u], 6).agrees();
    }
}

/// `p = dropout(x w)`, both `[batch, 40]` but for `w`, which is one number.
fn dropping() -> Document {
    let mut graph = GraphBuilder::new("dropping");
    graph.input("x", FLOAT, &[Named("batch"), Fixed(40)]);
    graph.initializer("w", &[1], &[0.7]);
    graph.initializer("ratio", &[], &[0.25]);
    graph.node("Mul", &["x", "w"], "y");
    graph.node("Dropout", &["y", "ratio"], "p");
    graph.output("p", FLOAT, &[Named("batch"), Fixed(40)]);
    Document::new(graph.finish())
}

#[test]
fn dropout_is_left_out_unless_asked_for() {
    let x = Fed::floats("x", &[4, 40], uniform(&mut random(7), 160, 0.5, 1.0));
    Trial::new(&dropping(), &plain(Loss::MeanSquaredError), vec![x], 8).agrees();
}

#[test]
fn dropout_drops_the_same_values_in_the_gradient_as_in_the_prediction() {
    let values = uniform(&mut random(9), 160, 0.5, 1.0);
    let x = Fed::floats("x", &[4, 40], values.clone());
    let spec = GradientSpec { dropout: true, ..plain(Loss::MeanSquaredError) };
    let mut trial = Trial::new(&dropping(), &spec, vec![x], 10);
    trial.label = Data::Float(vec![0.0; 160]);
    let mut masks = Vec::new();
    for _ in 0..3 {
        let step = trial.step();
        // With labels of 0, loss = Σ p² and p = mask x w / (1 - ratio): the gradient of w is 2 loss / w.
        let expected = 2.0 * step.loss / f64::from(0.7_f32);
        assert!((step.gradients[0][0] - expected).abs() < 1e-4, "{} {expected}", step.gradients[0][0]);
        for (prediction, x) in step.prediction.iter().zip(&values) {
            assert!(*prediction == 0.0 || (prediction - x * 0.7 / 0.75).abs() < 1e-5, "{prediction} {x}");
        }
        let dropped = step.prediction.iter().filter(|prediction| **prediction == 0.0).count();
        assert!((15..70).contains(&dropped), "{dropped} of 160 dropped");
        masks.push(step.prediction);
    }
    assert!(masks[0] != masks[1] && masks[1] != masks[2], "the same mask in each step");
}

#[test]
fn the_operator_set_the_metadata_and_all_names_survive() {
    let mut document = attention();
    document.set_metadata("tidewheel.fingerprint", "8a21");
    let written = differentiate(&document, &plain(Loss::BinaryCrossEntropy)).unwrap().document;
    assert_eq!((written.opset(""), written.metadata()), (Some(17), document.metadata()));
    assert_eq!(written.graph().name, document.graph().name);
    for node in &document.graph().node {
        assert!(written.graph().node.iter().any(|kept| kept.output[0] == node.output[0]), "{:?}", node.name);
    }
    assert_eq!(Document::read(&written.write()).unwrap(), written);
}

#[test]
fn the_same_model_always_gives_the_same_graph() {
    let write = || differentiate(&attention(), &plain(Loss::BinaryCrossEntropy)).unwrap().document.write();
    assert_eq!(write(), write());
}

#[test]
fn initializers_that_are_also_listed_as_inputs_are_trained_all_the_same() {
    let mut document = attention();
    for name in ["query", "root"] {
        document.graph_mut().input.insert(0, declaration(name, FLOAT, None));
    }
    let spec = GradientSpec { freeze: vec!["root".to_owned()], ..plain(Loss::BinaryCrossEntropy) };
    let ids = Fed::ints("ids", &[2, 3], vec![0, 1, 2, 3, 4, 5]);
    let mut trial = Trial::new(&document, &spec, vec![ids], 4);
    assert_eq!(trial.graph.inputs.len(), 1);
    trial.agrees();
}

#[test]
fn what_the_prediction_does_not_need_is_left_out() {
    let mut document = attention();
    let mut extra = GraphBuilder::new("extra");
    extra.node("Neg", &["pooled"], "other");
    let extra = extra.finish();
    document.graph_mut().node.extend(extra.node);
    document.graph_mut().output.push(declaration("other", FLOAT, None));
    let spec = GradientSpec { prediction: Some("probability".to_owned()), ..plain(Loss::BinaryCrossEntropy) };
    let written = differentiate(&document, &spec).unwrap().document;
    assert!(!written.graph().node.iter().any(|node| node.output[0] == "other"));
}
