//! What an object store keeps about an object, as other programs write and read it (NATS architecture decision record 20).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bus::sequence::StreamSequence;
use crate::bus::stored::StoredMessage;

/// What is known about a stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When it was stored: microseconds since 1970 in UTC, by the server's clock.
    pub stored_micros: i64,
    /// What was given with it.
    pub metadata: BTreeMap<String, String>,
    /// How the bytes' digest is spelled in the store.
    pub(crate) digest: String,
    /// The part of the subject that its chunks are on.
    pub(crate) id: String,
    /// How many messages the bytes are in.
    pub(crate) chunks: u64,
    /// Where this description is in the stream.
    pub(crate) sequence: StreamSequence,
}

/// The description on its subject.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) options: Option<Options>,
    pub(crate) bucket: String,
    #[serde(default)]
    pub(crate) nuid: String,
    #[serde(default)]
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) chunks: u64,
    #[serde(default)]
    pub(crate) digest: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) deleted: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Options {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_chunk_size: Option<u64>,
    /// The object stands for another one, which may be in another bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<serde_json::Value>,
}

/// What is on an object's subject.
pub(crate) enum Described {
    /// An object.
    Object(ObjectInfo),
    /// The mark that an object was deleted.
    Deleted,
    /// Something else, and why.
    Unusable(String),
}

impl Described {
    pub(crate) fn read(message: &StoredMessage) -> Self {
        let description: Description = match serde_json::from_slice(&message.payload) {
            Ok(description) => description,
            Err(error) => return Self::Unusable(format!("its description can't be read: {error}")),
        };
        if description.deleted {
            return Self::Deleted;
        }
        if description.options.is_some_and(|options| options.link.is_some()) {
            return Self::Unusable("it is a link to another object, which is not followed".to_owned());
        }
        // It becomes part of subjects, from which messages are removed.
        if description.nuid.is_empty() || !description.nuid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Self::Unusable(format!("its id {:?} is not letters and digits", description.nuid));
        }
        Self::Object(ObjectInfo {
            name: description.name,
            bytes: description.size,
            stored_micros: message.published_micros,
            metadata: description.metadata,
            digest: description.digest,
            id: description.nuid,
            chunks: description.chunks,
            sequence: message.sequence,
        })
    }
}
