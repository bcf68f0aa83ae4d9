//! The oracle for feature tables: the same select, run by plain DataFusion as a batch over all events.
//!
//! `within(ts, 'W')` becomes a comparison with the tail, and the FROM becomes the events that the read may see. Nothing
//! of Tidewheel takes part but the arithmetic of the tail, which is one line of its documentation.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::prelude::SessionContext;
use tidewheel::window::Horizon;

pub const TIME_TYPE: &str = r#"Timestamp(Microsecond, Some("+00:00"))"#;

/// What a read may see.
pub struct View {
    /// Event time of the read, microseconds.
    pub at: i64,
    /// Events up to this number (column `seq`) had been applied.
    pub upto: i64,
    /// SQL condition that picks the key.
    pub key: String,
}

/// The rows of `sql` for one key as of the view; `events` has the stream's columns and `seq`.
pub async fn rows(context: &SessionContext, sql: &str, stream: &str, span: Horizon, view: &View) -> RecordBatch {
    let cast = |micros: i64| format!("arrow_cast({micros}, '{TIME_TYPE}')");
    let mut text = sql.to_owned();
    while let Some(start) = text.find("within(") {
        let length = text[start..].find(')').unwrap() + 1;
        let call = &text[start..start + length];
        let width = humantime::parse_duration(call.split('\'').nth(1).unwrap()).unwrap();
        let tail = Horizon::new(width.as_micros() as i64).tail(view.at);
        text.replace_range(start..start + length, &format!("ts > {}", cast(tail)));
    }
    while let Some(start) = text.find("last_n(") {
        let length = text[start..].find(')').unwrap() + 1;
        let call = text[start..start + length].to_owned();
        let column = call["last_n(".len()..].split(',').next().unwrap().trim().to_owned();
        let list = format!("array_agg({column} ORDER BY ts, seq)");
        text.replace_range(start..start + length, &list);
    }
    let seen = format!(
        "FROM (SELECT * FROM {stream} WHERE ts > {} AND ts <= {} AND seq <= {} AND {}) AS {stream}",
        cast(span.tail(view.at)),
        cast(view.at),
        view.upto,
        view.key
    );
    let text = text.replace(&format!("FROM {stream}"), &seen);
    let batches = context.sql(&text).await.unwrap_or_else(|error| panic!("{text}: {error}")).collect().await.unwrap();
    let schema = batches.first().map(RecordBatch::schema);
    schema.map_or_else(
        || RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty())),
        |schema| concat_batches(&schema, &batches).unwrap(),
    )
}
