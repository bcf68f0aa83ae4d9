//! The whole way from a model's graph to its gradient graph.

use std::collections::HashSet;

use super::{
    context::Context,
    kind::TensorKind,
    loss, measure,
    path::{self, Path},
    prune, rules, score,
    spec::{GradientForm, GradientGraph, GradientSpec, Parameter, names},
};
use crate::model::{
    ElementType, ModelError,
    objective::ObjectiveError,
    onnx::{
        Document, all_names,
        proto::{
            GraphProto, TensorProto, ValueInfoProto,
            data_type::{FLOAT, INT64},
        },
        upgrade,
    },
    signature::{Signature, list},
};

/// What makes `Dropout` drop.
const DROPOUT_SWITCH: &str = "train.dropout";

/// Writes the graph that computes a model's loss and the gradient of its trainable initializers.
///
/// Trainable is every float32 initializer that is a weight by the [rule](super::weights) or is unfrozen, that is not frozen, and
/// that the prediction depends on through operators with a derivative. Values in `Constant` nodes are not.
///
/// The model is run on zeros for it, twice, and twice more where a score is made of the prediction.
///
/// # Errors
/// [`ModelError::NoGradient`] for an operator on the way that can't be differentiated, [`ModelError::NothingToTrain`],
/// [`ModelError::FreezeUnknown`], [`ModelError::Objective`], [`ModelError::LossDoesNotFit`], [`ModelError::NoPrediction`],
/// [`ModelError::Upgrade`], [`ModelError::NotMeasurable`], or what ONNX Runtime has against the model.
pub(crate) fn differentiate(document: &Document, spec: &GradientSpec) -> Result<GradientGraph, ModelError> {
    refuse_other_learners(document.graph())?;
    let inputs = Signature::of(document.graph())?.inputs;
    let prediction = prediction(document.graph(), spec)?;
    check_names(document.graph())?;
    let mut forward = document.clone();
    let graph = forward.graph_mut();
    // What the prediction does not need is in nobody's way.
    graph.node = prune::needed_for(std::mem::take(&mut graph.node), [prediction.as_str()]);
    let opset = upgrade(&mut forward)?;
    let graph = forward.graph_mut();
    rules::prepare_dropout(graph, spec.dropout, DROPOUT_SWITCH);
    graph.output.retain(|output| output.name() == prediction);
    graph.value_info.clear();

    let mut measured = measure::measure(&forward)?;
    let mut prediction = prediction;
    if let Some(score) = score::append(forward.graph_mut(), &prediction, measured.kinds.get(&prediction), spec) {
        measured = measure::measure(&forward)?;
        prediction = score;
    }
    let graph = forward.graph();
    let carries = |name: &str| match measured.kinds.get(name).map(|kind| kind.element) {
        Some(
            ElementType::Int64
            | ElementType::Int32
            | ElementType::Bool
            | ElementType::Text
            | ElementType::Other("another type"),
        ) => false,
        // What could not be measured might.
        Some(ElementType::Float32 | ElementType::Float64 | ElementType::Float16 | ElementType::Other(_)) | None => true,
    };
    let path = path::find(graph, &prediction, spec, carries)?;
    let tables = tables(graph, &path, &prediction);
    let (trainable, kept) = (path.trainable.clone(), path.kept.clone());
    let mut context = Context::new(graph, opset, measured, path, tables);
    loss::write(&mut context, &graph.node, &prediction, spec.loss)?;
    context.walk(|context, node, gradients| match rules::find(node) {
        Some(rule) => (rule.differentiate)(context, node, gradients),
        None => Err(context.refuse("there is no rule for it")),
    })?;
    let kind = context.kind(&prediction)?.clone();
    let parameters = take_parameters(&mut context, graph, &trainable)?;
    context.emit_as("Identity", &[&prediction], &[names::PREDICTION], &[]);

    let mut extra = loss::inputs(spec.loss, &kind);
    let mut outputs = vec![
        loss::declare(names::LOSS, FLOAT, &TensorKind::float(Vec::new())),
        loss::declare(names::PREDICTION, FLOAT, &kind),
    ];
    for parameter in &parameters {
        extra.push(declare_fixed(&parameter.name, &parameter.dims));
        match &parameter.gradient {
            GradientForm::Dense { output } => outputs.push(declare_fixed(output, &parameter.dims)),
            GradientForm::Rows { rows, values } => {
                outputs.push(crate::model::onnx::declaration(rows, INT64, None));
                outputs.push(crate::model::onnx::declaration(values, FLOAT, None));
            }
        }
    }
    assemble(&mut forward, context, extra, outputs);
    Ok(GradientGraph { document: forward, parameters, kept, inputs })
}

/// Models that are not made by gradients, and whose numbers are attributes: trees above all.
fn refuse_other_learners(graph: &GraphProto) -> Result<(), ModelError> {
    for node in &graph.node {
        let kind = match node.op_type() {
            operator if operator.starts_with("TreeEnsemble") => "trees",
            operator if operator.starts_with("SVM") => "support vector machines",
            "LinearClassifier" | "LinearRegressor" => "linear models of the operator set ai.onnx.ml",
            _ => continue,
        };
        let named = if node.name().is_empty() { node.output.first().map_or("", String::as_str) } else { node.name() };
        let (operator, node) = (node.op_type().to_owned(), named.to_owned());
        return Err(ObjectiveError::NotByGradients { kind, operator, node }.into());
    }
    Ok(())
}

/// The output to train.
fn prediction(graph: &GraphProto, spec: &GradientSpec) -> Result<String, ModelError> {
    let refuse = |reason: String| {
        let model = Signature::of(graph).map_or_else(|_| "others".to_owned(), |signature| list(&signature.outputs));
        Err(ModelError::NoPrediction { reason, model })
    };
    match (&spec.prediction, &graph.output[..]) {
        (Some(name), outputs) if outputs.iter().any(|output| output.name() == name) => Ok(name.clone()),
        (Some(name), _) => refuse(format!("there is no output {name:?}")),
        (None, [only]) => Ok(only.name().to_owned()),
        (None, _) => refuse("there is more than one output: name the one to train".to_owned()),
    }
}

fn check_names(graph: &GraphProto) -> Result<(), ModelError> {
    let mut all = HashSet::new();
    all_names(graph, &mut all);
    let taken = [names::LABEL, names::WEIGHT, names::OFFSET, names::LOSS, names::PREDICTION, DROPOUT_SWITCH];
    let is_taken = |name: &&String| taken.contains(&name.as_str()) || name.starts_with(names::SCORE);
    match all.iter().find(is_taken) {
        Some(name) => Err(ModelError::NameTaken { name: name.clone() }),
        None => Ok(()),
    }
}

/// The trainable initializers of which only rows are looked up.
fn tables(graph: &GraphProto, path: &Path, prediction: &str) -> Vec<String> {
    let only_looked_up = |table: &str| {
        let mut readers = graph.node.iter().filter(|node| prune::reads(node).contains(&table));
        readers.all(|node| rules::looks_up(node, table))
    };
    path.trainable.iter().filter(|name| *name != prediction && only_looked_up(name)).cloned().collect()
}

/// The gradients of the trainable initializers as outputs, each the output of a node and none twice.
fn take_parameters(
    context: &mut Context,
    graph: &GraphProto,
    trainable: &[String],
) -> Result<Vec<Parameter>, ModelError> {
    let mut parameters = Vec::with_capacity(trainable.len());
    let mut used: HashSet<String> = HashSet::new();
    let mut own = |context: &mut Context, value: String| {
        if context.is_emitted(&value) && used.insert(value.clone()) {
            return value;
        }
        let copy = context.emit("Identity", &[&value], &[]);
        used.insert(copy.clone());
        copy
    };
    for name in trainable {
        let tensor = graph.initializer.iter().find(|tensor| tensor.name() == name);
        let dims = tensor.map(|tensor| tensor.dims.iter().map(|dim| usize::try_from(*dim).unwrap_or(0)).collect());
        let gradient = if context.is_table(name) {
            context
                .take_rows(name)
                .map(|found| GradientForm::Rows { rows: own(context, found.rows), values: own(context, found.values) })
        } else {
            context.take_gradient(name).map(|output| GradientForm::Dense { output: own(context, output) })
        };
        match (dims, gradient) {
            (Some(dims), Some(gradient)) => parameters.push(Parameter { name: name.clone(), dims, gradient }),
            _ => return Err(context.refuse(&format!("no gradient reaches {name:?}"))),
        }
    }
    Ok(parameters)
}

/// Puts nodes, constants, inputs and outputs into the document, without what nothing needs.
fn assemble(document: &mut Document, context: Context, extra: Vec<ValueInfoProto>, outputs: Vec<ValueInfoProto>) {
    let written = context.finish();
    let graph = document.graph_mut();
    graph.node = prune::needed_for(written.nodes, outputs.iter().map(ValueInfoProto::name));
    graph.output = outputs;
    graph.initializer.extend(written.initializers);

    let replaced: HashSet<String> = extra.iter().map(|input| input.name().to_owned()).collect();
    graph.initializer.retain(|tensor| !replaced.contains(tensor.name()));
    // Older files list initializers as inputs, too; those that are not trained stay, after what must be given.
    let defaults: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
    let (optional, mut inputs): (Vec<_>, Vec<_>) = std::mem::take(&mut graph.input)
        .into_iter()
        .filter(|input| !replaced.contains(input.name()))
        .partition(|input| defaults.contains(input.name()));
    inputs.extend(extra);
    inputs.extend(optional);
    graph.input = inputs;
    let read: HashSet<String> = graph.node.iter().flat_map(prune::reads).map(str::to_owned).collect();
    let listed: HashSet<String> = graph.input.iter().map(|input| input.name().to_owned()).collect();
    graph.initializer.retain(|tensor| read.contains(tensor.name()) || listed.contains(tensor.name()));
}

fn declare_fixed(name: &str, dims: &[usize]) -> ValueInfoProto {
    let dims = dims.iter().map(|dim| super::kind::Dim::fixed(*dim)).collect();
    loss::declare(name, FLOAT, &TensorKind::float(dims))
}
