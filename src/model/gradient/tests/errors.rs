use crate::model::{
    ModelError,
    gradient::{
        GradientGraph, GradientSpec, Loss, differentiate,
        testing::{in_opset, plain},
    },
    onnx::{
        Attribute,
        Dimension::{Fixed, Named},
        Document, GraphBuilder, declaration,
        proto::data_type::{FLOAT, INT64},
    },
};

/// `y` `[batch, 4]` from the product of `x` and `w`, `z`, both `[batch, 4]`.
fn model(build: impl Fn(&mut GraphBuilder)) -> Document {
    let mut graph = GraphBuilder::new("model");
    graph.input("x", FLOAT, &[Named("batch"), Fixed(4)]);
    graph.initializer("w", &[4, 4], &[0.5; 16]);
    graph.initializer("b", &[4], &[0.5; 4]);
    graph.node("MatMul", &["x", "w"], "z");
    build(&mut graph);
    graph.output("y", FLOAT, &[Named("batch"), Fixed(4)]);
    Document::new(graph.finish())
}

fn refusal(document: &Document, spec: &GradientSpec) -> ModelError {
    differentiate(document, spec).map(|graph: GradientGraph| graph.parameters).unwrap_err()
}

#[test]
fn an_operator_without_a_rule_is_named_with_what_to_freeze_instead() {
    let document = model(|graph| {
        graph.whole_initializer("exclusive_axis", &[], &[1]);
        graph.node("CumSum", &["z", "exclusive_axis"], "running");
        graph.node("Add", &["running", "b"], "y");
    });
    insta::assert_snapshot!(
        refusal(&document, &plain(Loss::MeanSquaredError)),
        @r#"operator CumSum of node "running" can't be differentiated: there is no rule for it: to train the rest, freeze w"#
    );
    let spec = GradientSpec { freeze: vec!["w".to_owned()], ..plain(Loss::MeanSquaredError) };
    assert_eq!(differentiate(&document, &spec).unwrap().parameters[0].name, "b");
}

#[test]
fn an_operator_without_a_rule_off_the_way_is_no_obstacle() {
    let document = model(|graph| {
        graph.whole_initializer("axis", &[], &[1]);
        graph.node("CumSum", &["x", "axis"], "running");
        graph.node("Add", &["running", "z"], "y");
    });
    assert!(differentiate(&document, &plain(Loss::MeanSquaredError)).is_ok());
}

#[test]
fn control_flow_is_refused_for_what_its_branches_read() {
    let document = model(|graph| {
        let mut branch = GraphBuilder::new("branch");
        branch.node("Add", &["z", "b"], "inner");
        let mut branch = branch.finish();
        branch.output.push(declaration("inner", FLOAT, None));
        graph.node("Shape", &["x"], "shape");
        graph.whole_initializer("zero", &[], &[0]);
        graph.node("Gather", &["shape", "zero"], "rows");
        graph.node("Greater", &["rows", "zero"], "any");
        let branches = [("then_branch", branch.clone()), ("else_branch", branch)];
        let branches = branches.map(|(name, branch)| (name, Attribute::Graph(Box::new(branch))));
        graph.node_of("If", &["any"], &["y"], &branches);
    });
    insta::assert_snapshot!(
        refusal(&document, &plain(Loss::MeanSquaredError)),
        @r#"operator If of node "y" can't be differentiated: there is no rule for it: to train the rest, freeze w, b"#
    );
}

#[test]
fn arithmetic_in_float64_is_refused() {
    let document = model(|graph| {
        graph.node_with("Cast", &["z"], "double", &[("to", 11)]);
        graph.node_with("Cast", &["double"], "y", &[("to", 1)]);
    });
    insta::assert_snapshot!(
        refusal(&document, &plain(Loss::MeanSquaredError)),
        @r#"operator Cast of node "y" can't be differentiated: gradients are float32, "double" is float64: to train the rest, freeze w"#
    );
}

#[test]
fn nothing_to_train_is_said() {
    let document = model(|graph| graph.node("Sigmoid", &["z"], "y"));
    let spec = GradientSpec { freeze: vec!["w".to_owned(), "b".to_owned()], ..plain(Loss::BinaryCrossEntropy) };
    insta::assert_snapshot!(
        refusal(&document, &spec),
        @r#"nothing to train: "y" depends on no float32 initializer that is a weight and not frozen (frozen: w, b; taken for constants: none): freeze less, unfreeze what is a weight, or export the model with its weights as initializers"#
    );
    let document = model(|graph| graph.node("Floor", &["z"], "y"));
    assert!(matches!(refusal(&document, &plain(Loss::MeanSquaredError)), ModelError::NothingToTrain { .. }));
}

#[test]
fn freezing_what_is_not_there_is_a_slip() {
    let document = model(|graph| graph.node("Sigmoid", &["z"], "y"));
    let spec = GradientSpec { freeze: vec!["v*".to_owned(), "v".to_owned()], ..plain(Loss::BinaryCrossEntropy) };
    insta::assert_snapshot!(
        refusal(&document, &spec),
        @r#"can't freeze "v": no float32 initializer has that name; there are w, b"#
    );
}

#[test]
fn a_prediction_must_be_named_among_several() {
    let mut document = model(|graph| graph.node("Sigmoid", &["z"], "y"));
    document.graph_mut().output.push(declaration("z", FLOAT, None));
    insta::assert_snapshot!(
        refusal(&document, &plain(Loss::BinaryCrossEntropy)),
        @"no prediction to train: there is more than one output: name the one to train; the model has y float32 [?, 4], z float32"
    );
    let spec = GradientSpec { prediction: Some("w".to_owned()), ..plain(Loss::BinaryCrossEntropy) };
    insta::assert_snapshot!(
        refusal(&document, &spec),
        @r#"no prediction to train: there is no output "w"; the model has y float32 [?, 4], z float32"#
    );
}

#[test]
fn a_loss_that_does_not_fit_the_shape_is_refused() {
    let document = model(|graph| {
        graph.whole_initializer("axis", &[1], &[1]);
        graph.node_with("ReduceSum", &["z", "axis"], "y", &[("keepdims", 0)]);
    });
    insta::assert_snapshot!(
        refusal(&document, &plain(Loss::SoftmaxCrossEntropy)),
        @r#"output "y" is float32 [?]: softmax cross-entropy wants float32 probabilities [batch, classes]"#
    );
}

#[test]
fn operator_sets_and_names_that_are_not_known_are_refused() {
    let document = model(|graph| graph.node("Sigmoid", &["z"], "y"));
    insta::assert_snapshot!(
        refusal(&in_opset(&document, 6), &plain(Loss::BinaryCrossEntropy)),
        @"the model is written for operator set 6, training knows 7 to 26: export it with one of those, with opset_version or target_opset = 17"
    );
    let document = model(|graph| {
        graph.node("Sigmoid", &["z"], "train.label");
        graph.node("Sigmoid", &["train.label"], "y");
    });
    insta::assert_snapshot!(
        refusal(&document, &plain(Loss::BinaryCrossEntropy)),
        @r#"the model has a value "train.label", a name that training uses: rename it"#
    );
}

#[test]
fn an_operator_of_an_old_set_that_has_no_equal_is_refused_where_the_prediction_needs_it() {
    let with = |from: &'static str| {
        let document = model(|graph| {
            graph.node_with("Upsample", &["z"], "larger", &[]);
            graph.node("Sigmoid", &[from], "y");
        });
        in_opset(&document, 9)
    };
    let refused = refusal(&with("larger"), &plain(Loss::BinaryCrossEntropy));
    assert!(refused.to_string().starts_with("operator Upsample of node \"larger\" can't be trained"), "{refused}");
    assert!(differentiate(&with("z"), &plain(Loss::BinaryCrossEntropy)).is_ok());
}

#[test]
fn a_model_that_fails_on_zeros_is_refused() {
    let document = model(|graph| {
        graph.input("ids", INT64, &[Named("batch"), Fixed(4)]);
        graph.initializer("empty", &[0, 4], &[]);
        graph.node("Gather", &["empty", "ids"], "rows");
        graph.node_with("ReduceSum", &["rows"], "all", &[("keepdims", 0)]);
        graph.node("Add", &["z", "all"], "y");
    });
    assert!(matches!(refusal(&document, &plain(Loss::MeanSquaredError)), ModelError::NotMeasurable { .. }));
}
