//! One way through a graph that takes its weights as inputs.

use std::fmt;

use ort::{
    environment::Environment,
    session::{
        HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionOutputs, builder::GraphOptimizationLevel,
    },
    value::DynValue,
};

use crate::model::{
    Feed, ModelError,
    onnx::Document,
    runtime,
    session::{run_failed, view},
};

/// A session of which some outputs are wanted.
pub(super) struct Pass {
    session: Session,
    options: RunOptions<HasSelectedOutputs>,
}

/// The outputs of one run, in ONNX Runtime's memory until this is dropped.
pub(super) struct Outputs<'a> {
    outputs: SessionOutputs<'a>,
}

impl Pass {
    /// Opens a graph with `threads` threads inside one operator.
    pub(super) fn open<'a>(
        document: &Document,
        threads: usize,
        wanted: impl Iterator<Item = &'a str>,
    ) -> Result<Self, ModelError> {
        let environment = runtime::environment()?;
        let selector = wanted.fold(OutputSelector::no_default(), ort::session::OutputSelector::with);
        open(environment, &document.write(), threads.max(1), selector)
            .map_err(|error| ModelError::Load { reason: error.to_string() })
    }

    /// Runs the graph. Nothing is copied on the way in or out, and the feeds are free again afterwards.
    pub(super) fn run(&mut self, feeds: &[Feed<'_>]) -> Result<Outputs<'_>, ModelError> {
        let mut inputs = Vec::with_capacity(feeds.len());
        for feed in feeds {
            inputs.push((feed.input, view(feed).map_err(run_failed)?));
        }
        let outputs = self.session.run_with_options(inputs, &self.options).map_err(run_failed)?;
        Ok(Outputs { outputs })
    }
}

impl Outputs<'_> {
    /// The shape and values of a float32 output.
    pub(super) fn float32(&self, name: &str) -> Result<(&[i64], &[f32]), ModelError> {
        let (shape, values) = self.value(name)?.try_extract_tensor().map_err(run_failed)?;
        Ok((shape, values))
    }

    /// The values of an int64 output.
    pub(super) fn int64(&self, name: &str) -> Result<&[i64], ModelError> {
        Ok(self.value(name)?.try_extract_tensor().map_err(run_failed)?.1)
    }

    fn value(&self, name: &str) -> Result<&DynValue, ModelError> {
        self.outputs.get(name).ok_or_else(|| ModelError::Run { reason: format!("it gave no output {name:?}") })
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pass").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Builder errors carry the builder and cannot cross threads: `ort::Result` strips it.
fn open(environment: &Environment, bytes: &[u8], threads: usize, selector: OutputSelector) -> ort::Result<Pass> {
    let session = Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        // Steps share the machine with scoring: idle workers should sleep. With one thread it makes no difference.
        .with_intra_op_spinning(false)?
        // Keeps a plan for every batch size it has met, and saved nothing that could be measured on one size.
        .with_memory_pattern(false)?
        .commit_from_memory(bytes)?;
    Ok(Pass { session, options: RunOptions::new()?.with_outputs(selector) })
}
