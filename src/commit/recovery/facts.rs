//! What is known of the past before anything is claimed.

use crate::bus::{Bus, StoredMessage, StreamSequence};
use crate::commit::{CommitError, Head};
use crate::pipeline::{Pipeline, output_spec};

/// What the output stream and the snapshots say.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// The output stream's name.
    pub(super) stream: String,
    /// Where it ends; 0 where it never had a message.
    pub(super) last: StreamSequence,
    /// The newest message on the markers' subject.
    pub(super) newest: Option<StoredMessage>,
    /// What snapshots say of themselves, newest first.
    pub(super) heads: &'a [Head],
}

/// Reads as much as the decision needs: who begins anew need not know what was.
pub(super) async fn read<'a>(
    pipeline: &Pipeline,
    bus: &Bus,
    heads: &'a [Head],
    is_fresh: bool,
) -> Result<Facts<'a>, CommitError> {
    let stream = output_spec(pipeline).name;
    let last = bus.stream_state(&stream).await?.last;
    let newest = match is_fresh || last.0 == 0 {
        true => None,
        false => bus.last_message(&stream, &pipeline.names.commits()).await?,
    };
    Ok(Facts { stream, last, newest, heads })
}
