//! What key-value buckets and object stores share: names, the subjects that are in use, and removing what is on one.

use futures::TryStreamExt;

use crate::bus::bus::Bus;
use crate::bus::error::{BusError, refused_by_server};
use crate::bus::sequence::StreamSequence;
use crate::bus::subject::Subject;

/// Accepts letters, digits, `_` and `-`, which is what NATS allows in the name of a bucket.
pub(crate) fn check_bucket_name(name: &str) -> Result<(), BusError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return Ok(());
    } else {
        "only letters, digits, `_` and `-` are allowed"
    };
    Err(BusError::InvalidName { what: "bucket", name: name.to_owned(), reason })
}

/// Accepts what NATS allows as a key: letters, digits and `-/_=.`, no dot at either end and no two in a row.
pub(crate) fn check_key(key: &str) -> Result<(), BusError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'/' | b'_' | b'=' | b'.');
    let reason = if key.is_empty() {
        "it is empty"
    } else if !key.bytes().all(allowed) {
        "only letters, digits and `-/_=.` are allowed"
    } else if key.split('.').any(str::is_empty) {
        "it has an empty part between dots"
    } else {
        return Ok(());
    };
    Err(BusError::InvalidName { what: "key", name: key.to_owned(), reason })
}

impl Bus {
    /// An id that nobody else has given out: what the client makes its inboxes of.
    pub(crate) fn unique_id(&self) -> String {
        let inbox = self.client().new_inbox();
        inbox.rsplit('.').next().unwrap_or_default().to_owned()
    }

    /// The subjects below a filter that the stream has messages on, in order.
    pub(crate) async fn subjects_in_use(&self, stream: &str, filter: &str) -> Result<Vec<Subject>, BusError> {
        let counted = self.messages_by_subject(stream, filter).await?;
        let mut names: Vec<String> = counted.into_iter().map(|(subject, _)| subject).collect();
        names.sort_unstable();
        names.into_iter().map(Subject::new).collect()
    }

    /// The subjects below a filter with how many messages the stream has on each, in no particular order.
    pub(crate) async fn messages_by_subject(
        &self,
        stream: &str,
        filter: &str,
    ) -> Result<Vec<(String, usize)>, BusError> {
        let refuse = |error: &dyn std::fmt::Display| refused_by_server("list", stream, error);
        let handle = self.jetstream().get_stream_no_info(stream).await.map_err(|error| refuse(&error))?;
        let pages = handle.info_with_subjects(filter).await.map_err(|error| refuse(&error))?;
        pages.try_collect().await.map_err(|error| refuse(&error))
    }

    /// Removes all messages on a subject, or those up to a position.
    pub(crate) async fn remove_messages(
        &self,
        stream: &str,
        subject: &Subject,
        up_to: Option<StreamSequence>,
    ) -> Result<(), BusError> {
        let refuse = |error: &dyn std::fmt::Display| refused_by_server("remove messages from", stream, error);
        let handle = self.jetstream().get_stream_no_info(stream).await.map_err(|error| refuse(&error))?;
        let purge = handle.purge().filter(subject.as_str());
        let purged = match up_to {
            // The server removes what is before the position it is given.
            Some(last) => purge.sequence(last.next().0).await,
            None => purge.await,
        };
        purged.map(drop).map_err(|error| refuse(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_be_other_subjects_are_refused() {
        for name in ["", "a.b", "a*", "a b", "ä", "a>"] {
            assert!(check_bucket_name(name).is_err(), "bucket {name:?} was taken");
        }
        for key in ["", ".a", "a.", "a..b", "a.*", ">", "a b"] {
            assert!(check_key(key).is_err(), "key {key:?} was taken");
        }
        assert!(check_bucket_name("SHOP-1_MODELS").is_ok() && check_key("shop.pointer/v=1").is_ok());
    }
}
