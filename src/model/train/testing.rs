//! A small model with its gradient graph written by hand, and the same in plain float64 arithmetic.

use crate::model::{
    Binding, Signature,
    feeding::Feeding,
    fit::{self, Fit},
    gradient::{GradientForm, GradientGraph, Loss, Parameter, names},
    onnx::{
        Dimension::{self, Fixed, Named},
        Document, GraphBuilder,
        proto::data_type::{FLOAT, INT64},
    },
    optimiser::OptimizerSpec,
    train::TrainSettings,
};

/// Rows of the table.
pub(super) const ITEMS: usize = 6;
/// The vector: two numbers and an item.
pub(super) const COLUMNS: [&str; 3] = ["a", "b", "item"];

const BATCH: Dimension<'static> = Named("batch");

pub(super) fn settings(optimizer: OptimizerSpec) -> TrainSettings {
    TrainSettings {
        loss: Loss::BinaryCrossEntropy,
        optimizer,
        clip_norm: None,
        freeze: Vec::new(),
        unfreeze: Vec::new(),
        dropout: false,
        threads: 1,
        output: None,
        activation: None,
    }
}

/// `p = sigmoid(a × w[0] + b × w[1] + bias + table[item])`.
pub(super) fn document() -> Document {
    let mut graph = GraphBuilder::new("logistic");
    forward(&mut graph);
    graph.initializer("w", &[2, 1], &[0.5, -0.25]);
    graph.initializer("bias", &[1], &[0.125]);
    graph.initializer("table", &[ITEMS, 1], &[0.0, 0.5, -0.5, 0.25, -0.25, 1.0]);
    graph.output("p", FLOAT, &[BATCH, Fixed(1)]);
    let mut document = Document::new(graph.finish());
    document.set_metadata("made.by", "hand");
    document
}

/// What the gradient of [`document`] must give, with the table's by rows.
pub(super) fn gradient() -> GradientGraph {
    let mut graph = GraphBuilder::new("logistic.gradient");
    forward(&mut graph);
    graph.input(names::LABEL, FLOAT, &[BATCH, Fixed(1)]);
    graph.input(names::WEIGHT, FLOAT, &[BATCH]);
    graph.input(names::OFFSET, FLOAT, &[BATCH]);
    graph.input("w", FLOAT, &[Fixed(2), Fixed(1)]);
    graph.input("bias", FLOAT, &[Fixed(1)]);
    graph.input("table", FLOAT, &[Fixed(ITEMS as u32), Fixed(1)]);
    graph.initializer("one", &[1], &[1.0]);

    graph.node_with("Flatten", &[names::OFFSET], "offset", &[("axis", 1)]);
    graph.node_with("Flatten", &[names::WEIGHT], "weight", &[("axis", 1)]);
    graph.node_with("ReduceSum", &["weight"], "total", &[("keepdims", 0)]);
    graph.node("Div", &["weight", "total"], "share");
    graph.node("Add", &["z", "offset"], "shifted");
    graph.node("Sigmoid", &["shifted"], "q");
    graph.node("Sub", &["q", names::LABEL], "error");
    graph.node("Mul", &["error", "share"], "dz");
    graph.node_with("Gemm", &["x", "dz"], "w.gradient", &[("transA", 1)]);
    graph.node_with("ReduceSum", &["dz"], "bias.gradient", &[("keepdims", 0)]);
    graph.node("Identity", &["item"], "table.rows");
    graph.node("Identity", &["dz"], "table.values");

    // softplus(z) - y z, which is the loss of a logit z.
    graph.node("Softplus", &["shifted"], "softplus");
    graph.node("Mul", &[names::LABEL, "shifted"], "labelled");
    graph.node("Sub", &["softplus", "labelled"], "row.loss");
    graph.node("Mul", &["row.loss", "share"], "row.share");
    graph.node_with("ReduceSum", &["row.share"], names::LOSS, &[("keepdims", 0)]);
    for (output, element, dims) in [
        (names::LOSS, FLOAT, &[][..]),
        ("w.gradient", FLOAT, &[Fixed(2), Fixed(1)]),
        ("bias.gradient", FLOAT, &[]),
        ("table.rows", INT64, &[BATCH]),
        ("table.values", FLOAT, &[BATCH, Fixed(1)]),
    ] {
        graph.output(output, element, dims);
    }
    let dense = |name: &str, dims: &[usize]| {
        let gradient = GradientForm::Dense { output: format!("{name}.gradient") };
        Parameter { name: name.to_owned(), dims: dims.to_vec(), gradient }
    };
    let rows = GradientForm::Rows { rows: "table.rows".to_owned(), values: "table.values".to_owned() };
    let table = Parameter { name: "table".to_owned(), dims: vec![ITEMS, 1], gradient: rows };
    GradientGraph {
        document: Document::new(graph.finish()),
        parameters: vec![dense("w", &[2, 1]), dense("bias", &[1]), table],
        kept: Vec::new(),
        inputs: Signature::of(document().graph()).unwrap().inputs,
    }
}

/// How [`COLUMNS`] go into [`document`].
pub(super) fn fitted() -> Fit {
    let columns = COLUMNS.map(str::to_owned);
    let signature = Signature::of(document().graph()).unwrap();
    let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
    fit::decide(&signature, &document().metadata(), &binding).unwrap()
}

/// How its vectors go in.
pub(super) fn feeding() -> Feeding {
    Feeding::new(fitted().routes, &COLUMNS.map(str::to_owned), COLUMNS.len().into())
}

/// The same model in float64, trained by plain gradient descent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Naive {
    pub(super) w: [f64; 2],
    pub(super) bias: f64,
    pub(super) table: [f64; ITEMS],
}

/// One labelled row: a, b, item, label, weight, offset.
pub(super) type Row = ([f64; 2], usize, f64, f64, f64);

impl Naive {
    pub(super) fn new() -> Self {
        Self { w: [0.5, -0.25], bias: 0.125, table: [0.0, 0.5, -0.5, 0.25, -0.25, 1.0] }
    }

    pub(super) fn logit(&self, x: [f64; 2], item: usize) -> f64 {
        x[0] * self.w[0] + x[1] * self.w[1] + self.bias + self.table[item]
    }

    /// Returns the loss before the step and the length of the gradient.
    pub(super) fn step(&mut self, learning_rate: f64, clip: Option<f64>, rows: &[Row]) -> (f64, f64) {
        let total: f64 = rows.iter().map(|row| row.3).sum();
        let (mut loss, mut gradient) = (0.0, Self { w: [0.0; 2], bias: 0.0, table: [0.0; ITEMS] });
        for &(x, item, label, weight, offset) in rows {
            let p = 1.0 / (1.0 + (-self.logit(x, item) - offset).exp());
            loss -= weight / total * (label * p.ln() + (1.0 - label) * (1.0 - p).ln());
            let dz = weight / total * (p - label);
            gradient.w[0] += dz * x[0];
            gradient.w[1] += dz * x[1];
            gradient.bias += dz;
            gradient.table[item] += dz;
        }
        let all = || gradient.w.iter().chain([&gradient.bias]).chain(&gradient.table);
        let norm = all().map(|value| value * value).sum::<f64>().sqrt();
        let rate = learning_rate * clip.map_or(1.0, |clip| (clip / norm).min(1.0));
        let weights = self.w.iter_mut().chain([&mut self.bias]).chain(&mut self.table);
        for (weight, gradient) in weights.zip(all()) {
            *weight -= rate * gradient;
        }
        (loss, norm)
    }
}

fn forward(graph: &mut GraphBuilder) {
    graph.input("a", FLOAT, &[BATCH, Fixed(1)]);
    graph.input("b", FLOAT, &[BATCH, Fixed(1)]);
    graph.input("item", INT64, &[BATCH]);
    graph.node_with("Concat", &["a", "b"], "x", &[("axis", 1)]);
    graph.node("Gemm", &["x", "w", "bias"], "dense");
    graph.node("Gather", &["table", "item"], "looked_up");
    graph.node("Add", &["dense", "looked_up"], "z");
    graph.node("Sigmoid", &["z"], "p");
}
