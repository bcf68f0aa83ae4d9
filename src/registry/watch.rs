//! Following the pointer to the active model.

use super::active::read;
use super::{Pointer, RegistryError};
use crate::bus::KeyWatch;

/// The pointer, followed through whatever happens to the connection.
pub struct PointerWatch {
    changes: KeyWatch,
}

impl PointerWatch {
    pub(super) fn new(changes: KeyWatch) -> Self {
        Self { changes }
    }

    /// The pointer: where it is now, and with each further call where it is after another change (moves that follow one
    /// another quickly come as the last of them). Waits until there is one. May be cancelled without missing anything.
    ///
    /// # Errors
    /// [`RegistryError::UnreadablePointer`], after which it can be called again and waits for another change;
    /// [`RegistryError::Bus`] when the bucket is gone or the connection closed.
    pub async fn next(&mut self) -> Result<Pointer, RegistryError> {
        loop {
            if let Some(entry) = self.changes.next().await? {
                return read(&entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::registry::testing::{begun, registry, stored, version};

    #[tokio::test]
    async fn the_pointer_is_followed_through_a_restart_of_the_server() {
        let (mut server, registry, pointer) = begun(3).await;
        let mut watch = registry.watch().await.unwrap();
        assert_eq!(watch.next().await.unwrap(), pointer);
        let second = registry.promote(&version(2), pointer.revision, "better", 1).await.unwrap();
        assert_eq!(watch.next().await.unwrap(), second);
        let third = async {
            server.server.restart().await.unwrap();
            registry.promote(&version(3), second.revision, "better", 2).await.unwrap()
        };
        let (seen, third) = tokio::join!(watch.next(), third);
        assert_eq!(seen.unwrap(), third);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn the_first_pointer_is_waited_for() {
        let (server, registry) = registry().await;
        stored(&registry, 1).await;
        let mut watch = registry.watch().await.unwrap();
        let first = version(1);
        let (seen, begun) = tokio::join!(watch.next(), registry.initialise(&first, 1));
        assert_eq!(seen.unwrap(), begun.unwrap());
        server.stop().await.unwrap();
    }
}
