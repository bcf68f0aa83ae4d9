//! The registry as the training thread asks it: again, while the broker does not answer.

use std::time::Duration;

use futures::TryFutureExt;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::bus::BusError;
use crate::engine::EngineError;
use crate::engine::patience::Patience;
use crate::engine::source::explain_registry;
use crate::fault::{Judged, Remedy};
use crate::registry::{Registry, RegistryError};

/// Before something is asked for a second time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Between two tries at most.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// For what can be done without.
const ONCE: Duration = Duration::from_secs(2);

/// What the client library says where nobody leads a stream, or the connection went in between.
const PASSING: [&str; 5] = [
    "no responders",
    "resource does not exist",
    "no stream found for given subject",
    "broken pipe",
    "the connection was down for too long",
];

/// What the server says, for as long as it is so, where there is no room: publishers wait for that a while, and then it is for
/// a person to mend.
const FULL: [&str; 2] = ["maximum", "insufficient"];

/// A registry, and how often it is asked.
pub(super) struct PatientRegistry {
    pub(super) registry: Registry,
    runtime: Handle,
    patience: Patience,
}

/// For as long as it takes, until told to stop.
pub(super) fn endless(stopping: CancellationToken) -> Patience {
    Patience { passes, first_wait: FIRST_WAIT, longest_wait: LONGEST_WAIT, most: None, stopping }
}

impl PatientRegistry {
    /// One that is asked from a thread outside of the runtime.
    pub(super) fn new(registry: Registry, runtime: Handle, stopping: CancellationToken) -> Self {
        Self { registry, runtime, patience: endless(stopping) }
    }

    /// Asks once and not for long, for what can be done without; whether it was done.
    pub(super) fn try_once<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> bool {
        let outcome = self.runtime.block_on(async { timeout(ONCE, work).await });
        matches!(outcome, Ok(Ok(_)))
    }

    /// Waits for an answer of the broker.
    ///
    /// # Errors
    /// What does not pass; after a stop, what does, too.
    pub(super) fn ask<T, E, F>(&self, action: &'static str, mut act: impl FnMut() -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, E>>,
        E: Into<EngineError>,
    {
        let act = || act().map_err(|error| explain_registry(error.into()));
        self.runtime.block_on(self.patience.insist(action, act))
    }
}

/// Whether the broker only did not answer, or had nobody who could. This waits for more than a start does: it can wait for as
/// long as it takes, and the next try finds out whether it was in vain.
fn passes(error: &EngineError) -> bool {
    match error {
        EngineError::Registry(RegistryError::Bus(BusError::JetStream { reason, .. })) => {
            error.remedy() == Remedy::Wait || PASSING.iter().any(|text| reason.contains(text))
        }
        // What is refused for good is refused at once, as a rule; the next try finds out.
        EngineError::Registry(RegistryError::Bus(BusError::Unacknowledged { tries, reason, .. })) => {
            *tries > 1 && !FULL.iter().any(|text| reason.contains(text))
        }
        error => error.remedy() == Remedy::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: &str) -> BusError {
        BusError::JetStream { action: "write to", stream: "OBJ_SHOP_MODELS".to_owned(), reason: reason.to_owned() }
    }

    fn unacknowledged(tries: u32, reason: &str) -> BusError {
        BusError::Unacknowledged {
            subject: "$O.SHOP_MODELS.C.a".to_owned(),
            message_id: None,
            tries,
            reason: reason.to_owned(),
            others: 0,
        }
    }

    #[test]
    fn a_broker_that_does_not_answer_is_waited_for_and_one_that_refuses_is_not() {
        let waited_for = [
            refused("timed out"),
            refused("JetStream system temporarily unavailable"),
            refused("no responders"),
            unacknowledged(5, "no answer"),
            unacknowledged(5, "JetStream system temporarily unavailable"),
            BusError::TimedOut { action: "an answer".to_owned(), after: FIRST_WAIT },
        ];
        for error in waited_for {
            let error = EngineError::from(RegistryError::from(error));
            assert!(passes(&error), "{error}");
        }
        let final_ones = [
            refused("maximum bytes exceeded"),
            refused("insufficient resources"),
            unacknowledged(1, "no answer"),
            unacknowledged(5, "maximum bytes exceeded"),
            unacknowledged(5, "insufficient storage resources available"),
            BusError::StreamNotFound { stream: "OBJ_SHOP_MODELS".to_owned() },
            BusError::Closed,
        ];
        for error in final_ones {
            let error = EngineError::from(RegistryError::from(error));
            assert!(!passes(&error), "{error}");
        }
        assert!(!passes(&EngineError::NoModel));
    }
}
