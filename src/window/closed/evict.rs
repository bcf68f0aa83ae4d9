//! Giving up keys: those that no pane has any more, and at the limit of memory those that were quiet for longest.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take_arrays;

use super::group::PaneGroup;
use super::pane::{Content, Pairs, Pane};
use super::partial::{Chunk, Partial, Rows};
use crate::window::WindowError;
use crate::window::budget::{AtLimit, Budget};
use crate::window::keys::NO_SLOT;

/// Keys are not compacted below this many.
const COMPACT_KEYS: usize = 1 << 16;

/// Of the limit, what is held after keys were evicted.
const KEPT_SHARE: f64 = 0.9;

impl PaneGroup {
    /// Gives up the slots of keys that no pane has, once half of the slots may be such.
    pub(super) fn compact(&mut self) -> Result<(), WindowError> {
        if self.keys.len() < COMPACT_KEYS.max(2 * self.compacted) {
            return Ok(());
        }
        let mut alive = vec![false; self.keys.len()];
        for pane in self.panes.by_start.values() {
            pane.content().slots.iter().for_each(|slot| alive[*slot as usize] = true);
        }
        self.members.iter().for_each(|member| member.mark_alive(&mut alive));
        self.keep(&alive)?;
        self.compacted = self.keys.len();
        Ok(())
    }

    /// What all tables of the group may hold together.
    fn budget(&self) -> Budget {
        let budgets = self.members.iter().map(|member| member.plan.settings().budget);
        let bytes = budgets.clone().map(|budget| budget.bytes).fold(0_usize, usize::saturating_add);
        Budget { bytes, at_limit: budgets.map(|budget| budget.at_limit).next().unwrap_or(AtLimit::Stop) }
    }

    /// Keeps to the limit, after a step: evicts, or fails.
    pub(super) fn keep_to_budget(&mut self) -> Result<(), WindowError> {
        let budget = self.budget();
        if budget.bytes == usize::MAX {
            return Ok(());
        }
        let bytes = self.size();
        if bytes <= budget.bytes {
            return Ok(());
        }
        match budget.at_limit {
            AtLimit::Evict => self.evict(budget.bytes),
            AtLimit::Stop => {
                let names: Vec<&str> = self.members.iter().map(|member| member.plan.name()).collect();
                Err(WindowError::MemoryLimit { table: names.join("`, `"), bytes, limit: budget.bytes })
            }
        }
    }

    /// Forgets the keys whose newest pane is oldest until there is room again.
    fn evict(&mut self, limit: usize) -> Result<(), WindowError> {
        let target = limit as f64 * KEPT_SHARE;
        while self.size() as f64 > target && self.keys.len() > 0 {
            let mut newest = vec![i64::MIN; self.keys.len()];
            for (start, pane) in &self.panes.by_start {
                pane.content().slots.iter().for_each(|slot| newest[*slot as usize] = *start);
            }
            let mut coldest: Vec<usize> = (0..newest.len()).collect();
            coldest.sort_by_key(|slot| (newest[*slot], *slot));
            let surplus = 1.0 - target / self.size() as f64;
            // At least one key goes each time, so that this ends.
            let leaving = ((coldest.len() as f64 * surplus).ceil() as usize).clamp(1, coldest.len());
            let mut alive = vec![true; newest.len()];
            coldest[..leaving].iter().for_each(|slot| alive[*slot] = false);
            self.evicted_keys += leaving as u64;
            // The pairs of panes that were taken in are counted by their places.
            self.members.iter_mut().for_each(|member| member.running.forget_caught());
            self.keep(&alive)?;
        }
        self.compacted = self.keys.len();
        Ok(())
    }

    /// Keeps only the keys for which `alive` holds, under new slots.
    fn keep(&mut self, alive: &[bool]) -> Result<(), WindowError> {
        let moved = self.keys.retain(alive);
        let slots = self.keys.len();
        for pane in self.panes.by_start.values_mut() {
            // Columns count what is left of them to views themselves.
            self.left_to_views += pane.left_to_views().saturating_sub(pane.content().columns_size());
            pane.keep(&moved)?;
        }
        self.panes.by_start.retain(|_, pane| !pane.content().slots.is_empty());
        for partial in self.panes.tiles.partials_mut() {
            partial.keep(&moved)?;
        }
        self.members.iter_mut().for_each(|member| member.rename(&moved, slots));
        self.groups = Vec::new();
        Ok(())
    }
}

impl Pane {
    /// Gives keys their new slots and drops the rows of those that have none.
    fn keep(&mut self, moved: &[u32]) -> Result<(), WindowError> {
        let Content { slots, additive, distinct, merged } = self.content_mut();
        let before = slots.take();
        let rows = kept(&before, moved);
        *slots = renamed(&before, &rows, moved).into_iter().collect();
        additive.iter_mut().filter(|_| rows.len() < before.len()).for_each(|column| column.keep(&rows));
        for pairs in distinct {
            let (slots, values) = pairs.split_off(0);
            let kept = kept(&slots, moved);
            *pairs = Pairs::of(renamed(&slots, &kept, moved), kept.iter().map(|row| values[*row as usize]));
        }
        for partial in merged {
            partial.keep(moved)?;
        }
        self.index();
        Ok(())
    }
}

impl Partial {
    pub(super) fn keep(&mut self, moved: &[u32]) -> Result<(), WindowError> {
        let (mut chunks, mut waiting) = (Vec::new(), Vec::new());
        for chunk in &self.chunks {
            let (slots, states) = kept_rows(&chunk.slots, &chunk.states, moved)?;
            chunks.push(Chunk { slots, states });
        }
        for rows in &self.waiting {
            let (slots, arguments) = kept_rows(&rows.slots, &rows.arguments, moved)?;
            waiting.push(Rows { slots, arguments });
        }
        chunks.retain(|chunk| !chunk.slots.is_empty());
        waiting.retain(|rows| !rows.slots.is_empty());
        *self = Self::from_parts(chunks, waiting);
        Ok(())
    }
}

fn kept_rows(slots: &[u32], columns: &[ArrayRef], moved: &[u32]) -> Result<(Vec<u32>, Vec<ArrayRef>), WindowError> {
    let kept = kept(slots, moved);
    let renamed = renamed(slots, &kept, moved);
    let is_whole = kept.len() == slots.len();
    let columns = if is_whole { columns.to_vec() } else { take_arrays(columns, &UInt32Array::from(kept), None)? };
    Ok((renamed, columns))
}

/// The rows whose keys have a new slot.
fn kept(slots: &[u32], moved: &[u32]) -> Vec<u32> {
    (0_u32..).zip(slots).filter(|(_, slot)| moved[**slot as usize] != NO_SLOT).map(|(row, _)| row).collect()
}

fn renamed(slots: &[u32], kept: &[u32], moved: &[u32]) -> Vec<u32> {
    kept.iter().map(|row| moved[slots[*row as usize] as usize]).collect()
}

#[cfg(test)]
mod tests {
    use crate::time::EventTime;
    use crate::window::WindowIndex;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::Int64Type;

    use crate::window::{Budget, Horizon, TableForm, WindowError, WindowSettings, WindowTables};

    const SECOND: i64 = 1_000_000;
    const SQL: &str = "SELECT user_id, count(*) AS events, count(DISTINCT item_id) AS items, max(note) AS note \
        FROM clicks GROUP BY user_id, hop(ts, '10 seconds', '1 minute')";

    /// One event each of these users.
    fn clicks(users: std::ops::Range<i64>, second: i64) -> RecordBatch {
        let count = (users.end - users.start) as usize;
        let times = TimestampMicrosecondArray::from(vec![second * SECOND; count]).with_timezone("+00:00");
        let columns: [(&str, ArrayRef); 4] = [
            ("user_id", Arc::new(Int64Array::from_iter_values(users.clone()))),
            ("item_id", Arc::new(Int64Array::from_iter_values(users))),
            ("note", Arc::new(StringArray::from(vec!["a note"; count]))),
            ("ts", Arc::new(times)),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    fn tables(budget: Budget) -> WindowTables {
        let planner = crate::window::planner();
        planner.add_relation("clicks", clicks(0..1, 0).schema()).unwrap();
        let settings = WindowSettings { budget, ..WindowSettings::default() };
        let form = TableForm::plan(&planner, "activity", SQL, "ts", Horizon::new(SECOND), settings).unwrap();
        let TableForm::Windows(plan) = form else { panic!("not a table of windows") };
        WindowTables::new(vec![Arc::new(plan)]).unwrap()
    }

    /// Steps of a thousand new users each; the users and counts of the last window.
    fn run(tables: &mut WindowTables, steps: i64) -> Result<Vec<(i64, i64)>, WindowError> {
        let mut out = Vec::new();
        for step in 0..steps {
            let rows = clicks(step * 1_000..(step + 1) * 1_000, step);
            tables.push("clicks", &rows, &vec![EventTime(step * SECOND); 1_000], &mut vec![true; 1_000], &mut out)?;
        }
        tables.advance("clicks", Some(EventTime(10 * SECOND)), &mut out)?;
        let rows = &out.last().unwrap().rows;
        let column = |index: usize| rows.column(index).as_primitive::<Int64Type>().values().to_vec();
        Ok(column(0).into_iter().zip(column(1)).collect())
    }

    #[test]
    fn nothing_is_evicted_below_the_limit_and_the_coldest_go_above_it() {
        let mut free = tables(Budget::UNLIMITED);
        assert_eq!(run(&mut free, 8).unwrap().len(), 8_000);
        let mut roomy = tables(Budget::evict(64 << 20));
        assert_eq!(run(&mut roomy, 8).unwrap().len(), 8_000);
        assert_eq!(roomy.evicted_keys(WindowIndex(0)), 0);
        let limit = 600_000;
        let mut tight = tables(Budget::evict(limit));
        let kept = run(&mut tight, 8).unwrap();
        assert!(tight.size() <= limit, "{}", tight.size());
        assert_eq!(kept.len() as u64 + tight.evicted_keys(WindowIndex(0)), 8_000);
        assert!(tight.evicted_keys(WindowIndex(0)) > 0 && !kept.is_empty(), "{} kept", kept.len());
        assert!(kept.iter().all(|(_, events)| *events == 1));
    }

    #[test]
    fn at_the_limit_a_step_fails_with_the_name_of_the_table() {
        let error = run(&mut tables(Budget::stop(600_000)), 8).unwrap_err().to_string();
        assert!(error.contains("`activity`") && error.contains("600000"), "{error}");
    }
}
