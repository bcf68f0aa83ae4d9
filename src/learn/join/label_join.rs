//! The label join itself.

use xxhash_rust::xxh3::xxh3_64;

use super::closing::Closing;
use super::ring::{Ring, Row, RowState};
use super::settings::{JoinError, JoinSettings, LabelCounts};
use crate::learn::{Example, ExampleError, ExampleKind, Examples};
use crate::time::EventTime;

/// A candidate that was scored and shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impression<'a> {
    /// Hash of the columns by which feedback finds it.
    pub key: u128,
    /// When it was shown, microseconds of event time.
    pub at: EventTime,
    /// Its place in the ranking.
    pub place: u32,
    /// The vector that was scored.
    pub vector: &'a [f32],
}

/// Remembers impressions and turns them into examples. See the module's description for the rules.
#[derive(Debug)]
pub struct LabelJoin {
    pub(super) settings: JoinSettings,
    /// Rows that fit the limits.
    pub(super) limit: usize,
    pub(super) ring: Ring,
    pub(super) closing: Closing,
    pub(super) watermark_micros: i64,
    pub(super) counts: LabelCounts,
}

impl LabelJoin {
    /// A join that remembers nothing yet.
    ///
    /// # Errors
    /// A [`JoinError`] that names the setting.
    pub fn new(settings: JoinSettings) -> Result<Self, JoinError> {
        let limit = settings.check()?;
        Ok(Self {
            settings,
            limit,
            ring: Ring::new(settings.columns),
            closing: Closing::default(),
            watermark_micros: i64::MIN,
            counts: LabelCounts::default(),
        })
    }

    /// Remembers an impression, in the place of the oldest when there is no room.
    ///
    /// One whose window has ended already closes with the next [`LabelJoin::advance`].
    ///
    /// # Errors
    /// [`ExampleError::Width`] when its vector is of another width; it is not remembered.
    pub fn show(&mut self, impression: Impression<'_>) -> Result<(), ExampleError> {
        let Impression { key, at, place, vector } = impression;
        let at_micros = at.micros();
        let columns = self.settings.columns;
        if vector.len() != columns {
            return Err(ExampleError::Width { found: vector.len(), expected: columns });
        }
        if self.ring.len() == self.limit {
            self.ring.pop();
            self.counts.evicted += 1;
        }
        let sequence = self.ring.push(key, at_micros, place, vector);
        if let Some(position) = self.settings.position
            && let Some((_, vector)) = self.ring.row_mut(sequence)
            && let Some(value) = vector.get_mut(position)
        {
            *value = place as f32;
        }
        let end_micros = at_micros.saturating_add(self.settings.window_micros);
        self.closing.push(end_micros, sequence, self.ring.oldest(), self.limit);
        self.counts.shown += 1;
        Ok(())
    }

    /// Takes feedback and adds a positive or a correction to `out` when it is for something remembered.
    ///
    /// It belongs to the newest impression of its key that was shown at or before `at`, by time and then by arrival.
    /// No key means that a join column was missing.
    ///
    /// # Errors
    /// [`ExampleError::Width`] when `out` is of another width; the feedback is not taken.
    pub fn feedback(&mut self, key: Option<u128>, at: EventTime, out: &mut Examples) -> Result<(), ExampleError> {
        let at_micros = at.micros();
        out.expect_width(self.settings.columns)?;
        let Some(key) = key else {
            self.counts.without_key += 1;
            return Ok(());
        };
        let (newest, is_early) = self.newest_shown(key, at_micros);
        let found = newest.and_then(|sequence| self.ring.row_mut(sequence));
        let Some((row, vector)) = found else {
            let reason = if is_early { &mut self.counts.early } else { &mut self.counts.unmatched };
            *reason += 1;
            return Ok(());
        };
        let correction_end = correction_end(&self.settings, row);
        let (kind, count) = match row.state {
            _ if at_micros >= correction_end => {
                self.counts.expired += 1;
                return Ok(());
            }
            RowState::Positive => {
                self.counts.repeated += 1;
                return Ok(());
            }
            RowState::Open => (ExampleKind::Positive, &mut self.counts.positives),
            RowState::Negative => (ExampleKind::Correction, &mut self.counts.corrections),
        };
        row.state = RowState::Positive;
        *count += 1;
        out.push(Example {
            vector,
            kind,
            sampling: 1.0,
            shown_micros: row.at_micros,
            labelled_micros: at_micros,
            place: row.place,
        })
    }

    /// Closes the windows that end at or before the watermark, which never moves back, and adds their negatives to `out` in
    /// the order of window end, then of arrival.
    ///
    /// # Errors
    /// [`ExampleError::Width`] when `out` is of another width; nothing is closed.
    pub fn advance(&mut self, watermark: EventTime, out: &mut Examples) -> Result<(), ExampleError> {
        out.expect_width(self.settings.columns)?;
        self.watermark_micros = self.watermark_micros.max(watermark.micros());
        while let Some(sequence) = self.closing.pop_due(self.watermark_micros) {
            let Some((row, vector)) = self.ring.row_mut(sequence) else { continue };
            if row.state != RowState::Open {
                continue;
            }
            row.state = RowState::Negative;
            if !is_kept(row.key, row.at_micros, self.settings.negative_rate) {
                self.counts.sampled_out += 1;
                continue;
            }
            self.counts.negatives += 1;
            out.push(Example {
                vector,
                kind: ExampleKind::Negative,
                sampling: self.settings.negative_rate,
                shown_micros: row.at_micros,
                labelled_micros: row.at_micros.saturating_add(self.settings.window_micros),
                place: row.place,
            })?;
        }
        while self.ring.row(self.ring.oldest()).is_some_and(|row| self.is_forgotten(row)) {
            self.ring.pop();
        }
        Ok(())
    }

    /// What became of everything so far.
    #[must_use]
    pub fn counts(&self) -> LabelCounts {
        self.counts
    }

    /// How many impressions are held. One that is forgotten is held until all that arrived before it are forgotten, too.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Bytes that are held; never more than the settings allow.
    #[cfg(test)]
    pub(super) fn size_bytes(&self) -> usize {
        self.ring.size_bytes() + self.closing.size_bytes()
    }

    /// The newest remembered row of a key that was shown at or before a time, and whether one was shown after it.
    fn newest_shown(&self, key: u128, at_micros: i64) -> (Option<u64>, bool) {
        let (mut newest, mut is_early) = (None, false);
        for (sequence, row) in self.ring.rows_of(key) {
            // Nothing that arrived before this row is newer than what is found.
            if newest.is_some_and(|(_, found)| found >= row.newest_micros) {
                break;
            }
            if self.is_forgotten(row) {
                continue;
            }
            if row.at_micros > at_micros {
                is_early = true;
            } else if newest.is_none_or(|(_, found)| row.at_micros > found) {
                newest = Some((sequence, row.at_micros));
            }
        }
        (newest.map(|(sequence, _)| sequence), is_early)
    }

    fn is_forgotten(&self, row: &Row) -> bool {
        row.state != RowState::Open && correction_end(&self.settings, row) <= self.watermark_micros
    }
}

/// From when on feedback for a row is ignored.
fn correction_end(settings: &JoinSettings, row: &Row) -> i64 {
    row.at_micros.saturating_add(settings.window_micros).saturating_add(settings.window_micros)
}

/// Whether a negative is kept: the same answer on every machine and in every replay.
pub(super) fn is_kept(key: u128, at_micros: i64, rate: f32) -> bool {
    let mut bytes = [0; 24];
    let (first, second) = bytes.split_at_mut(16);
    first.copy_from_slice(&key.to_le_bytes());
    second.copy_from_slice(&at_micros.to_le_bytes());
    // 53 bits are what a f64 holds exactly: a number from 0 to below 1.
    let share = (xxh3_64(&bytes) >> 11) as f64 / (1_u64 << 53) as f64;
    share < f64::from(rate)
}
