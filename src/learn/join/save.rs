//! The label join as sections, and back.
//!
//! ```text
//!  settings   window, columns, limits, position, rate: those of another join are refused
//!  counts     what became of everything so far
//!  join       watermark, sequence of the oldest row and of the next one, newest time up to the oldest row
//!  rows N     key, times, place; and their vectors: rows whose sequence is in N × 16,384 and on   (two sections each)
//!  opened N   since when the window of each of them runs in event time
//!  states     what each row waits for, one byte
//! ```
//!
//! Rows stand in the order of their arrival, in parts that begin at fixed sequences: what is held for long is the same bytes
//! in each state. Only the states change, so they are beside the rows. The windows that are open are those of the open rows,
//! in the order in which they would have closed; chains of keys are made again, too.

use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt8Array};
use arrow::datatypes::UInt8Type;
use arrow::error::ArrowError;

use super::closing::Closing;
use super::label_join::LabelJoin;
use super::ring::{NewRow, Ring, RowState};
use super::settings::{JoinSettings, LabelCounts};
use crate::learn::{ExampleError, Impression, Impressions, Provenance};
use crate::snapshot::{SaveError, SectionReader, SectionWriter};
use crate::time::EventTime;

const KIND: &str = "label join";

/// Changes when the meaning of a section does.
const FORMAT: u64 = 2;

/// Rows of one section: what is held in memory beside the join while it is saved.
const PART: u64 = 1 << 14;

impl LabelJoin {
    /// A join that is saved as this one is now, whatever becomes of this one: on any thread, and in the time of copying a pointer
    /// for some 64 impressions. What is changed from then on is copied first. It is of no other use.
    #[must_use]
    pub fn view(&self) -> Self {
        Self { ring: self.ring.share(), closing: Closing::default(), ..*self }
    }

    /// Writes everything that later examples and counts depend on.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn save(&self, output: &mut dyn Write) -> Result<(), SaveError> {
        let mut writer = SectionWriter::new(output, KIND, FORMAT)?;
        writer.numbers("settings", &settings(&self.settings).map(|(_, value)| value))?;
        writer.numbers("counts", &counts(self.counts).map(u64::cast_signed))?;
        let (oldest, next) = (self.ring.oldest(), self.ring.next());
        let newest_micros = self.ring.newest_of_oldest();
        writer.numbers("join", &[self.watermark_micros, oldest.cast_signed(), next.cast_signed(), newest_micros])?;
        let mut impressions = Impressions::new(self.settings.columns);
        let mut states = Vec::with_capacity(self.ring.len());
        for (part, sequences) in parts(oldest..next) {
            let name = format!("rows {part}");
            let mut opened = Vec::new();
            impressions.clear();
            for sequence in sequences {
                let (Some(row), Some(vector)) = (self.ring.row(sequence), self.ring.vector(sequence)) else { continue };
                let provenance = self.ring.provenance(sequence).unwrap_or(Provenance::unknown());
                let (at, arrived) = (EventTime(row.at_micros), EventTime(row.arrived_micros));
                let impression = Impression { key: row.key, at, arrived, place: row.place, vector, provenance };
                impressions.push(impression).map_err(|error| in_section(&name, &error))?;
                opened.push(row.opened_micros);
                states.push(state_code(row.state));
            }
            impressions.save(&name, &mut writer)?;
            writer.numbers(&opened_of(part), &opened)?;
        }
        let states: ArrayRef = Arc::new(UInt8Array::from(states));
        let states = RecordBatch::try_from_iter([("state", states)]);
        writer.section(
            "states",
            &[states.map_err(|source| SaveError::Batch { section: "states".to_owned(), source })?],
        )?;
        writer.finish()
    }

    /// The join that was saved, in the place of this one, which has remembered nothing and has the same settings.
    ///
    /// # Errors
    /// When the input is damaged, truncated, or the state of a join of other settings: the message names which.
    pub fn restored(mut self, input: &mut dyn Read) -> Result<Self, SaveError> {
        let mut reader = SectionReader::new(input, KIND, FORMAT)?;
        let expected = settings(&self.settings);
        for ((what, expected), found) in expected.into_iter().zip(reader.numbers("settings", expected.len())?) {
            if found != expected {
                let (found, expected) = (found.to_string(), expected.to_string());
                return Err(SaveError::Foreign { what, found, expected });
            }
        }
        let numbers = reader.numbers("counts", COUNTS)?;
        self.counts = counts_of(&numbers).ok_or_else(|| unexpected("counts", "one number for each count"))?;
        let numbers = reader.numbers("join", 4)?;
        let [watermark, oldest, next, newest_micros] = numbers[..] else { return Err(unexpected("join", "4 numbers")) };
        self.watermark_micros = watermark;
        let sequences = oldest.cast_unsigned()..next.cast_unsigned();
        let rows = sequences.end.checked_sub(sequences.start).and_then(|rows| usize::try_from(rows).ok());
        // Of an earlier version, of which more fitted the limit of bytes.
        let rows = rows.filter(|rows| *rows <= self.settings.max_rows && sequences.start > 0);
        let rows = rows.ok_or_else(|| unexpected("join", "no more rows than the limits allow"))?;
        self.ring = Ring::starting_at(self.settings.columns, sequences.start, newest_micros, rows);
        for (part, sequences) in parts(sequences.clone()) {
            let name = format!("rows {part}");
            let impressions = Impressions::restore(self.settings.columns, &name, &mut reader)?;
            if impressions.len() as u64 != sequences.end - sequences.start {
                return Err(unexpected(&name, "all rows of this part"));
            }
            let opened = reader.numbers(&opened_of(part), impressions.len())?;
            for (Impression { key, at, arrived, place, vector, provenance }, opened_micros) in
                impressions.iter().zip(opened)
            {
                let (at_micros, arrived_micros) = (at.micros(), arrived.micros());
                let row = NewRow { key, at_micros, opened_micros, arrived_micros, place };
                self.ring.push(row, vector, provenance);
            }
        }
        self.restore_states(sequences, &reader.batch("states")?)?;
        reader.finish()?;
        self.make_room(0, Provenance::unknown());
        Ok(self)
    }

    fn restore_states(&mut self, sequences: Range<u64>, states: &RecordBatch) -> Result<(), SaveError> {
        let wrong = || unexpected("states", "the state of each row");
        let states = states.columns().first().and_then(|column| column.as_primitive_opt::<UInt8Type>());
        let states = states.filter(|states| states.values().len() == self.ring.len()).ok_or_else(wrong)?;
        for (sequence, code) in sequences.zip(states.values()) {
            let state = state_of(*code).ok_or_else(wrong)?;
            let Some(held) = self.ring.row_mut(sequence) else { return Err(wrong()) };
            held.row.state = state;
            // The windows of the others have ended, or nothing comes of their end.
            if state == RowState::Open {
                let end_micros = held.row.opened_micros.saturating_add(self.settings.window_micros);
                self.closing.push(end_micros, sequence, self.ring.oldest(), self.limit);
            }
        }
        Ok(())
    }
}

/// Sequences by the part that they belong to.
fn parts(sequences: Range<u64>) -> impl Iterator<Item = (u64, Range<u64>)> {
    let Range { start, end } = sequences;
    let parts = if start < end { start / PART..end.div_ceil(PART) } else { 0..0 };
    parts.map(move |part| (part, start.max(part * PART)..end.min((part + 1) * PART)))
}

fn opened_of(part: u64) -> String {
    format!("opened {part}")
}

/// The settings that a state depends on, by their names.
fn settings(settings: &JoinSettings) -> [(&'static str, i64); 7] {
    let JoinSettings { window_micros, skew_micros, columns, max_rows, max_bytes, position, negative_rate } = *settings;
    let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    [
        ("the label window", window_micros),
        ("how far clocks may differ", skew_micros),
        ("the width of the vector", number(columns)),
        ("the limit of impressions", number(max_rows)),
        ("the limit of bytes", number(max_bytes)),
        ("the column of the position", position.map_or(-1, number)),
        ("the bits of the rate of negatives", i64::from(negative_rate.to_bits())),
    ]
}

const COUNTS: usize = 11;

fn counts(counts: LabelCounts) -> [u64; COUNTS] {
    let LabelCounts { shown, positives, negatives, sampled_out, corrections, evicted, .. } = counts;
    let LabelCounts { unmatched, without_key, repeated, early, expired, .. } = counts;
    [shown, positives, negatives, sampled_out, corrections, evicted, unmatched, without_key, repeated, early, expired]
}

/// The other way round; all fields are named, so that none is forgotten.
fn counts_of(numbers: &[i64]) -> Option<LabelCounts> {
    let numbers: [i64; COUNTS] = numbers.try_into().ok()?;
    let [shown, positives, negatives, sampled_out, corrections, evicted, rest @ ..] = numbers.map(i64::cast_unsigned);
    let [unmatched, without_key, repeated, early, expired] = rest;
    Some(LabelCounts {
        shown,
        positives,
        negatives,
        sampled_out,
        corrections,
        evicted,
        unmatched,
        without_key,
        repeated,
        early,
        expired,
    })
}

fn state_code(state: RowState) -> u8 {
    match state {
        RowState::Open => 0,
        RowState::Negative => 1,
        RowState::Positive => 2,
    }
}

fn state_of(code: u8) -> Option<RowState> {
    [RowState::Open, RowState::Negative, RowState::Positive].into_iter().find(|state| state_code(*state) == code)
}

fn in_section(section: &str, error: &ExampleError) -> SaveError {
    SaveError::Batch { section: section.to_owned(), source: ArrowError::ComputeError(error.to_string()) }
}

fn unexpected(section: &str, expected: &str) -> SaveError {
    SaveError::Unexpected { found: format!("something else in {section}"), expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Examples;

    const SETTINGS: JoinSettings = JoinSettings {
        window_micros: 10,
        skew_micros: 3,
        columns: 2,
        max_rows: 100_000,
        max_bytes: usize::MAX,
        position: Some(1),
        negative_rate: 0.5,
    };

    /// A join of rows `first` to `last`, shown at their number.
    fn join(rows: Range<u64>) -> LabelJoin {
        let mut join = LabelJoin::new(SETTINGS).unwrap();
        show(&mut join, rows);
        join
    }

    fn show(join: &mut LabelJoin, rows: Range<u64>) {
        for row in rows {
            let vector = [row as f32, 0.0];
            let at = EventTime(row as i64);
            let impression = Impression {
                key: row.into(),
                at,
                arrived: at,
                place: 7,
                vector: &vector,
                provenance: Provenance::unknown(),
            };
            join.show(impression).unwrap();
        }
    }

    fn saved(join: &LabelJoin) -> Vec<u8> {
        let mut bytes = Vec::new();
        join.save(&mut bytes).unwrap();
        bytes
    }

    fn restore(settings: JoinSettings, mut bytes: &[u8]) -> Result<LabelJoin, SaveError> {
        LabelJoin::new(settings).unwrap().restored(&mut bytes)
    }

    #[test]
    fn rows_of_several_parts_come_back_and_are_saved_as_the_same_bytes() {
        let mut before = join(0..50_000);
        let mut out = Examples::new(2);
        before.feedback(Some(100), EventTime(105), &mut out).unwrap();
        before.advance(EventTime(20_000), &mut out).unwrap();
        let bytes = saved(&before);
        let mut after = restore(SETTINGS, &bytes).unwrap();
        assert_eq!(saved(&after), bytes);
        assert!(after.size_bytes() <= before.size_bytes());
        let (mut expected, mut found) = (Examples::new(2), Examples::new(2));
        for (join, out) in [(&mut before, &mut expected), (&mut after, &mut found)] {
            for (key, at) in [(19_995, 20_002), (45_000, 45_001), (45_000, 45_002), (1, 20_000)] {
                join.feedback(Some(key), EventTime(at), out).unwrap();
            }
            join.advance(EventTime(60_000), out).unwrap();
        }
        assert_eq!((found, after.counts()), (expected, before.counts()));
    }

    #[test]
    fn a_view_is_saved_as_the_join_was() {
        let mut join = join(0..30_000);
        let mut views = Vec::new();
        let mut out = Examples::new(2);
        for round in 0..10_u64 {
            views.push((join.view(), saved(&join)));
            let first = 30_000 + round * 1_000;
            show(&mut join, first..first + 1_000);
            join.feedback(Some(u128::from(first)), EventTime(first as i64 + 1), &mut out).unwrap();
            join.advance(EventTime(first as i64 - 20_000), &mut out).unwrap();
            join.tick(EventTime(first as i64), 100, &mut out).unwrap();
            for (view, expected) in &views {
                assert!(saved(view) == *expected, "in round {round}");
            }
            assert!(saved(&join) != views[0].1);
            views.truncate(3);
        }
        let (mut twin, mut found) = (restore(SETTINGS, &saved(&join)).unwrap(), Examples::new(2));
        out.clear();
        for (join, out) in [(&mut join, &mut out), (&mut twin, &mut found)] {
            join.advance(EventTime(60_000), out).unwrap();
        }
        assert_eq!(found, out);
    }

    #[test]
    fn rows_that_stay_are_the_same_bytes_in_the_next_state() {
        let mut join = join(1..50_000);
        let first = saved(&join);
        show(&mut join, 50_000..70_000);
        join.advance(EventTime(20_000), &mut Examples::new(2)).unwrap();
        let second = saved(&join);
        assert_eq!(join.ring.oldest(), 19_981);
        let place = |bytes: &[u8], name: &[u8]| bytes.windows(name.len()).position(|found| found == name).unwrap();
        let part = |bytes: &[u8]| bytes[place(bytes, b"rows 2")..place(bytes, b"rows 3")].to_vec();
        assert!(part(&first).len() > 16_384 * 52);
        assert!(part(&first) == part(&second));
    }

    #[test]
    fn a_join_of_other_settings_is_refused_by_name() {
        let bytes = saved(&join(0..3));
        let message = |settings: JoinSettings| restore(settings, &bytes).unwrap_err().to_string();
        insta::assert_snapshot!(
            message(JoinSettings { window_micros: 11, ..SETTINGS }),
            @"saved state has the label window 10, expected 11: start from an empty state or from its own pipeline"
        );
        for (settings, name) in [
            (JoinSettings { skew_micros: 4, ..SETTINGS }, "how far clocks may differ 3"),
            (JoinSettings { columns: 3, ..SETTINGS }, "the width of the vector 2"),
            (JoinSettings { max_rows: 9, ..SETTINGS }, "the limit of impressions 100000"),
            (JoinSettings { max_bytes: 1 << 20, ..SETTINGS }, "the limit of bytes"),
            (JoinSettings { position: None, ..SETTINGS }, "the column of the position 1"),
            (JoinSettings { negative_rate: 1.0, ..SETTINGS }, "the bits of the rate of negatives"),
        ] {
            let message = message(settings);
            assert!(message.contains(name), "{message}");
        }
    }

    #[test]
    fn damage_is_never_a_join() {
        let bytes = saved(&join(0..3));
        for place in 0..bytes.len() {
            assert!(restore(SETTINGS, &bytes[..place]).is_err(), "cut at {place}");
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert!(restore(SETTINGS, &damaged).is_err(), "byte {place} flipped");
        }
    }
}
