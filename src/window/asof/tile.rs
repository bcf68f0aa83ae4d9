//! Slices of event time: which tile an event falls into, and which tiles cover a horizon.
//!
//! A tile of width `w` covers `(start, start + w]`: open at its start, so that an aligned read at `t` sees exactly
//! `t - W < ts <= t`.
//!
//! ```text
//!   tail                                                        newest
//!    │10s│10s│ 1 min │ 1 min │      5 min      │ 1 min │10s│10s│rows│
//!    └── finer tiles up to the next boundary ──┘       └── not yet rolled up
//! ```

/// One second in the unit of event time, microseconds.
pub(crate) const SECOND: i64 = 1_000_000;

/// Tile widths, narrow to wide. Each divides the next, so that tiles roll up without remainders.
pub(crate) const LADDER: [i64; 5] = [10 * SECOND, 60 * SECOND, 300 * SECOND, 3_600 * SECOND, 86_400 * SECOND];

/// Start of the tile of width `width` that holds an event at `ts`.
pub(crate) fn tile_start(ts: i64, width: i64) -> i64 {
    floor(ts.saturating_sub(1), width)
}

/// `t` rounded down to a multiple of `width`.
pub(crate) fn floor(t: i64, width: i64) -> i64 {
    t.div_euclid(width).saturating_mul(width)
}

/// The time before a read that a feature looks back over: `within(ts, W)`.
///
/// The tail moves in steps: the widest tile that is at most a thirtieth of the horizon, and at least ten seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Horizon {
    width_micros: i64,
    step_micros: i64,
}

impl Horizon {
    /// The horizon of `width_micros` microseconds; a width below one is taken as one.
    pub fn new(width_micros: i64) -> Self {
        let width_micros = width_micros.max(1);
        let step_micros = LADDER.into_iter().rev().find(|tile| *tile <= width_micros / 30).unwrap_or(LADDER[0]);
        Self { width_micros, step_micros }
    }

    /// How far the feature looks back, microseconds.
    pub fn width_micros(self) -> i64 {
        self.width_micros
    }

    /// The step in which the tail moves, microseconds: part of the feature's definition.
    pub fn step_micros(self) -> i64 {
        self.step_micros
    }

    /// The exclusive lower bound of a read at `t`: an event counts when `tail < ts <= t`.
    pub fn tail(self, t: i64) -> i64 {
        floor(t.saturating_sub(self.width_micros), self.step_micros)
    }

    /// How old an event can be and still count in some read at or after the watermark.
    pub fn reach_micros(self) -> i64 {
        self.width_micros.saturating_add(self.step_micros)
    }
}

/// Tiles of one level whose start lies in `from..to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) level: usize,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// What a cover needs to know of a level of tiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LevelBounds {
    pub(crate) width: i64,
    /// Tiles that start before this are rolled up into the level. The finest level holds everything: `i64::MAX`.
    pub(crate) closed_until: i64,
}

/// The few tiles that cover everything after `tail`, each event in exactly one of them.
///
/// `finest` is the level whose width is the horizon's step. The segments are pushed onto `cover`, which is cleared
/// first.
pub(crate) fn cover(tail: i64, finest: usize, levels: &[LevelBounds], cover: &mut Vec<Segment>) {
    cover.clear();
    let mut position = tail;
    let mut level = finest;
    let mut push = |level: usize, from: i64, to: i64| {
        if from < to {
            cover.push(Segment { level, from, to });
        }
    };
    while let Some(wider) = levels.get(level + 1) {
        let boundary = floor(position.saturating_add(wider.width - 1), wider.width);
        if boundary.saturating_add(wider.width) > wider.closed_until {
            break;
        }
        push(level, position, boundary);
        position = boundary;
        level += 1;
    }
    for (level, bounds) in levels.iter().enumerate().take(level + 1).rev() {
        push(level, position, bounds.closed_until);
        position = position.max(bounds.closed_until);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steps_are_a_thirtieth_of_the_horizon_and_at_least_ten_seconds() {
        let step = |seconds: i64| Horizon::new(seconds * SECOND).step_micros() / SECOND;
        assert_eq!([step(60), step(300), step(1_799), step(1_800), step(3_600)], [10, 10, 10, 60, 60]);
        assert_eq!([step(86_400), step(7 * 86_400), step(30 * 86_400)], [300, 3_600, 86_400]);
    }

    #[test]
    fn an_aligned_read_counts_an_event_younger_than_the_horizon_and_not_one_as_old() {
        let horizon = Horizon::new(300 * SECOND);
        let tail = horizon.tail(1_000 * SECOND);
        assert_eq!(tail, 700 * SECOND);
        assert_eq!(tile_start(700 * SECOND, 10 * SECOND), 690 * SECOND);
        assert_eq!(tile_start(700 * SECOND + 1, 10 * SECOND), 700 * SECOND);
    }

    proptest! {
        #[test]
        fn a_cover_holds_every_finest_tile_after_the_tail_once(
            tail_steps in -50_i64..5_000,
            finest in 0_usize..3,
            closed in 0_i64..6_000 * 10 * SECOND,
        ) {
            let levels: Vec<_> = LADDER[..4].iter().enumerate().map(|(index, width)| LevelBounds {
                width: *width,
                closed_until: if index == 0 { i64::MAX } else { floor(closed, *width) },
            }).collect();
            let tail = floor(tail_steps * LADDER[0], LADDER[finest]);
            let mut segments = Vec::new();
            cover(tail, finest, &levels, &mut segments);
            for tile in -200..8_000_i64 {
                let start = tile * LADDER[0];
                let holders = segments.iter().filter(|segment| {
                    let start = floor(start, levels[segment.level].width);
                    segment.from <= start && start < segment.to
                }).count();
                prop_assert_eq!(holders, usize::from(start >= tail), "tile {} of {:?}", tile, segments);
            }
        }
    }
}
