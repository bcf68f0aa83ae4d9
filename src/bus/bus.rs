//! A connection to a NATS server and the small things one can do with it directly; what makes more of it is `impl Bus` beside
//! what it makes.

use std::sync::Arc;
use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::jetstream;
use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE};
use bytes::Bytes;
use tracing::info;

use super::api::JetStreamApi;
use super::connection::{Connection, Observer, SUBSCRIPTION_MESSAGES};
use super::error::BusError;
use super::settings::ConnectSettings;
use super::subject::Subject;

/// How long the server may take for an answer about streams.
const API_TIMEOUT: Duration = Duration::from_secs(5);

/// How long sending what is buffered may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to a NATS server; clones share it.
#[derive(Clone)]
pub struct Bus {
    client: async_nats::Client,
    jetstream: jetstream::Context,
    /// Which JetStream that is.
    api: JetStreamApi,
    connection: Connection,
}

impl Bus {
    /// Connects, once: an address where nobody answers is an error. Afterwards the connection heals by itself.
    ///
    /// # Errors
    /// [`BusError::Connect`], or what [`ConnectSettings`] says about its files.
    pub async fn connect(settings: &ConnectSettings) -> Result<Self, BusError> {
        choose_cryptography();
        let refuse = |reason: String| BusError::Connect { url: settings.shown_url(), reason };
        let observer = Arc::new(Observer::new());
        let watch = observer.watch();
        let options =
            settings.to_options().await?.subscription_capacity(SUBSCRIPTION_MESSAGES).event_callback(move |event| {
                observer.observe(&event);
                std::future::ready(())
            });
        let client = options.connect(settings.addresses()).await.map_err(|error| refuse(error.to_string()))?;
        let server = client.server_info();
        info!(url = settings.shown_url(), version = server.version, "connected to NATS");
        let jetstream = jetstream::ContextBuilder::new().timeout(API_TIMEOUT).build(client.clone());
        let connection = Connection::new(client.clone(), watch);
        Ok(Self { client, jetstream, api: JetStreamApi::Own, connection })
    }

    /// The same connection, asking another JetStream about streams.
    #[must_use]
    pub(crate) fn at(&self, api: &JetStreamApi) -> Self {
        if *api == self.api {
            return self.clone();
        }
        let builder = jetstream::ContextBuilder::new().timeout(API_TIMEOUT).api_prefix(api.prefix());
        Self { jetstream: builder.build(self.client.clone()), api: api.clone(), ..self.clone() }
    }

    /// Sends without asking whether anybody got it.
    ///
    /// # Errors
    /// [`BusError::TooLarge`], or [`BusError::Closed`].
    #[cfg(test)]
    pub(super) async fn publish_plain(&self, subject: &Subject, payload: Bytes) -> Result<(), BusError> {
        self.check_size(subject, payload.len())?;
        self.client.publish(subject.to_client(), payload).await.map_err(|_| BusError::Closed)
    }

    /// Asks whoever serves the subject and waits for one answer.
    ///
    /// # Errors
    /// [`BusError::NoResponders`], [`BusError::TimedOut`], [`BusError::TooLarge`], or [`BusError::Refused`] when a service
    /// answered with an error.
    pub async fn request(&self, subject: &Subject, payload: Bytes, timeout: Duration) -> Result<Bytes, BusError> {
        self.check_size(subject, payload.len())?;
        let request = Request::new().payload(payload).timeout(Some(timeout));
        let answer =
            self.client.send_request(subject.to_client(), request).await.map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => BusError::NoResponders { subject: subject.to_string() },
                RequestErrorKind::TimedOut => {
                    BusError::TimedOut { action: format!("an answer on {subject}"), after: timeout }
                }
                _ => BusError::Closed,
            })?;
        match refusal(subject, &answer) {
            Some(refused) => Err(refused),
            None => Ok(answer.payload),
        }
    }

    /// Hands everything that was sent to the operating system.
    ///
    /// # Errors
    /// [`BusError::TimedOut`] while the connection is down, [`BusError::Closed`] when it is closed.
    pub async fn flush(&self) -> Result<(), BusError> {
        match tokio::time::timeout(FLUSH_TIMEOUT, self.client.flush()).await {
            Ok(flushed) => flushed.map_err(|_| BusError::Closed),
            Err(_) => Err(BusError::TimedOut { action: "flushing".to_owned(), after: FLUSH_TIMEOUT }),
        }
    }

    /// Ends all subscriptions and services, sends what is buffered, and closes the connection for all clones.
    ///
    /// # Errors
    /// [`BusError::TimedOut`] when the connection is down; what was buffered is lost then.
    pub async fn close(mut self) -> Result<(), BusError> {
        if self.client.drain().await.is_err() {
            return Ok(());
        }
        match tokio::time::timeout(FLUSH_TIMEOUT, self.connection.closed()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(BusError::TimedOut { action: "closing".to_owned(), after: FLUSH_TIMEOUT }),
        }
    }

    pub(super) fn client(&self) -> &async_nats::Client {
        &self.client
    }

    pub(super) fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }

    pub(super) fn api(&self) -> &JetStreamApi {
        &self.api
    }

    pub(super) fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// Refuses what the server would cut the connection for.
    pub(super) fn check_size(&self, subject: &Subject, bytes: usize) -> Result<(), BusError> {
        let limit = self.client.max_payload();
        if bytes > limit {
            return Err(BusError::TooLarge { subject: subject.to_string(), bytes, limit });
        }
        Ok(())
    }
}

/// The error in an answer's headers, if a service answered with one.
fn refusal(subject: &Subject, answer: &async_nats::Message) -> Option<BusError> {
    let headers = answer.headers.as_ref()?;
    let code = headers.get(NATS_SERVICE_ERROR_CODE)?.as_str().parse().unwrap_or(500);
    let message = headers.get(NATS_SERVICE_ERROR).map_or_else(String::new, |message| message.as_str().to_owned());
    Some(BusError::Refused { subject: subject.to_string(), code, message, body: answer.payload.clone() })
}

/// TLS has two implementations of its cryptography in this program, one by NATS and one by the storage of Delta tables, and
/// refuses to choose, by a panic on the first connection. An error means that somebody chose before us.
fn choose_cryptography() {
    async_nats::rustls::crypto::ring::default_provider().install_default().ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{TlsSettings, testing};

    #[tokio::test]
    async fn an_address_where_nobody_answers_is_an_error() {
        let error = Bus::connect(&ConnectSettings::to_url("nats://127.0.0.1:1")).await.err().unwrap();
        assert!(matches!(error, BusError::Connect { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_server_without_tls_is_refused_when_tls_was_asked_for() {
        let (server, bus) = testing::server().await;
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, testing::CERTIFICATE).unwrap();
        let settings = ConnectSettings {
            tls: TlsSettings { ca: Some(ca), ..TlsSettings::default() },
            ..ConnectSettings::to_url(server.url())
        };
        let error = Bus::connect(&settings).await.err().unwrap();
        assert!(matches!(error, BusError::Connect { .. }), "{error}");
        bus.close().await.unwrap();
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_plain_message_reaches_a_subscriber_and_one_that_is_too_large_is_refused() {
        let (server, bus) = testing::server().await;
        let subject = Subject::new("shop.clicks").unwrap();
        let mut heard = bus.subscribe(&Subject::new("shop.>").unwrap()).await.unwrap();
        bus.publish_plain(&subject, Bytes::from_static(b"hello")).await.unwrap();
        let received = heard.next().await.unwrap();
        assert_eq!((received.subject.as_str(), &received.payload[..]), ("shop.clicks", &b"hello"[..]));

        let large = Bytes::from(vec![0; 2 << 20]);
        let error = bus.publish_plain(&subject, large).await.unwrap_err();
        assert!(matches!(error, BusError::TooLarge { limit: 1_048_576, .. }), "{error}");
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn asking_where_nobody_serves_is_said_at_once() {
        let (server, bus) = testing::server().await;
        let subject = Subject::new("nobody.here").unwrap();
        let error = bus.request(&subject, Bytes::new(), Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(error, BusError::NoResponders { .. }), "{error}");
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_closed_connection_says_that_it_is_closed() {
        let (server, bus) = testing::server().await;
        let clone = bus.clone();
        bus.close().await.unwrap();
        let error = clone.publish_plain(&Subject::new("a").unwrap(), Bytes::new()).await.unwrap_err();
        assert!(matches!(error, BusError::Closed), "{error}");
        server.stop().await.unwrap();
    }
}
