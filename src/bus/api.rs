//! Which JetStream a stream is in: that of our own account, or one behind a domain or an import.

use std::fmt;

/// Where a JetStream is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum JetStreamApi {
    /// That of the account that we are connected to.
    #[default]
    Own,
    /// That of a domain: of a leaf node, or of the cluster that it hangs on.
    Domain(String),
    /// That of another account, whose API ours imports under this prefix.
    Prefix(String),
}

impl JetStreamApi {
    /// What the subjects of its questions begin with.
    pub(super) fn prefix(&self) -> String {
        match self {
            Self::Own => "$JS.API".to_owned(),
            Self::Domain(domain) => format!("$JS.{domain}.API"),
            Self::Prefix(prefix) => prefix.clone(),
        }
    }
}

impl fmt::Display for JetStreamApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("our own account"),
            Self::Domain(domain) => write!(f, "the domain {domain:?}"),
            Self::Prefix(prefix) => write!(f, "the account behind {prefix:?}"),
        }
    }
}
