//! Streams that are somebody else's: read through subjects, never made, altered or owned.
//!
//! ```text
//!   the stream                                            a pipeline over it
//!   ───────────────────────────────────────────────────   ───────────────────────────────────────────────
//!   hands each message to one consumer, then deletes it   refused: nothing could be read again
//!   deletes what all consumers have seen                  refused: what comes while we are away is not kept
//!   takes none of the subjects                            refused: nothing would ever come
//!   sources or mirrors another                            read as it is
//!   anything else                                         read, with what it lacks said by `durability`
//! ```

use async_nats::jetstream::stream::{Config, RetentionPolicy};

use super::bus::Bus;
use super::error::BusError;
use super::stream::StreamState;
use super::subject::overlap;

/// The client says so in its text only.
const NOBODY: &str = "requested JetStream resource does not exist";

impl Bus {
    /// What a stream holds that is to be read through these subjects.
    ///
    /// # Errors
    /// [`BusError::SourceNotFound`], [`BusError::NotReadable`] where what a pipeline promises would be false over it,
    /// [`BusError::JetStream`] when the server doesn't answer.
    pub(crate) async fn bind(&self, stream: &str, subjects: &[String]) -> Result<StreamState, BusError> {
        let place = || self.api().to_string();
        let info = match self.find_stream(stream).await {
            Ok(info) => info.ok_or_else(|| BusError::SourceNotFound { stream: stream.to_owned(), place: place() })?,
            Err(BusError::JetStream { reason, .. }) if reason.contains(NOBODY) => {
                return Err(BusError::NoJetStream { place: place() });
            }
            Err(error) => return Err(error),
        };
        match refusal(&info.config, subjects) {
            None => Ok(StreamState::of(&info)),
            Some((reason, fix)) => Err(BusError::NotReadable { stream: stream.to_owned(), reason, fix }),
        }
    }
}

/// Why a stream can't be read through these subjects, and what to do about it.
fn refusal(config: &Config, subjects: &[String]) -> Option<(String, String)> {
    let own = "read a stream with `retention: limits` that sources this one";
    match config.retention {
        RetentionPolicy::WorkQueue => {
            let reason = "its retention is `workqueue`: a message is gone once one consumer has it, so that two pipelines \
                          can't both read it and a restart can't read it again";
            return Some((reason.to_owned(), own.to_owned()));
        }
        RetentionPolicy::Interest => {
            let reason = "its retention is `interest`: what comes while no consumer is there is not kept, so that a restart \
                          would miss it";
            return Some((reason.to_owned(), own.to_owned()));
        }
        RetentionPolicy::Limits => {}
    }
    if takes_from_elsewhere(config) {
        return None;
    }
    let taken = |subject: &&String| config.subjects.iter().any(|taken| overlap(taken, subject));
    let missing = subjects.iter().find(|subject| !taken(subject))?;
    let reason = format!("nothing that it takes, {}, is on `{missing}`", config.subjects.join(", "));
    Some((reason, format!("give `subjects` that it takes, or have whoever keeps it add `{missing}`")))
}

/// Whether it holds subjects that it does not name.
fn takes_from_elsewhere(config: &Config) -> bool {
    config.mirror.is_some()
        || config.sources.as_ref().is_some_and(|sources| !sources.is_empty())
        || config.subject_transform.is_some()
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::Source;

    use super::*;
    use crate::bus::{JetStreamApi, testing};

    fn config(retention: RetentionPolicy, subjects: &[&str]) -> Config {
        let subjects = subjects.iter().map(|&subject| subject.to_owned()).collect();
        Config { name: "EVENTS".to_owned(), retention, subjects, ..Config::default() }
    }

    fn refused(config: &Config, subjects: &[&str]) -> Option<String> {
        let subjects: Vec<_> = subjects.iter().map(|&subject| subject.to_owned()).collect();
        refusal(config, &subjects).map(|(reason, _)| reason)
    }

    #[test]
    fn only_a_stream_that_keeps_what_it_takes_is_read() {
        let shop = ["shop.>"];
        assert_eq!(refused(&config(RetentionPolicy::Limits, &shop), &["shop.clicks", "*.orders", ">"]), None);
        for retention in [RetentionPolicy::WorkQueue, RetentionPolicy::Interest] {
            let reason = refused(&config(retention, &shop), &["shop.clicks"]).unwrap();
            assert!(reason.starts_with("its retention is `"), "{reason}");
        }
    }

    #[test]
    fn a_subject_that_a_stream_does_not_take_is_named_unless_others_bring_it() {
        let plain = config(RetentionPolicy::Limits, &["shop.>", "app.clicks"]);
        let reason = refused(&plain, &["shop.clicks", "app.views"]).unwrap();
        assert_eq!(reason, "nothing that it takes, shop.>, app.clicks, is on `app.views`");
        let origin = Source { name: "ORIGIN".to_owned(), ..Source::default() };
        let mirror = Config { mirror: Some(origin.clone()), ..config(RetentionPolicy::Limits, &[]) };
        let aggregate = Config { sources: Some(vec![origin]), ..plain };
        assert_eq!([refused(&mirror, &["app.views"]), refused(&aggregate, &["app.views"])], [None, None]);
    }

    #[tokio::test]
    async fn what_is_not_there_is_said_with_where_it_was_looked_for() {
        let (server, bus) = testing::server().await;
        let subjects = ["shop.clicks".to_owned()];
        let error = bus.bind("EVENTS", &subjects).await.unwrap_err();
        insta::assert_snapshot!(
            error,
            @r#"there is no stream "EVENTS" in our own account of the server: a stream that a pipeline names as its `source` is made by whoever publishes to it; see `nats stream ls`, or leave `source` out to have one made"#
        );
        bus.ensure_stream(&testing::spec("EVENTS", "shop.>")).await.unwrap();
        testing::publish_numbers(&bus, "shop.clicks", 0..3).await;
        assert_eq!(bus.bind("EVENTS", &subjects).await.unwrap().messages, 3);
        let error = bus.at(&JetStreamApi::Domain("hub".to_owned())).bind("EVENTS", &subjects).await.unwrap_err();
        assert!(matches!(error, BusError::NoJetStream { .. }), "{error}");
        server.stop().await.unwrap();
    }
}
