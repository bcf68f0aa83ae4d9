//! TODO ('crate', 'pipeline').

mod pipeline;
mod streams;

pub use pipeline::{
    LabelPlan, ModelPlan, OutputPlan, Pipeline, ReferencePlan, ReferenceSource, ScorePlan, StatePlan, StreamPlan,
    TablePlan, TrainPlan, Trigger,
};
pub use streams::{examples_subject, input_spec, output_spec};
pub(crate) use streams::{impressions_spec, impressions_subject};
