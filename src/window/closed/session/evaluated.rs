//! Evaluated rows of the sessions, in the order of arrival, chained from each row to the one before it in its session.
//!
//! ```text
//!  parts     │ 0 1 2 3 4 5 6 7 │ 8 9 10 11 │ 12 13 ...        columns, as the steps brought them
//!  chain        1 ◀─── 4 ◀────── 8 ◀──── 11                   of one session; numbers never move but in `compact`
//! ```
//!
//! Joining two sessions links the first row of one to the last row of the other; the order of arrival is made again by
//! sorting the numbers when the rows are read. Small parts are put together, so a row is copied a few times at most; what
//! no session has any more goes when its part is empty or when it is half of all.

use std::slice::from_ref;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{concat, interleave};
use arrow::error::ArrowError;

use super::layout::Layout;
use crate::window::closed::input::Input;
use crate::window::content::row_size;
use crate::window::paged::Paged;

/// Parts are put together up to so many rows.
const PART_ROWS: usize = 8_192;

/// So many rows that no session has are tolerated.
const LOOSE_ROWS: usize = 16_384;

/// No row.
const NONE: u64 = u64::MAX;

/// The rows of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain {
    newest: u64,
    oldest: u64,
    pub(super) length: usize,
}

impl Default for Chain {
    fn default() -> Self {
        Self { newest: NONE, oldest: NONE, length: 0 }
    }
}

/// See the module.
pub(super) struct Evaluated {
    pub(super) layout: Arc<Layout>,
    parts: Vec<Part>,
    /// The number of the next row.
    next: u64,
    /// Rows that a session has, the bytes of their values, and all rows.
    linked: usize,
    linked_bytes: usize,
    stored: usize,
    /// Bytes that parts which are no more had copied beneath views, or left to them.
    copied: usize,
}

struct Part {
    first: u64,
    /// One pointer for all, since a view has every part.
    columns: Arc<[ArrayRef]>,
    /// Per row, the one before it in its session.
    previous: Paged<u64>,
    linked: usize,
}

impl Part {
    fn end(&self) -> u64 {
        self.first + self.previous.len() as u64
    }

    fn has(&self, row: u64) -> bool {
        self.first <= row && row < self.end()
    }

    /// The row before one of its rows.
    fn before(&self, row: u64) -> u64 {
        *self.previous.get((row - self.first) as usize)
    }

    /// The part is no more: the bytes that it had copied beneath views, with those that views alone hold from now on.
    fn give_up(&mut self) -> usize {
        drop(self.previous.replace(Paged::new(1)));
        self.previous.take_copied()
    }

    fn share(&mut self) -> Self {
        Self {
            first: self.first,
            columns: Arc::clone(&self.columns),
            previous: self.previous.share(),
            linked: self.linked,
        }
    }
}

impl Evaluated {
    pub(super) fn new(layout: Layout) -> Self {
        let layout = Arc::new(layout);
        Self { layout, parts: Vec::new(), next: 0, linked: 0, linked_bytes: 0, stored: 0, copied: 0 }
    }

    /// A view: these rows, whatever comes after.
    pub(super) fn share(&mut self) -> Self {
        let (layout, parts) = (Arc::clone(&self.layout), self.parts.iter_mut().map(Part::share).collect());
        Self { layout, parts, copied: 0, ..*self }
    }

    /// Bytes that were copied because a view held them, since this was last asked.
    pub(super) fn take_copied(&mut self) -> usize {
        let parts = self.parts.iter_mut().map(|part| part.previous.take_copied());
        parts.sum::<usize>() + std::mem::take(&mut self.copied)
    }

    /// Keeps the rows of a batch and gives the number of the first; no session has them yet.
    pub(super) fn append(&mut self, input: &Input) -> u64 {
        let columns = self.layout.columns(input);
        self.append_columns(columns, input.slots.len())
    }

    /// Keeps `rows` rows of the layout's columns.
    pub(super) fn append_columns(&mut self, columns: Vec<ArrayRef>, rows: usize) -> u64 {
        let first = self.next;
        if !self.layout.is_empty() {
            let mut previous = Paged::new(1);
            previous.resize(rows, &[NONE]);
            self.parts.push(Part { first, columns: columns.into(), previous, linked: 0 });
            self.next += rows as u64;
            self.stored += rows;
        }
        first
    }

    /// Adds a row of the newest part to a session.
    pub(super) fn link(&mut self, chain: &mut Chain, row: u64) {
        let Some(part) = self.parts.last_mut().filter(|part| part.has(row)) else { return };
        *part.previous.get_mut((row - part.first) as usize) = chain.newest;
        part.linked += 1;
        self.linked += 1;
        self.linked_bytes += row_size(&part.columns, (row - part.first) as usize);
        chain.newest = row;
        chain.length += 1;
        if chain.oldest == NONE {
            chain.oldest = row;
        }
    }

    /// Gives a session the rows of another.
    pub(super) fn join(&mut self, chain: &mut Chain, other: Chain) {
        if other.length == 0 {
            return;
        }
        if chain.length == 0 {
            *chain = other;
            return;
        }
        let part = self.part_of(chain.oldest);
        if let Some(part) = self.parts.get_mut(part).filter(|part| part.has(chain.oldest)) {
            *part.previous.get_mut((chain.oldest - part.first) as usize) = other.newest;
            chain.oldest = other.oldest;
            chain.length += other.length;
        }
    }

    /// Drops the rows of a session.
    pub(super) fn release(&mut self, chain: Chain) {
        let mut row = chain.newest;
        let mut at = self.part_of(row);
        while row != NONE {
            at = self.part_near(at, row);
            let Some(part) = self.parts.get_mut(at) else { return };
            part.linked -= 1;
            self.linked -= 1;
            self.linked_bytes -= row_size(&part.columns, (row - part.first) as usize);
            row = part.before(row);
        }
    }

    /// Writes the numbers of the rows of a session, in the order of arrival.
    pub(super) fn numbers(&self, chain: Chain, numbers: &mut Vec<u64>) {
        let first = numbers.len();
        let mut row = chain.newest;
        let mut at = self.part_of(row);
        while row != NONE {
            numbers.push(row);
            at = self.part_near(at, row);
            let Some(part) = self.parts.get(at) else { break };
            row = part.before(row);
        }
        let numbers = &mut numbers[first..];
        numbers.reverse();
        if !numbers.is_sorted() {
            numbers.sort_unstable();
        }
    }

    /// The columns of some rows; none when there are no rows at all.
    pub(super) fn gather(&self, numbers: &[u64]) -> Result<Vec<ArrayRef>, ArrowError> {
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let mut places = Vec::with_capacity(numbers.len());
        let mut at = 0;
        for number in numbers {
            at = self.part_near(at, *number);
            let first = self.parts.get(at).map_or(0, |part| part.first);
            places.push((at, (number - first) as usize));
        }
        self.interleave(&places, 0..self.parts.len())
    }

    fn interleave(
        &self,
        places: &[(usize, usize)],
        parts: std::ops::Range<usize>,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let column = |column: usize| {
            let parts: Vec<&dyn Array> =
                self.parts[parts.clone()].iter().map(|part| part.columns[column].as_ref()).collect();
            interleave(&parts, places)
        };
        (0..self.layout.width()).map(column).collect()
    }

    /// Puts small parts together and drops what no session has.
    pub(super) fn tidy<'a>(&mut self, chains: impl Iterator<Item = &'a mut Chain>) -> Result<(), ArrowError> {
        // Nothing refers to the newest rows when no session has one: their numbers are given again.
        while let Some(mut part) = self.parts.pop_if(|part| part.linked == 0) {
            self.next = part.first;
            self.stored -= part.previous.len();
            self.copied += part.give_up();
        }
        // A small part that went would leave a gap between neighbours that could be put together otherwise.
        let (stored, copied) = (&mut self.stored, &mut self.copied);
        self.parts.retain_mut(|part| {
            let is_kept = part.linked > 0 || part.previous.len() < PART_ROWS / 2;
            if !is_kept {
                *stored -= part.previous.len();
                *copied += part.give_up();
            }
            is_kept
        });
        while let [.., one, two] = self.parts.as_slice()
            && one.previous.len() <= 2 * two.previous.len()
            && one.previous.len() + two.previous.len() <= PART_ROWS
            && one.end() == two.first
        {
            let columns = one.columns.iter().zip(two.columns.iter());
            let columns: Result<Arc<[_]>, _> =
                columns.map(|(one, two)| concat(&[one.as_ref(), two.as_ref()])).collect();
            let columns = columns?;
            if let Some(mut two) = self.parts.pop()
                && let Some(one) = self.parts.last_mut()
            {
                one.columns = columns;
                two.previous.iter().for_each(|before| one.previous.push(from_ref(before)));
                one.linked += two.linked;
                self.copied += two.give_up();
            }
        }
        if self.stored > 2 * self.linked + LOOSE_ROWS { self.compact(chains) } else { Ok(()) }
    }

    /// Keeps the rows alone that a session has, under new numbers.
    pub(super) fn compact<'a>(&mut self, chains: impl Iterator<Item = &'a mut Chain>) -> Result<(), ArrowError> {
        let (mut numbers, mut chained) = (Vec::with_capacity(self.linked), Vec::new());
        for chain in chains.filter(|chain| chain.length > 0) {
            let first = numbers.len();
            self.numbers(*chain, &mut numbers);
            chained.push((chain, first..numbers.len()));
        }
        let mut renamed: Vec<Vec<u64>> = self.parts.iter().map(|part| vec![NONE; part.previous.len()]).collect();
        let mut at = 0;
        for number in &numbers {
            at = self.part_near(at, *number);
            renamed[at][(number - self.parts[at].first) as usize] = 0;
        }
        let mut places = Vec::with_capacity(numbers.len());
        for (part, renamed) in renamed.iter_mut().enumerate() {
            for (row, to) in renamed.iter_mut().enumerate().filter(|(_, to)| **to == 0) {
                *to = places.len() as u64;
                places.push((part, row));
            }
        }
        let mut previous = vec![NONE; places.len()];
        for (chain, range) in chained {
            let mut before = NONE;
            for number in &numbers[range] {
                at = self.part_near(at, *number);
                let row = renamed[at][(number - self.parts[at].first) as usize];
                previous[row as usize] = before;
                if before == NONE {
                    chain.oldest = row;
                }
                before = row;
            }
            chain.newest = before;
        }
        let mut parts = Vec::with_capacity(places.len() / PART_ROWS + 1);
        for (places, previous) in places.chunks_mut(PART_ROWS).zip(previous.chunks(PART_ROWS)) {
            let (Some(from), Some(to)) = (places.first().map(|first| first.0), places.last().map(|last| last.0)) else {
                continue;
            };
            for place in places.iter_mut() {
                place.0 -= from;
            }
            let columns = self.interleave(places, from..to + 1)?;
            let first = parts.last().map_or(0, Part::end);
            let linked = previous.len();
            let mut paged = Paged::new(1);
            paged.fill(previous.iter().copied());
            parts.push(Part { first, columns: columns.into(), previous: paged, linked });
        }
        self.next = parts.last().map_or(0, Part::end);
        self.copied += self.parts.iter_mut().map(Part::give_up).sum::<usize>();
        (self.parts, self.stored) = (parts, previous.len());
        Ok(())
    }

    /// Memory of the rows that a session has, bytes. As much again may be held by others that are about to go; what counts
    /// must not depend on when they do.
    pub(super) fn size(&self) -> usize {
        self.linked_bytes + 8 * self.linked
    }

    /// The part that has a row.
    fn part_of(&self, row: u64) -> usize {
        self.parts.partition_point(|part| part.first <= row).saturating_sub(1)
    }

    /// The part that has a row, which may well be the same as for another row.
    fn part_near(&self, near: usize, row: u64) -> usize {
        match self.parts.get(near) {
            Some(part) if part.has(row) => near,
            _ => self.part_of(row),
        }
    }
}
