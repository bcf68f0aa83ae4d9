//! The door to ONNX Runtime: a loaded file, and runs of it on plain slices.

use std::{collections::BTreeMap, fmt, slice};

use ort::{
    logging::LogLevel,
    session::{
        HasSelectedOutputs, OutputSelector, RunOptions, Session as OrtSession, SessionInputValue,
        builder::GraphOptimizationLevel,
    },
    value::{Tensor, TensorElementType, TensorRef, ValueType},
};

use super::{
    Binding, Link, ModelError, ModelVersion, Scorer, Signature, fit, logit, mixing,
    onnx::{Document, class_labels},
    precision, runtime,
    signature::ElementType,
};

/// A model that was read, ready to be bound to a vector and opened in ONNX Runtime.
///
/// One per OS thread: load the file once for each thread that scores.
#[derive(Debug)]
pub struct Session {
    document: Document,
    threads: usize,
    signature: Signature,
    metadata: BTreeMap<String, String>,
    version: ModelVersion,
}

impl Session {
    /// A model from the bytes of an ONNX file, which `threads` threads run: one at least.
    ///
    /// # Errors
    /// When the bytes are no ONNX model, or one that is not accepted.
    pub fn from_bytes(bytes: &[u8], threads: usize) -> Result<Self, ModelError> {
        let document = Document::read(bytes)?;
        let mut signature = Signature::of(document.graph())?;
        // What is known of an output comes before what any node says.
        let known = signature.outputs.iter().filter_map(|output| class_labels(&document, &output.name));
        signature.classes = known.chain(std::mem::take(&mut signature.classes)).collect();
        let metadata = document.metadata();
        Ok(Self { document, threads: threads.max(1), signature, metadata, version: ModelVersion::of(bytes) })
    }

    /// The model's inputs and outputs.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The model's own key-value pairs; [`metadata`](super::metadata) has the keys that this program writes.
    #[cfg(test)]
    pub(super) fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Which file this is.
    #[must_use]
    pub fn version(&self) -> &ModelVersion {
        &self.version
    }

    /// Ties the model to a vector and an output, opens it, and runs it once on zeros.
    ///
    /// # Errors
    /// [`ModelError::InputsDoNotFit`], [`ModelError::OutputDoesNotFit`], [`ModelError::FingerprintDiffers`],
    /// [`ModelError::Load`] when ONNX Runtime refuses it, or what the run on zeros failed with.
    pub fn bind(mut self, binding: &Binding) -> Result<Scorer, ModelError> {
        let mut fit = fit::decide(&self.signature, &self.metadata, binding)?;
        let mixes = mixing::by_operator(self.document.graph(), &fit.output);
        let link = logit::expose(&mut self.document, &fit.output);
        precision::widen_inputs(&mut self.document, &mut fit.routes);
        let output = precision::float32_output(&mut self.document, &fit.output, fit.element);
        let session = open(runtime::environment()?, &self.document.write(), self.threads)
            .map_err(|error| ModelError::Load { reason: error.to_string() })?;
        let mut options = select(slice::from_ref(&output)).map_err(run_failed)?;
        // A row that the model fails on is told once, by whoever looks for it.
        options.set_log_level(LogLevel::Fatal).map_err(run_failed)?;
        let run = Run { session, options };
        let vector = (binding.columns.to_vec(), binding.inputs());
        Scorer::new(run, fit, vector, Facts { version: self.version, link, mixes })
    }
}

/// What is known of a model beside how it is run.
pub(super) struct Facts {
    pub(super) version: ModelVersion,
    pub(super) link: Link,
    /// The node that makes rows depend on their batch.
    pub(super) mixes: Option<String>,
}

/// A session of which one output is wanted.
pub(super) struct Run {
    session: OrtSession,
    options: RunOptions<HasSelectedOutputs>,
}

/// The values of one input for one run, borrowed for its duration.
#[derive(Debug, Clone, Copy)]
pub struct Feed<'a> {
    /// The input's name.
    pub input: &'a str,
    /// Its shape in this run.
    pub dims: &'a [usize],
    /// As many values as the product of `dims`.
    pub values: Values<'a>,
}

/// Row-major values.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// 32-bit floating point.
    Float32(&'a [f32]),
    /// 64-bit floating point.
    Float64(&'a [f64]),
    /// 64-bit integers.
    Int64(&'a [i64]),
    /// 32-bit integers.
    Int32(&'a [i32]),
    /// True or false.
    Bool(&'a [bool]),
    /// Texts.
    Text(&'a [String]),
}

impl Run {
    /// Runs the model and hands the shape and values of the output to `take`. Nothing is copied on the way in or out.
    pub(super) fn run<T>(
        &mut self,
        feeds: &[Feed<'_>],
        take: impl FnOnce(&[i64], &[f32]) -> T,
    ) -> Result<T, ModelError> {
        let mut inputs = Vec::with_capacity(feeds.len());
        for feed in feeds {
            inputs.push((feed.input, view(feed).map_err(run_failed)?));
        }
        let outputs = self.session.run_with_options(inputs, &self.options).map_err(run_failed)?;
        let output = outputs.values().next();
        let output = output.ok_or_else(|| ModelError::Run { reason: "it gave no output".to_owned() })?;
        let (shape, values) = output.try_extract_tensor::<f32>().map_err(run_failed)?;
        Ok(take(shape, values))
    }
}

/// A graph of which several outputs are wanted at once.
pub(super) struct Computation {
    session: OrtSession,
    options: RunOptions<HasSelectedOutputs>,
}

/// One output of a run of a [`Computation`], borrowed from ONNX Runtime.
#[derive(Debug)]
pub(super) struct Output<'a> {
    pub(super) element: ElementType,
    pub(super) dims: Vec<usize>,
    /// Row-major; `None` for elements of other types.
    pub(super) values: Option<Values<'a>>,
}

impl Computation {
    /// Opens a document as it is written, with `threads` threads inside one operator, for these outputs.
    pub(super) fn open(document: &Document, threads: usize, outputs: &[String]) -> Result<Self, ModelError> {
        let environment = runtime::environment()?;
        let refused = |error: ort::Error| ModelError::Load { reason: error.to_string() };
        let session = open(environment, &document.write(), threads.max(1)).map_err(refused)?;
        Ok(Self { session, options: select(outputs).map_err(refused)? })
    }

    /// Runs the graph and hands each output to `take` with its position in the order of
    /// [`open`](Self::open).
    pub(super) fn run(
        &mut self,
        feeds: &[Feed<'_>],
        mut take: impl FnMut(usize, Output<'_>) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let mut inputs = Vec::with_capacity(feeds.len());
        for feed in feeds {
            inputs.push((feed.input, view(feed).map_err(run_failed)?));
        }
        let outputs = self.session.run_with_options(inputs, &self.options).map_err(run_failed)?;
        for (position, value) in outputs.values().enumerate() {
            let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
                return Err(ModelError::Run { reason: format!("output {position} is not a tensor") });
            };
            let dims = shape.iter().map(|dim| *dim as usize).collect();
            let (element, values) = match ty {
                TensorElementType::Float32 => {
                    let (_, values) = value.try_extract_tensor::<f32>().map_err(run_failed)?;
                    (ElementType::Float32, Some(Values::Float32(values)))
                }
                TensorElementType::Int64 => {
                    let (_, values) = value.try_extract_tensor::<i64>().map_err(run_failed)?;
                    (ElementType::Int64, Some(Values::Int64(values)))
                }
                other => (element_of(*other), None),
            };
            take(position, Output { element, dims, values })?;
        }
        Ok(())
    }
}

/// The type of ONNX Runtime's, whose values are taken or not.
fn element_of(element: TensorElementType) -> ElementType {
    match element {
        TensorElementType::Bool => ElementType::Bool,
        TensorElementType::Int32 => ElementType::Int32,
        TensorElementType::Float64 => ElementType::Float64,
        TensorElementType::String => ElementType::Text,
        TensorElementType::Float16 => ElementType::Float16,
        TensorElementType::Bfloat16 => ElementType::Other("bfloat16"),
        _ => ElementType::Other("another type"),
    }
}

impl fmt::Debug for Computation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Computation").field("session", &self.session).finish_non_exhaustive()
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Run").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Builder errors carry the builder and cannot cross threads: `ort::Result` strips it.
fn open(environment: &ort::environment::Environment, bytes: &[u8], threads: usize) -> ort::Result<OrtSession> {
    OrtSession::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        // Batches are short and far apart: idle workers should sleep rather than spin.
        .with_intra_op_spinning(false)?
        // Plans memory for the shapes it has seen; the number of rows varies.
        .with_memory_pattern(false)?
        .commit_from_memory(bytes)
}

fn select(outputs: &[String]) -> ort::Result<RunOptions<HasSelectedOutputs>> {
    let selector = outputs.iter().fold(OutputSelector::no_default(), OutputSelector::with);
    Ok(RunOptions::new()?.with_outputs(selector))
}

pub(super) fn view<'a>(feed: &Feed<'a>) -> ort::Result<SessionInputValue<'a>> {
    Ok(match feed.values {
        Values::Float32(values) => TensorRef::from_array_view((feed.dims, values))?.into(),
        Values::Float64(values) => TensorRef::from_array_view((feed.dims, values))?.into(),
        Values::Int64(values) => TensorRef::from_array_view((feed.dims, values))?.into(),
        Values::Int32(values) => TensorRef::from_array_view((feed.dims, values))?.into(),
        Values::Bool(values) => TensorRef::from_array_view((feed.dims, values))?.into(),
        // Texts can't be borrowed.
        Values::Text(values) => Tensor::from_string_array((feed.dims, values))?.into(),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(super) fn run_failed(error: ort::Error) -> ModelError {
    ModelError::Run { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        metadata,
        onnx::{Dimension, GraphBuilder, proto::data_type::FLOAT},
    };

    fn doubling(operator: &str) -> Document {
        let mut graph = GraphBuilder::new("double");
        graph.input("x", FLOAT, &[Dimension::Named("rows"), Dimension::Fixed(1)]);
        graph.initializer("two", &[1], &[2.0]);
        graph.node(operator, &["x", "two"], "y");
        graph.output("y", FLOAT, &[Dimension::Named("rows"), Dimension::Fixed(1)]);
        Document::new(graph.finish())
    }

    #[test]
    fn a_model_loads_with_its_signature_metadata_and_version() {
        let mut document = doubling("Mul");
        document.set_metadata(metadata::KIND, "mine");
        let session = Session::from_bytes(&document.write(), 1).unwrap();
        assert_eq!(session.signature().to_string(), "x float32 [?, 1] -> y float32 [?, 1]");
        assert_eq!(session.metadata().get(metadata::KIND).map(String::as_str), Some("mine"));
        assert_eq!(*session.version(), ModelVersion::of(&document.write()));
    }

    #[test]
    fn an_operator_that_the_runtime_does_not_know_is_refused() {
        let binding = Binding { inputs: None, columns: &["a".to_owned()], fingerprint: None, output: None };
        let error = Session::from_bytes(&doubling("Dubble").write(), 1).unwrap().bind(&binding).unwrap_err();
        assert!(matches!(&error, ModelError::Load { reason } if reason.contains("Dubble")), "{error}");
    }
}
