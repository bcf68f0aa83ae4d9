//! How large a message may be: a fact of the server that the connection goes to, and of streams.

use super::outgoing::Outgoing;

/// A stream keeps no message with more bytes of headers.
const MOST_HEADER_BYTES: usize = 65_535;

/// How large a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// The server's `max_payload`: payload and headers.
    max_payload: usize,
    /// What the way that the message takes adds to its headers.
    reserved: usize,
}

/// In what a message is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// Payload and headers together.
    Message {
        /// So many bytes it has.
        bytes: usize,
        /// So many it may have.
        limit: usize,
    },
    /// The headers alone.
    Headers {
        /// So many bytes they have.
        bytes: usize,
        /// So many they may have.
        limit: usize,
    },
}

impl Room {
    pub(crate) fn of(max_payload: usize, reserved: usize) -> Self {
        Self { max_payload, reserved }
    }

    /// The most bytes of a message, payload and headers.
    pub(crate) fn most_bytes(self) -> usize {
        self.max_payload.saturating_sub(self.reserved)
    }

    /// In what a message is too large, if it is.
    pub(crate) fn excess(self, message: &Outgoing) -> Option<Excess> {
        let headers = message.header_bytes();
        let (limit, most_headers) = (self.most_bytes(), MOST_HEADER_BYTES.saturating_sub(self.reserved));
        if headers > most_headers {
            return Some(Excess::Headers { bytes: headers, limit: most_headers });
        }
        let bytes = headers + message.payload.len();
        (bytes > limit).then_some(Excess::Message { bytes, limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{BusError, StreamSequence, StreamSpec, Subject, testing};

    fn message(payload: usize, header: usize) -> Outgoing {
        let subject = Subject::new("out.a").unwrap();
        Outgoing::new(subject, vec![b'x'; payload].into()).header("Tidewheel-Key", "k".repeat(header))
    }

    #[test]
    fn payload_and_headers_count_together_and_headers_by_themselves() {
        let room = Room::of(100_000, 1_000);
        let headers = message(0, 10).header_bytes();
        assert_eq!(headers, "NATS/1.0\r\nTidewheel-Key: \r\n\r\n".len() + 10);
        assert_eq!(room.excess(&message(99_000 - headers, 10)), None);
        let excess = room.excess(&message(99_001 - headers, 10));
        assert_eq!(excess, Some(Excess::Message { bytes: 99_001, limit: 99_000 }));
        let most = 64_535 - message(0, 0).header_bytes();
        assert_eq!(room.excess(&message(0, most)), None);
        let excess = room.excess(&message(0, most + 1));
        assert_eq!(excess, Some(Excess::Headers { bytes: 64_536, limit: 64_535 }));
    }

    /// The largest messages are stored, under the headers that a batch adds; one byte more is not sent.
    #[tokio::test]
    async fn a_server_with_a_small_limit_takes_what_there_is_room_for() {
        let (server, bus) = testing::server_with("max_payload: 80000").await;
        bus.ensure_stream(&StreamSpec { atomic: true, ..testing::spec("OUT", "out.>") }).await.unwrap();
        let mut publisher = bus.atomic_publisher("OUT", StreamSequence(0), 1).await.unwrap();
        let room = publisher.room();
        assert_eq!(room, Room::of(80_000, 256));
        let most_headers = 65_535 - 256 - message(0, 0).header_bytes();
        let headers = message(0, 10).header_bytes();
        let largest = [message(room.most_bytes() - headers, 10), message(0, most_headers)];
        assert_eq!(largest.each_ref().map(|message| room.excess(message)), [None, None]);
        publisher.send(largest.to_vec()).await.unwrap();
        assert_eq!(publisher.settle().await.unwrap(), StreamSequence(2));
        let error = publisher.send(vec![message(room.most_bytes() - headers + 1, 10)]).await.unwrap_err();
        assert!(matches!(error, BusError::TooLarge { bytes: 80_001, limit: 80_000, .. }), "{error}");

        let mut publisher = bus.publisher(1).await.unwrap();
        assert_eq!(publisher.room(), Room::of(80_000, 0));
        publisher.publish(message(80_000 - headers, 10)).await.unwrap();
        publisher.settle().await.unwrap();
        let error = publisher.publish(message(80_001 - headers, 10)).await.unwrap_err();
        assert!(matches!(error, BusError::TooLarge { bytes: 80_001, limit: 80_000, .. }), "{error}");
        server.stop().await.unwrap();
    }
}
