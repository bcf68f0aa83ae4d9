//! Which tables a snapshot holds as the pipeline computes them now, decided by the first bytes of each part.
//!
//! ```text
//!   table person  ── as-of ──▶ its own part ─────────────────────────────┐
//!                                                                        ├─▶ fits, or is made again from the streams
//!   table hourly ─┐                                                      │
//!   table daily  ─┴─ windows ─▶ the panes they share, newest rows of each ┘   together: one that does not fit takes all
//! ```

use std::fmt;
use std::io::Read;

use super::stream::check_stream;
use super::{WINDOWS, in_part, panes_part, stream_part, table_part};
use crate::feature::LiveTable;
use crate::pipeline::TableIndex;
use crate::snapshot::{Header, SaveError};
use crate::step::step::Step;
use crate::step::{StepError, tables::Tables};

/// Tables whose state is of something else than the pipeline computes now, or is not there.
#[derive(Debug)]
pub struct Misfit {
    /// Those that are made again together, by their index in the pipeline.
    pub tables: Vec<TableIndex>,
    /// The part that does not fit.
    pub part: String,
    /// What differs.
    pub why: SaveError,
}

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            SaveError::Foreign { what, found, expected } => write!(
                formatter,
                "the SQL or settings of part {} of the state have changed since it was saved ({what} {found}, now {expected})",
                self.part
            ),
            why => write!(formatter, "part {} of the state: {why}", self.part),
        }
    }
}

impl Step {
    /// Whether the parts of the streams are of their settings: of others, nothing of the state can be kept.
    ///
    /// # Errors
    /// With the first that is not, or can't be read.
    pub fn check_streams<R: Read>(
        &self,
        read: &impl Fn(&str) -> Result<Option<R>, StepError>,
    ) -> Result<(), StepError> {
        for plan in &self.pipeline.streams {
            let part = stream_part(plan);
            if let Some(why) = judge(read, &part, |header| check_stream(plan, header))? {
                return Err(in_part(&part)(why));
            }
        }
        Ok(())
    }

    /// The tables that do not fit the parts which `read` gives; of a part that is not there it gives nothing.
    ///
    /// # Errors
    /// When the beginning of a part can't be read.
    pub fn misfits<R: Read>(
        &self,
        read: &impl Fn(&str) -> Result<Option<R>, StepError>,
    ) -> Result<Vec<Misfit>, StepError> {
        let Tables { live, windows, places, .. } = &self.tables;
        let is_earlier = super::is_earlier(read)?;
        let mut misfits = Vec::new();
        for (index, table) in live.iter().enumerate() {
            let LiveTable::AsOf(state) = table else { continue };
            let part = table_part(&self.pipeline, TableIndex(index));
            if let Some(why) = judge(read, &part, |header| state.check(header))? {
                misfits.push(Misfit { tables: vec![TableIndex(index)], part, why });
            }
        }
        for group in windows.groups() {
            let tables: Vec<TableIndex> = group.tables().map(|table| places[table.0]).collect();
            let (part, judged) = match is_earlier {
                true => (WINDOWS.to_owned(), judge(read, WINDOWS, |header| windows.check_all(header))?),
                false => {
                    let part = panes_part(&self.pipeline, &tables);
                    let judged = judge(read, &part, |header| group.check(header))?;
                    (part, judged)
                }
            };
            let mut found = judged.map(|why| (part, why));
            for table in &tables {
                let LiveTable::Windows(rows) = &live[table.0] else { continue };
                if found.is_none() {
                    let part = table_part(&self.pipeline, *table);
                    found = judge(read, &part, |header| rows.check(header))?.map(|why| (part, why));
                }
            }
            misfits.extend(found.map(|(part, why)| Misfit { tables, part, why }));
        }
        Ok(misfits)
    }
}

/// What of a part does not fit; damage is an error.
fn judge<R: Read>(
    read: &impl Fn(&str) -> Result<Option<R>, StepError>,
    part: &str,
    check: impl FnOnce(&Header) -> Result<(), SaveError>,
) -> Result<Option<SaveError>, StepError> {
    let Some(mut input) = read(part)? else { return Ok(Some(SaveError::Absent)) };
    let header = Header::read(&mut input).map_err(in_part(part))?;
    Ok(check(&header).err())
}
