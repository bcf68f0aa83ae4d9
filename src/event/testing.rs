//! Messages and streams for the tests of this room.

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;

use super::payload::{Content, Payload};

/// The broker's time of every message here: 2026-01-01T00:00:00Z, in microseconds.
pub(super) const PUBLISHED: i64 = 1_767_225_600_000_000;

/// A message with events in it.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) payload: Bytes,
    pub(super) encoding: Encoding,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Encoding {
    Json,
    ArrowStream,
    OfStream,
}

impl<'a> From<&'a Message> for Payload<'a> {
    fn from(Message { payload, encoding }: &'a Message) -> Self {
        let content = match encoding {
            Encoding::Json => Content::Json(payload),
            Encoding::ArrowStream => Content::ArrowStream(payload),
            Encoding::OfStream => Content::OfStream(payload),
        };
        Self { content, published_micros: PUBLISHED }
    }
}

pub(super) fn json(payload: &str) -> Message {
    message(Bytes::copy_from_slice(payload.as_bytes()), Encoding::Json)
}

pub(super) fn arrow(batch: &RecordBatch) -> Message {
    message(stream(batch), Encoding::ArrowStream)
}

pub(super) fn message(payload: Bytes, encoding: Encoding) -> Message {
    Message { payload, encoding }
}

/// An Arrow IPC stream of one batch.
pub(super) fn stream(batch: &RecordBatch) -> Bytes {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).expect("a stream");
    writer.write(batch).expect("a batch is written");
    writer.into_inner().expect("a stream ends").into()
}

/// Whether `serde_json` takes a text for JSON that nobody reads: numbers of any size and halves of surrogate pairs are in it.
pub(super) fn is_json_by_its_grammar(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
