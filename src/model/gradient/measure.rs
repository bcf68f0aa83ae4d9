//! What every value of a graph looks like, found by running it.
//!
//! Exporters leave the shapes of intermediate values out. So every value is made an output, and ONNX Runtime computes
//! them all twice, from zeros, with two sizes for every dimension of the inputs that the file leaves open: a dimension
//! that is the same in both runs is fixed. Whole numbers that depend on shapes at most (axes, sizes, offsets of
//! slices) are read off on the way.
//!
//! Limits: a dimension whose size depends on the *values* of the inputs (`NonZero`, `Unique`) looks fixed, and a graph
//! that fails on zeros, or on batches of 3 and 5, can't be measured.

use std::collections::{HashMap, HashSet};

use super::{
    kind::{Dim, TensorKind},
    prune,
};
use crate::model::{
    ElementType, ModelError, TensorSpec,
    onnx::{
        Document,
        proto::{
            GraphProto, NodeProto, TensorProto, ValueInfoProto, data_type::INT64, tensor_shape_proto::dimension,
            type_proto,
        },
        whole_values,
    },
    session::{Computation, Feed, Output, Values},
    signature::Signature,
};

/// Tensors of whole numbers up to this many elements are read off.
const MAX_CONSTANT: usize = 64;
/// The largest input that is made up, in elements.
const MAX_INPUT: usize = 1 << 26;
/// Operators whose outputs may be something else than tensors: they are not looked at.
const NOT_TENSORS: [&str; 9] = [
    "SequenceAt",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceErase",
    "SequenceInsert",
    "SequenceMap",
    "SplitToSequence",
    "Optional",
    "ZipMap",
];

/// What is known of the values of a graph.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) kinds: HashMap<String, TensorKind>,
    /// Whole numbers that are the same whatever the inputs hold, row-major.
    pub(super) constants: HashMap<String, Vec<i64>>,
}

/// Measures every value of the document's graph.
///
/// # Errors
/// [`ModelError::NotMeasurable`] with what ONNX Runtime said.
pub(super) fn measure(document: &Document) -> Result<Measured, ModelError> {
    let graph = document.graph();
    let signature = Signature::of(graph)?;
    let steady = steady_values(graph);
    let values = values(graph);
    let mut open = document.clone();
    open.graph_mut().value_info.clear();
    open.graph_mut().output =
        values.iter().map(|name| ValueInfoProto { name: Some(name.clone()), ..Default::default() }).collect();
    let mut computation = Computation::open(&open, 1, &values)?;

    // Exporters give the same batch dimension a name of its own in each input, or give different ones no name: try
    // the finest distinction first.
    let mut refused = None;
    for same_size in [false, true] {
        let sizes = sizes(graph, &signature.inputs, same_size);
        let mut runs = Vec::with_capacity(2);
        for run in 0..2 {
            match run_on_zeros(&mut computation, &signature.inputs, &sizes, run) {
                Ok(run) => runs.push(run),
                Err(error) => refused = Some(error),
            }
        }
        if let [first, second] = &runs[..] {
            let mut measured = combine(graph, &values, &steady, first, second);
            for (input, sizes) in signature.inputs.iter().zip(&sizes) {
                measured.kinds.insert(input.name.clone(), TensorKind { element: input.element, dims: sizes.clone() });
            }
            return Ok(measured);
        }
    }
    let reason = refused.map_or_else(String::new, |error| error.to_string());
    Err(ModelError::NotMeasurable { reason })
}

/// One value of one run.
struct Seen {
    element: ElementType,
    dims: Vec<usize>,
    whole: Option<Vec<i64>>,
}

fn run_on_zeros(
    computation: &mut Computation,
    inputs: &[TensorSpec],
    sizes: &[Vec<Dim>],
    run: usize,
) -> Result<Vec<Seen>, ModelError> {
    let dims: Vec<Vec<usize>> = sizes.iter().map(|dims| dims.iter().map(|dim| dim.in_run(run)).collect()).collect();
    let elements = |dims: &Vec<usize>| dims.iter().fold(1, |product: usize, dim| product.saturating_mul(*dim));
    let largest = dims.iter().map(elements).max().unwrap_or(0);
    if largest > MAX_INPUT {
        return Err(ModelError::NotMeasurable { reason: format!("an input of {largest} elements is too large") });
    }
    let (floats, wholes) = (vec![0.0_f32; largest], vec![0_i64; largest]);
    let has = |element| inputs.iter().any(|input| input.element == element);
    let zeros = |element| if has(element) { largest } else { 0 };
    let (doubles, small) = (vec![0.0_f64; zeros(ElementType::Float64)], vec![0_i32; zeros(ElementType::Int32)]);
    let (flags, texts) = (vec![false; zeros(ElementType::Bool)], vec![String::new(); zeros(ElementType::Text)]);
    let mut feeds = Vec::with_capacity(inputs.len());
    for (input, dims) in inputs.iter().zip(&dims) {
        let elements = elements(dims);
        let values = match input.element {
            ElementType::Float32 => floats.get(..elements).map(Values::Float32),
            ElementType::Int64 => wholes.get(..elements).map(Values::Int64),
            ElementType::Float64 => doubles.get(..elements).map(Values::Float64),
            ElementType::Int32 => small.get(..elements).map(Values::Int32),
            ElementType::Bool => flags.get(..elements).map(Values::Bool),
            ElementType::Text => texts.get(..elements).map(Values::Text),
            other @ (ElementType::Float16 | ElementType::Other(_)) => {
                let reason = format!("input {:?} is {other}, which training does not give", input.name);
                return Err(ModelError::NotMeasurable { reason });
            }
        };
        feeds.extend(values.map(|values| Feed { input: &input.name, dims, values }));
    }
    let mut seen = Vec::new();
    computation.run(&feeds, |_, Output { element, dims, values }| {
        let whole = match values {
            Some(Values::Int64(values)) if values.len() <= MAX_CONSTANT => Some(values.to_vec()),
            _ => None,
        };
        seen.push(Seen { element, dims, whole });
        Ok(())
    })?;
    Ok(seen)
}

fn combine(graph: &GraphProto, values: &[String], steady: &HashSet<&str>, first: &[Seen], second: &[Seen]) -> Measured {
    let mut measured = Measured::default();
    for (name, (first, second)) in values.iter().zip(first.iter().zip(second)) {
        if first.dims.len() != second.dims.len() {
            continue;
        }
        let dims = first.dims.iter().zip(&second.dims).map(|(first, second)| Dim::measured(*first, *second));
        measured.kinds.insert(name.clone(), TensorKind { element: first.element, dims: dims.collect() });
        if let (Some(first), Some(second)) = (&first.whole, &second.whole)
            && first == second
            && steady.contains(name.as_str())
        {
            measured.constants.insert(name.clone(), first.clone());
        }
    }
    for tensor in &graph.initializer {
        let Ok(element) = ElementType::of(tensor.data_type()) else { continue };
        let dims = tensor.dims.iter().map(|dim| Dim::fixed(usize::try_from(*dim).unwrap_or(0))).collect();
        measured.kinds.insert(tensor.name().to_owned(), TensorKind { element, dims });
        if let Some(values) = whole_numbers(tensor) {
            measured.constants.insert(tensor.name().to_owned(), values);
        }
    }
    measured
}

/// The values of a small int64 tensor.
fn whole_numbers(tensor: &TensorProto) -> Option<Vec<i64>> {
    let elements = tensor.dims.iter().fold(1, |product: i64, dim| product.saturating_mul(*dim));
    if tensor.data_type() == INT64 && elements <= MAX_CONSTANT as i64 { whole_values(tensor) } else { None }
}

/// The values that nodes compute, as far as they are surely tensors.
fn values(graph: &GraphProto) -> Vec<String> {
    let tensors = graph.node.iter().filter(|node| !NOT_TENSORS.contains(&node.op_type()) && graphs_give_tensors(node));
    tensors.flat_map(|node| &node.output).filter(|name| !name.is_empty()).cloned().collect()
}

/// Whether the graphs inside a node, if there are any, declare that all their outputs are tensors.
fn graphs_give_tensors(node: &NodeProto) -> bool {
    let graphs =
        node.attribute.iter().flat_map(|attribute| attribute.g.as_deref().into_iter().chain(&attribute.graphs));
    let mut outputs = graphs.flat_map(|graph| &graph.output);
    outputs.all(|output| {
        let value = output.r#type.as_ref().and_then(|r#type| r#type.value.as_ref());
        matches!(value, Some(type_proto::Value::TensorType(_)))
    })
}

/// The values that do not depend on what the inputs hold, only on their shapes.
fn steady_values(graph: &GraphProto) -> HashSet<&str> {
    let mut unsteady: HashSet<&str> = graph.input.iter().map(ValueInfoProto::name).collect();
    let mut steady = HashSet::new();
    for node in &graph.node {
        let of_shape = matches!(node.op_type(), "Shape" | "Size");
        let random = node.op_type().starts_with("Random") || matches!(node.op_type(), "Bernoulli" | "Multinomial");
        let outputs = node.output.iter().map(String::as_str);
        if random || (!of_shape && reads_any(node, &unsteady)) {
            unsteady.extend(outputs);
        } else {
            steady.extend(outputs);
        }
    }
    steady
}

fn reads_any(node: &NodeProto, names: &HashSet<&str>) -> bool {
    prune::reads(node).iter().any(|name| names.contains(name))
}

/// The dimensions of every input: open ones get two different sizes, the same name the same sizes, and so do first
/// dimensions without regard to their names. With `same_size` all open dimensions are alike.
fn sizes(graph: &GraphProto, inputs: &[TensorSpec], same_size: bool) -> Vec<Vec<Dim>> {
    const BATCH: Dim = Dim::measured(3, 5);
    let mut named: HashMap<&str, Dim> = HashMap::new();
    let mut open = 0;
    let mut all = Vec::with_capacity(inputs.len());
    for input in inputs {
        let symbols = dimension_names(graph, &input.name);
        let mut dims = Vec::new();
        for (axis, size) in input.dims.iter().flatten().enumerate() {
            if let Some(size) = size {
                dims.push(Dim::fixed(usize::try_from(*size).unwrap_or(1)));
                continue;
            }
            let name = symbols.get(axis).copied().flatten();
            let known = name.and_then(|name| named.get(name).copied());
            let dim = match known {
                _ if same_size || axis == 0 => BATCH,
                Some(dim) => dim,
                None => {
                    open += 1;
                    Dim::measured(3 + open, 5 + 2 * open)
                }
            };
            if let Some(name) = name {
                named.entry(name).or_insert(dim);
            }
            dims.push(dim);
        }
        all.push(dims);
    }
    all
}

fn dimension_names<'a>(graph: &'a GraphProto, input: &str) -> Vec<Option<&'a str>> {
    let info = graph.input.iter().find(|info| info.name() == input);
    let value = info.and_then(|info| info.r#type.as_ref()).and_then(|r#type| r#type.value.as_ref());
    let Some(type_proto::Value::TensorType(tensor)) = value else { return Vec::new() };
    let name = |value: &'a Option<dimension::Value>| match value {
        Some(dimension::Value::DimParam(name)) if !name.is_empty() => Some(name.as_str()),
        _ => None,
    };
    tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dim| name(&dim.value)).collect()
}
