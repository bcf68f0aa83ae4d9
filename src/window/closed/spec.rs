//! Which windows there are: their bounds, the panes that they are made of, and when the last one of an event closes.
//!
//! Windows are half-open, `start <= ts < end`, and aligned to 1970-01-01T00:00:00Z in UTC: a hop to its slide, a
//! cumulating window to its size. A day is 24 hours; daylight saving plays no part.
//!
//! ```text
//!   hop(ts, 10 s, 30 s)      cumulate(ts, 10 s, 30 s)
//!   ├─────────────┤          ├────┤
//!        ├─────────────┤     ├─────────┤
//!             ├─────────     ├──────────────┤├────┤
//!   │pane│pane│pane│pane│    │pane│pane│pane│pane│
//! ```

use crate::window::asof::floor;

/// The window of a GROUP BY. All lengths are in microseconds and positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowSpec {
    /// Windows of `size`, one after the other.
    Tumble {
        /// Length of a window.
        size: i64,
    },
    /// Windows of `size`, one starting every `slide`; `slide` divides `size`.
    Hop {
        /// Distance between two starts.
        slide: i64,
        /// Length of a window.
        size: i64,
    },
    /// Windows that start every `size` and grow by `step` up to it; `step` divides `size`.
    Cumulate {
        /// Distance between two ends.
        step: i64,
        /// Length of the longest window.
        size: i64,
    },
    /// Per key, events with less than `gap` between one and the next; the window ends `gap` after the last.
    Session {
        /// The silence that ends a session.
        gap: i64,
    },
}

impl WindowSpec {
    /// Distance between the ends of two windows, which is the widest pane that can serve it; a session has no panes and
    /// gives its gap.
    pub fn slide(self) -> i64 {
        match self {
            Self::Tumble { size } => size,
            Self::Hop { slide, .. } => slide,
            Self::Cumulate { step, .. } => step,
            Self::Session { gap } => gap,
        }
    }

    /// Length of the longest window; the gap of a session, which has no longest one.
    pub fn size(self) -> i64 {
        match self {
            Self::Tumble { size } | Self::Hop { size, .. } | Self::Cumulate { size, .. } => size,
            Self::Session { gap } => gap,
        }
    }

    /// The first end of a window after `t`.
    pub(super) fn end_after(self, t: i64) -> i64 {
        floor(t, self.slide()).saturating_add(self.slide())
    }

    /// Start of the window that ends at `end`.
    pub(super) fn start_of(self, end: i64) -> i64 {
        match self {
            Self::Cumulate { step, size } => floor(end.saturating_sub(step), size),
            _ => end.saturating_sub(self.size()),
        }
    }

    /// End of the last window that holds an event at `ts`.
    pub(super) fn last_end(self, ts: i64) -> i64 {
        match self {
            Self::Cumulate { size, .. } => floor(ts, size).saturating_add(size),
            Self::Session { gap } => ts.saturating_add(gap),
            _ => floor(ts, self.slide()).saturating_add(self.size()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every window of the kind whose end is near `ts`, by counting.
    fn windows(spec: WindowSpec, ts: i64) -> Vec<(i64, i64)> {
        let (slide, size) = (spec.slide(), spec.size());
        let ends = (ts / slide - size / slide - 3..=ts / slide + size / slide + 3).map(|end| end * slide);
        ends.map(|end| match spec {
            WindowSpec::Cumulate { step, size } => {
                let mut start = -6_000 * size;
                while start + size < end {
                    start += size;
                }
                debug_assert!(end - start >= step);
                (start, end)
            }
            _ => (end - size, end),
        })
        .collect()
    }

    proptest! {
        #[test]
        fn bounds_agree_with_counting_also_at_negative_times(
            ts in -5_000_i64..5_000, slide in 1_i64..40, times in 1_i64..8, kind in 0_usize..3,
        ) {
            let size = slide * times;
            let spec = [
                WindowSpec::Tumble { size },
                WindowSpec::Hop { slide, size },
                WindowSpec::Cumulate { step: slide, size },
            ][kind];
            let all = windows(spec, ts);
            let holding: Vec<_> = all.iter().filter(|(start, end)| *start <= ts && ts < *end).collect();
            prop_assert!(!holding.is_empty());
            prop_assert_eq!(Some(spec.last_end(ts)), holding.iter().map(|(_, end)| *end).max());
            prop_assert_eq!(Some(spec.end_after(ts)), all.iter().map(|(_, end)| *end).filter(|end| *end > ts).min());
            for (start, end) in holding {
                prop_assert_eq!(spec.start_of(*end), *start);
            }
        }
    }
}
