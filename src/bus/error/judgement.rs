//! Whose fault an error of the bus is, and what follows.

use super::BusError;
use crate::bus::sequence::StreamSequence;
use crate::fault::{Judged, Judgement};

impl Judged for BusError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::TimedOut { .. } => Judgement::PASSES,
            Self::JetStream { reason, .. } => of_jetstream(reason),
            Self::Connect { reason, .. } => of_connecting(reason),
            Self::Refused { code, .. } => of_answer(*code),
            Self::Fenced { expected, found, .. } => of_fence(*expected, *found),
            Self::Unacknowledged { .. } | Self::KeyChanged { .. } | Self::NoResponders { .. } => Judgement::OUTSIDE,
            Self::PastEnd { .. }
            | Self::Recreated { .. }
            | Self::Rewritten { .. }
            | Self::ObjectNotFound { .. }
            | Self::ObjectDamaged { .. }
            | Self::ObjectDigest { .. } => Judgement::DATA,
            Self::Credentials { .. }
            | Self::Tls { .. }
            | Self::TlsHalf { .. }
            | Self::InvalidSubject { .. }
            | Self::InvalidName { .. }
            | Self::StreamNotFound { .. }
            | Self::SourceNotFound { .. }
            | Self::NotReadable { .. }
            | Self::NoJetStream { .. }
            | Self::StreamDiffers { .. }
            | Self::NoRoom { .. }
            | Self::SubjectsOverlap { .. }
            | Self::TooLarge { .. }
            | Self::BatchRefused { .. }
            | Self::BucketTooLarge { .. }
            | Self::ObjectTooLarge { .. }
            | Self::Service { .. } => Judgement::OPERATOR,
            Self::InvalidHeader { .. } => Judgement::DEFECT,
            Self::Closed => Judgement::CRASH,
        }
    }
}

/// The server gave no answer, or nobody leads the stream: that passes once a leader is there again. The client says so in
/// its text only.
fn of_jetstream(reason: &str) -> Judgement {
    let has_no_leader = ["timed out", "temporarily unavailable"].iter().any(|text| reason.contains(text));
    if has_no_leader { Judgement::PASSES } else { Judgement::OUTSIDE }
}

/// Nobody answered, or whoever did wants another name, password or certificate.
fn of_connecting(reason: &str) -> Judgement {
    let is_refused = ["authorization violation", "TLS error"].iter().any(|text| reason.contains(text));
    if is_refused { Judgement::OPERATOR } else { Judgement::OUTSIDE }
}

/// As in HTTP: the question was wrong, whoever answers is broken, or whoever answers is busy.
fn of_answer(code: u16) -> Judgement {
    match code {
        400..=499 => Judgement::OPERATOR,
        500 => Judgement::DEFECT,
        _ => Judgement::OUTSIDE,
    }
}

/// The stream lost what was stored, or has another writer: two that start again and again would take turns.
fn of_fence(expected: StreamSequence, found: StreamSequence) -> Judgement {
    if found < expected { Judgement::DATA } else { Judgement::OPERATOR }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn jetstream(reason: &str) -> BusError {
        BusError::JetStream { action: "ask for", stream: "CLICKS".to_owned(), reason: reason.to_owned() }
    }

    fn connect(reason: &str) -> BusError {
        BusError::Connect { url: "nats://shop:4222".to_owned(), reason: reason.to_owned() }
    }

    fn refused(code: u16) -> BusError {
        BusError::Refused { subject: "score".to_owned(), code, message: String::new(), body: Bytes::new() }
    }

    fn fenced(expected: u64, found: u64) -> BusError {
        let [expected, found] = [expected, found].map(StreamSequence);
        BusError::Fenced { stream: "OUT".to_owned(), expected, found }
    }

    #[test]
    fn each_error_says_whose_it_is() {
        let stream = || "CLICKS".to_owned();
        for (error, judgement) in [
            (jetstream("request timed out"), Judgement::PASSES),
            (jetstream("JetStream system temporarily unavailable (10008)"), Judgement::PASSES),
            (jetstream("insufficient resources (10023)"), Judgement::OUTSIDE),
            (BusError::TimedOut { action: "flushing".to_owned(), after: Duration::from_secs(5) }, Judgement::PASSES),
            (connect("IO error: connection refused"), Judgement::OUTSIDE),
            (connect("timed out"), Judgement::OUTSIDE),
            (connect("authorization violation: nats: authorization violation"), Judgement::OPERATOR),
            (connect("TLS error"), Judgement::OPERATOR),
            (refused(400), Judgement::OPERATOR),
            (refused(422), Judgement::OPERATOR),
            (refused(500), Judgement::DEFECT),
            (refused(503), Judgement::OUTSIDE),
            (fenced(9, 4), Judgement::DATA),
            (fenced(4, 9), Judgement::OPERATOR),
            (BusError::NoResponders { subject: "score".to_owned() }, Judgement::OUTSIDE),
            (BusError::StreamNotFound { stream: stream() }, Judgement::OPERATOR),
            (BusError::NoRoom { stream: stream(), bytes: 1, reserved: Vec::new() }, Judgement::OPERATOR),
            (BusError::Recreated { stream: stream(), expected_micros: 1, found_micros: 2 }, Judgement::DATA),
            (BusError::InvalidHeader { header: "Nats-Msg-Id", value: "a\nb".to_owned() }, Judgement::DEFECT),
            (BusError::Closed, Judgement::CRASH),
        ] {
            assert_eq!(error.judgement(), judgement, "{error}");
        }
    }
}
