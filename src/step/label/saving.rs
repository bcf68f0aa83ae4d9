//! The label join's part of a snapshot, and back.
//!
//! ```text
//!   labels    recorded impressions that wait for their position, then the join
//!     waiting         how many rows
//!     positions N     the position of each row                      (parts of about 16,384 rows)
//!     recorded N      the impressions: two sections
//! ```
//!
//! Which recorded impressions are in there stands in the snapshot's head.

use std::io::{Read, Write};

use xxhash_rust::xxh3::xxh3_64;

use super::Labeller;
use super::recorded::{Past, Recorded};
use crate::bus::StreamSequence;
use crate::learn::{Impression, Impressions, LabelJoin};
use crate::pipeline::Pipeline;
use crate::snapshot::{Generation, SaveError, SectionReader, SectionWriter};
use crate::step::StepError;

const LABELS: &str = "labels";

/// Rows of one section: what is held in memory beside the state while it is saved.
const PART: usize = 1 << 14;

/// What is remembered for labels as it was at a moment, to be saved on any thread.
pub struct LabelsView {
    join: LabelJoin,
    recorded: Recorded,
    settings: u64,
    columns: usize,
}

impl LabelsView {
    /// The names of its parts.
    pub fn parts(&self) -> Vec<String> {
        vec![LABELS.to_owned()]
    }

    /// Writes a part; nothing for a name that is none.
    ///
    /// # Errors
    /// When the output can't be written.
    pub fn save_part(&self, part: &str, output: &mut dyn Write) -> Result<(), StepError> {
        if part != LABELS {
            return Ok(());
        }
        self.save_recorded(output).and_then(|()| self.join.save(output)).map_err(in_part)
    }

    fn save_recorded(&self, output: &mut dyn Write) -> Result<(), SaveError> {
        let mut writer = SectionWriter::new(output, LABELS, self.settings)?;
        // A tick is recorded at a message that had been read: whoever saves has caught up with it.
        let waiting = self.recorded.iter().filter_map(|(position, past)| match past {
            Past::Shown(impressions) => Some((*position, impressions)),
            Past::Ticked(_) => None,
        });
        let rows: usize = waiting.clone().map(|(_, impressions)| impressions.len()).sum();
        writer.numbers("waiting", &[rows as i64])?;
        let (mut positions, mut impressions) = (Vec::new(), Impressions::new(self.columns));
        let mut part = 0;
        let all = waiting.flat_map(|(position, shown)| shown.iter().map(move |shown| (position, shown)));
        for (position, impression) in all {
            positions.push(position.0.cast_signed());
            impressions.push(impression).map_err(|error| misplaced(&error.to_string()))?;
            if positions.len() == PART {
                save_rows(part, &positions, &impressions, &mut writer)?;
                positions.clear();
                impressions.clear();
                part += 1;
            }
        }
        if !positions.is_empty() {
            save_rows(part, &positions, &impressions, &mut writer)?;
        }
        writer.finish()
    }
}

impl Labeller {
    /// What it remembers now, between two steps, once it has [caught up](Self::catch_up) with what has been read.
    pub fn view(&self) -> LabelsView {
        let recorded = self.recorded.clone();
        LabelsView { join: self.join.view(), recorded, settings: self.settings, columns: self.columns }
    }

    /// The join of a pipeline that has one, as a snapshot has it.
    ///
    /// # Errors
    /// When the part is missing, damaged, or of other settings.
    pub(crate) fn restore(pipeline: &Pipeline, from: &Generation) -> Result<Option<Self>, StepError> {
        if pipeline.labels.is_none() || pipeline.vector.is_none() {
            return Ok(None);
        }
        let mut part = from.find(LABELS).ok_or_else(|| in_part(SaveError::Absent))?;
        Self::restored(pipeline, &mut part)
    }

    /// Why what waits for feedback in a snapshot is of no use, where that is a change of the pipeline and no damage: then the
    /// join begins anew.
    pub(crate) fn forgets(error: &StepError) -> Option<String> {
        let StepError::State { part, source } = error else { return None };
        match source {
            SaveError::Absent if part == LABELS => Some("[labels] is new".to_owned()),
            SaveError::Foreign { what, found, expected } if part == LABELS => Some(format!(
                "[labels], the vector or a table that it reads has changed ({what} {found}, now {expected})"
            )),
            _ => None,
        }
    }

    /// The join of a pipeline that has one, as the part `labels` has it.
    ///
    /// # Errors
    /// When the part is damaged, or of other settings.
    pub fn restored(pipeline: &Pipeline, input: &mut dyn Read) -> Result<Option<Self>, StepError> {
        let Some(mut labeller) = Self::empty(pipeline)? else { return Ok(None) };
        labeller.recorded = labeller.restore_recorded(input).map_err(in_part)?;
        labeller.join = labeller.join.restored(input).map_err(in_part)?;
        Ok(Some(labeller))
    }

    fn restore_recorded(&self, input: &mut dyn Read) -> Result<Recorded, SaveError> {
        let mut reader = SectionReader::new(input, LABELS, self.settings)?;
        let waiting = reader.numbers("waiting", 1)?.first().and_then(|rows| usize::try_from(*rows).ok());
        let waiting = waiting.ok_or_else(|| misplaced("no number of rows"))?;
        let mut recorded = Recorded::new();
        for part in 0..waiting.div_ceil(PART) {
            let positions = reader.numbers(&format!("positions {part}"), PART.min(waiting - part * PART))?;
            let impressions = Impressions::restore(self.columns, &format!("recorded {part}"), &mut reader)?;
            if impressions.len() != positions.len() {
                return Err(misplaced("another number of rows than of positions"));
            }
            for (position, impression) in positions.into_iter().zip(impressions.iter()) {
                add(&mut recorded, StreamSequence(position.cast_unsigned()), impression, self.columns)?;
            }
        }
        reader.finish()?;
        Ok(recorded)
    }
}

/// Tells settings apart that lead to other examples; those of the join itself are compared by the join.
pub(in crate::step) fn settings_fingerprint(pipeline: &Pipeline, vector: &str) -> u64 {
    let labels = pipeline.labels.as_ref().map(|labels| {
        let stream = pipeline.streams.get(labels.stream.0).map(|stream| &stream.name);
        (stream, &labels.join, labels.positive.to_string())
    });
    xxh3_64(format!("{labels:?} {vector}").as_bytes())
}

fn save_rows(
    part: usize,
    positions: &[i64],
    impressions: &Impressions,
    writer: &mut SectionWriter<'_>,
) -> Result<(), SaveError> {
    writer.numbers(&format!("positions {part}"), positions)?;
    impressions.save(&format!("recorded {part}"), writer)
}

/// Adds an impression to the last ones, or behind them when its position is another.
fn add(
    recorded: &mut Recorded,
    position: StreamSequence,
    impression: Impression<'_>,
    columns: usize,
) -> Result<(), SaveError> {
    let width = |error: crate::learn::ExampleError| misplaced(&error.to_string());
    if let Some((last, Past::Shown(impressions))) = recorded.back_mut()
        && *last == position
    {
        return impressions.push(impression).map_err(width);
    }
    let mut impressions = Impressions::new(columns);
    impressions.push(impression).map_err(width)?;
    recorded.push_back((position, Past::Shown(impressions)));
    Ok(())
}

fn misplaced(found: &str) -> SaveError {
    SaveError::Unexpected { found: found.to_owned(), expected: "recorded impressions".to_owned() }
}

fn in_part(source: SaveError) -> StepError {
    StepError::State { part: LABELS.to_owned(), source }
}
