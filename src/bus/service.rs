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
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;
    use crate::bus::testing;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn spec() -> ServiceSpec {
        let endpoint =
            |name: &str, subject: &str| EndpointSpec { name: name.to_owned(), subject: Subject::new(subject).unwrap() };
        ServiceSpec {
            name: "recommend".to_owned(),
            version: "0.1.0".to_owned(),
            description: "ranks items".to_owned(),
            endpoints: vec![endpoint("score", "recommend.score"), endpoint("sql", "recommend.sql")],
        }
    }

    async fn ask(bus: &Bus, subject: &str, payload: &'static str) -> Result<Bytes, BusError> {
        bus.request(&Subject::new(subject).unwrap(), payload.into(), PATIENCE).await
    }

    #[tokio::test]
    async fn requests_to_every_endpoint_are_answered_and_errors_arrive_as_errors() {
        let (server, bus) = testing::server().await;
        let mut service = bus.serve(spec(), 8).await.unwrap();
        let serve = async {
            for _ in 0..2 {
                let request = service.next().await.unwrap();
                let reply = match request.subject.as_str() {
                    "recommend.score" => Ok(request.payload.clone()),
                    _ => Err(ServiceError { code: 400, message: "no such\r\ntable".to_owned() }),
                };
                request.respond(reply).await.unwrap();
            }
        };
        let asked = async { (ask(&bus, "recommend.score", "x").await, ask(&bus, "recommend.sql", "y").await) };
        let ((score, sql), ()) = tokio::join!(asked, serve);
        assert_eq!(&score.unwrap()[..], b"x");
        assert_eq!(sql.unwrap_err().to_string(), "recommend.sql answered 400: no such  table");
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_compressed_request_is_unpacked_and_one_that_can_t_be_is_told_so() {
        let (server, bus) = testing::server().await;
        let mut service = bus.serve(spec(), 8).await.unwrap();
        let serve = async {
            for _ in 0..2 {
                let request = service.next().await.unwrap();
                let payload = request.payload.clone();
                request.respond(Ok(payload.len().to_string().into())).await.unwrap();
            }
        };
        let pack = |bytes: usize| zstd::stream::encode_all(&vec![b' '; bytes][..], 3).unwrap();
        let ask = async |encoding: &str, payload: Vec<u8>| {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Content-Encoding", encoding);
            let asked = bus.client().request_with_headers("recommend.score", headers, payload.into());
            String::from_utf8(asked.await.unwrap().payload.to_vec()).unwrap()
        };
        let asked = async {
            let most = MOST_REQUEST_BYTES;
            [
                ask("zstd", pack(7)).await,
                ask("zstd", pack(most)).await,
                ask("zstd", pack(most + 1)).await,
                ask("br", vec![1]).await,
            ]
        };
        let (answers, ()) = tokio::join!(asked, serve);
        assert_eq!([answers[0].as_str(), answers[1].as_str()], ["7", "1048576"]);
        insta::assert_snapshot!(answers[2..].join("\n"), @r#"
        {"error":{"code":400,"message":"expected at most 1048576 bytes when unpacked, got more: send fewer events at once"}}
        {"error":{"code":400,"message":"content encoding \"br\" is not known: send gzip, zstd or snappy, or none"}}
        "#);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn an_error_has_a_body_and_is_counted_once() {
        let (server, bus) = testing::server().await;
        let mut service = bus.serve(spec(), 8).await.unwrap();
        let refuse = async {
            for code in [400, 422] {
                let error = ServiceError { code, message: "no such\nitem".to_owned() };
                service.next().await.unwrap().respond(Err(error)).await.unwrap();
            }
        };
        let asked = async {
            let payloads = [r#"{"request_id":"r1"}"#, "r2"];
            [ask(&bus, "recommend.score", payloads[0]).await, ask(&bus, "recommend.score", payloads[1]).await]
        };
        let (asked, ()) = tokio::join!(asked, refuse);
        let bodies = asked.map(|answer| match answer {
            Err(BusError::Refused { code, message, body, .. }) => {
                (code, message, String::from_utf8_lossy(&body).into_owned())
            }
            other => panic!("{other:?}"),
        });
        let [named, unnamed] = [",\"request_id\":\"r1\"", ""];
        let body = |code: u16, id: &str| format!(r#"{{"error":{{"code":{code},"message":"no such\nitem"{id}}}}}"#);
        let text = || "no such item".to_owned();
        assert_eq!(bodies, [(400, text(), body(400, named)), (422, text(), body(422, unnamed))]);

        let stats: Value = serde_json::from_slice(&ask(&bus, "$SRV.STATS.recommend", "").await.unwrap()).unwrap();
        let endpoints = stats["endpoints"].as_array().unwrap();
        let score = endpoints.iter().find(|endpoint| endpoint["name"] == "score").unwrap();
        let counted = ["num_requests", "num_errors", "last_error"].map(|name| score[name].clone());
        assert_eq!(counted, [Value::from(2), Value::from(2), Value::from("422:no such item")]);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_full_queue_answers_busy_at_once() {
        let (server, bus) = testing::server().await;
        let mut service = bus.serve(spec(), 1).await.unwrap();
        let mut asked: futures::stream::FuturesUnordered<_> =
            ["a", "b", "c"].into_iter().map(|payload| ask(&bus, "recommend.score", payload)).collect();
        // Nobody takes requests: one waits in the queue, the others are turned away.
        for _ in 0..2 {
            let error = asked.next().await.unwrap().unwrap_err();
            assert!(matches!(error, BusError::Refused { code: 503, .. }), "{error}");
        }
        let waiting = service.next().await.unwrap();
        waiting.respond(Ok("done".into())).await.unwrap();
        assert_eq!(&asked.next().await.unwrap().unwrap()[..], b"done");
        assert_eq!(service.replies().counts().codes, BTreeMap::from([(200, 1), (503, 2)]));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_reply_that_does_not_fit_becomes_an_error_for_both_sides() {
        let (server, bus) = testing::server().await;
        let mut service = bus.serve(spec(), 1).await.unwrap();
        let answer = async { service.next().await.unwrap().respond(Ok(vec![0; 2 << 20].into())).await };
        let (asked, answered) = tokio::join!(ask(&bus, "recommend.score", "a"), answer);
        insta::assert_snapshot!(asked.unwrap_err(), @"recommend.score answered 413: the reply has 2097152 bytes, and the server takes 1048576 in a message: ask for less at once, or raise `max_payload` of the server");
        assert!(matches!(answered, Err(BusError::TooLarge { bytes: 2_097_152, .. })), "{answered:?}");
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn the_largest_reply_arrives_and_one_byte_more_is_an_error_that_says_so() {
        let (server, bus) = testing::server_with("max_payload: 10000").await;
        let mut service = bus.serve(spec(), 1).await.unwrap();
        for (bytes, expected) in [(10_000, Ok(10_000)), (10_001, Err(413)), (10_000, Ok(10_000))] {
            let answer = async {
                let request = service.next().await.unwrap();
                assert_eq!(request.most_bytes(), 10_000);
                request.respond(Ok(vec![0; bytes].into())).await
            };
            let (asked, answered) = tokio::join!(ask(&bus, "recommend.score", "a"), answer);
            let found = asked.map(|reply| reply.len()).map_err(|error| match error {
                BusError::Refused { code, .. } => code,
                other => panic!("{other}"),
            });
            assert_eq!((found, answered.is_ok()), (expected, bytes == 10_000));
        }
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_long_text_of_an_error_is_cut_and_arrives() {
        let (server, bus) = testing::server_with("max_payload: 10000").await;
        let mut service = bus.serve(spec(), 1).await.unwrap();
        let error = ServiceError { code: 400, message: "ä".repeat(20_000) };
        let answer = async { service.next().await.unwrap().respond(Err(error)).await };
        let (asked, answered) = tokio::join!(ask(&bus, "recommend.score", "a"), answer);
        answered.unwrap();
        let Err(BusError::Refused { code: 400, message, .. }) = asked else { panic!("{asked:?}") };
        assert_eq!(message, format!("{}...", "ä".repeat(2_048)));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn tools_see_the_service_and_its_statistics() {
        let (server, bus) = testing::server().await;
        let mut service = bus.serve(spec(), 1).await.unwrap();
        let answer = async { service.next().await.unwrap().respond(Ok(Bytes::new())).await.unwrap() };
        let (asked, ()) = tokio::join!(ask(&bus, "recommend.score", "a"), answer);
        asked.unwrap();

        let ping: Value = serde_json::from_slice(&ask(&bus, "$SRV.PING", "").await.unwrap()).unwrap();
        assert_eq!(ping["name"], "recommend");
        let stats: Value = serde_json::from_slice(&ask(&bus, "$SRV.STATS.recommend", "").await.unwrap()).unwrap();
        let endpoints = stats["endpoints"].as_array().unwrap();
        let score = endpoints.iter().find(|endpoint| endpoint["name"] == "score").unwrap();
        assert_eq!((endpoints.len(), &score["num_requests"]), (2, &Value::from(1)));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_stopped_service_still_hands_out_what_waited() {
        let (server, bus) = testing::server().await;
        let mut service = bus.serve(spec(), 4).await.unwrap();
        let asked = ask(&bus, "recommend.score", "late");
        let serve = async {
            let first = service.next().await.unwrap();
            service.stop().await;
            first.respond(Ok("answered".into())).await.unwrap();
            assert!(service.next().await.is_none());
        };
        let (reply, ()) = tokio::join!(asked, serve);
        assert_eq!(&reply.unwrap()[..], b"answered");
        let error = ask(&bus, "recommend.score", "too late").await.unwrap_err();
        assert!(matches!(error, BusError::NoResponders { .. }), "{error}");
        server.stop().await.unwrap();
    }
}
