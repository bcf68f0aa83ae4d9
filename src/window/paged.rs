//! A vector that views share: what is written after a view was taken is copied first, a page at a time.
//!
//! ```text
//!   table  own │ shared ───────────╮ own        a view copies a pointer per chunk of 128 pages
//!          ███ │   └─ pages written │ ███
//!              │      since: ▪   ▪  │
//!   view   ────┼─▶ █████████████████
//! ```
//!
//! Rows lie in chunks, each in one piece, so that finding one takes a look into a small list of chunks and no more. A view makes
//! chunks be shared, which costs nothing per row. Then a row that is written costs the copy of its page once per view, beside
//! the chunk; under Zipf's law most large pages would be written between two views, so pages are small. A chunk is in one
//! piece again with the first write after its views have ended, or when half of its pages were written.

mod chunk;

use std::mem::{replace, size_of, take};
use std::ops::Range;

use self::chunk::{Chunk, Cost, Layout};

/// Pages of a chunk.
const PAGES: usize = 128;

/// Bytes of a page at most, unless a single row is larger.
const PAGE_BYTES: usize = 2_048;

/// Rows of some values each, all of one width.
#[derive(Clone)]
pub(crate) struct Paged<T> {
    chunks: Vec<Chunk<T>>,
    /// Values of a row.
    width: usize,
    /// A chunk has `1 << shift` rows; the last one may have fewer.
    shift: u32,
    rows: usize,
    /// Bytes of a value where they are not all in the page.
    weigh: Option<fn(&T) -> usize>,
    /// What views have cost since that was last asked.
    cost: Cost,
}

impl<T: Clone> Paged<T> {
    /// No rows yet, of `width` values each; a row has at least one.
    pub(crate) fn new(width: usize) -> Self {
        Self::of_pages(width, PAGE_BYTES / size_of::<T>().max(1) / width.max(1))
    }

    /// As [`Self::new`], with about so many rows to a page: where copying a value costs more than its bytes.
    pub(crate) fn of_pages(width: usize, rows: usize) -> Self {
        let shift = rows.max(1).ilog2() + PAGES.ilog2();
        Self { chunks: Vec::new(), width: width.max(1), shift, rows: 0, weigh: None, cost: Cost::default() }
    }

    /// The same, of values that have more bytes elsewhere: so many in all.
    pub(crate) fn weighed(self, weigh: fn(&T) -> usize) -> Self {
        Self { weigh: Some(weigh), ..self }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    fn chunk_rows(&self) -> usize {
        1 << self.shift
    }

    /// Values of a page.
    fn page(&self) -> usize {
        self.chunk_rows() / PAGES * self.width
    }

    fn layout(&self) -> Layout<T> {
        Layout { page: self.page(), weigh: self.weigh }
    }

    /// Where a row is: its chunk, and its values in there.
    #[inline]
    fn place(&self, row: usize) -> (usize, Range<usize>) {
        let first = (row & (self.chunk_rows() - 1)) * self.width;
        (row >> self.shift, first..first + self.width)
    }

    /// The values of a row.
    #[inline]
    pub(crate) fn row(&self, row: usize) -> &[T] {
        let (chunk, values) = self.place(row);
        let chunk = &self.chunks[chunk];
        match &chunk.shared {
            None => &chunk.own[values],
            Some(shared) => shared.row(values, self.page()),
        }
    }

    /// The values of a row, to be written.
    #[inline]
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [T] {
        let (chunk, values) = self.place(row);
        if self.chunks[chunk].shared.is_some() {
            return self.shared_row_mut(chunk, values);
        }
        &mut self.chunks[chunk].own[values]
    }

    /// The same of a chunk that is shared.
    #[inline(never)]
    fn shared_row_mut(&mut self, chunk: usize, values: Range<usize>) -> &mut [T] {
        let layout = self.layout();
        let chunk = &mut self.chunks[chunk];
        self.cost += chunk.leave(values.start, &layout);
        match &mut chunk.shared {
            None => &mut chunk.own[values],
            Some(shared) => shared.row_mut(values, layout.page),
        }
    }

    /// The only value of a row.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> &T {
        &self.row(row)[0]
    }

    /// The only value of a row, to be written.
    #[inline]
    pub(crate) fn get_mut(&mut self, row: usize) -> &mut T {
        &mut self.row_mut(row)[0]
    }

    /// The values of all rows, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let page = self.page();
        self.chunks.iter().flat_map(move |chunk| chunk.pieces(page)).flatten()
    }

    /// The same, to be written: what views hold of them is copied first.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let (layout, cost) = (self.layout(), &mut self.cost);
        self.chunks.iter_mut().flat_map(move |chunk| {
            *cost += chunk.leave_all(&layout);
            &mut chunk.own
        })
    }

    /// Puts these values in the place of all rows; a row has one.
    pub(crate) fn fill(&mut self, values: impl IntoIterator<Item = T>) {
        let mut rows = Self { chunks: Vec::new(), rows: 0, cost: Cost::default(), ..*self };
        values.into_iter().for_each(|value| rows.push(std::slice::from_ref(&value)));
        self.replace(rows);
    }

    /// Adds such rows up to `rows`.
    pub(crate) fn resize(&mut self, rows: usize, blank: &[T]) {
        while self.rows < rows {
            let missing = rows - self.rows;
            let (open, room) = self.open();
            let more = room.min(missing);
            (0..more).for_each(|_| open.extend_from_slice(blank));
            self.rows += more;
        }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: &[T]) {
        self.open().0.extend_from_slice(row);
        self.rows += 1;
    }

    /// Where the row that comes next is to be pushed, and how many rows can be.
    fn open(&mut self) -> (&mut Vec<T>, usize) {
        let (chunk, values) = self.place(self.rows);
        if chunk == self.chunks.len() {
            // The first one grows: many tables are small.
            let room = if chunk == 0 { 0 } else { self.chunk_rows() * self.width };
            self.chunks.push(Chunk { own: Vec::with_capacity(room), shared: None });
        }
        let layout = self.layout();
        let room = (layout.page - values.start % layout.page) / self.width;
        (self.chunks[chunk].open(values.start, &layout, &mut self.cost), room)
    }

    /// A view: the same rows, whatever is written here from now on.
    pub(crate) fn share(&mut self) -> Self {
        let chunks = self.chunks.iter_mut().map(Chunk::share).collect();
        Self { chunks, cost: Cost::default(), ..*self }
    }

    /// Makes clones cost a few pointers, until the next write.
    pub(crate) fn freeze(&mut self) {
        self.chunks.iter_mut().for_each(|chunk| drop(chunk.share()));
    }

    /// The only value of a row that is not looked at any more.
    pub(crate) fn take(&mut self, row: usize) -> T
    where
        T: Default,
    {
        let (chunk, values) = self.place(row);
        match self.chunks[chunk].own.get_mut(values.start) {
            Some(value) => take(value),
            None => self.get(row).clone(),
        }
    }

    /// Puts other rows in the place of these, which are given. What views hold of them is held for views alone from now on.
    pub(crate) fn replace(&mut self, rows: Self) -> Self {
        let layout = self.layout();
        let held: usize = self.chunks.iter().map(|chunk| chunk.held(&layout)).sum();
        let cost = self.cost;
        let before = replace(self, rows);
        self.cost += cost;
        self.cost.copied += held;
        before
    }

    /// Gives back the chunks of rows below this one, which are not looked at any more.
    pub(crate) fn release_below(&mut self, row: usize) {
        let until = self.place(row).0.min(self.chunks.len());
        let held = self.chunks[..until].iter_mut().rev().take_while(|chunk| !chunk.is_empty());
        held.for_each(|chunk| *chunk = Chunk::EMPTY);
    }

    /// Bytes of pages that were copied because a view held them, or put back in their place when it had ended, since they were
    /// last [taken](Self::take_copied).
    pub(crate) fn touched(&self) -> usize {
        self.cost.copied + self.cost.moved
    }

    /// Bytes of pages that were copied because a view held them, since this was last asked.
    pub(crate) fn take_copied(&mut self) -> usize {
        take(&mut self.cost).copied
    }
}

/// Rows of one value.
impl<T: Clone> FromIterator<T> for Paged<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut rows = Self::new(1);
        rows.fill(values);
        rows
    }
}

#[cfg(test)]
mod tests;
