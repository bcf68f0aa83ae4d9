use crate::model::{
    gradient::{
        GradientForm, Loss,
        testing::{Fed, Trial, agrees, in_opset, plain, random, uniform},
    },
    onnx::{
        Attribute,
        Dimension::{Fixed, Named},
        Document, GraphBuilder,
        proto::data_type::{FLOAT, INT64},
    },
};

/// Looks `ids` `[batch, 2]` up in a table `[5, 3]`, sums and multiplies by a weight.
fn embedding(extra: impl Fn(&mut GraphBuilder) -> &'static str) -> Document {
    let mut graph = GraphBuilder::new("embedding");
    graph.input("ids", INT64, &[Named("batch"), Fixed(2)]);
    graph.initializer("table", &[5, 3], &uniform(&mut random(1), 15, -1.0, 1.0));
    graph.initializer("w", &[3, 1], &uniform(&mut random(2), 3, -1.0, 1.0));
    graph.whole_initializer("axis", &[1], &[1]);
    graph.node("Gather", &["table", "ids"], "rows");
    graph.node_with("ReduceSum", &["rows", "axis"], "pooled", &[("keepdims", 0)]);
    let pooled = extra(&mut graph);
    graph.node("MatMul", &[pooled, "w"], "logit");
    graph.node("Sigmoid", &["logit"], "probability");
    graph.output("probability", FLOAT, &[Named("batch"), Fixed(1)]);
    Document::new(graph.finish())
}

fn ids() -> Fed {
    Fed::ints("ids", &[4, 2], vec![0, 3, 3, 3, -1, 1, -5, 0])
}

fn form(trial: &Trial, name: &str) -> GradientForm {
    trial.graph.parameters.iter().find(|parameter| parameter.name == name).unwrap().gradient.clone()
}

#[test]
fn a_table_that_is_only_looked_up_in_has_gradients_for_its_rows() {
    let document = embedding(|_| "pooled");
    let mut trial = Trial::new(&document, &plain(Loss::BinaryCrossEntropy), vec![ids()], 3);
    assert!(matches!(form(&trial, "table"), GradientForm::Rows { .. }));
    assert!(matches!(form(&trial, "w"), GradientForm::Dense { .. }));
    trial.agrees();
}

#[test]
fn two_look_ups_in_one_table_give_the_rows_of_both() {
    let document = embedding(|graph| {
        graph.whole_initializer("first", &[], &[1]);
        graph.node("Gather", &["table", "first"], "always");
        graph.node("Mul", &["pooled", "always"], "both");
        "both"
    });
    let mut trial = Trial::new(&document, &plain(Loss::BinaryCrossEntropy), vec![ids()], 3);
    assert!(matches!(form(&trial, "table"), GradientForm::Rows { .. }));
    trial.agrees();
}

#[test]
fn a_table_that_is_also_used_whole_has_a_dense_gradient() {
    let document = embedding(|graph| {
        graph.node_with("ReduceMean", &["table"], "mean", &[("keepdims", 0)]);
        graph.node("Mul", &["pooled", "mean"], "both");
        "both"
    });
    let mut trial = Trial::new(&document, &plain(Loss::BinaryCrossEntropy), vec![ids()], 3);
    assert!(matches!(form(&trial, "table"), GradientForm::Dense { .. }));
    trial.agrees();
}

#[test]
fn rows_need_no_newer_operator_set() {
    let document = in_opset(&embedding(|_| "pooled"), 13);
    Trial::new(&document, &plain(Loss::BinaryCrossEntropy), vec![ids()], 3).agrees();
}

#[test]
fn gathering_along_any_axis_has_its_gradient() {
    for axis in [0, 1, -1] {
        for (dims, indices) in
            [(&[][..], &[1_i64][..]), (&[], &[-1]), (&[1], &[0]), (&[4], &[0, 1, 1, -1]), (&[2, 2], &[1, 0, 0, -2])]
        {
            // Not a table: something is computed before.
            let build = |graph: &mut GraphBuilder| {
                graph.whole_initializer("indices", dims, indices);
                graph.node("Tanh", &["a"], "t");
                graph.node_with("Gather", &["t", "indices"], "y", &[("axis", axis)]);
            };
            agrees(16, &[("a", &[2, 3, 4], uniform(&mut random(4), 24, -1.0, 1.0))], build);
        }
    }
}

#[test]
fn one_column_can_be_taken_in_an_old_operator_set() {
    let build = |graph: &mut GraphBuilder| {
        graph.whole_initializer("index", &[], &[-1]);
        graph.node_with("Gather", &["a", "index"], "y", &[("axis", 1)]);
    };
    agrees(13, &[("a", &[2, 3, 4], uniform(&mut random(5), 24, -1.0, 1.0))], build);
}

#[test]
fn gathering_elements_has_its_gradient() {
    let build = |graph: &mut GraphBuilder| {
        graph.whole_initializer("indices", &[2, 3], &[0, 1, -1, 3, 3, 0]);
        graph.node_of("GatherElements", &["a", "indices"], &["y"], &[("axis", Attribute::Int(1))]);
    };
    agrees(18, &[("a", &[2, 4], uniform(&mut random(6), 8, -1.0, 1.0))], build);
}
