//! Which float32 initializers are weights, and which are constants that an exporter has written down as such.
//!
//! ```text
//!   initializer ──▶ Transpose, Reshape, Split, … ──▶ what reads it, and with what       ──▶ weight or constant
//!                   arithmetic among constants       beside what depends on the inputs
//! ```
//!
//! Use decides, not name. A weight is
//!
//! - an operand of a matrix product (`MatMul`, `Gemm`, `Einsum`, `LSTM`, `GRU`) and the bias that is added to one, of any size;
//! - the gain and the bias of a normalisation;
//! - a table that `Gather` looks up in at places that depend on the inputs: an embedding;
//! - a vector, with numbers along one axis only, that is multiplied, added or subtracted element by element;
//! - whatever an operator without a rule reads, if it has several numbers: training then refuses that operator by name.
//!
//! All else is a constant: a single number (a half, an epsilon, a scale of attention), an exponent, a bound, a divisor, a scale
//! of quantisation, a statistic of a layer or of the inputs, an initial state, a mask, and a table that is only added or multiplied element by element or
//! looked up at places that are always the same. What is both, because an exporter writes equal numbers once, is a constant.
//!
//! It does not look at what a weight does to the loss, and it cannot tell a learnt table of positions from a computed one:
//! settings name what the rule gets wrong.

use std::collections::{HashMap, HashSet};

use super::prune;
use crate::model::onnx::{
    float_values,
    proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto, data_type::FLOAT},
};

/// What the rule says of an initializer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Weight,
    /// What it is instead.
    Constant(&'static str),
}

/// Additive masks are at least so far below 0.
const MASKED: f32 = -1_000.0;

/// Operators whose first input passes through, in another shape or order.
const PASSING: [&str; 11] =
    ["Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split", "Expand", "Tile", "Cast"];
/// Operators that multiply by their operands.
const PRODUCTS: [&str; 5] = ["MatMul", "Gemm", "Einsum", "Conv", "ConvTranspose"];
/// Operators that are whole layers: their weights, gains and biases.
const LAYERS: [&str; 7] =
    ["LayerNormalization", "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LSTM", "GRU", "RNN"];
/// Operators that look up in their first input.
const LOOKUPS: [&str; 3] = ["Gather", "GatherElements", "GatherND"];

/// Who reads what in a graph, and what depends on its inputs.
pub(super) struct Uses<'a> {
    graph: &'a GraphProto,
    readers: HashMap<&'a str, Vec<Reader<'a>>>,
    makers: HashMap<&'a str, &'a NodeProto>,
    /// Values that depend on what the inputs hold, not only on their shapes.
    fed: HashSet<&'a str>,
}

/// A node that reads a value.
#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    node: &'a NodeProto,
    /// Among the node's inputs; `None` inside a graph of the node.
    position: Option<usize>,
}

/// How many numbers there are, and along how many axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    One,
    Vector,
    Table,
}

/// What was found on the ways from an initializer to its readers.
#[derive(Debug, Default)]
struct Found {
    is_looked_up: bool,
    is_weight: bool,
    /// By the initializer itself.
    constant: Option<&'static str>,
    /// By something computed from it.
    derived: Option<&'static str>,
}

impl<'a> Uses<'a> {
    pub(super) fn of(graph: &'a GraphProto) -> Self {
        let mut readers: HashMap<&str, Vec<Reader<'_>>> = HashMap::new();
        let mut makers = HashMap::new();
        let defaults: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
        let inputs = graph.input.iter().map(ValueInfoProto::name);
        let mut fed: HashSet<&str> = inputs.filter(|input| !defaults.contains(input)).collect();
        for node in &graph.node {
            for (position, input) in node.input.iter().enumerate() {
                readers.entry(input).or_default().push(Reader { node, position: Some(position) });
            }
            let reads = prune::reads(node);
            for inner in reads.iter().skip(node.input.len()) {
                readers.entry(inner).or_default().push(Reader { node, position: None });
            }
            let is_random = node.op_type().starts_with("Random") || node.op_type() == "Bernoulli";
            let of_shape = matches!(node.op_type(), "Shape" | "Size");
            if is_random || (!of_shape && reads.iter().any(|input| fed.contains(input))) {
                fed.extend(node.output.iter().map(String::as_str));
            }
            makers.extend(node.output.iter().map(|output| (output.as_str(), node)));
        }
        Self { graph, readers, makers, fed }
    }

    /// What the rule says of every float32 initializer, in the file's order.
    pub(super) fn roles(&self) -> impl Iterator<Item = (&'a TensorProto, Role)> {
        let floats = self.graph.initializer.iter().filter(|tensor| tensor.data_type() == FLOAT);
        floats.map(|tensor| (tensor, self.role(tensor)))
    }

    /// Whether a value comes straight from a product with numbers of the model, a bias aside: then it has no bounds.
    pub(super) fn is_linear(&self, value: &str) -> bool {
        self.comes_from_product(value, &mut HashSet::new())
    }

    fn role(&self, tensor: &'a TensorProto) -> Role {
        let extent = Extent::of(tensor);
        if extent != Extent::One && is_mask(&float_values(tensor)) {
            return Role::Constant("a mask");
        }
        let mut found = Found::default();
        self.follow(tensor.name(), extent, false, &mut found, &mut HashSet::new());
        match (found.constant, found.derived) {
            _ if found.is_looked_up => Role::Weight,
            (Some(what), _) => Role::Constant(what),
            (None, Some(what)) if !found.is_weight => Role::Constant(what),
            _ => Role::Weight,
        }
    }

    /// Looks at every reader of a value that depends on no input. `is_derived` is set behind arithmetic.
    fn follow(
        &self,
        value: &'a str,
        extent: Extent,
        is_derived: bool,
        found: &mut Found,
        seen: &mut HashSet<(&'a str, bool)>,
    ) {
        if !seen.insert((value, is_derived)) {
            return;
        }
        for reader in self.readers.get(value).into_iter().flatten() {
            match self.judge(*reader, extent) {
                Use::Weight => found.is_weight = true,
                Use::LookedUp => found.is_looked_up = true,
                Use::Constant(what) if is_derived => found.derived = found.derived.or(Some(what)),
                Use::Constant(what) => found.constant = found.constant.or(Some(what)),
                Use::Passes => {
                    // Of what is looked up at places that are always the same, nothing is told by its shape.
                    let is_looked_up = LOOKUPS.contains(&reader.node.op_type()) && extent != Extent::One;
                    let extent = if is_looked_up { Extent::Table } else { extent };
                    for output in &reader.node.output {
                        self.follow(output, extent, is_derived, found, seen);
                    }
                }
                Use::Computes => {
                    for output in &reader.node.output {
                        self.follow(output, extent, true, found, seen);
                    }
                }
            }
        }
    }

    fn judge(&self, reader: Reader<'a>, extent: Extent) -> Use {
        let Reader { node, position } = reader;
        let operator = node.op_type();
        let Some(position) = position else { return Use::unknown(extent) };
        if let Some(what) = constant_argument(operator, position) {
            return Use::Constant(what);
        }
        if operator == "Gemm" && position == 2 {
            return Use::Weight;
        }
        if PASSING.contains(&operator) && position == 0 {
            return Use::Passes;
        }
        if !self.is_fed(node) {
            let is_element_wise = matches!(operator, "Add" | "Sum" | "Sub" | "Mul" | "Div");
            return match operator {
                _ if LOOKUPS.contains(&operator) => Use::Passes,
                _ if is_element_wise && extent == Extent::One => Use::Constant("a single number"),
                _ => Use::Computes,
            };
        }
        match operator {
            _ if PRODUCTS.contains(&operator) => Use::Weight,
            _ if LOOKUPS.contains(&operator) && position == 0 => Use::LookedUp,
            _ if LAYERS.contains(&operator) => Use::Weight,
            "Add" | "Sum" if extent == Extent::One && self.shifts_product(node, position) => Use::Weight,
            "Sub" if position == 1 && self.is_standardised(node) => Use::Constant("a statistic"),
            "Add" | "Sub" | "Mul" if extent == Extent::Vector && self.prepares(node, position) => {
                Use::Constant("a statistic of the inputs")
            }
            "Sub" if position == 0 => Use::Constant("what is subtracted from"),
            "Add" | "Sum" | "Sub" | "Mul" => Use::element_wise(extent),
            "Div" if position == 1 => Use::Constant("a divisor"),
            "Div" => Use::Constant("a dividend"),
            "Pow" => Use::Constant("a base"),
            "Max" | "Min" | "Clip" => Use::Constant("a bound"),
            "Where" => Use::Constant("what fills a mask"),
            "Concat" => Use::Constant("joined to what is computed"),
            "Mean" => Use::Constant("averaged with what is computed"),
            _ => Use::unknown(extent),
        }
    }

    fn is_fed(&self, node: &NodeProto) -> bool {
        node.output.iter().any(|output| self.fed.contains(output.as_str()))
    }

    /// Whether what the node adds to the operand at this position is a product: then that is its bias.
    fn shifts_product(&self, node: &NodeProto, position: usize) -> bool {
        let mut others = node.input.iter().enumerate().filter(|(other, _)| *other != position);
        others.any(|(_, other)| self.is_linear(other))
    }

    fn comes_from_product<'b>(&'b self, value: &'b str, seen: &mut HashSet<&'b str>) -> bool {
        let Some(node) = self.makers.get(value).filter(|_| seen.insert(value)) else { return false };
        let operator = node.op_type();
        if PRODUCTS.contains(&operator) {
            return node.input.iter().any(|input| !input.is_empty() && !self.fed.contains(input.as_str()));
        }
        let looked_through = match operator {
            "Add" | "Sum" | "Sub" => node.input.len(),
            "Dropout" => 1,
            _ if PASSING.contains(&operator) => 1,
            _ => 0,
        };
        node.input.iter().take(looked_through).any(|input| self.comes_from_product(input, seen))
    }

    /// Whether a node shifts the inputs as they came, or scales inputs that are shifted before or after: that is how inputs are
    /// standardised. Scaled only, they may be the terms of a linear model.
    fn prepares(&self, node: &NodeProto, position: usize) -> bool {
        let mut others = node.input.iter().enumerate().filter(|(other, _)| *other != position);
        let Some(prepared) = others.next().and_then(|(_, other)| self.steps_from_input(other, 0)) else { return false };
        let readers = node.output.iter().filter_map(|output| self.readers.get(output.as_str())).flatten();
        let mut shifts = readers.filter(|reader| matches!(reader.node.op_type(), "Add" | "Sub"));
        let is_shifted = shifts.any(|reader| reader.node.input.iter().any(|input| !self.fed.contains(input.as_str())));
        node.op_type() != "Mul" || prepared > 0 || is_shifted
    }

    /// How often what an input holds was shifted or scaled by constants to become this value; `None` where it became something
    /// else.
    fn steps_from_input(&self, value: &str, steps: usize) -> Option<usize> {
        const MOST: usize = 8;
        if !self.fed.contains(value) || steps > MOST {
            return None;
        }
        let Some(node) = self.makers.get(value) else { return Some(steps) };
        let operator = node.op_type();
        if PASSING.contains(&operator) || operator == "Gather" {
            return self.steps_from_input(node.input.first()?, steps);
        }
        let mut fed = node.input.iter().filter(|input| self.fed.contains(input.as_str()));
        let (only, others) = (fed.next()?, fed.count());
        let is_step = matches!(operator, "Add" | "Sub" | "Mul" | "Div") && others == 0;
        if is_step { self.steps_from_input(only, steps + 1) } else { None }
    }

    /// Whether the difference that a node computes is divided by something that depends on no input: then it was a mean that
    /// was subtracted.
    fn is_standardised(&self, node: &NodeProto) -> bool {
        let readers = node.output.iter().filter_map(|output| self.readers.get(output.as_str())).flatten();
        let mut divisions = readers.filter(|reader| reader.node.op_type() == "Div" && reader.position == Some(0));
        divisions.any(|reader| reader.node.input.get(1).is_some_and(|divisor| !self.fed.contains(divisor.as_str())))
    }
}

/// How a node uses what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Weight,
    LookedUp,
    Constant(&'static str),
    /// It gives the same numbers on.
    Passes,
    /// It computes other constants from it.
    Computes,
}

impl Use {
    fn element_wise(extent: Extent) -> Self {
        match extent {
            Extent::One => Self::Constant("a single number"),
            Extent::Vector => Self::Weight,
            Extent::Table => Self::Constant("a table that is not looked up in"),
        }
    }

    /// By an operator of which nothing is known.
    fn unknown(extent: Extent) -> Self {
        if extent == Extent::One { Self::Constant("a single number") } else { Self::Weight }
    }
}

impl Extent {
    fn of(tensor: &TensorProto) -> Self {
        match tensor.dims.iter().filter(|dim| **dim != 1).count() {
            0 => Self::One,
            1 => Self::Vector,
            _ => Self::Table,
        }
    }
}

/// What the input of an operator at this position is, where that alone decides.
fn constant_argument(operator: &str, position: usize) -> Option<&'static str> {
    match (operator, position) {
        ("Pow", 1) => Some("an exponent"),
        ("Clip", 1 | 2) => Some("a bound"),
        ("BatchNormalization", 3 | 4) => Some("a statistic"),
        ("LSTM", 5 | 6) | ("GRU" | "RNN", 5) => Some("an initial state"),
        ("Dropout", 1) => Some("a share to drop"),
        ("QuantizeLinear" | "DequantizeLinear", 1..) | ("MatMulNBits", 2..) => Some("a scale of quantisation"),
        (operator, _) if operator.starts_with("QLinear") || operator.starts_with("QGemm") => {
            Some("a scale of quantisation")
        }
        ("OneHot" | "Pad" | "Resize" | "Upsample", 1..) | ("Range", _) => Some("an argument of an operator"),
        _ => None,
    }
}

/// Zeros and ones, or zeros and numbers that are far below: both occur.
fn is_mask(values: &[f32]) -> bool {
    let all_zero_or = |other: fn(f32) -> bool| {
        let others = values.iter().filter(|value| other(**value)).count();
        let zeros = values.iter().filter(|value| **value == 0.0).count();
        zeros > 0 && others > 0 && zeros + others == values.len()
    };
    all_zero_or(|value| value.to_bits() == 1.0_f32.to_bits()) || all_zero_or(|value| value <= MASKED)
}
