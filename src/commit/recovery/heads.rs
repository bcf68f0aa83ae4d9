//! What snapshots say of themselves.

use crate::commit::{CommitError, FORMAT, Head};
use crate::snapshot::{Generation, SnapshotStore};

/// A snapshot that can be used.
pub(crate) struct Usable {
    pub(crate) generation: Generation,
    pub(crate) head: Head,
}

/// What snapshots say of themselves, newest first; those that can't be read are reported.
pub(crate) async fn read_heads(store: &SnapshotStore) -> Result<Vec<Usable>, CommitError> {
    let mut usable = Vec::new();
    for generation in store.generations().await? {
        let generation = match generation {
            Ok(generation) => generation,
            Err(error) => {
                tracing::error!(%error, "a snapshot can't be used: looking for an older one");
                continue;
            }
        };
        match serde_json::from_slice::<Head>(generation.head()) {
            Ok(head) if head.format == FORMAT => usable.push(Usable { generation, head }),
            _ => tracing::error!(
                number = generation.number(),
                "a snapshot is of another version of the program: looking for an older one"
            ),
        }
    }
    Ok(usable)
}
