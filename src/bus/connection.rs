//! What is known about the connection: up, down or closed, and how often it came up.
//!
//! The client reconnects by itself, for ever. Readers need to know that it did (the server forgets their requests), and
//! publishers need to wait while it is down; both watch this.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Event;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::error::BusError;

/// Messages that wait for one subscriber before more are dropped. Readers and publishers ask for less than this at a time.
pub(super) const SUBSCRIPTION_MESSAGES: usize = 64 * 1024;

/// The client announces changes through a bounded queue and drops what doesn't fit; looking again now and then makes up.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A view of the connection's state; clones share it.
#[derive(Clone)]
pub(super) struct Connection {
    client: async_nats::Client,
    state: watch::Receiver<State>,
}

/// How the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Usable. `epoch` counts how often it came up, from 1.
    Up { epoch: u64 },
    /// Lost after `epoch`; the client is trying.
    Down { epoch: u64 },
    /// Closed by us; it will not come back.
    Closed,
}

/// Receives the client's events.
pub(super) struct Observer {
    state: watch::Sender<State>,
    dropped: AtomicU64,
}

impl Observer {
    pub(super) fn new() -> Self {
        Self { state: watch::Sender::new(State::Down { epoch: 0 }), dropped: AtomicU64::new(0) }
    }

    /// The view to be used once there is a client.
    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Takes note of an event; logs each change of state once.
    pub(super) fn observe(&self, event: &Event) {
        match event {
            Event::Connected => self.change(|state| match state {
                State::Down { epoch } => Some(State::Up { epoch: epoch + 1 }),
                State::Up { .. } | State::Closed => None,
            }),
            Event::Disconnected => self.change(|state| match state {
                State::Up { epoch } => Some(State::Down { epoch }),
                State::Down { .. } | State::Closed => None,
            }),
            Event::Closed => self.change(|state| (state != State::Closed).then_some(State::Closed)),
            Event::SlowConsumer(_) => {
                let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
                if dropped.is_power_of_two() {
                    warn!(dropped, "a subscription is full: messages are dropped");
                }
            }
            Event::ServerError(error) => warn!(%error, "the NATS server reports an error"),
            Event::ClientError(error) => debug!(%error, "the NATS client reports an error"),
            Event::LameDuckMode => info!("the NATS server is about to stop"),
            Event::Draining => debug!("draining the connection to NATS"),
        }
    }

    fn change(&self, next: impl Fn(State) -> Option<State>) {
        self.state.send_if_modified(|state| {
            let Some(changed) = next(*state) else { return false };
            match changed {
                State::Up { epoch: 1 } => debug!("connected to NATS"),
                State::Up { epoch } => info!(epoch, "connected to NATS again"),
                State::Down { .. } => warn!("connection to NATS lost: waiting for it to return"),
                State::Closed => debug!("connection to NATS closed"),
            }
            *state = changed;
            true
        });
    }
}

impl Connection {
    pub(super) fn new(client: async_nats::Client, state: watch::Receiver<State>) -> Self {
        Self { client, state }
    }

    /// How often the connection came up; a reader that knows another number has lost its requests.
    pub(super) fn epoch(&self) -> u64 {
        match *self.state.borrow() {
            State::Up { epoch } | State::Down { epoch } => epoch,
            State::Closed => u64::MAX,
        }
    }

    /// Waits until the connection can be used.
    ///
    /// # Errors
    /// [`BusError::Closed`] once it was closed.
    pub(super) async fn up(&mut self) -> Result<(), BusError> {
        loop {
            match *self.state.borrow_and_update() {
                State::Up { .. } => return Ok(()),
                State::Closed => return Err(BusError::Closed),
                State::Down { .. } => {}
            }
            if self.client.connection_state() == async_nats::connection::State::Connected {
                return Ok(());
            }
            if let Ok(changed) = tokio::time::timeout(LOOK_AGAIN, self.changed()).await {
                changed?;
            }
        }
    }

    /// Waits until the state has changed since it was last waited for.
    ///
    /// # Errors
    /// [`BusError::Closed`] when nobody reports changes any more.
    pub(super) async fn changed(&mut self) -> Result<(), BusError> {
        self.state.changed().await.map_err(|_| BusError::Closed)
    }

    /// Waits until the connection is closed.
    pub(super) async fn closed(&mut self) {
        // An error means that the observer is gone, which is as closed as can be.
        self.state.wait_for(|state| *state == State::Closed).await.ok();
    }
}
