//! What a checked pipeline is: its plans, and the names and shapes of its streams in the broker.
//!
//! ```text
//!   config: files ─▶ checked ─▶ Pipeline ─┬─ streams, tables, references      what is read and kept
//!                                         ├─ vector, model, score            what is answered
//!                                         ├─ labels, train                   what is learnt
//!                                         └─ output, state                   how it is committed and saved
//! ```
//!
//! A [`Pipeline`] that exists is valid: every name is resolved, every select planned, every contract and address parsed, and
//! nothing later checks it again. It is data: it opens nothing and runs nothing, so whether a broker, a bucket or a file is
//! there, and lets us in, shows only at the start. It cannot fail; `config` does, before there is one.

mod index;
mod kept;
mod label;
mod names;
mod pipeline;
mod reference;
mod score;
mod state;
mod stream;
mod streams;
mod subjects;
mod table;
mod train;

pub use index::{StreamIndex, TableIndex};
pub(crate) use kept::{EMITTED_AT, WINDOW_END, WINDOW_START, kept_schema};
pub(crate) use label::LabelPlan;
pub(crate) use names::ChosenNames;
pub use names::Names;
pub(crate) use names::{PRESENCE, STATUS, TRAINER, WORKER};
pub use pipeline::Pipeline;
pub(crate) use reference::{ReferencePlan, ReferenceSource};
pub(crate) use score::{ModelPlan, ScorePlan, Trigger};
pub(crate) use state::{OutputPlan, StatePlan};
pub(crate) use stream::StreamPlan;
pub(crate) use streams::{impressions_spec, reserved};
pub use streams::{input_spec, output_spec};
pub(crate) use subjects::concrete;
pub(crate) use table::{HistoryPlan, TablePlan};
pub(crate) use train::TrainPlan;
