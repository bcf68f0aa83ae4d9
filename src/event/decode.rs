//! The decoder: messages in, one batch of accepted events out, and every refused event with its reason.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use bytes::Bytes;

use super::check::{Limits, ObjectCheck};
use super::check_column::check_columns;
use super::columns::{Columns, Gathered, MAX_EVENT_BYTES};
use super::contract::Contract;
use super::faults::RowFaults;
use super::frame::{Frame, Frames};
use super::ipc::{self, Fitted};
use super::reject::{Flaw, Reject};
use super::settings::{DecodeSettings, DecoderError};
use super::time_column::TimeColumn;
use super::unfold::Room;
use crate::bus::{Encoding, Message};

/// Decodes the messages of one stream; its buffers are reused from batch to batch.
#[derive(Debug)]
pub struct Decoder {
    contract: Arc<Contract>,
    check: ObjectCheck,
    columns: Columns,
    time: TimeColumn,
}

/// What became of some messages.
#[derive(Debug)]
pub struct Decoded {
    /// The accepted events, in the order in which they came.
    pub batch: RecordBatch,
    /// For each row the index of its message.
    pub origin: Vec<u32>,
    /// When each row was received, microseconds since 1970: at the broker's time of its message, or before that where the
    /// stream has a column that says so.
    pub received: Vec<i64>,
    /// The refused events, in the order of their messages.
    pub rejects: Vec<Reject>,
}

impl Decoder {
    /// A decoder for events of `contract`.
    ///
    /// # Errors
    /// When the contract has no property that can be the event time.
    pub fn new(contract: Arc<Contract>, settings: &DecodeSettings) -> Result<Self, DecoderError> {
        let max_event_bytes = settings.limits.max_event_bytes.min(MAX_EVENT_BYTES);
        let limits = Limits { max_event_bytes, ..settings.limits };
        Ok(Self {
            time: TimeColumn::new(&contract, settings)?,
            check: ObjectCheck::new(Arc::clone(&contract), limits)?,
            columns: Columns::new(&contract),
            contract,
        })
    }

    /// The columns of every batch: the contract's, with the event time as `Timestamp(Microsecond, "+00:00")`.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        self.time.schema()
    }

    /// Decodes messages. No event takes another one along: each is accepted or refused by itself.
    ///
    /// # Errors
    /// When the accepted events do not fit into one batch, which takes more than 2 GiB of text.
    pub fn decode(&mut self, messages: &[Message]) -> Result<Decoded, DecoderError> {
        let mut outcome = Outcome::of(messages);
        for (index, message) in messages.iter().enumerate() {
            match message.encoding {
                Encoding::Json => self.decode_json(index, message, &mut outcome)?,
                Encoding::ArrowStream => {
                    self.flush(&mut outcome)?;
                    self.decode_arrow(index, message, &mut outcome)?;
                }
            }
        }
        self.flush(&mut outcome)?;
        outcome.finish(self.time.schema())
    }

    fn decode_json(&mut self, index: usize, message: &Message, outcome: &mut Outcome<'_>) -> Result<(), ArrowError> {
        let mut frames = Frames::new(&message.payload);
        while let Some(frame) = frames.next(&mut self.check, self.columns.row()) {
            match frame {
                Frame::Event(range) => self.columns.keep(index as u32, &range),
                Frame::Refused(range, flaw) => {
                    self.columns.take_back();
                    outcome.refuse(index as u32, flaw, message.payload.slice(range));
                }
            }
            if self.columns.is_full() {
                self.flush(outcome)?;
            }
        }
        Ok(())
    }

    /// Takes the JSON events gathered so far.
    fn flush(&mut self, outcome: &mut Outcome<'_>) -> Result<(), ArrowError> {
        let Some(Gathered { columns, origin, ranges }) = self.columns.finish()? else { return Ok(()) };
        let bytes = |row: usize, payload: Bytes| {
            let range = ranges.get(row).map(|(start, end)| *start as usize..*end as usize);
            Ok(range.map_or(Bytes::new(), |range| payload.slice(range)))
        };
        outcome.accept(&self.time, columns, origin, bytes)
    }

    fn decode_arrow(&self, index: usize, message: &Message, outcome: &mut Outcome<'_>) -> Result<(), ArrowError> {
        let index = index as u32;
        let mut room = Room::of_a_message();
        let mut fit = |batch: &RecordBatch| ipc::fit(&self.contract, &self.time, batch, &mut room);
        let fitted = ipc::read(&message.payload).and_then(|batches| batches.iter().map(&mut fit).collect());
        let batches: Vec<Fitted> = match fitted {
            Ok(batches) => batches,
            Err(flaw) => {
                outcome.refuse(index, flaw, message.payload.clone());
                return Ok(());
            }
        };
        for mut batch in batches {
            let (mut faults, mut columns) = (std::mem::take(&mut batch.faults), std::mem::take(&mut batch.columns));
            check_columns(self.contract.fields(), &columns, &mut faults);
            if let (Some(times), Some(column)) = (batch.times.take(), columns.get_mut(self.time.index())) {
                *column = times;
            }
            let rows: Vec<usize> = (0..batch.rows).filter(|row| faults.keeps(*row)).collect();
            if !faults.is_empty() {
                columns = faults.filter(&columns, batch.rows)?;
            }
            for (row, flaw) in faults {
                outcome.refuse(index, flaw, batch.one_row(row)?);
            }
            let bytes = |row: usize, _| rows.get(row).map_or(Ok(Bytes::new()), |row| batch.one_row(*row));
            outcome.accept(&self.time, columns, vec![index; rows.len()], bytes)?;
        }
        Ok(())
    }
}

/// What has become of the messages so far.
struct Outcome<'m> {
    messages: &'m [Message],
    segments: Vec<RecordBatch>,
    origin: Vec<u32>,
    received: Vec<i64>,
    rejects: Vec<Reject>,
}

impl<'m> Outcome<'m> {
    fn of(messages: &'m [Message]) -> Self {
        Self { messages, segments: Vec::new(), origin: Vec::new(), received: Vec::new(), rejects: Vec::new() }
    }

    fn refuse(&mut self, message: u32, flaw: Flaw, bytes: Bytes) {
        self.rejects.push(Reject { message, reason: flaw.reason, detail: flaw.detail, bytes });
    }

    fn payload(&self, message: u32) -> Bytes {
        self.messages.get(message as usize).map(|message| message.payload.clone()).unwrap_or_default()
    }

    /// Takes rows that fit the contract, except those whose time is not believed. `origin` has the message of each row;
    /// `bytes` cuts a row out of its message's payload.
    fn accept(
        &mut self,
        time: &TimeColumn,
        mut columns: Vec<ArrayRef>,
        mut origin: Vec<u32>,
        bytes: impl Fn(usize, Bytes) -> Result<Bytes, ArrowError>,
    ) -> Result<(), ArrowError> {
        let published =
            |message: u32| self.messages.get(message as usize).map_or(i64::MIN, |message| message.published_micros);
        let mut received = time.received(&columns, &origin, published);
        time.convert(&mut columns, &received);
        let faults: RowFaults = time.check(&columns, &received);
        if !faults.is_empty() {
            columns = faults.filter(&columns, origin.len())?;
            let kept = received.iter().enumerate().filter(|(row, _)| faults.keeps(*row)).map(|(_, received)| *received);
            received = kept.collect();
            let kept = origin.iter().enumerate().filter(|(row, _)| faults.keeps(*row)).map(|(_, message)| *message);
            let kept = kept.collect();
            for (row, flaw) in faults {
                let message = origin.get(row).copied().unwrap_or_default();
                self.refuse(message, flaw, bytes(row, self.payload(message))?);
            }
            origin = kept;
        }
        self.segments.push(RecordBatch::try_new(Arc::clone(time.schema()), columns)?);
        if self.origin.is_empty() {
            (self.origin, self.received) = (origin, received);
        } else {
            self.origin.append(&mut origin);
            self.received.append(&mut received);
        }
        Ok(())
    }

    fn finish(mut self, schema: &SchemaRef) -> Result<Decoded, DecoderError> {
        let batch = match self.segments.pop() {
            None => RecordBatch::new_empty(Arc::clone(schema)),
            Some(only) if self.segments.is_empty() => only,
            Some(last) => {
                self.segments.push(last);
                concat_batches(schema, &self.segments)?
            }
        };
        // Faults of syntax are found before those of time; afterwards they stand by message again.
        self.rejects.sort_by_key(|reject| reject.message);
        Ok(Decoded { batch, origin: self.origin, received: self.received, rejects: self.rejects })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

    use super::*;
    use crate::event::testing::{PUBLISHED, arrow, json, message};
    use crate::event::{RejectReason, TimeUnit};

    const CONTRACT: &str = r#"{"type": "object", "properties": {
        "ts": {"type": "integer"},
        "user": {"type": "string", "minLength": 1},
        "price": {"type": "number"}
    }, "required": ["ts", "user"]}"#;

    const NOW: i64 = PUBLISHED / 1_000_000;

    fn decoder(contract: &str, limits: Limits) -> Decoder {
        let contract = Arc::new(Contract::parse(contract).expect("a contract"));
        let settings = DecodeSettings { time_unit: TimeUnit::Seconds, limits, ..DecodeSettings::new("ts") };
        Decoder::new(contract, &settings).expect("a decoder")
    }

    fn decode(messages: &[Message]) -> Decoded {
        let decoded = decoder(CONTRACT, Limits::default()).decode(messages).expect("decoded");
        assert_eq!(decoded.batch.num_rows(), decoded.origin.len());
        decoded
    }

    fn reasons(decoded: &Decoded) -> Vec<(u32, &'static str)> {
        decoded.rejects.iter().map(|reject| (reject.message, reject.reason.as_str())).collect()
    }

    fn good(user: &str) -> String {
        format!(r#"{{"ts":{NOW},"user":"{user}"}}"#)
    }

    #[test]
    fn good_events_become_rows_in_their_order_whatever_their_encoding() {
        let rows = RecordBatch::try_from_iter([
            ("user", Arc::new(StringArray::from(vec!["d", "e"])) as ArrayRef),
            ("ts", Arc::new(Int64Array::from(vec![NOW, NOW + 1]))),
        ]);
        let lines = format!("[{},{}]", good("b"), good("c"));
        let messages = [json(&good("a")), json(&lines), arrow(&rows.expect("rows")), json(&good("f"))];
        let decoded = decode(&messages);
        assert_eq!(decoded.origin, [0, 1, 1, 2, 2, 3]);
        let users: Vec<_> = decoded.batch.column(1).as_string::<i32>().iter().flatten().collect();
        assert_eq!(users, ["a", "b", "c", "d", "e", "f"]);
        let times = decoded.batch.column(0).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(times.value(0), PUBLISHED);
        assert_eq!(times.timezone(), Some("+00:00"));
        assert_eq!(decoded.batch.column(2).null_count(), 6);
        assert_eq!((decoded.batch.num_rows(), decoded.rejects.len()), (6, 0));
    }

    #[test]
    fn nothing_becomes_an_empty_batch() {
        let decoded = decode(&[]);
        assert_eq!((decoded.batch.num_rows(), decoded.batch.num_columns(), decoded.rejects.len()), (0, 3, 0));
    }

    #[test]
    fn times_are_believed_up_to_their_bounds_and_no_further() {
        let event = |ts: i64| format!(r#"{{"ts":{ts},"user":"u"}}"#);
        let (earliest, latest) = (946_684_800, NOW + 60);
        let times = [earliest, earliest - 1, latest, latest + 1, i64::MAX, i64::MIN];
        let lines: Vec<_> = times.into_iter().map(event).collect();
        let decoded = decode(&[json(&lines.join("\n"))]);
        assert_eq!(decoded.batch.num_rows(), 2);
        assert_eq!(reasons(&decoded), [(0, "time_out_of_bounds"); 4]);
        assert_eq!(decoded.rejects[0].bytes, lines[1]);
        assert_eq!(
            decoded.rejects[0].detail,
            "field \"ts\": expected a time from 2000-01-01T00:00:00Z to 2026-01-01T00:01:00Z, got 1999-12-31T23:59:59Z"
        );
    }

    #[test]
    fn date_times_are_read_in_their_own_offset() {
        let contract =
            CONTRACT.replace(r#""ts": {"type": "integer"}"#, r#""ts": {"type": "string", "format": "date-time"}"#);
        let mut decoder = decoder(&contract, Limits::default());
        let event = r#"{"ts":"2026-01-01T01:00:00.25+02:00","user":"u"}"#;
        let decoded = decoder.decode(&[json(event)]).expect("decoded");
        let expected = PUBLISHED - 3_600_000_000 + 250_000;
        assert_eq!(decoded.batch.column(0).as_primitive::<TimestampMicrosecondType>().values(), &[expected]);
    }

    #[test]
    fn a_bad_row_of_a_stream_is_refused_as_a_stream_of_its_own() {
        let rows = RecordBatch::try_from_iter([
            ("ts", Arc::new(Int64Array::from(vec![NOW, NOW, 5, NOW])) as ArrayRef),
            ("user", Arc::new(StringArray::from(vec!["a", "", "c", "d"]))),
            ("price", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, f64::NAN]))),
        ]);
        let rows = rows.expect("rows");
        let decoded = decode(&[arrow(&rows)]);
        assert_eq!(decoded.batch.num_rows(), 1);
        assert_eq!(reasons(&decoded), [(0, "constraint"), (0, "not_finite"), (0, "time_out_of_bounds")]);
        for (reject, row) in decoded.rejects.iter().zip([1, 3, 2]) {
            let alone = ipc::read(&reject.bytes).expect("a stream");
            assert_eq!(alone[0].column(0).as_primitive::<Int64Type>(), rows.slice(row, 1).column(0).as_primitive());
        }
    }

    #[test]
    fn a_stream_that_cannot_be_read_is_one_reject() {
        let broken = message(Bytes::from_static(b"not arrow"), Encoding::ArrowStream);
        let decoded = decode(&[json(&good("a")), broken.clone(), json(&good("b"))]);
        assert_eq!(reasons(&decoded), [(1, "invalid_arrow")]);
        assert_eq!((decoded.rejects[0].bytes.clone(), decoded.batch.num_rows()), (broken.payload, 2));
    }

    #[test]
    fn sixty_four_kibibytes_pass_and_one_more_does_not() {
        let sized = |bytes: usize| {
            let rest = bytes - good("").len();
            good(&"x".repeat(rest))
        };
        let decoded = decode(&[json(&sized(65_536)), json(&sized(65_537)), json(&good("a"))]);
        assert_eq!((decoded.origin.as_slice(), reasons(&decoded)), (&[0, 2][..], vec![(1, "too_large")]));
    }

    #[test]
    fn sixteen_levels_pass_and_one_more_does_not() {
        let nested = |levels: usize| {
            let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
            format!(r#"{{"ts":{NOW},"user":"u","x":{open}{close}}}"#)
        };
        let decoded = decode(&[json(&nested(16)), json(&nested(17)), json(&nested(100_000))]);
        assert_eq!((decoded.batch.num_rows(), reasons(&decoded)), (1, vec![(1, "too_deep"), (2, "too_deep")]));
    }

    #[test]
    fn ten_thousand_malformed_messages_take_no_good_one_along() {
        let malformed = ["{", "", "nonsense", "[1,2", r#"{"ts":"x"}"#, "{\"ts\":1e999}", "\u{0}", "[{}", "null", "{}}"];
        let messages: Vec<_> = (0..20_000)
            .map(|index| json(&if index % 2 == 0 { good("u") } else { malformed[index / 2 % 10].to_owned() }))
            .collect();
        let decoded = decode(&messages);
        assert_eq!(decoded.batch.num_rows(), 10_000);
        assert!(decoded.origin.iter().all(|message| message % 2 == 0));
        let refused: std::collections::BTreeSet<_> = decoded.rejects.iter().map(|reject| reject.message).collect();
        assert_eq!(refused.len(), 10_000);
    }

    #[test]
    fn a_decoder_needs_a_time_that_is_always_there() {
        let problem = |contract: &str, column: &str| {
            let contract = Arc::new(Contract::parse(contract).expect("a contract"));
            Decoder::new(contract, &DecodeSettings::new(column)).expect_err("a problem").to_string()
        };
        assert_eq!(
            problem(CONTRACT, "time"),
            "time column \"time\" is not in the contract; name one of ts, user, price"
        );
        assert_eq!(problem(CONTRACT, "user"), "time column \"user\" is of type string; use an integer or a date-time");
        assert_eq!(
            problem(CONTRACT, "price"),
            "time column \"price\" is of type number; use an integer or a date-time"
        );
        let optional = r#"{"type": "object", "properties": {"ts": {"type": ["integer", "null"]}, "id": {"type": "integer"}},
            "required": ["id"]}"#;
        assert_eq!(
            problem(optional, "ts"),
            "time column \"ts\" is optional; list it in \"required\" and take null out of its type"
        );
    }

    #[test]
    fn reasons_have_distinct_names() {
        let names: std::collections::BTreeSet<_> = RejectReason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), RejectReason::ALL.len());
    }
}
