//! The columns of the events that are being gathered, and where each event came from.

use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;

use super::column::Column;
use super::contract::Contract;

/// The largest event, whatever the limits say: the texts of a column are addressed with 31 bits, so that an event of this
/// size always fits behind events of as many bytes less one.
pub(super) const MAX_EVENT_BYTES: usize = 1 << 30;

/// Gathers events, row by row.
#[derive(Debug)]
pub(super) struct Columns {
    columns: Vec<Column>,
    origin: Vec<u32>,
    ranges: Vec<(u32, u32)>,
    event_bytes: usize,
}

/// The gathered events.
#[derive(Debug)]
pub(super) struct Gathered {
    /// One array per value of the contract.
    pub(super) columns: Vec<ArrayRef>,
    /// For each row the index of its message.
    pub(super) origin: Vec<u32>,
    /// For each row the event's first byte in its message's payload, and the first one behind it.
    pub(super) ranges: Vec<(u32, u32)>,
}

impl Columns {
    pub(super) fn new(contract: &Contract) -> Self {
        Self {
            columns: contract.fields().iter().map(|field| Column::new(&field.field_type())).collect(),
            origin: Vec::new(),
            ranges: Vec::new(),
            event_bytes: 0,
        }
    }

    /// Where the values of the next event are appended, before it is either kept or taken back.
    #[inline]
    pub(super) fn row(&mut self) -> &mut [Column] {
        &mut self.columns
    }

    /// Keeps the event whose values were appended: the bytes `range` of the message at index `message`.
    #[inline]
    pub(super) fn keep(&mut self, message: u32, range: &Range<usize>) {
        self.origin.push(message);
        self.ranges.push((range.start as u32, range.end as u32));
        self.event_bytes += range.len();
    }

    /// Keeps the event whose values were appended: all of the message at index `message`, which was read as `text_bytes` of JSON.
    pub(super) fn keep_message(&mut self, message: u32, bytes: usize, text_bytes: usize) {
        self.keep(message, &(0..bytes));
        self.event_bytes += text_bytes.saturating_sub(bytes);
    }

    /// Takes back what was appended of an event that is refused.
    pub(super) fn take_back(&mut self) {
        for column in &mut self.columns {
            column.truncate(self.origin.len());
        }
    }

    /// Whether the rows must be taken before another event is added.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.event_bytes >= MAX_EVENT_BYTES
    }

    /// Takes the gathered rows and begins anew; `None` when there are none.
    ///
    /// # Errors
    /// When a text is not UTF-8.
    pub(super) fn finish(&mut self) -> Result<Option<Gathered>, ArrowError> {
        if self.origin.is_empty() {
            return Ok(None);
        }
        self.event_bytes = 0;
        let room = self.origin.len() + self.origin.len() / 8;
        let origin = std::mem::replace(&mut self.origin, Vec::with_capacity(room));
        let ranges = std::mem::replace(&mut self.ranges, Vec::with_capacity(room));
        let columns: Result<_, _> = self.columns.iter_mut().map(Column::finish).collect();
        if columns.is_err() {
            // None of the rows is left behind in the other columns.
            self.take_back();
        }
        Ok(Some(Gathered { columns: columns?, origin, ranges }))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    use super::*;

    fn columns() -> Columns {
        let contract = r#"{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}}"#;
        Columns::new(&Contract::parse(contract).expect("a contract"))
    }

    #[test]
    fn only_events_that_are_kept_become_rows() {
        let mut columns = columns();
        assert!(columns.finish().expect("columns").is_none());
        for (value, message) in [(1, 0), (2, 0), (3, 5)] {
            columns.row()[0].push_integer(99);
            columns.take_back();
            columns.row()[0].push_integer(value);
            columns.row()[1].push_text(b"x");
            columns.keep(message, &(7..9));
        }
        columns.row()[1].push_text(b"begun");
        columns.take_back();
        let gathered = columns.finish().expect("columns").expect("rows");
        assert_eq!(gathered.columns[0].as_primitive::<Int64Type>().values(), &[1, 2, 3]);
        assert_eq!(gathered.columns[1].len(), 3);
        assert_eq!((gathered.origin, gathered.ranges), (vec![0, 0, 5], vec![(7, 9); 3]));
        assert!(columns.finish().expect("columns").is_none());
    }

    #[test]
    fn texts_never_reach_what_31_bits_address() {
        let mut columns = columns();
        columns.keep(0, &(0..MAX_EVENT_BYTES - 1));
        assert!(!columns.is_full());
        assert!(i32::try_from(MAX_EVENT_BYTES - 1 + MAX_EVENT_BYTES).is_ok());
        columns.keep(0, &(0..1));
        assert!(columns.is_full());
    }
}
