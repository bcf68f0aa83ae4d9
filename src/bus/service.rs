//! Services: requests come in through a bounded queue, replies go out, and NATS tools can see both.
//!
//! ```text
//!   request ──▶ endpoint ──▶ door ──▶ queue ──▶ whoever calls `next` ──▶ respond
//!                              └─ queue full: 503 "busy", at once
//! ```
//!
//! A reply is one message: one that is larger than the server takes becomes an error 413, which says both sizes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::service::{Request, Service, ServiceExt};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::select_all;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinSet;
use tracing::debug;

use super::bus::Bus;
use super::delivery::packed;
use super::error::BusError;
use super::refusal::{Refusal, ServiceError};
use super::replies::{ANSWERED, Replies};
use super::subject::Subject;
use crate::clock;

/// What a compressed request may unpack to. It is little, for that happens on a thread of the connection.
const MOST_REQUEST_BYTES: usize = 1 << 20;

/// No subject: what is sent there is refused by the client itself.
const NOWHERE: async_nats::Subject = async_nats::Subject::from_static("");

/// What to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// The service's name: letters, digits, `-` and `_`.
    pub name: String,
    /// Its version, as `1.2.3`.
    pub version: String,
    /// What it is for, in a sentence.
    pub description: String,
    /// Where it listens; at least one.
    pub endpoints: Vec<EndpointSpec>,
}

/// One subject that a service answers on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// The endpoint's name in statistics.
    pub name: String,
    /// Where requests come.
    pub subject: Subject,
}

/// A running service. Dropping it stops it; requests that wait are then never answered.
pub struct ServiceHandle {
    requests: mpsc::Receiver<ServiceRequest>,
    service: Option<Service>,
    replies: Arc<Replies>,
    /// The one task that puts requests into the queue or turns them away.
    door: JoinSet<()>,
}

/// A request that waits for its reply.
pub struct ServiceRequest {
    /// The request's bytes, unpacked where it came compressed.
    pub payload: Bytes,
    /// The endpoint's subject that it came by.
    pub subject: Subject,
    request: Request,
    client: async_nats::Client,
    arrived: Instant,
    /// What the server took in one message when the request came.
    most_bytes: usize,
    replies: Arc<Replies>,
}

impl Bus {
    /// Serves requests under a name that `nats micro ls` shows, with at most `queue` of them waiting to be taken.
    ///
    /// # Errors
    /// [`BusError::Service`] for a name or version that isn't valid.
    pub async fn serve(&self, spec: ServiceSpec, queue: usize) -> Result<ServiceHandle, BusError> {
        ServiceHandle::start(self, spec, queue).await
    }
}

impl ServiceHandle {
    async fn start(bus: &Bus, spec: ServiceSpec, queue: usize) -> Result<Self, BusError> {
        let refuse =
            |error: async_nats::Error| BusError::Service { name: spec.name.clone(), reason: error.to_string() };
        let service = bus
            .client()
            .service_builder()
            .description(&spec.description)
            .start(&spec.name, &spec.version)
            .await
            .map_err(refuse)?;
        let mut endpoints = Vec::with_capacity(spec.endpoints.len());
        for endpoint in &spec.endpoints {
            let builder = service.endpoint_builder().name(&endpoint.name);
            endpoints.push(builder.add(endpoint.subject.as_str()).await.map_err(refuse)?);
        }
        let (sender, requests) = mpsc::channel(queue.max(1));
        let mut door = JoinSet::new();
        let client = bus.client().clone();
        let replies = Arc::new(Replies::default());
        let counted = Arc::clone(&replies);
        door.spawn(async move {
            let mut arriving = select_all(endpoints);
            while let Some(request) = arriving.next().await {
                admit(request, &client, &counted, &sender).await;
            }
        });
        Ok(Self { requests, service: Some(service), replies, door })
    }

    /// The next request, or `None` once the service has stopped and the queue is empty. May be cancelled without losing a
    /// request.
    pub async fn next(&mut self) -> Option<ServiceRequest> {
        self.requests.recv().await
    }

    /// A request that is already waiting.
    pub fn next_ready(&mut self) -> Option<ServiceRequest> {
        self.requests.try_recv().ok()
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.requests.len()
    }

    /// What it has replied so far, those that were turned away included.
    pub(crate) fn replies(&self) -> Arc<Replies> {
        Arc::clone(&self.replies)
    }

    /// Takes no more requests; those in the queue can still be taken and answered.
    pub async fn stop(&mut self) {
        if let Some(service) = self.service.take()
            && let Err(error) = service.stop().await
        {
            debug!(%error, "the service was already stopped");
        }
        while self.door.join_next().await.is_some() {}
    }
}

impl ServiceRequest {
    /// For how long it has waited for its reply.
    pub(crate) fn waited(&self) -> Duration {
        self.arrived.elapsed()
    }

    /// The most bytes of a reply.
    pub(crate) fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    /// Answers the request: bytes, or an error that a NATS client sees by its headers and anybody by its body. Bytes that
    /// don't fit a message become an error 413 for the client.
    ///
    /// # Errors
    /// [`BusError::TooLarge`] when they didn't fit, [`BusError::Closed`].
    pub async fn respond(self, reply: Result<Bytes, ServiceError>) -> Result<(), BusError> {
        let limit = self.most_bytes;
        match reply {
            Ok(bytes) if bytes.len() > limit => {
                let (bytes, subject) = (bytes.len(), format!("whoever asked {}", self.subject));
                self.refuse(&ServiceError::too_large(bytes, limit)).await?;
                Err(BusError::TooLarge { subject, bytes, limit })
            }
            Ok(bytes) => {
                self.replies.note(ANSWERED, self.waited());
                self.request.respond(Ok(bytes)).await.map_err(|_| BusError::Closed)
            }
            Err(error) => self.refuse(&error).await,
        }
    }

    /// The client's own replies with an error have no body. So this one is sent beside it, and the client, which is then told of
    /// the error with nowhere to send it, counts it: statistics stay right.
    async fn refuse(mut self, error: &ServiceError) -> Result<(), BusError> {
        self.replies.note(error.code, self.waited());
        let Refusal { headers, body, counted } = error.refuse(&self.payload, self.most_bytes);
        let Some(reply) = self.request.message.reply.replace(NOWHERE) else { return Ok(()) };
        let sent = self.client.publish_with_headers(reply, headers, body).await;
        if self.request.respond(Err(counted)).await.is_ok() {
            debug!(subject = %self.subject, "the client has sent to no subject");
        }
        sent.map_err(|_| BusError::Closed)
    }
}

async fn admit(
    request: Request,
    client: &async_nats::Client,
    replies: &Arc<Replies>,
    queue: &mpsc::Sender<ServiceRequest>,
) {
    // Without a reply subject, nobody waits for an answer.
    if request.message.reply.is_none() {
        debug!(subject = %request.message.subject, "a message to a service that wants no reply is ignored");
        return;
    }
    let payload = request.message.payload.clone();
    let unpacked = packed(request.message.headers.as_ref()).map(|packed| packed.unpack(&payload, MOST_REQUEST_BYTES));
    let waiting = ServiceRequest {
        payload: unpacked.as_ref().map_or(&payload, |unpacked| unpacked.as_ref().unwrap_or(&payload)).clone(),
        subject: Subject::received(request.message.subject.clone()),
        request,
        client: client.clone(),
        arrived: clock::now(),
        most_bytes: client.max_payload(),
        replies: Arc::clone(replies),
    };
    if let Some(Err(flaw)) = unpacked {
        let error = ServiceError { code: 400, message: flaw.to_string() };
        if let Err(error) = waiting.respond(Err(error)).await {
            debug!(%error, "cannot say that a request can't be unpacked");
        }
        return;
    }
    let turned_away = match queue.try_send(waiting) {
        Ok(()) => return,
        Err(TrySendError::Full(request) | TrySendError::Closed(request)) => request,
    };
    if let Err(error) = turned_away.respond(Err(ServiceError::busy())).await {
        debug!(%error, "cannot say that we are busy");
    }
}

#[cfg(test)]
mod tests;
