//! Whether a mirror still follows its origin.
//!
//! A mirror holds messages under the numbers of its origin. Where the origin was deleted and made anew, or put back from a backup
//! of before, the mirror keeps what it has, waits for numbers that come after that, lacks everything until then, and says that it
//! is up to date. Nothing in the mirror shows it; the origin does, where it can be asked.

use async_nats::jetstream::stream::Source;
use xxhash_rust::xxh3::xxh3_64;

use super::api::JetStreamApi;
use super::bus::Bus;
use super::error::BusError;
use super::sequence::StreamSequence;
use super::stored::StoredMessage;

impl Bus {
    /// What is wrong with the origin of a stream that mirrors one; nothing where all is well, where it is no mirror, or where the
    /// origin can't be asked.
    ///
    /// # Errors
    /// [`BusError::StreamNotFound`] when there is no such mirror, [`BusError::JetStream`] when the server doesn't answer.
    pub(crate) async fn strayed(&self, mirror: &str) -> Result<Option<String>, BusError> {
        let info = self.stream_info(mirror).await?;
        let Some(source) = &info.config.mirror else { return Ok(None) };
        let last = StreamSequence(info.state.last_sequence);
        let (name, place) = (&source.name, self.at(&api_of(source, self.api())));
        let origin = match place.find_stream(name).await {
            Ok(Some(origin)) => origin,
            // Elsewhere it may be that we may not see it.
            Ok(None) if source.external.is_none() => {
                return Ok(Some(format!("its origin {name} is not there any more: nothing comes after {last}")));
            }
            Ok(None) | Err(_) => return Ok(None),
        };
        let end = origin.state.last_sequence;
        if end < last.0 {
            return Ok(Some(format!(
                "its origin {name} ends at {end}, and it holds messages of that up to {last}: the origin was made anew or put back \
                 from a backup of before, and what it takes now does not come here"
            )));
        }
        if last == StreamSequence(0) {
            return Ok(None);
        }
        let (ours, theirs) = tokio::try_join!(self.message_at(mirror, last), place.message_at(name, last))?;
        Ok(ours.zip(theirs).filter(|(ours, theirs)| differ(ours, theirs)).map(|_| {
            format!(
                "message {last} of its origin {name} is not the one that it holds: the origin was made anew or put back from a \
                 backup of before, and what it took meanwhile is not here"
            )
        }))
    }
}

fn differ(ours: &StoredMessage, theirs: &StoredMessage) -> bool {
    ours.published_micros != theirs.published_micros || xxh3_64(&ours.payload) != xxh3_64(&theirs.payload)
}

/// Where the origin is asked.
fn api_of(source: &Source, own: &JetStreamApi) -> JetStreamApi {
    match (&source.external, &source.domain) {
        (Some(external), _) => JetStreamApi::Prefix(external.api_prefix.clone()),
        (None, Some(domain)) => JetStreamApi::Domain(domain.clone()),
        (None, None) => own.clone(),
    }
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::Config;

    use super::*;
    use crate::bus::testing;

    /// A mirror that has all of its origin's messages.
    async fn mirrored(bus: &Bus, messages: u64) {
        bus.ensure_stream(&testing::spec("ORIGIN", "shop.>")).await.unwrap();
        testing::publish_numbers(bus, "shop.a", 0..messages).await;
        let mirror = Some(Source { name: "ORIGIN".to_owned(), ..Source::default() });
        bus.jetstream().create_stream(Config { name: "COPY".to_owned(), mirror, ..Config::default() }).await.unwrap();
        while bus.stream_state("COPY").await.unwrap().messages < messages {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_mirror_whose_origin_is_another_one_by_now_is_noticed() {
        let (server, bus) = testing::server().await;
        mirrored(&bus, 5).await;
        assert_eq!(bus.strayed("COPY").await.unwrap(), None);
        assert_eq!(bus.strayed("ORIGIN").await.unwrap(), None, "it is no mirror");
        bus.jetstream().delete_stream("ORIGIN").await.unwrap();
        let gone = bus.strayed("COPY").await.unwrap().unwrap();
        assert_eq!(gone, "its origin ORIGIN is not there any more: nothing comes after 5");
        bus.ensure_stream(&testing::spec("ORIGIN", "shop.>")).await.unwrap();
        testing::publish_numbers(&bus, "shop.a", 100..103).await;
        let shorter = bus.strayed("COPY").await.unwrap().unwrap();
        assert!(
            shorter.starts_with("its origin ORIGIN ends at 3, and it holds messages of that up to 5:"),
            "{shorter}"
        );
        testing::publish_numbers(&bus, "shop.a", 103..105).await;
        let other = bus.strayed("COPY").await.unwrap().unwrap();
        assert!(other.starts_with("message 5 of its origin ORIGIN is not the one that it holds:"), "{other}");
        server.stop().await.unwrap();
    }

    #[test]
    fn an_origin_is_asked_where_it_is() {
        let source = Source { name: "ORIGIN".to_owned(), ..Source::default() };
        let own = JetStreamApi::Domain("hub".to_owned());
        assert_eq!(api_of(&source, &own), own);
        let leaf = Source { domain: Some("leaf".to_owned()), ..source };
        assert_eq!(api_of(&leaf, &own), JetStreamApi::Domain("leaf".to_owned()));
    }
}
