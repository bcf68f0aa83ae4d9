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

use std::mem::{size_of, take};
use std::sync::Arc;

/// Pages whose pointers a view copies as one.
const CHUNK: usize = 64;

/// Bytes of a page at most, unless a single row is larger: with its counters it takes two kilobytes.
const PAGE_BYTES: usize = 2_048 - 2 * size_of::<usize>();

/// Rows of some values each, all of one width.
pub(crate) struct Paged<T> {
    chunks: Vec<Chunk<T>>,
    /// Values of a row.
    width: usize,
    /// A page has `1 << shift` rows.
    shift: u32,
    rows: usize,
    /// Bytes of pages that were copied because a view held them.
    copied: usize,
}

/// The pages of a chunk: a list of its own, or one that a view has too.
struct Chunk<T> {
    own: Vec<Arc<[T]>>,
    shared: Option<Arc<Vec<Arc<[T]>>>>,
}

impl<T> Chunk<T> {
    fn pages(&self) -> &[Arc<[T]>] {
        self.shared.as_deref().unwrap_or(&self.own)
    }

    /// The list of pages, to be written.
    fn own(&mut self) -> &mut Vec<Arc<[T]>> {
        if let Some(shared) = self.shared.take() {
            self.own = Arc::unwrap_or_clone(shared);
        }
        &mut self.own
    }

    fn share(&mut self) -> Self {
        let own = &mut self.own;
        let shared = self.shared.get_or_insert_with(|| Arc::new(take(own)));
        Self { own: Vec::new(), shared: Some(Arc::clone(shared)) }
    }

    fn empty() -> Self {
        Self { own: Vec::new(), shared: None }
    }
}

impl<T: Clone> Paged<T> {
    /// No rows yet, of `width` values each; a row has at least one.
    pub(crate) fn new(width: usize) -> Self {
        Self::of_pages(width, PAGE_BYTES / size_of::<T>().max(1) / width.max(1))
    }

    /// As [`Self::new`], with about so many rows to a page: where copying a value costs more than its bytes.
    pub(crate) fn of_pages(width: usize, rows: usize) -> Self {
        Self { chunks: Vec::new(), width: width.max(1), shift: rows.max(1).ilog2(), rows: 0, copied: 0 }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Where a row is: its chunk, its page in there, its first value in that.
    fn place(&self, row: usize) -> (usize, usize, usize) {
        let page = row >> self.shift;
        (page / CHUNK, page % CHUNK, (row & ((1 << self.shift) - 1)) * self.width)
    }

    /// The values of a row.
    pub(crate) fn row(&self, row: usize) -> &[T] {
        let (chunk, page, first) = self.place(row);
        &self.chunks[chunk].pages()[page][first..first + self.width]
    }

    /// The values of a row, to be written.
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [T] {
        let (chunk, page, first) = self.place(row);
        let page = &mut self.chunks[chunk].own()[page];
        if Arc::strong_count(page) > 1 {
            self.copied += size_of_val::<[T]>(page);
            *page = Arc::from(&page[..]);
        }
        &mut Arc::make_mut(page)[first..first + self.width]
    }

    /// The only value of a row.
    pub(crate) fn get(&self, row: usize) -> &T {
        &self.row(row)[0]
    }

    /// The only value of a row, to be written.
    pub(crate) fn get_mut(&mut self, row: usize) -> &mut T {
        &mut self.row_mut(row)[0]
    }

    /// The only values of the rows, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.rows).map(|row| self.get(row))
    }

    /// Adds such rows up to `rows`.
    pub(crate) fn resize(&mut self, rows: usize, blank: &[T]) {
        while self.rows < rows {
            self.push(blank);
        }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: &[T]) {
        let is_there = self.open(row);
        self.rows += 1;
        if !is_there {
            self.row_mut(self.rows - 1).clone_from_slice(row);
        }
    }

    /// Adds a page for the row that comes next, full of rows like it; whether there had to be one.
    fn open(&mut self, row: &[T]) -> bool {
        let (chunk, page, first) = self.place(self.rows);
        if first > 0 || self.chunks.get(chunk).is_some_and(|chunk| chunk.pages().len() > page) {
            return false;
        }
        if page == 0 {
            self.chunks.push(Chunk::empty());
        }
        let rows = std::iter::repeat_n(row, 1 << self.shift);
        let pages = self.chunks[chunk].own();
        pages.push(rows.flatten().cloned().collect());
        true
    }

    /// A view: the same rows, whatever is written here from now on.
    pub(crate) fn share(&mut self) -> Self {
        let chunks = self.chunks.iter_mut().map(Chunk::share).collect();
        Self { chunks, width: self.width, shift: self.shift, rows: self.rows, copied: 0 }
    }

    /// Gives back the pages of rows below this one, which are not looked at any more.
    pub(crate) fn release_below(&mut self, row: usize) {
        let until = self.place(row).0.min(self.chunks.len());
        let held = self.chunks[..until].iter_mut().rev().take_while(|chunk| !chunk.pages().is_empty());
        held.for_each(|chunk| *chunk = Chunk::empty());
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Action {
        Push(i64),
        Write(prop::sample::Index, i64),
        Resize(usize),
        View,
        Drop(prop::sample::Index),
    }

    fn action() -> impl Strategy<Value = Action> {
        let place = any::<prop::sample::Index>;
        prop_oneof![
            4 => any::<i64>().prop_map(Action::Push),
            8 => (place(), any::<i64>()).prop_map(|(row, value)| Action::Write(row, value)),
            2 => (0_usize..300).prop_map(Action::Resize),
            2 => Just(Action::View),
            1 => place().prop_map(Action::Drop),
        ]
    }

    fn all(rows: &Paged<i64>) -> Vec<[i64; 2]> {
        (0..rows.len()).map(|row| [rows.row(row)[0], rows.row(row)[1]]).collect()
    }

    proptest! {
        #[test]
        fn views_stay_what_they_were_and_the_rest_is_a_vector(actions in prop::collection::vec(action(), 1..200)) {
            // Two rows to a page, so that chunks fill up.
            let mut rows = Paged::of_pages(2, 2);
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
