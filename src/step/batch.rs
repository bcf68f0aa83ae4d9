//! Events that are columns already, from an archive or a file, and where each of them stands in its stream.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::buffer::ScalarBuffer;
use bytes::Bytes;

use crate::bus::{StreamSequence, Subject};
use crate::fault::{Judged, Judgement};

/// Events of one stream as columns, in its order.
///
/// They are what was published: columns are found by the names of the stream's contract, of any type that holds its values,
/// and the rules of the contract, the stream's clock and what is remembered of its ids are applied as to messages. Rows next
/// to each other with the same sequence are one message. A step ends with a message, so a message is in one batch.
#[derive(Debug, Clone)]
pub struct EventBatch {
    rows: RecordBatch,
    sequences: ScalarBuffer<u64>,
    published_micros: ScalarBuffer<i64>,
    subjects: Subjects,
    written: Written,
}

/// The message that was written out last, by its first row: its rows are neighbours, and so are dead letters about them.
#[derive(Debug, Default)]
struct Written(Mutex<Option<(usize, Bytes)>>);

/// What events were published to: where a stream is partitioned by subject, each has a watermark of its own.
#[derive(Debug, Clone)]
pub enum Subjects {
    /// All to the same.
    One(Subject),
    /// Each row to its own.
    Each(StringArray),
}

/// Why rows are no batch of events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A position is missing, or belongs to nothing.
    #[error("{rows} rows with {found} {what}: give one for each row")]
    Length {
        /// What there are too many or too few of.
        what: &'static str,
        /// How many there should be.
        rows: usize,
        /// How many there are.
        found: usize,
    },
    /// Rows are not in the order of their stream.
    #[error("row {row} has sequence {sequence}, after {before}: sort the rows by their sequence")]
    Order {
        /// The row, from 0.
        row: usize,
        /// Its sequence.
        sequence: u64,
        /// That of the row before it.
        before: u64,
    },
    /// Nothing says what a row was published to.
    #[error("row {row} has no subject: give each row the one that it was published to")]
    NoSubject {
        /// The row, from 0.
        row: usize,
    },
}

impl Clone for Written {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl EventBatch {
    /// Rows with the stream sequence and the broker's time of each, microseconds since 1970 in UTC.
    ///
    /// # Errors
    /// When a row has none of these, or the sequences descend.
    pub fn new(
        rows: RecordBatch,
        sequences: impl Into<ScalarBuffer<u64>>,
        published_micros: impl Into<ScalarBuffer<i64>>,
        subjects: Subjects,
    ) -> Result<Self, BatchError> {
        let (sequences, published_micros) = (sequences.into(), published_micros.into());
        let mut lengths = vec![("sequences", sequences.len()), ("times of the broker", published_micros.len())];
        if let Subjects::Each(subjects) = &subjects {
            lengths.push(("subjects", subjects.len()));
            if let Some(row) = (0..subjects.len()).find(|row| subjects.is_null(*row)) {
                return Err(BatchError::NoSubject { row });
            }
        }
        if let Some((what, found)) = lengths.into_iter().find(|(_, found)| *found != rows.num_rows()) {
            return Err(BatchError::Length { what, rows: rows.num_rows(), found });
        }
        let mut pairs = sequences.windows(2).zip(1..);
        if let Some((pair, row)) = pairs.find(|(pair, _)| pair[1] < pair[0]) {
            return Err(BatchError::Order { row, sequence: pair[1], before: pair[0] });
        }
        Ok(Self { rows, sequences, published_micros, subjects, written: Written::default() })
    }

    /// How many events there are.
    #[must_use]
    pub fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    /// Some of the rows, without copying them. Cut between two messages.
    ///
    /// # Panics
    /// When there are fewer rows.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        let (start, length) = (rows.start, rows.len());
        Self {
            rows: self.rows.slice(start, length),
            sequences: self.sequences.slice(start, length),
            published_micros: self.published_micros.slice(start, length),
            subjects: match &self.subjects {
                Subjects::One(subject) => Subjects::One(subject.clone()),
                Subjects::Each(subjects) => Subjects::Each(subjects.slice(start, length)),
            },
            written: Written::default(),
        }
    }

    /// The columns.
    pub(super) fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    pub(super) fn published_micros(&self) -> &[i64] {
        &self.published_micros
    }

    pub(super) fn sequence(&self, row: usize) -> StreamSequence {
        StreamSequence(self.sequences[row])
    }

    pub(super) fn subject(&self, row: usize) -> &str {
        match &self.subjects {
            Subjects::One(subject) => subject.as_str(),
            Subjects::Each(subjects) => subjects.value(row),
        }
    }

    /// For each row, the first one of its message.
    pub(super) fn origin(&self) -> Vec<u32> {
        let mut first = 0;
        let rows = self.sequences.iter().enumerate().map(|(row, sequence)| {
            if self.sequences[first] != *sequence {
                first = row;
            }
            first as u32
        });
        rows.collect()
    }

    /// The message that begins with this row, as `write` writes its rows.
    pub(super) fn written<E>(
        &self,
        first: usize,
        write: impl FnOnce(&RecordBatch) -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        let mut last = self.written.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = last.as_ref().filter(|(of, _)| *of == first) {
            return Ok(bytes.clone());
        }
        let rows = self.message(first);
        let bytes = write(&self.rows.slice(rows.start, rows.len()))?;
        *last = Some((first, bytes.clone()));
        Ok(bytes)
    }

    /// The rows of the message that begins with this one.
    pub(super) fn message(&self, first: usize) -> Range<usize> {
        let sequence = self.sequences[first];
        let length = self.sequences[first..].partition_point(|other| *other == sequence);
        first..first + length
    }
}

impl Judged for BatchError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Length { .. } => Judgement::DEFECT,
            Self::Order { .. } | Self::NoSubject { .. } => Judgement::DATA,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn rows(count: i64) -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
        RecordBatch::try_from_iter([("id", ids)]).unwrap()
    }

    fn one() -> Subjects {
        Subjects::One(Subject::new("shop.clicks").unwrap())
    }

    #[test]
    fn rows_of_one_sequence_are_one_message() {
        let batch = EventBatch::new(rows(5), vec![3, 3, 5, 8, 8], vec![1; 5], one()).unwrap();
        assert_eq!(batch.origin(), [0, 0, 2, 3, 3]);
        assert_eq!([0, 2, 3].map(|first| batch.message(first)), [0..2, 2..3, 3..5]);
        let part = batch.slice(2..5);
        assert_eq!((part.origin(), part.message(1), part.num_rows()), (vec![0, 1, 1], 1..3, 3));
        assert_eq!(part.sequence(0), StreamSequence(5));
        assert!(batch.slice(0..0).origin().is_empty());
    }

    #[test]
    fn rows_without_a_place_in_their_stream_are_no_batch() {
        let refused = |sequences: Vec<u64>, published: Vec<i64>, subjects| {
            let error = EventBatch::new(rows(3), sequences, published, subjects).unwrap_err();
            (error.to_string(), error.judgement())
        };
        let each = |subjects: Vec<Option<&str>>| Subjects::Each(StringArray::from(subjects));
        let (sequences, published) = (vec![1, 2, 3], vec![0; 3]);
        assert_eq!(
            refused(vec![1, 2], published.clone(), one()),
            ("3 rows with 2 sequences: give one for each row".to_owned(), Judgement::DEFECT)
        );
        assert_eq!(
            refused(sequences.clone(), vec![0; 4], one()).0,
            "3 rows with 4 times of the broker: give one for each row"
        );
        assert_eq!(
            refused(sequences.clone(), published.clone(), each(vec![Some("a")])).0,
            "3 rows with 1 subjects: give one for each row"
        );
        assert_eq!(
            refused(vec![1, 3, 2], published.clone(), one()),
            ("row 2 has sequence 2, after 3: sort the rows by their sequence".to_owned(), Judgement::DATA)
        );
        assert_eq!(
            refused(sequences, published, each(vec![Some("a"), None, Some("b")])).0,
            "row 1 has no subject: give each row the one that it was published to"
        );
    }
}
