//! Panes of wide windows rolled up, for aggregates that are merged: a window merges a few tiles, not all its panes.
//!
//! ```text
//!   window      ├──────────────────────────────────────────────────┤
//!   tiles × 16         │               │               │
//!   tiles × 4     │    │   │   │   │   │   │   │   │   │   │   │   │
//!   panes         ││││││││││││││││││││││││││││││││││││││││││││││││││
//!   merged        ▔▔▔▔▔ ▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔ ▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔ ▔▔▔ ▔▔▔ ▔▔▔▔▔▔
//! ```
//!
//! A tile is made once, when the watermark passes its end. An event that comes later still is added to its pane and to
//! the tiles that hold the pane.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::aggregate::Aggregates;
use super::input::Input;
use super::pane::Pane;
use super::partial::{Chunk, Partial};
use crate::window::WindowError;
use crate::window::asof::floor;

/// Tiles of a level hold so many of the level before.
const FANOUT: i64 = 4;

/// The tiles of all widths, narrow to wide. A clone has a pointer to each state.
#[derive(Clone)]
pub(super) struct Tiles {
    pub(super) levels: Vec<Level>,
}

#[derive(Clone)]
pub(super) struct Level {
    pub(super) width: i64,
    /// Tiles that end up to here have been made, if they have events.
    pub(super) made_until: i64,
    /// Per merged aggregate, its states.
    pub(super) by_start: BTreeMap<i64, Arc<Vec<Partial>>>,
}

impl Tiles {
    /// The levels that pay for windows of up to `size` over panes of `width`.
    pub(super) fn new(width: i64, size: i64, aggregates: &Aggregates) -> Self {
        let mut levels = Vec::new();
        let mut wide = width.saturating_mul(FANOUT);
        while !aggregates.merged.is_empty() && wide.saturating_mul(2) <= size {
            levels.push(Level { width: wide, made_until: i64::MIN, by_start: BTreeMap::new() });
            wide = wide.saturating_mul(FANOUT);
        }
        Self { levels }
    }

    /// Makes the tiles that the watermark has passed. The panes that they hold are closed.
    pub(super) fn roll_up(
        &mut self,
        panes: &BTreeMap<i64, Pane>,
        aggregates: &Aggregates,
        watermark: i64,
    ) -> Result<(), WindowError> {
        for index in 0..self.levels.len() {
            let (narrower, rest) = self.levels.split_at_mut(index);
            let Some(level) = rest.first_mut() else { break };
            let end = floor(watermark, level.width);
            if end <= level.made_until {
                continue;
            }
            let from = level.made_until;
            let starts: Vec<i64> = match narrower.last() {
                Some(narrower) => narrower.by_start.range(from..end).map(|(start, _)| *start).collect(),
                None => panes.range(from..end).map(|(start, _)| *start).collect(),
            };
            for parts in starts.chunk_by(|one, two| floor(*one, level.width) == floor(*two, level.width)) {
                let mut tile = Vec::with_capacity(aggregates.merged.len());
                for (place, aggregate) in aggregates.merged.iter().enumerate() {
                    let partials: Vec<&Partial> = match narrower.last() {
                        Some(narrower) => {
                            parts.iter().filter_map(|start| narrower.by_start.get(start)?.get(place)).collect()
                        }
                        None => {
                            parts.iter().filter_map(|start| panes.get(start)?.content().merged.get(place)).collect()
                        }
                    };
                    let mut merged = Partial::default();
                    let chunks = partials.iter().flat_map(|partial| &partial.chunks).map(Arc::as_ref);
                    if chunks.clone().next().is_some() {
                        merged.chunks.push(Arc::new(Chunk::merge(aggregate, chunks)?));
                    }
                    for partial in partials {
                        merged.take_waiting(partial);
                    }
                    tile.push(merged);
                }
                level.by_start.insert(floor(parts[0], level.width), Arc::new(tile));
            }
            level.made_until = end;
        }
        Ok(())
    }

    /// Whether a tile that holds the pane has been made, or would have been with events in it.
    pub(super) fn holds(&self, pane: i64) -> bool {
        let is_made = |level: &Level| floor(pane, level.width).saturating_add(level.width) <= level.made_until;
        self.levels.iter().any(is_made)
    }

    /// Adds an event to the tiles that hold its pane already.
    pub(super) fn add(
        &mut self,
        aggregates: &Aggregates,
        input: &Input,
        row: u32,
        pane: i64,
    ) -> Result<(), WindowError> {
        for level in &mut self.levels {
            let start = floor(pane, level.width);
            if start.saturating_add(level.width) > level.made_until {
                continue;
            }
            let tile = level.by_start.entry(start);
            let tile = tile.or_insert_with(|| Arc::new(aggregates.merged.iter().map(|_| Partial::default()).collect()));
            for ((partial, part), aggregate) in
                Arc::make_mut(tile).iter_mut().zip(&input.merged).zip(&aggregates.merged)
            {
                partial.push(aggregate, part, &input.slots, &[row])?;
            }
        }
        Ok(())
    }

    /// The states of an aggregate over `start..end`, each event in exactly one of them, oldest first.
    pub(super) fn cover<'a>(
        &'a self,
        panes: &'a BTreeMap<i64, Pane>,
        width: i64,
        place: usize,
        (start, end): (i64, i64),
    ) -> Vec<&'a Partial> {
        let mut cover = Vec::new();
        let mut position = start;
        while let Some((next, pane)) = panes.range(position..end.max(position)).next() {
            // The widest tile that holds the next pane and nothing outside what is left of the window.
            let tile = self.levels.iter().rev().find_map(|level| {
                let start = floor(*next, level.width);
                let fits = start >= position && start.saturating_add(level.width) <= end.min(level.made_until);
                let tile = level.by_start.get(&start).filter(|_| fits)?;
                Some((start.saturating_add(level.width), tile))
            });
            match tile {
                Some((tile_end, tile)) => {
                    cover.extend(tile.get(place));
                    position = tile_end;
                }
                None => {
                    cover.extend(pane.content().merged.get(place));
                    position = next.saturating_add(width);
                }
            }
        }
        cover
    }

    /// Drops the tiles that end before the oldest pane: nobody reads them any more.
    pub(super) fn expire(&mut self, oldest: i64) {
        for level in &mut self.levels {
            while level.by_start.first_key_value().is_some_and(|(start, _)| start.saturating_add(level.width) <= oldest)
            {
                level.by_start.pop_first();
            }
        }
    }

    /// All states, for changes of keys.
    pub(super) fn partials_mut(&mut self) -> impl Iterator<Item = &mut Partial> {
        self.levels.iter_mut().flat_map(|level| level.by_start.values_mut()).flat_map(Arc::make_mut)
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        let tiles = self.levels.iter().flat_map(|level| level.by_start.values());
        tiles.flat_map(|tile| tile.as_slice()).map(Partial::size).sum()
    }
}
