//! Tables as text, and sources for the tests of this module.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;

use super::load::Reading;
use super::settings::{Limits, ReferenceSpec};
use crate::event::Contract;

/// A table `items` with the key `id`.
pub(super) fn spec() -> ReferenceSpec {
    ReferenceSpec {
        name: "items".to_owned(),
        key: vec!["id".to_owned()],
        validity: None,
        contract: None,
        limits: Limits::default(),
    }
}

pub(super) fn reading() -> Reading<'static> {
    Reading { origin: "items", contract: None, limits: Limits::default() }
}

pub(super) fn reading_with(contract: &Arc<Contract>) -> Reading<'_> {
    Reading { origin: "items", contract: Some(contract), limits: Limits::default() }
}

/// A line per column: name, type and values, `-` for NULL.
pub(super) fn table_text(batch: &RecordBatch) -> String {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        let values = (0..column.len()).map(|row| match column.is_null(row) {
            true => "-".to_owned(),
            false => array_value_to_string(column, row).unwrap(),
        });
        let data_type = match field.data_type() {
            DataType::List(item) => format!("List({})", item.data_type()),
            other => other.to_string(),
        };
        format!("{}: {data_type} = {}", field.name(), values.collect::<Vec<_>>().join(" "))
    });
    columns.collect::<Vec<_>>().join("\n")
}

/// The bytes of a Parquet file.
pub(super) fn parquet(batch: &RecordBatch) -> Bytes {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap().into()
}
