//! The tasks that bring something from the broker to a thread: messages of a stream, and moves of the registry's pointer.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::EngineError;
use crate::bus::{BusError, Message, Reader, Revision, SourceChange, SourceStream, StreamSequence};
use crate::commit::{CommitError, OnLoss, Seen};
use crate::pipeline::StreamIndex;
use crate::registry::{Pointer, PointerWatch, Registry, RegistryError};

/// An input stream that is read in order. A message that is gone before it was read is an error, unless losses are accepted.
pub(super) struct Source {
    reader: Reader,
    stream: String,
    on_loss: OnLoss,
    /// Whether the stream is read from its beginning, wherever that is.
    is_fresh: bool,
    /// What was read and not handed on yet.
    rest: Vec<Message>,
    /// Of a stream that takes messages from others.
    aggregate: Option<Aggregate>,
}

/// What has to be known of a stream that takes messages from others.
pub(super) struct Aggregate {
    pub(super) stream: StreamIndex,
    /// Whether repeated events are found.
    pub(super) has_ids: bool,
    /// Up to here it is read for the first time, whatever has happened to it.
    pub(super) fresh_until: StreamSequence,
    pub(super) seen: Seen,
}

impl Source {
    pub(super) fn new(reader: Reader, stream: &str, on_loss: OnLoss, is_fresh: bool) -> Self {
        Self { reader, stream: stream.to_owned(), on_loss, is_fresh, rest: Vec::new(), aggregate: None }
    }

    /// Looks from which streams its own has the messages after this one, where those are the ones that are known.
    pub(super) fn watch(&mut self, aggregate: Aggregate, known: Vec<SourceStream>, after: StreamSequence) {
        self.reader.watch_sources(known, after);
        self.aggregate = Some(aggregate);
    }

    /// Whether a stream that its own takes messages from is another one by now.
    fn check_sources(&mut self) -> Result<(), CommitError> {
        let Some(Aggregate { stream, has_ids, fresh_until, seen }) = &self.aggregate else { return Ok(()) };
        if let Some(SourceChange { name, since }) = self.reader.take_source_change() {
            let again = CommitError::appended_again(&self.stream, &name, since);
            if self.on_loss == OnLoss::Stop && !has_ids && since > *fresh_until {
                return Err(again);
            }
            tracing::warn!(stream = self.stream, source = name, since = since.0, has_ids, "going on: {again}");
        }
        seen.note_sources(*stream, self.reader.sources());
        Ok(())
    }

    /// Where the next message is expected.
    pub(super) fn position(&self) -> StreamSequence {
        self.rest.first().map_or(self.reader.position(), |message| message.sequence)
    }

    /// The next messages; at least one. May be cancelled.
    async fn next_messages(&mut self) -> Result<Vec<Message>, EngineError> {
        if !self.rest.is_empty() {
            return Ok(std::mem::take(&mut self.rest));
        }
        let messages = self.reader.next_batch().await.map_err(|error| self.explain(error))?;
        if let Some(missing) = self.reader.take_missing() {
            let gone = CommitError::InputMissing {
                stream: self.stream.clone(),
                first: missing.first,
                count: missing.messages,
            };
            match self.on_loss {
                _ if self.is_fresh => {
                    tracing::info!(stream = self.stream, first = missing.last.0 + 1, "the stream begins here by now");
                }
                OnLoss::Stop => return Err(gone.into()),
                OnLoss::Accept => tracing::error!(error = %gone, "going on without them, as was asked for"),
            }
        }
        self.is_fresh = false;
        self.check_sources()?;
        Ok(messages)
    }

    /// Says what a person can choose where the stream is not the one that was read.
    fn explain(&self, error: BusError) -> EngineError {
        match error {
            BusError::PastEnd { .. } | BusError::Recreated { .. } | BusError::Rewritten { .. } => {
                CommitError::InputLost { stream: self.stream.clone(), what: error.to_string() }.into()
            }
            BusError::StreamNotFound { .. } => CommitError::InputLost {
                stream: self.stream.clone(),
                what: "the broker has no stream of this name any more".to_owned(),
            }
            .into(),
            error => error.into(),
        }
    }

    /// The next messages up to `until`; none when the next one is after it.
    pub(super) async fn next_until(&mut self, until: StreamSequence) -> Result<Vec<Message>, EngineError> {
        let (messages, rest) = split(self.next_messages().await?, until);
        self.rest = rest;
        Ok(messages)
    }
}

/// Something that gives batches of messages in their order; asking may be cancelled.
pub(super) trait Batches {
    /// The next one, of at least one message.
    fn next(&mut self) -> impl Future<Output = Result<Vec<Message>, EngineError>> + Send;
}

impl Batches for Source {
    async fn next(&mut self) -> Result<Vec<Message>, EngineError> {
        self.next_messages().await
    }
}

impl Batches for Reader {
    async fn next(&mut self) -> Result<Vec<Message>, EngineError> {
        Ok(self.next_batch().await?)
    }
}

/// Hands batches on until told to stop, or until nobody takes them any more.
pub(super) async fn hand_on<T>(
    mut batches: impl Batches,
    inputs: mpsc::Sender<T>,
    wrap: impl Fn(Vec<Message>) -> T,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    loop {
        let messages = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            messages = batches.next() => messages?,
        };
        if inputs.send(wrap(messages)).await.is_err() {
            return Ok(());
        }
    }
}

/// The moves of a registry's pointer after a known one, until told to stop.
pub(super) struct Moves {
    watch: PointerWatch,
    revision: Revision,
    stop: CancellationToken,
}

impl Moves {
    /// Watches for pointers newer than `known`.
    pub(super) async fn after(
        registry: &Registry,
        known: &Pointer,
        stop: CancellationToken,
    ) -> Result<Self, EngineError> {
        Ok(Self { watch: registry.watch().await?, revision: known.revision, stop })
    }

    /// The next one; nothing when told to stop.
    pub(super) async fn next(&mut self) -> Result<Option<Pointer>, EngineError> {
        loop {
            let pointer = tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                pointer = self.watch.next() => pointer.map_err(|error| explain_registry(error.into()))?,
            };
            if pointer.revision > self.revision {
                self.revision = pointer.revision;
                return Ok(Some(pointer));
            }
        }
    }
}

/// A registry that is gone went together with the streams, and this may be the first to notice.
pub(super) fn explain_registry(error: EngineError) -> EngineError {
    match error {
        EngineError::Registry(RegistryError::Bus(BusError::StreamNotFound { stream })) => {
            EngineError::RegistryGone { stream }
        }
        error => error,
    }
}

/// The messages up to a sequence, and those after it.
pub(crate) fn split(mut messages: Vec<Message>, until: StreamSequence) -> (Vec<Message>, Vec<Message>) {
    let count = messages.partition_point(|message| message.sequence <= until);
    let after = messages.split_off(count);
    (messages, after)
}
