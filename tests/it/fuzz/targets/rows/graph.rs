//! A small model: a table that ids are looked up in, weights on the other columns, a Sigmoid.

use tidewheel::model::onnx::proto::data_type::{FLOAT, INT64};
use tidewheel::model::onnx::{Dimension, Document, GraphBuilder};

use super::choices::Choices;

const BATCH: Dimension<'_> = Dimension::Named("batch");
const ONE: Dimension<'_> = Dimension::Fixed(1);

/// What a table may hold besides weights: the last are what no model should.
const ENTRIES: [f32; 8] = [0.5, -1.0, 2.0, 0.0, -0.25, 1e30, f32::INFINITY, f32::NAN];
const WEIGHTS: [f32; 6] = [0.01, -0.5, 1.0, 2.0, 1e-30, 3e4];
const OPERATORS: [Option<&str>; 10] = [
    None,
    None,
    None,
    Some("Tanh"),
    Some("Relu"),
    Some("Sqrt"),
    Some("Log"),
    Some("Reciprocal"),
    Some("Exp"),
    Some("Abs"),
];

/// A model's file, and whether its table is to be left as it is.
pub struct Graph {
    pub bytes: Vec<u8>,
    pub is_table_frozen: bool,
}

/// A model for a vector of the column `item`, where there is a table, and of so many others `f0`, `f1`, ... The names of all other
/// weights begin with `w.`.
pub fn graph(choices: &mut Choices<'_>, has_table: bool, features: usize) -> Graph {
    let mut graph = GraphBuilder::new("rows");
    let (mut parts, mut is_table_frozen) = (Vec::new(), false);
    let is_product = choices.byte() % 2 == 1;
    if has_table {
        let entries: Vec<f32> = (0..2 + choices.byte() % 5).map(|_| choices.of(&ENTRIES)).collect();
        is_table_frozen = entries.iter().any(|entry| !entry.is_finite());
        graph.input("item", INT64, if is_product { &[BATCH, ONE] } else { &[BATCH] });
        graph.initializer("table", &[entries.len()], &entries);
        graph.node("Gather", &["table", "item"], "known");
        parts.push("known".to_owned());
    }
    let names: Vec<String> = (0..features).map(|feature| format!("f{feature}")).collect();
    for name in &names {
        graph.input(name, FLOAT, if is_product { &[BATCH, ONE] } else { &[BATCH] });
    }
    let weights: Vec<f32> = names.iter().map(|_| choices.of(&WEIGHTS)).collect();
    let transformed: Vec<String> = names.iter().map(|name| transform(&mut graph, choices, name)).collect();
    if is_product && features > 0 {
        let inputs: Vec<&str> = transformed.iter().map(String::as_str).collect();
        graph.node_with("Concat", &inputs, "row", &[("axis", 1)]);
        graph.initializer("w.row", &[features, 1], &weights);
        graph.node("MatMul", &["row", "w.row"], "product");
        parts.push("product".to_owned());
    } else {
        for ((name, input), weight) in names.iter().zip(&transformed).zip(&weights) {
            graph.initializer(&format!("w.{name}"), &[1], &[*weight]);
            graph.node("Mul", &[input, &format!("w.{name}")], &format!("{name}.part"));
            parts.push(format!("{name}.part"));
        }
    }
    graph.initializer("w.bias", &[1], &[0.1]);
    let mut sum = "w.bias".to_owned();
    for (place, part) in parts.iter().enumerate() {
        let next = format!("sum{place}");
        graph.node("Add", &[part, &sum], &next);
        sum = next;
    }
    graph.node("Sigmoid", &[&sum], "score");
    graph.output("score", FLOAT, if is_product { &[BATCH, ONE] } else { &[BATCH] });
    Graph { bytes: Document::new(graph.finish()).write(), is_table_frozen }
}

/// The value of a column after an operator that may make it infinite or none.
fn transform(graph: &mut GraphBuilder, choices: &mut Choices<'_>, name: &str) -> String {
    let Some(operator) = choices.of(&OPERATORS) else { return name.to_owned() };
    let output = format!("{name}.{operator}");
    graph.node(operator, &[name], &output);
    output
}
