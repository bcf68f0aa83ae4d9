//! What the registry's tests share: small files that stand for models.

use bytes::Bytes;

use super::{ModelRecord, Pointer, Registry, RegistryNames};
use crate::bus::testing::{TestServer, server};
use crate::model::ModelVersion;

/// The bytes that stand for model `number`: more than one chunk, each another file.
pub(super) fn file(number: u8) -> Bytes {
    let mut bytes = vec![number; 150_000];
    bytes.extend((0..=255).cycle().take(1000));
    bytes.into()
}

/// The version of [`file`].
pub(super) fn version(number: u8) -> ModelVersion {
    ModelVersion::of(&file(number))
}

/// The buckets of pipeline `shop`.
pub(super) fn names() -> RegistryNames {
    let text = str::to_owned;
    RegistryNames { pipeline: text("shop"), models: text("SHOP_MODELS"), pointers: text("SHOP_REGISTRY") }
}

/// A registry of pipeline `shop` without local copies, on a server of its own.
pub(super) async fn registry() -> (TestServer, Registry) {
    let (server, bus) = server().await;
    let registry = Registry::open(&bus, names(), None).await.unwrap();
    (server, registry)
}

/// Stores [`file`] `number`, made at that time.
pub(super) async fn stored(registry: &Registry, number: u8) -> ModelRecord {
    let record = ModelRecord::initial(&file(number), "f00d", i64::from(number));
    registry.store(file(number), &record).await.unwrap();
    record
}

/// A registry with models 1 to `count`, of which the first is active.
pub(super) async fn begun(count: u8) -> (TestServer, Registry, Pointer) {
    let (server, registry) = registry().await;
    for number in 1..=count {
        stored(&registry, number).await;
    }
    let pointer = registry.initialise(&version(1), 0).await.unwrap();
    (server, registry, pointer)
}
