//! The columns that emitted rows have in a Delta table beside those of their select.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Bounds of a row's window; a table that selects one of these columns has its own.
pub(crate) const WINDOW_START: &str = "window_start";
pub(crate) const WINDOW_END: &str = "window_end";
/// `early`, `final`, `late` or `removed`.
pub(crate) const EMISSION: &str = "emission";
/// The watermark at which the row was emitted.
pub(crate) const EMITTED_AT: &str = "emitted_at";

/// The columns of a table and those beside them.
pub(crate) fn kept_schema(schema: &Schema) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    // Whether a plan knows that a value can't be NULL says nothing about the data.
    let nullable = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_nullable(true));
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().map(nullable).collect();
    let others = [(WINDOW_START, &time), (WINDOW_END, &time), (EMISSION, &DataType::Utf8), (EMITTED_AT, &time)];
    for (name, data_type) in others {
        if schema.field_with_name(name).is_err() {
            fields.push(Arc::new(Field::new(name, data_type.clone(), true)));
        }
    }
    Arc::new(Schema::new(fields))
}
