//! Requests for rankings: JSON → rows of the relation `requests`, one per candidate.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::job::{Group, ItemIds, write_json_value};
use super::request_time::{RequestTime, time_type};
use crate::event::{Contract, FieldType, Limits, ObjectRows};
use crate::fault::{Judged, Judgement};
use crate::time::EventTime;

/// The field of a request that lists the candidates.
const ITEMS: &str = "items";
/// The field that names the request.
const REQUEST_ID: &str = "request_id";
/// The field whose members count as fields of the request.
const CONTEXT: &str = "context";

/// What some writers put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads requests that keep a contract.
pub struct RequestDecoder {
    contract: Arc<Contract>,
    rows: ObjectRows,
    time: RequestTime,
    user: Option<String>,
    max_items: usize,
    schema: SchemaRef,
}

/// Requests of one step as rows.
pub struct DecodedRequests {
    /// Rows of `requests`.
    pub rows: RecordBatch,
    /// Event time to read each row at; [`EventTime::END`] where the request has none.
    pub times: Vec<EventTime>,
    /// The rankings that are asked for, in the order of the rows, with [`EventTime::END`] for the time of features likewise.
    pub groups: Vec<Group>,
    /// The candidate of every row.
    pub items: ItemIds,
    /// Which of the payloads each group answers.
    pub payloads: Vec<usize>,
    /// Payloads that cannot be read, and why.
    pub refused: Vec<(usize, String)>,
}

/// Why requests of this contract cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A field that every request has is missing or of another type.
    #[error("a request's contract needs `{field}` as {expected}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// Columns could not be made.
    #[error("requests could not be put into columns: {0}")]
    Columns(#[from] ArrowError),
}

impl Judged for RequestError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Field { .. } => Judgement::OPERATOR,
            Self::Columns(_) => Judgement::DEFECT,
        }
    }
}

impl RequestDecoder {
    /// A decoder of requests. `item` names the candidates' column, `time` is the event time's, and `user` is the column that
    /// says who is asked for.
    pub fn new(
        contract: Arc<Contract>,
        item: &str,
        time: RequestTime,
        user: Option<&str>,
        max_items: usize,
    ) -> Result<Self, RequestError> {
        let expected = RequestError::Field { field: ITEMS, expected: "a required array of ids" };
        let items = contract.field(ITEMS).ok_or(expected)?.1;
        let FieldType::List(item_type) = items.field_type() else {
            return Err(RequestError::Field { field: ITEMS, expected: "an array of ids" });
        };
        match contract.field(REQUEST_ID) {
            Some((_, field)) if field.field_type() == FieldType::Text && field.is_required() => {}
            _ => return Err(RequestError::Field { field: REQUEST_ID, expected: "a required string" }),
        }
        let fields = contract.schema().fields().iter().map(|field| {
            if field.name() == ITEMS {
                Field::new(item, item_type.data_type(), false)
            } else if *field.name() == time.column {
                Field::new(&time.column, time_type(), true)
            } else {
                field.as_ref().clone()
            }
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let limits = Limits { max_event_bytes: 1 << 20, ..Limits::default() };
        let rows = ObjectRows::new(Arc::clone(&contract), limits, time.zone);
        Ok(Self { contract, rows, time, user: user.map(str::to_owned), max_items, schema })
    }

    /// Columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Reads requests that arrived at a moment of the clock; one that cannot be read does not take others along.
    pub fn decode(&mut self, payloads: &[bytes::Bytes], arrived: EventTime) -> Result<DecodedRequests, RequestError> {
        let (mut readable, mut refused) = (Vec::new(), Vec::new());
        for (index, payload) in payloads.iter().enumerate() {
            self.rows.flush_if_full()?;
            let flat = self.flatten(payload);
            match flat.and_then(|flat| self.rows.push(&flat).map_err(|flaw| flaw.to_string())) {
                Ok(()) => readable.push(index),
                Err(reason) => refused.push((index, reason)),
            }
        }
        let requests = self.rows.finish()?;
        let times = self.times(&requests)?;
        let flaw = |time: Option<i64>| time.and_then(|time| self.time.flaw(EventTime(time), arrived));
        let flaws: Vec<Option<String>> = times.iter().flatten().map(flaw).collect();
        if flaws.iter().all(Option::is_none) {
            return self.explode(&requests, times.as_ref(), arrived, (readable, refused));
        }
        let is_good: BooleanArray = flaws.iter().map(|flaw| Some(flaw.is_none())).collect();
        let requests = filter_record_batch(&requests, &is_good)?;
        let mut good = Vec::new();
        for (index, flaw) in readable.into_iter().zip(flaws) {
            match flaw {
                Some(reason) => refused.push((index, reason)),
                None => good.push(index),
            }
        }
        self.explode(&requests, self.times(&requests)?.as_ref(), arrived, (good, refused))
    }

    /// The requests' own times; none where their contract has no such field.
    fn times(&self, requests: &RecordBatch) -> Result<Option<TimestampMicrosecondArray>, ArrowError> {
        requests.column_by_name(&self.time.column).map(|times| self.time.micros(times)).transpose()
    }

    /// The request with the members of `context` as fields of its own, unless the contract has a `context`. Values stay as they
    /// were written: a number that is read and written again may be another one.
    fn flatten(&self, payload: &[u8]) -> Result<Vec<u8>, String> {
        let mut request: BTreeMap<String, &RawValue> =
            serde_json::from_slice(payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload))
                .map_err(|error| format!("the request is no JSON object: {error}"))?;
        if !self.contract.has_property(CONTEXT)
            && let Some(context) = request.remove(CONTEXT)
        {
            let context: BTreeMap<String, &RawValue> =
                serde_json::from_str(context.get()).map_err(|_| "`context` is not an object".to_owned())?;
            for (name, value) in context {
                request.entry(name).or_insert(value);
            }
        }
        let items = request.get(ITEMS).and_then(|items| serde_json::from_str::<Vec<IgnoredAny>>(items.get()).ok());
        if items.is_some_and(|items| items.len() > self.max_items) {
            return Err(format!("more than {} items: ask in several requests", self.max_items));
        }
        serde_json::to_vec(&request).map_err(|error| error.to_string())
    }

    fn explode(
        &self,
        requests: &RecordBatch,
        times: Option<&TimestampMicrosecondArray>,
        arrived: EventTime,
        (payloads, refused): (Vec<usize>, Vec<(usize, String)>),
    ) -> Result<DecodedRequests, RequestError> {
        let column = |name: &str| requests.column_by_name(name);
        let missing = |field| RequestError::Field { field, expected: "a column" };
        let lists = column(ITEMS).ok_or(missing(ITEMS))?.as_list::<i32>();
        let ids = column(REQUEST_ID).ok_or(missing(REQUEST_ID))?.as_string::<i32>();
        let users = self.user.as_deref().and_then(column);
        let (mut owner, mut groups, mut row_times) = (Vec::new(), Vec::new(), Vec::new());
        for request in 0..requests.num_rows() {
            let rows = lists.value_length(request) as usize;
            let own = times.filter(|times| times.is_valid(request)).map(|times| EventTime(times.value(request)));
            let (at, shown) = (own.unwrap_or(EventTime::END), own.unwrap_or(arrived));
            owner.resize(owner.len() + rows, request as u32);
            row_times.resize(row_times.len() + rows, at);
            let user = users.map(|users| {
                let mut text = Vec::new();
                write_json_value(users, request, &mut text);
                String::from_utf8(text).unwrap_or_default()
            });
            groups.push(Group { request_id: ids.value(request).to_owned(), user, at, shown, arrived, rows });
        }
        let owner = UInt32Array::from(owner);
        let first = lists.value_offsets().first().map_or(0, |offset| *offset as usize);
        let items = lists.values().slice(first, owner.len());
        let columns: Result<Vec<ArrayRef>, ArrowError> = requests
            .schema()
            .fields()
            .iter()
            .zip(requests.columns())
            .map(|(field, column)| match (times, field.name()) {
                (_, name) if name == ITEMS => Ok(Arc::clone(&items)),
                (Some(times), name) if *name == self.time.column => take(times, &owner, None),
                _ => take(column, &owner, None),
            })
            .collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns?)?;
        Ok(DecodedRequests { rows, times: row_times, groups, items: ItemIds::new(Some(items)), payloads, refused })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use arrow::datatypes::{Float64Type, Int64Type};

    use crate::event::TimeUnit;

    /// 2026-11-30T05:00:00Z.
    const ARRIVED: EventTime = EventTime(1_796_014_800_000_000);

    fn decoder() -> RequestDecoder {
        let contract = r#"{"type": "object", "required": ["request_id", "items"], "properties": {
            "request_id": {"type": "string"}, "items": {"type": "array", "items": {"type": "integer"}},
            "ts": {"type": ["integer", "null"]}}}"#;
        decoder_of(contract)
    }

    fn decoder_of(contract: &str) -> RequestDecoder {
        let (column, unit) = ("ts".to_owned(), TimeUnit::Milliseconds);
        let earliest = EventTime(946_684_800_000_000);
        let time = RequestTime { column, unit, zone: None, earliest, ahead: Duration::from_secs(60) };
        RequestDecoder::new(Arc::new(Contract::parse(contract).unwrap()), "item_id", time, None, 100).unwrap()
    }

    fn request(id: usize, ts: Option<i64>) -> bytes::Bytes {
        let request = serde_json::json!({"request_id": id.to_string(), "items": [id, 7], "ts": ts});
        serde_json::to_vec(&request).unwrap().into()
    }

    /// They were answered as of the watermark, in the name of their own time, and became negatives at once.
    #[test]
    fn a_time_at_which_nothing_can_have_been_shown_is_refused_with_a_way_out_and_takes_no_other_along() {
        let now = ARRIVED.micros() / 1_000;
        let edges = [946_684_800_000, now + 60_000];
        let wrong = [now / 1_000, -5, now + 86_400_000, 1_000_000_000_000_000_000, edges[0] - 1, edges[1] + 1];
        let own = edges.into_iter().chain(wrong).map(Some).chain([None]);
        let payloads: Vec<bytes::Bytes> = own.enumerate().map(|(id, ts)| request(id, ts)).collect();
        let decoded = decoder().decode(&payloads, ARRIVED).unwrap();
        assert_eq!(decoded.payloads, [0, 1, 8]);
        let times: Vec<_> = decoded.groups.iter().map(|group| (group.at, group.shown, group.arrived)).collect();
        let [first, last] = edges.map(|edge| EventTime(edge * 1_000));
        assert_eq!(times, [(first, first, ARRIVED), (last, last, ARRIVED), (EventTime::END, ARRIVED, ARRIVED)]);
        let items = decoded.rows.column_by_name("item_id").unwrap().as_primitive::<arrow::datatypes::Int64Type>();
        assert_eq!(items.values(), &[0, 7, 1, 7, 8, 7]);
        let reasons: Vec<String> =
            decoded.refused.iter().map(|(payload, reason)| format!("{payload}: {reason}")).collect();
        insta::assert_snapshot!(reasons.join("\n"), @r"
        2: `ts` is 1970-01-21T18:53:34.8Z, before 2000-01-01T00:00:00Z, the earliest time that is believed: a number counts milliseconds since 1970; without it the ranking is of now
        3: `ts` is 1969-12-31T23:59:59.995Z, before 2000-01-01T00:00:00Z, the earliest time that is believed: a number counts milliseconds since 1970; without it the ranking is of now
        4: `ts` is 2026-12-01T05:00:00Z, more than 60s after 2026-11-30T05:00:00Z, when the request arrived: a number counts milliseconds since 1970; without it the ranking is of now
        5: `ts` is 9223372036854775807 us since 1970, more than 60s after 2026-11-30T05:00:00Z, when the request arrived: a number counts milliseconds since 1970; without it the ranking is of now
        6: `ts` is 1999-12-31T23:59:59.999Z, before 2000-01-01T00:00:00Z, the earliest time that is believed: a number counts milliseconds since 1970; without it the ranking is of now
        7: `ts` is 2026-11-30T05:01:00.001Z, more than 60s after 2026-11-30T05:00:00Z, when the request arrived: a number counts milliseconds since 1970; without it the ranking is of now
        ");
    }

    /// A number with a fraction was no time at all, and the ranking one of now.
    #[test]
    fn a_time_is_read_as_that_of_an_event_is() {
        let times = |property: &str, values: &[&str]| {
            let contract = format!(
                r#"{{"type": "object", "required": ["request_id", "items"], "properties": {{"request_id": {{"type": "string"}},
                "items": {{"type": "array", "items": {{"type": "integer"}}}}, "ts": {property}}}}}"#
            );
            let payload = |ts: &&str| format!(r#"{{"request_id": "a", "items": [1], "ts": {ts}}}"#).into();
            let decoded =
                decoder_of(&contract).decode(&values.iter().map(payload).collect::<Vec<_>>(), ARRIVED).unwrap();
            assert_eq!(decoded.refused, []);
            decoded.times
        };
        let expected = EventTime(ARRIVED.micros() - 499_500);
        assert_eq!(times(r#"{"type": "number"}"#, &["1796014799500.5"]), [expected]);
        let texts = ["\"20261130T045959,5005Z\"", "\"2026-W49-1T04:59:59.5005+00\""];
        assert_eq!(times(r#"{"type": "string", "format": "date-time"}"#, &texts), [expected; 2]);
    }

    fn decoded(requests: &[&str]) -> DecodedRequests {
        let contract = r#"{"type": "object", "properties": {
            "request_id": {"type": "string"}, "user_id": {"type": "integer"}, "price": {"type": "number"},
            "items": {"type": "array", "items": {"type": "integer"}}}, "required": ["request_id", "items"]}"#;
        let contract = Arc::new(Contract::parse(contract).unwrap());
        let time = decoder().time;
        let mut decoder = RequestDecoder::new(contract, "item_id", time, None, 3).unwrap();
        let requests = requests.iter().map(|request| bytes::Bytes::copy_from_slice(request.as_bytes()));
        decoder.decode(&requests.collect::<Vec<_>>(), ARRIVED).unwrap()
    }

    /// Numbers went through floating point on their way, where 9007199254740993.0 is another id.
    #[test]
    fn ids_are_exact_or_refused_also_in_the_context() {
        let found = decoded(&[
            r#"{"request_id": "a", "items": [9007199254740993, 1e3], "context": {"user_id": 9223372036854775807}}"#,
            r#"{"request_id": "b", "items": [1], "user_id": 9007199254740993.0}"#,
            r#"{"request_id": "c", "items": [1], "context": {"user_id": 1.0000000000000000000001}}"#,
            r#"{"request_id": "d", "items": [9007199254740993.0]}"#,
        ]);
        let integers = |name: &str| found.rows.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone();
        assert_eq!(integers("item_id").values(), &[(1 << 53) + 1, 1_000]);
        assert_eq!(integers("user_id").values(), &[i64::MAX; 2]);
        let refused: Vec<usize> = found.refused.iter().map(|(request, _)| *request).collect();
        assert_eq!((found.payloads.as_slice(), refused.as_slice()), (&[0][..], &[1, 2, 3][..]));
    }

    #[test]
    fn texts_and_zeros_are_what_they_would_be_in_events() {
        let found = decoded(&[
            r#"{"request_id": "\ud842\udfb7", "items": [1], "price": -0.0}"#,
            "\u{feff}{\"request_id\": \"e\", \"items\": [1, 2, 3, 4]}",
            r#"{"request_id": "f", "items": [1], "context": 3}"#,
        ]);
        assert_eq!(found.groups[0].request_id, "\u{20bb7}");
        let price = found.rows.column_by_name("price").unwrap().as_primitive::<Float64Type>().value(0);
        assert_eq!(price.to_bits(), 0);
        let reasons: Vec<&str> = found.refused.iter().map(|(_, reason)| reason.as_str()).collect();
        assert_eq!(reasons, ["more than 3 items: ask in several requests", "`context` is not an object"]);
    }
}
