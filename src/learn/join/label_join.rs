//! The label join itself.

use xxhash_rust::xxh3::xxh3_64;

use super::closing::Closing;
use super::ring::{Held, NewRow, Ring, Row, RowState};
use super::settings::{JoinError, JoinSettings, LabelCounts};
use super::text_limit;
use crate::learn::{Example, ExampleError, ExampleKind, Examples, Provenance};
use crate::time::EventTime;

/// A candidate that was scored and shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impression<'a> {
    /// Hash of the columns by which feedback finds it.
    pub key: u128,
    /// When it was shown, in event time: a request's own time, else that of the clock.
    pub at: EventTime,
    /// When it came into being by the clock: its request arrived, or the broker took its event.
    pub arrived: EventTime,
    /// Its place in the ranking.
    pub place: u32,
    /// The vector that was scored.
    pub vector: &'a [f32],
    /// Who was shown what, by which model.
    pub provenance: &'a Provenance,
}

/// Remembers impressions and turns them into examples. See the module's description for the rules.
#[derive(Debug)]
pub struct LabelJoin {
    pub(super) settings: JoinSettings,
    /// Rows that fit the limits.
    pub(super) limit: usize,
    /// Bytes of ids that fit them beside the rows.
    pub(super) text_limit: usize,
    pub(super) ring: Ring,
    pub(super) closing: Closing,
    /// No row before this one waits for the clock.
    pub(super) awaited: u64,
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
            text_limit: text_limit(settings.columns, limit, settings.max_bytes),
            ring: Ring::new(settings.columns),
            closing: Closing::default(),
            awaited: 0,
            watermark_micros: i64::MIN,
            counts: LabelCounts::default(),
        })
    }

    /// Remembers an impression, in the place of the oldest when there is no room.
    ///
    /// One that was shown before the watermark waits for its whole window from there on: what people did until then has
    /// come before it.
    ///
    /// # Errors
    /// [`ExampleError::Width`] when its vector is of another width; it is not remembered.
    pub fn show(&mut self, impression: Impression<'_>) -> Result<(), ExampleError> {
        let Impression { key, at, arrived, place, vector, provenance } = impression;
        let (at_micros, opened_micros) = (at.micros(), at.micros().max(self.watermark_micros));
        let columns = self.settings.columns;
        if vector.len() != columns {
            return Err(ExampleError::Width { found: vector.len(), expected: columns });
        }
        self.make_room(1, provenance);
        // Silence is measured by one clock: were it by the times of requests, one of tomorrow would hold back all behind it.
        let arrived_micros = arrived.micros();
        let row = NewRow { key, at_micros, opened_micros, arrived_micros, place };
        let sequence = self.ring.push(row, vector, provenance);
        if let Some(position) = self.settings.position
            && let Some(held) = self.ring.row_mut(sequence)
            && let Some(value) = held.vector.get_mut(position)
        {
            *value = place as f32;
        }
        let end_micros = opened_micros.saturating_add(self.settings.window_micros);
        self.closing.push(end_micros, sequence, self.ring.oldest(), self.limit);
        self.counts.shown += 1;
        Ok(())
    }

    /// Lets the oldest go until so many more rows from there fit the limits.
    pub(super) fn make_room(&mut self, rows: usize, provenance: &Provenance) {
        while self.ring.len() > 0
            && (self.ring.len() + rows > self.limit || !self.ring.has_room(provenance, self.text_limit))
        {
            self.ring.pop();
            self.counts.evicted += 1;
        }
    }

    /// Takes feedback and adds a positive or a correction to `out` when it is for something remembered.
    ///
    /// It belongs to the newest impression of its key that was shown at or before `at`, by time and then by arrival; where
    /// there is none, to the first one shown so little after it that clocks may explain it.
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
        let Some(Held { row, vector, provenance }) = found else {
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
            labelled_micros: at_micros.max(row.at_micros),
            place: row.place,
            provenance,
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
            let Some(held) = self.ring.row_mut(sequence) else { continue };
            if held.row.state == RowState::Open {
                close(held, &self.settings, &mut self.counts, out)?;
            }
        }
        while self.ring.row(self.ring.oldest()).is_some_and(|row| self.is_forgotten(row)) {
            self.ring.pop();
        }
        Ok(())
    }

    /// Closes windows that have ended by the clock, of at most `most` impressions in the order of their arrival, adds their
    /// negatives to `out`, and says how many it closed. Event time stays where it is, so feedback that comes all the same
    /// corrects them.
    ///
    /// # Errors
    /// [`ExampleError::Width`] when `out` is of another width; nothing is closed.
    pub fn tick(&mut self, clock: EventTime, most: usize, out: &mut Examples) -> Result<usize, ExampleError> {
        out.expect_width(self.settings.columns)?;
        self.awaited = self.awaited.max(self.ring.oldest());
        let mut closed = 0;
        while closed < most
            && let Some(held) = self.ring.row_mut(self.awaited)
        {
            if held.row.state == RowState::Open {
                if held.row.arrived_micros.saturating_add(self.settings.window_micros) > clock.micros() {
                    break;
                }
                close(held, &self.settings, &mut self.counts, out)?;
                closed += 1;
            }
            self.awaited += 1;
        }
        Ok(closed)
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

    /// The row of a key that feedback of a time belongs to, and whether one was shown after it.
    fn newest_shown(&self, key: u128, at_micros: i64) -> (Option<u64>, bool) {
        let (mut newest, mut next, mut is_early) = (None, None, false);
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
                let is_close = row.at_micros.saturating_sub(self.settings.skew_micros) <= at_micros;
                if is_close && row.has_clock_time() && next.is_none_or(|(_, found)| row.at_micros <= found) {
                    next = Some((sequence, row.at_micros));
                }
            } else if newest.is_none_or(|(_, found)| row.at_micros > found) {
                newest = Some((sequence, row.at_micros));
            }
        }
        (newest.or(next).map(|(sequence, _)| sequence), is_early)
    }

    fn is_forgotten(&self, row: &Row) -> bool {
        row.state != RowState::Open && correction_end(&self.settings, row) <= self.watermark_micros
    }
}

/// From when on feedback for a row is ignored.
fn correction_end(settings: &JoinSettings, row: &Row) -> i64 {
    row.opened_micros.saturating_add(settings.window_micros).saturating_add(settings.window_micros)
}

/// Ends the window of an open row: it has got no feedback.
fn close(
    Held { row, vector, provenance }: Held<'_>,
    settings: &JoinSettings,
    counts: &mut LabelCounts,
    out: &mut Examples,
) -> Result<(), ExampleError> {
    row.state = RowState::Negative;
    if !is_kept(row.key, row.at_micros, settings.negative_rate) {
        counts.sampled_out += 1;
        return Ok(());
    }
    counts.negatives += 1;
    out.push(Example {
        vector,
        kind: ExampleKind::Negative,
        sampling: settings.negative_rate,
        shown_micros: row.at_micros,
        labelled_micros: row.opened_micros.saturating_add(settings.window_micros),
        place: row.place,
        provenance,
    })
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
