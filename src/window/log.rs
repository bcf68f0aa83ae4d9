//! Values that are added one after another, in parts that views share.
//!
//! ```text
//!   full    1,024 │ 1,024 │ 1,024      never written again: a clone has a pointer to each
//!   open    317                        a clone copies it
//! ```

use std::mem::{replace, take};
use std::ops::Range;
use std::sync::Arc;

/// Values of a part.
const PART: usize = 1_024;

/// See the module.
#[derive(Clone)]
pub(crate) struct Log<T> {
    full: Vec<Arc<Vec<T>>>,
    open: Vec<T>,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self { full: Vec::new(), open: Vec::new() }
    }
}

impl<T: Copy> Log<T> {
    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.full.len() * PART + self.open.len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a value.
    #[inline]
    pub(crate) fn push(&mut self, value: T) {
        if self.open.len() == PART {
            self.full.push(Arc::new(replace(&mut self.open, Vec::with_capacity(PART))));
        }
        self.open.push(value);
    }

    /// The values of a range, in pieces whose ends are the same for every log of one length.
    pub(crate) fn pieces(&self, range: Range<usize>) -> impl Iterator<Item = &[T]> {
        let parts = self.full.iter().map(|part| part.as_slice()).chain([self.open.as_slice()]);
        let first = (range.start / PART).min(self.full.len());
        parts.enumerate().skip(first).map_while(move |(place, part)| {
            let from = range.start.saturating_sub(place * PART);
            let to = range.end.saturating_sub(place * PART).min(part.len());
            part.get(from..to).filter(|piece| !piece.is_empty())
        })
    }

    /// All values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces(0..self.len()).flatten()
    }

    /// Takes away the values from a place on.
    pub(crate) fn split_off(&mut self, first: usize) -> Vec<T> {
        let rest = self.pieces(first..self.len()).flatten().copied().collect();
        match first.checked_sub(self.full.len() * PART) {
            Some(kept) => self.open.truncate(kept),
            None => {
                let open = self.full.drain(first / PART..).next();
                self.open = open.map(|part| part[..first % PART].to_vec()).unwrap_or_default();
            }
        }
        rest
    }

    /// Takes away all values.
    pub(crate) fn take(&mut self) -> Vec<T> {
        let taken = take(self);
        taken.iter().copied().collect()
    }
}

impl<T: Copy> FromIterator<T> for Log<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut log = Self::default();
        values.into_iter().for_each(|value| log.push(value));
        log
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_log_is_a_vector_and_clones_stay_what_they_were(
            steps in prop::collection::vec((0_usize..1_500, any::<prop::sample::Index>(), any::<bool>()), 1..12),
            bounds in any::<[prop::sample::Index; 2]>(),
        ) {
            let (mut log, mut naive) = (Log::default(), Vec::new());
            let mut clones = Vec::new();
            for (more, place, is_cut) in steps {
                (0..more).for_each(|value| {
                    log.push(value);
                    naive.push(value);
                });
                clones.push((log.clone(), naive.clone()));
                if is_cut {
                    let place = place.index(naive.len() + 1);
                    prop_assert_eq!(log.split_off(place), naive.split_off(place));
                }
                prop_assert_eq!(log.len(), naive.len());
            }
            clones.push((log, naive));
            for (log, naive) in clones {
                prop_assert_eq!(log.iter().copied().collect::<Vec<_>>(), naive.clone());
                let [one, two] = bounds.map(|bound| bound.index(naive.len() + 1));
                let range = one.min(two)..one.max(two);
                let pieces: Vec<usize> = log.pieces(range.clone()).flatten().copied().collect();
                prop_assert_eq!(pieces, &naive[range]);
            }
        }
    }

    #[test]
    fn a_part_that_is_just_full_is_there_once() {
        let mut log: Log<usize> = (0..PART).collect();
        assert!(log.pieces(PART..PART).next().is_none() && !log.is_empty());
        assert_eq!((log.split_off(PART).len(), log.len()), (0, PART));
        log.push(PART);
        assert_eq!(log.split_off(PART), [PART]);
        assert_eq!((log.len(), log.take().len(), log.len()), (PART, PART, 0));
    }
}
