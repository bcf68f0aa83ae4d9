//! A reference table in a key-value bucket, and the bucket's changes: each key holds one JSON object.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::{BufMut, Bytes, BytesMut};

use super::bad_rows::BadRows;
use super::error::ReferenceError;
use super::json_lines::objects;
use super::load::{Loaded, Reading, refreshed, table};
use super::place::Places;
use super::settings::ReferenceSpec;
use super::table::ReferenceTable;
use crate::bus::{BucketWatch, Bus, BusError, ContentDigest, KeyEntry};

/// A bucket that a reference table is read from.
pub(crate) struct ReferenceBucket {
    spec: ReferenceSpec,
    origin: String,
    key_column: Option<String>,
    watch: BucketWatch,
    table: Arc<ReferenceTable>,
    /// The content that was last used or refused.
    last: ContentDigest,
}

impl ReferenceBucket {
    /// Reads a bucket that exists. With `key_column` the keys become a column of texts of that name.
    ///
    /// # Errors
    /// When there is no such bucket or the bus fails; when the bucket is too large or doesn't make a table. With a contract a
    /// value that is no JSON object or breaks it is left out.
    pub(crate) async fn open(
        spec: ReferenceSpec,
        bus: &Bus,
        bucket: &str,
        key_column: Option<&str>,
    ) -> Result<Self, ReferenceError> {
        let origin = format!("bucket {bucket:?}");
        let found = bus.existing_key_value(bucket).await.map_err(|error| match error {
            BusError::StreamNotFound { .. } => ReferenceError::Unreadable {
                origin: origin.clone(),
                reason: format!("there is none of its name; make one with: nats kv add {bucket}"),
            },
            other => other.into(),
        })?;
        let mut watch = found.watch_all(spec.limits.bytes);
        let content = framed(watch.next().await?.entries);
        let digest = ContentDigest::of_many(&content.bytes).await;
        let key_column = key_column.map(str::to_owned);
        let table = Arc::new(make(&spec, &origin, key_column.as_deref(), content, digest)?);
        Ok(Self { spec, origin, key_column, watch, table, last: digest })
    }

    /// The table in force.
    pub(crate) fn table(&self) -> &Arc<ReferenceTable> {
        &self.table
    }

    /// Waits until the bucket holds something else and gives the table that it makes. Writes that come while nobody waits
    /// make one table together, so a caller that pauses between calls bounds how often tables are made. May be cancelled
    /// without missing anything.
    ///
    /// # Errors
    /// Once for each content that can't be used; the old table stays in force, and the next call waits for another content.
    /// [`ReferenceError::Bus`] when the bucket is gone or the connection closed.
    pub(crate) async fn next(&mut self) -> Result<Arc<ReferenceTable>, ReferenceError> {
        loop {
            let content = framed(self.watch.next().await?.entries);
            let digest = ContentDigest::of_many(&content.bytes).await;
            if digest == self.last {
                continue;
            }
            self.last = digest;
            if self.table.digest() == Some(digest) {
                // Broken in between, and now again what is in force.
                continue;
            }
            let table = make(&self.spec, &self.origin, self.key_column.as_deref(), content, digest)?;
            self.table = refreshed(&self.table, table)?;
            return Ok(Arc::clone(&self.table));
        }
    }
}

/// What a bucket holds, and the bytes that its digest is of.
struct Content {
    keys: Vec<String>,
    values: Vec<Bytes>,
    bytes: Bytes,
}

/// Keys and values one behind the other, each behind its length: equal bytes are equal buckets.
fn framed(entries: BTreeMap<String, KeyEntry>) -> Content {
    let mut bytes = BytesMut::new();
    for (key, entry) in &entries {
        for part in [key.as_bytes(), entry.value.as_ref()] {
            bytes.put_u64(part.len() as u64);
            bytes.put_slice(part);
        }
    }
    let (keys, values) = entries.into_iter().map(|(key, entry)| (key, entry.value)).unzip();
    Content { keys, values, bytes: bytes.freeze() }
}

fn make(
    spec: &ReferenceSpec,
    origin: &str,
    key_column: Option<&str>,
    content: Content,
    digest: ContentDigest,
) -> Result<ReferenceTable, ReferenceError> {
    let reading = Reading::new(origin, spec);
    reading.check_bytes(content.bytes.len() as u64, true)?;
    let mut loaded = objects(&reading, &content.values, Places::Keys(content.keys), BadRows::left_out())?;
    if let Some(name) = key_column {
        loaded = with_keys(&reading, name, loaded)?;
    }
    table(spec, &reading, loaded, digest)
}

/// The rows with their keys as the first column.
fn with_keys(reading: &Reading<'_>, name: &str, loaded: Loaded) -> Result<Loaded, ReferenceError> {
    let Places::Keys(keys) = &loaded.places else { return Ok(loaded) };
    let keys = StringArray::from_iter_values(keys);
    let schema = loaded.batch.schema_ref();
    if schema.field_with_name(name).is_ok() {
        let reason = format!("the values have a field {name:?} already: name the column of the keys otherwise");
        return Err(ReferenceError::Content { origin: reading.origin.to_owned(), reason });
    }
    let key = Arc::new(Field::new(name, DataType::Utf8, false));
    let fields: Vec<_> = std::iter::once(key).chain(schema.fields().iter().cloned()).collect();
    let columns: Vec<ArrayRef> =
        std::iter::once(Arc::new(keys) as ArrayRef).chain(loaded.batch.columns().iter().cloned()).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    Ok(Loaded { batch, ..loaded })
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::bus::{KeyValue, testing};
    use crate::event::Contract;
    use crate::reference::Limits;
    use crate::reference::testing::{spec, table_text};

    async fn put(bucket: &KeyValue, key: &str, value: &str) {
        let value = Bytes::copy_from_slice(value.as_bytes());
        match bucket.get(key).await.unwrap() {
            Some(entry) => bucket.update(key, value, entry.revision).await.unwrap(),
            None => bucket.create(key, value).await.unwrap(),
        };
    }

    #[tokio::test]
    async fn a_bucket_is_a_table_that_follows_its_writes() {
        let (server, bus) = testing::server().await;
        let bucket = bus.key_value(&testing::key_value_spec("items")).await.unwrap();
        put(&bucket, "shoe", r#"{"id": 1, "price": 5}"#).await;
        put(&bucket, "hat", r#"{"id": 2}"#).await;
        let mut source = ReferenceBucket::open(spec(), &bus, "items", Some("sku")).await.unwrap();
        assert_eq!(table_text(source.table().batch()), "sku: Utf8 = hat shoe\nid: Int64 = 2 1\nprice: Int64 = - 5");
        assert!(source.next().now_or_never().is_none());

        put(&bucket, "sock", r#"{"id": 3, "price": 6}"#).await;
        bucket.delete("shoe").await.unwrap();
        let table = source.next().await.unwrap();
        assert_eq!(table_text(table.batch()), "sku: Utf8 = hat sock\nid: Int64 = 2 3\nprice: Int64 = - 6");
        // Another revision of the same value is no other table.
        put(&bucket, "sock", r#"{"id": 3, "price": 6}"#).await;
        put(&bucket, "sock", r#"{"id": 3, "price": 7}"#).await;
        assert_eq!(table_text(source.next().await.unwrap().batch()).lines().last(), Some("price: Int64 = - 7"));
        server.stop().await.unwrap();
    }

    fn contracted() -> ReferenceSpec {
        let contract = r#"{"type": "object", "required": ["id"], "properties": {
            "id": {"type": "integer"}, "price": {"type": "integer", "minimum": 0}}}"#;
        ReferenceSpec { contract: Some(Arc::new(Contract::parse(contract).unwrap())), ..spec() }
    }

    /// One bad value kept the worker from starting, and all other values of the bucket from taking effect.
    #[tokio::test]
    async fn a_bad_value_costs_its_own_row_at_the_start_and_later() {
        let (server, bus) = testing::server().await;
        let bucket = bus.key_value(&testing::key_value_spec("items")).await.unwrap();
        put(&bucket, "hat", r#"{"id": 2, "price": 5}"#).await;
        put(&bucket, "shoe", r#"{"id": "#).await;
        let mut source = ReferenceBucket::open(contracted(), &bus, "items", Some("sku")).await.unwrap();
        assert_eq!(table_text(source.table().batch()), "sku: Utf8 = hat\nid: Int64 = 2\nprice: Int64 = 5");
        put(&bucket, "cap", r#"{"id": 3, "price": -1}"#).await;
        source.next().await.unwrap();
        put(&bucket, "sock", r#"{"id": 2, "price": 6}"#).await;
        let table = source.next().await.unwrap();
        insta::assert_snapshot!(table.bad_rows().named().join("\n"), @r#"
        bucket "items", key "cap": field "price": expected an integer of at least 0, got -1
        bucket "items", key "shoe": expected a value at byte 7, found the end
        reference table "items": key "hat" and key "sock" have one key, id = 2: remove one, or name validity columns
        "#);
        let keys: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![2, 3]));
        assert_eq!(table.match_rows(&[keys], &[]).unwrap().iter().collect::<Vec<_>>(), [Some(0), None]);
        let restarted = ReferenceBucket::open(contracted(), &bus, "items", Some("sku")).await.unwrap();
        assert_eq!(restarted.table().batch(), table.batch());
        assert_eq!(restarted.table().bad_rows(), table.bad_rows());
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn what_makes_no_table_is_said_once_and_the_old_table_stays() {
        let (server, bus) = testing::server().await;
        let bucket = bus.key_value(&testing::key_value_spec("items")).await.unwrap();
        put(&bucket, "hat", r#"{"id": 2}"#).await;
        let mut source = ReferenceBucket::open(spec(), &bus, "items", None).await.unwrap();
        put(&bucket, "shoe", r#"{"id": 1.5}"#).await;
        let error = source.next().await.err().unwrap();
        assert!(matches!(error, ReferenceError::KeyType { .. }), "{error}");
        assert_eq!(source.table().rows(), 1);
        put(&bucket, "shoe", r#"{"id": 1, "price": 5}"#).await;
        let error = source.next().await.err().unwrap();
        insta::assert_snapshot!(error, @r#"the columns of reference table "items" changed: "price" is new; restore them, give the table a contract, or restart"#);
        put(&bucket, "shoe", r#"{"id": 1}"#).await;
        assert_eq!(source.next().await.unwrap().rows(), 2);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn what_makes_no_table_is_refused_at_once() {
        let (server, bus) = testing::server().await;
        let open = async |spec: ReferenceSpec, key: Option<&str>| {
            ReferenceBucket::open(spec, &bus, "items", key)
                .await
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        insta::assert_snapshot!(open(spec(), None).await, @r#"bucket "items" cannot be read: there is none of its name; make one with: nats kv add items"#);
        let bucket = bus.key_value(&testing::key_value_spec("items")).await.unwrap();
        insta::assert_snapshot!(open(spec(), None).await, @r#"bucket "items": no rows to infer the columns' types from: add one, or give the table a contract"#);
        put(&bucket, "hat", r#"{"id": 2}"#).await;
        insta::assert_snapshot!(open(spec(), Some("id")).await, @r#"bucket "items": the values have a field "id" already: name the column of the keys otherwise"#);
        let narrow = ReferenceSpec { limits: Limits { bytes: 8, ..Limits::default() }, ..spec() };
        insta::assert_snapshot!(open(narrow, None).await, @r#"bucket "items" holds more than 8 bytes of values"#);
        server.stop().await.unwrap();
    }
}
