//! A vector in pages that views share: what is written after a view was taken is copied first, a page at a time.
//!
//! ```text
//!   table  chunk │ chunk │ chunk            a view copies a pointer per chunk of 64 pages
//!            │       │       ╲
//!            │       │        ╲── own: its list of pages was copied by the first write after the view
//!          pages   pages     pages ── the page that was written: copied too
//!            │       │       │ │ ╲
//!   view   chunk │ chunk │ chunk
//! ```
//!
//! Taking a view costs nothing per row, and a row that is written costs the copy of its page once per view. Under Zipf's law
//! most large pages would be written between two views, so pages are small.

mod page;

use std::mem::{replace, size_of, take};

use triomphe::UniqueArc;

use self::page::{Chunk, Page, bytes, make_own};

/// Pages whose pointers a view copies as one.
const CHUNK: usize = 64;

/// Bytes of a page at most, unless a single row is larger: with its counter it takes two kilobytes.
const PAGE_BYTES: usize = 2_048 - size_of::<usize>();

/// Rows of the first page at first.
const FIRST_ROWS: usize = 4;

/// Rows of some values each, all of one width.
#[derive(Clone)]
pub(crate) struct Paged<T> {
    chunks: Vec<Chunk<T>>,
    /// Values of a row.
    width: usize,
    /// A page has `1 << shift` rows.
    shift: u32,
    rows: usize,
    /// Bytes of a value where they are not all in the page.
    weigh: Option<fn(&T) -> usize>,
    /// Bytes of pages that were copied because a view held them.
    copied: usize,
}

impl<T: Clone> Paged<T> {
    /// No rows yet, of `width` values each; a row has at least one.
    pub(crate) fn new(width: usize) -> Self {
        Self::of_pages(width, PAGE_BYTES / size_of::<T>().max(1) / width.max(1))
    }

    /// As [`Self::new`], with about so many rows to a page: where copying a value costs more than its bytes.
    pub(crate) fn of_pages(width: usize, rows: usize) -> Self {
        Self { chunks: Vec::new(), width: width.max(1), shift: rows.max(1).ilog2(), rows: 0, weigh: None, copied: 0 }
    }

    /// The same, of values that have more bytes elsewhere: so many in all.
    pub(crate) fn weighed(self, weigh: fn(&T) -> usize) -> Self {
        Self { weigh: Some(weigh), ..self }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Where a row is: its chunk, its page in there, its first value in that.
    #[inline]
    fn place(&self, row: usize) -> (usize, usize, usize) {
        let page = row >> self.shift;
        (page / CHUNK, page % CHUNK, (row & ((1 << self.shift) - 1)) * self.width)
    }

    /// The values of a row.
    #[inline]
    pub(crate) fn row(&self, row: usize) -> &[T] {
        let (chunk, page, first) = self.place(row);
        &self.chunks[chunk].pages()[page].values()[first..first + self.width]
    }

    /// The values of a row, to be written.
    #[inline]
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [T] {
        let (chunk, page, first) = self.place(row);
        let page = &mut self.chunks[chunk].own()[page];
        if let Page::Shared(_) = page {
            self.copied += make_own(page, self.weigh);
        }
        match page {
            Page::Own(values) => &mut values[first..first + self.width],
            Page::Shared(_) | Page::Moved => &mut [],
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
        let pages = self.chunks.iter().flat_map(Chunk::pages);
        pages.flat_map(Page::values).take(self.rows * self.width)
    }

    /// The same, to be written: what views hold of them is copied first.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let (weigh, copied, values) = (self.weigh, &mut self.copied, self.rows * self.width);
        let pages = self.chunks.iter_mut().flat_map(Chunk::own);
        let pages = pages.flat_map(move |page| {
            if let Page::Shared(_) = page {
                *copied += make_own(page, weigh);
            }
            match page {
                Page::Own(values) => &mut values[..],
                Page::Shared(_) | Page::Moved => &mut [],
            }
        });
        pages.take(values)
    }

    /// Puts these values in the place of all rows; a row has one.
    pub(crate) fn fill(&mut self, values: impl IntoIterator<Item = T>) {
        let mut rows = Self { chunks: Vec::new(), rows: 0, copied: 0, ..*self };
        values.into_iter().for_each(|value| rows.push(std::slice::from_ref(&value)));
        self.replace(rows);
    }

    /// Adds such rows up to `rows`.
    pub(crate) fn resize(&mut self, rows: usize, blank: &[T]) {
        while self.rows < rows {
            match self.open(blank) {
                0 => {
                    self.rows += 1;
                    self.row_mut(self.rows - 1).clone_from_slice(blank);
                }
                more => self.rows = rows.min(self.rows + more),
            }
        }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: &[T]) {
        let is_there = self.open(row) > 0;
        self.rows += 1;
        if !is_there {
            self.row_mut(self.rows - 1).clone_from_slice(row);
        }
    }

    /// Makes room for the rows that come next, where there is none, and fills it with such rows; gives how many.
    fn open(&mut self, row: &[T]) -> usize {
        let (chunk, page, first) = self.place(self.rows);
        let known = self.chunks.get(chunk).and_then(|chunk| chunk.pages().get(page));
        let held = known.map(|page| page.values().len() / self.width);
        // The first page grows: many tables are small.
        let rows = match held {
            Some(held) if first < held * self.width => return 0,
            Some(held) => held,
            None if self.rows == 0 => FIRST_ROWS.min(1 << self.shift),
            None => 1 << self.shift,
        };
        let rows: UniqueArc<[T]> = (0..rows * self.width).map(|value| row[value % self.width].clone()).collect();
        let (held, more) = (held.unwrap_or(0), rows.len() / self.width);
        if held > 0 {
            // Beneath views this is a copy of the page, as a write is.
            self.row_mut(self.rows - 1);
            let pages = self.chunks[chunk].own();
            let values = pages[page].values().iter().chain(rows.iter()).cloned().collect::<Vec<T>>();
            pages[page] = Page::Own(values.into_iter().collect());
        } else {
            if page == 0 {
                self.chunks.push(Chunk::EMPTY);
            }
            self.chunks[chunk].own().push(Page::Own(rows));
        }
        more
    }

    /// A view: the same rows, whatever is written here from now on.
    pub(crate) fn share(&mut self) -> Self {
        let chunks = self.chunks.iter_mut().map(Chunk::share).collect();
        Self { chunks, copied: 0, ..*self }
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
        let (chunk, page, first) = self.place(row);
        match &mut self.chunks[chunk].own()[page] {
            Page::Own(values) => take(&mut values[first]),
            page => page.values()[first].clone(),
        }
    }

    /// Puts other rows in the place of these, which are given. What views hold of them is held for views alone from now on.
    pub(crate) fn replace(&mut self, rows: Self) -> Self {
        let copied = self.copied + self.held();
        let before = replace(self, rows);
        self.copied += copied;
        before
    }

    /// Bytes of pages that views hold.
    fn held(&self) -> usize {
        let chunks = self.chunks.iter().map(|chunk| {
            let is_held = chunk.shared.as_ref().is_some_and(|shared| !shared.is_unique());
            let held = chunk.pages().iter().filter(|page| is_held || page.is_held());
            held.map(|page| bytes(page.values(), self.weigh)).sum::<usize>()
        });
        chunks.sum()
    }

    /// Gives back the pages of rows below this one, which are not looked at any more.
    pub(crate) fn release_below(&mut self, row: usize) {
        let until = self.place(row).0.min(self.chunks.len());
        let held = self.chunks[..until].iter_mut().rev().take_while(|chunk| !chunk.pages().is_empty());
        held.for_each(|chunk| *chunk = Chunk::EMPTY);
    }

    /// Bytes of pages that were copied because a view held them, since they were last [taken](Self::take_copied).
    pub(crate) fn copied(&self) -> usize {
        self.copied
    }

    /// Bytes of pages that were copied because a view held them, since this was last asked.
    pub(crate) fn take_copied(&mut self) -> usize {
        take(&mut self.copied)
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
            page in prop::sample::select(vec![2, 32]),
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
        // Of rows 2 and 3 alone.
        assert_eq!((rows.take_copied(), view.get(2).len()), (200, 100));
        let before = rows.replace(Paged::of_pages(1, 2).weighed(|list: &Vec<u8>| list.len()));
        // Row 4 and the blank one beside it; the others are the table's own.
        assert_eq!((rows.take_copied(), before.len(), view.len()), (200, 5, 5));
        drop(before);
        let mut rows = Paged::of_pages(1, 2);
        rows.resize(3, &[vec![7_u8]]);
        let held = rows.share();
        assert_eq!((rows.take(0), held.get(0)), (vec![7], &vec![7]));
    }

    #[test]
    fn a_few_rows_have_a_small_page_that_grows() {
        let mut rows = Paged::new(1);
        let mut bytes = Vec::new();
        for row in 0..130_i64 {
            rows.push(&[row]);
            let view = rows.share();
            *rows.get_mut(0) = -1;
            bytes.push(rows.take_copied());
            drop(view);
        }
        // The page of the first row alone is copied, of 4 rows, then 8, and 128 at most.
        assert_eq!([bytes[0], bytes[3], bytes[4], bytes[63], bytes[64], bytes[129]], [32, 32, 64, 512, 1_024, 1_024]);
        assert!(rows.iter().skip(1).copied().eq(1..130));
    }

    #[test]
    fn what_is_released_is_given_back() {
        let mut rows = Paged::new(1);
        rows.resize(100_000, &[0_i64]);
        let mut view = rows.share();
        view.release_below(70_000);
        // Of the chunks before the one that has row 70,000.
        *rows.get_mut(65_535) += 1;
        assert_eq!(rows.take_copied(), 0);
        *rows.get_mut(70_000) += 1;
        assert_eq!((rows.take_copied(), *view.get(70_000)), (1_024, 0));
    }
}
