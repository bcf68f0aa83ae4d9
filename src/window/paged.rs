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
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Action {
        Push(i64),
        Write(prop::sample::Index, i64),
        Resize(usize),
        WriteAll,
        View,
        Drop(prop::sample::Index),
    }

    fn action() -> impl Strategy<Value = Action> {
        let place = any::<prop::sample::Index>;
        prop_oneof![
            4 => any::<i64>().prop_map(Action::Push),
            8 => (place(), any::<i64>()).prop_map(|(row, value)| Action::Write(row, value)),
            2 => (0_usize..300).prop_map(Action::Resize),
            1 => Just(Action::WriteAll),
            2 => Just(Action::View),
            1 => place().prop_map(Action::Drop),
        ]
    }

    fn all(rows: &Paged<i64>) -> Vec<[i64; 2]> {
        (0..rows.len()).map(|row| [rows.row(row)[0], rows.row(row)[1]]).collect()
    }

    proptest! {
        #[test]
        fn views_stay_what_they_were_and_the_rest_is_a_vector(
            actions in prop::collection::vec(action(), 1..200),
            // Few rows to a page, so that chunks fill up.
            page in prop::sample::select(vec![1, 2, 32]),
        ) {
            let mut rows = Paged::of_pages(2, page);
            let mut naive: Vec<[i64; 2]> = Vec::new();
            let mut views: Vec<(Paged<i64>, Vec<[i64; 2]>)> = Vec::new();
            for action in actions {
                match action {
                    Action::Push(value) => {
                        rows.push(&[value, !value]);
                        naive.push([value, !value]);
                    }
                    Action::Write(row, value) if !naive.is_empty() => {
                        let row = row.index(naive.len());
                        rows.row_mut(row)[1] = value;
                        naive[row][1] = value;
                    }
                    Action::Resize(more) => {
                        rows.resize(naive.len() + more, &[7, 8]);
                        naive.resize(naive.len() + more, [7, 8]);
                    }
                    Action::WriteAll => {
                        rows.iter_mut().for_each(|value| *value = value.wrapping_mul(3));
                        naive.as_flattened_mut().iter_mut().for_each(|value| *value = value.wrapping_mul(3));
                    }
                    Action::View => views.push((rows.share(), naive.clone())),
                    Action::Drop(view) if !views.is_empty() => {
                        views.swap_remove(view.index(views.len()));
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(all(&rows), naive);
            for (view, expected) in &views {
                prop_assert_eq!(&all(view), expected);
            }
        }
    }

    #[test]
    fn only_pages_that_a_view_holds_are_copied_and_each_once() {
        let mut rows = Paged::new(1);
        rows.resize(100_000, &[0_i64]);
        rows.get_mut(5);
        assert_eq!(rows.take_copied(), 0);
        let view = rows.share();
        (0..1_024).for_each(|row| *rows.get_mut(row) += 1);
        assert_eq!(rows.take_copied(), 8 * 1_024);
        (0..1_024).for_each(|row| *rows.get_mut(row) += 1);
        assert_eq!((rows.take_copied(), *view.get(3), *rows.get(3)), (0, 0, 2));
        drop(view);
        *rows.get_mut(90_000) = 1;
        assert_eq!(rows.take_copied(), 0, "nobody holds it any more");
    }

    #[test]
    fn what_values_hold_elsewhere_counts_and_so_do_rows_that_were_replaced_under_a_view() {
        let mut rows = Paged::of_pages(1, 2).weighed(|list: &Vec<u8>| list.len());
        rows.resize(5, &[vec![1; 100]]);
        let view = rows.share();
        rows.get_mut(0).push(2);
        assert_eq!(rows.take_copied(), 200);
        rows.iter_mut().take(4).for_each(|list| list.push(3));
        // Of rows 2 to 4 alone.
        assert_eq!((rows.take_copied(), view.get(2).len()), (300, 100));
        let other = rows.share();
        rows.get_mut(0).push(4);
        let before = rows.replace(Paged::of_pages(1, 2).weighed(|list: &Vec<u8>| list.len()));
        // The first page, when it was copied, and then all others.
        assert_eq!((rows.take_copied(), before.len(), other.len()), (102 + 101 + 101 + 101 + 100, 5, 5));
        drop((view, other));
        drop(before);
        let mut rows = Paged::of_pages(1, 2);
        rows.resize(3, &[vec![7_u8]]);
        let held = rows.share();
        assert_eq!((rows.take(0), held.get(0)), (vec![7], &vec![7]));
    }

    #[test]
    fn a_few_rows_have_a_small_chunk_that_grows() {
        let mut rows = Paged::new(1);
        let mut bytes = Vec::new();
        for row in 0..600_i64 {
            rows.push(&[row]);
            let view = rows.share();
            *rows.get_mut(0) = -1;
            bytes.push(rows.take_copied());
            drop(view);
        }
        // A page has 256 rows, and is all there is at first.
        assert_eq!(
            [bytes[0], bytes[3], bytes[4], bytes[255], bytes[256], bytes[599]],
            [8, 32, 40, 2_048, 2_048, 2_048]
        );
        assert!(rows.iter().skip(1).copied().eq(1..600));
    }

    #[test]
    fn of_a_chunk_half_of_which_was_written_everything_is_copied_and_then_no_more() {
        let mut rows = Paged::new(1);
        rows.resize(40_000, &[0_i64]);
        let view = rows.share();
        (0..64 * 256).for_each(|row| *rows.get_mut(row) += 1);
        assert_eq!(rows.take_copied(), 64 * 2_048);
        *rows.get_mut(64 * 256) += 1;
        assert_eq!(rows.take_copied(), 64 * 2_048);
        (0..32_768).for_each(|row| *rows.get_mut(row) += 1);
        assert_eq!(rows.take_copied(), 0);
        assert!(view.iter().all(|value| *value == 0));
        let (twice, once) = (64 * 256 + 1, 32_768);
        let expected = (0..40_000).map(|row| if row < twice { 2 } else { i64::from(row < once) });
        assert!(rows.iter().copied().eq(expected));
    }

    #[test]
    fn rows_are_added_behind_a_view_a_page_at_a_time() {
        let mut rows = Paged::new(1);
        rows.resize(1_100, &[0_i64]);
        let view = rows.share();
        rows.push(&[1]);
        // What the last page had.
        assert_eq!(rows.take_copied(), 8 * (1_100 - 1_024));
        rows.resize(1_300, &[1]);
        assert_eq!(rows.take_copied(), 0);
        let other = rows.share();
        rows.resize(10_000, &[2]);
        let expected = |row| i64::from(row >= 1_100) + i64::from(row >= 1_300);
        assert!(rows.iter().copied().eq((0..10_000).map(expected)));
        assert!(other.iter().copied().eq((0..1_300).map(expected)));
        drop((view, other));
        *rows.get_mut(0) += 7;
        assert!(rows.iter().skip(1).copied().eq((1..10_000).map(expected)));
        assert_eq!((rows.len(), *rows.get(0)), (10_000, 7));
    }

    #[test]
    fn what_was_written_beneath_a_view_stays_when_it_has_ended() {
        let mut rows = Paged::of_pages(1, 2);
        rows.resize(64, &[vec![0_u8]]);
        let view = rows.share();
        (0..8).for_each(|row| rows.get_mut(row).push(1));
        drop(view);
        rows.get_mut(20).push(2);
        // Bytes of a list itself: these are not weighed.
        assert_eq!(rows.take_copied(), 8 * size_of::<Vec<u8>>());
        let expected = |row| match row {
            0..8 => vec![0, 1],
            20 => vec![0, 2],
            _ => vec![0],
        };
        assert!((0..64).all(|row| *rows.get(row) == expected(row)));
    }

    #[test]
    fn what_is_released_is_given_back() {
        let mut rows = Paged::new(1);
        rows.resize(100_000, &[0_i64]);
        let mut view = rows.share();
        view.release_below(70_000);
        // Of the chunks before the one that has row 70,000, whose first row is 65,536.
        *rows.get_mut(65_535) += 1;
        assert_eq!(rows.take_copied(), 0);
        *rows.get_mut(70_000) += 1;
        assert_eq!((rows.take_copied(), *view.get(70_000)), (2_048, 0));
    }
}
