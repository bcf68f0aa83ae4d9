//! In what a stream that exists is not as asked for.

use std::fmt;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, PersistenceMode};

/// One way in which a stream is not as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The setting's name, as in [`StreamSpec`](super::StreamSpec) or as the server calls it.
    pub field: &'static str,
    /// What was asked for.
    pub expected: String,
    /// What the stream has.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} (expected {})", self.field, self.found, self.expected)
    }
}

/// Every setting that changes which messages are kept, for how long or how safely; that they are kept for longer, or more of
/// them, is none. The number of replicas is left to whoever runs the cluster, and so are placement, compression and subject
/// transforms.
pub(super) fn differences(expected: &Config, found: &Config) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut compare = |field, expected: String, found: String| {
        if expected != found {
            differences.push(Difference { field, expected, found });
        }
    };
    compare("subjects", sorted(&expected.subjects), sorted(&found.subjects));
    let least = extended(expected, found);
    compare("max_age", age(least.max_age), age(found.max_age));
    compare("max_bytes", limit(least.max_bytes), limit(found.max_bytes));
    compare("max_messages", limit(expected.max_messages), limit(found.max_messages));
    compare(
        "max_messages_per_subject",
        limit(expected.max_messages_per_subject),
        limit(found.max_messages_per_subject),
    );
    compare("max_message_bytes", limit(least.max_message_size.into()), limit(found.max_message_size.into()));
    compare("duplicate_window", age(least.duplicate_window), age(found.duplicate_window));
    compare("discard", format!("{:?}", expected.discard), format!("{:?}", found.discard));
    compare("retention", format!("{:?}", expected.retention), format!("{:?}", found.retention));
    compare("storage", format!("{:?}", expected.storage), format!("{:?}", found.storage));
    compare("persist_mode", persistence(expected), persistence(found));
    compare("sealed", expected.sealed.to_string(), found.sealed.to_string());
    compare("no_ack", expected.no_ack.to_string(), found.no_ack.to_string());
    // What a stream may do beyond what is asked of it does no harm.
    let allowed = |asked: bool, found: bool| (asked || found).to_string();
    compare("allow_rollup", allowed(expected.allow_rollup, found.allow_rollup), found.allow_rollup.to_string());
    let (asked, found_atomic) = (expected.allow_atomic_publish, found.allow_atomic_publish);
    compare("allow_atomic", allowed(asked, found_atomic), found_atomic.to_string());
    compare("allow_direct", allowed(expected.allow_direct, found.allow_direct), found.allow_direct.to_string());
    differences
}

/// A stream that keeps what it keeps, and all that is asked for besides: the larger of each limit, which none is the largest of.
/// What messages it takes from whom stays as it is.
pub(super) fn extended(asked: &Config, found: &Config) -> Config {
    let longer = |asked: Duration, found: Duration| match asked.is_zero() || found.is_zero() {
        true => Duration::ZERO,
        false => asked.max(found),
    };
    let larger = |asked: i64, found: i64| if asked <= 0 || found <= 0 { -1 } else { asked.max(found) };
    let message_size = larger(asked.max_message_size.into(), found.max_message_size.into());
    Config {
        max_age: longer(asked.max_age, found.max_age),
        max_bytes: larger(asked.max_bytes, found.max_bytes),
        max_message_size: message_size as i32,
        duplicate_window: asked.duplicate_window.max(found.duplicate_window),
        ..found.clone()
    }
}

fn sorted(subjects: &[String]) -> String {
    let mut subjects = subjects.to_vec();
    subjects.sort_unstable();
    format!("{subjects:?}")
}

fn age(age: Duration) -> String {
    if age.is_zero() { "unlimited".to_owned() } else { format!("{age:?}") }
}

fn limit(limit: i64) -> String {
    if limit <= 0 { "unlimited".to_owned() } else { limit.to_string() }
}

fn persistence(config: &Config) -> String {
    format!("{:?}", config.persist_mode.unwrap_or(PersistenceMode::Default))
}
