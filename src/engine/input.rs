//! What comes to the step's thread, and the door by which others ask it.
//!
//! Four of these wait at most (`QUEUED_STEPS` in `start/`), each with the events of one step or with 64 requests. Then reading,
//! the service and whoever asks wait; the service's own queue fills, and who asks it is told that it is busy.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::bus::{Message, ServiceRequest};
use crate::commit::Save;
use crate::engine::EngineError;
use crate::pipeline::StreamIndex;
use crate::reference::ReferenceTable;
use crate::step::{Silence, StepView};

/// What the step's thread takes.
pub(crate) enum Input {
    Events {
        stream: StreamIndex,
        messages: Vec<Message>,
        /// Off while the outputs of these are known to be stored.
        emits: bool,
        /// Whether silence meant silence when they were first read; absent when they never were.
        is_present: Option<bool>,
    },
    /// Everything up to the marker has been read again.
    Replayed,
    Requests(Vec<ServiceRequest>),
    /// Nothing comes on the feedback's stream.
    Silence(Silence),
    /// A reference table has changed.
    Reference(Arc<ReferenceTable>),
    /// Tables that were made again beside the step are nearly where it is.
    Remade,
    /// A view of these tables as of now.
    View {
        tables: Vec<String>,
        reply: oneshot::Sender<Result<StepView, EngineError>>,
    },
    /// The sizes of the tables are wanted; told when they are there.
    Measure(oneshot::Sender<()>),
    /// The state as of now, to be stored.
    Save(Box<Save>),
}

/// Asks a running pipeline for views of its tables. It does not keep the pipeline running.
#[derive(Clone)]
pub struct Views(pub(crate) mpsc::WeakSender<Input>);

impl Views {
    /// A view of the named tables, as of the newest event. Unknown names are left out.
    ///
    /// # Errors
    /// When the pipeline has ended.
    pub async fn take(&self, tables: Vec<String>) -> Result<StepView, EngineError> {
        let (reply, answer) = oneshot::channel();
        let ended = |_| EngineError::Thread("step");
        let inputs = self.0.upgrade().ok_or(EngineError::Thread("step"))?;
        inputs.send(Input::View { tables, reply }).await.map_err(|_| EngineError::Thread("step"))?;
        drop(inputs);
        answer.await.map_err(ended)?
    }
}
