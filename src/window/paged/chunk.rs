//! A chunk of rows: the table's own, or shared with views, the pages that were written since beside it.

use std::mem::take;
use std::ops::Range;

use triomphe::Arc;

/// Pages of a chunk.
pub(super) const PAGES: usize = 32;

/// The values of a chunk: those that are its own, or, none of them, those that it shares.
pub(super) struct Chunk<T> {
    pub(super) own: Vec<T>,
    pub(super) shared: Option<Shared<T>>,
}

pub(super) struct Shared<T> {
    base: Arc<Vec<T>>,
    /// Pages in the place of some of the base.
    written: Option<Box<Written<T>>>,
}

struct Written<T> {
    pages: [Option<Arc<Vec<T>>>; PAGES],
    count: usize,
}

/// How values lie in pages, and what they weigh.
pub(super) struct Layout<T> {
    /// Values of a page.
    pub(super) page: usize,
    /// Bytes of a value where they are not all in the page.
    pub(super) weigh: Option<fn(&T) -> usize>,
}

impl<T> Layout<T> {
    fn bytes(&self, values: &[T]) -> usize {
        self.weigh.map_or_else(|| size_of_val(values), |weigh| values.iter().map(weigh).sum())
    }
}

impl<T> Chunk<T> {
    pub(super) const EMPTY: Self = Self { own: Vec::new(), shared: None };

    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.shared.is_none()
    }

    /// The same for somebody else, until either is written.
    pub(super) fn share(&mut self) -> Self {
        let own = &mut self.own;
        let shared = self.shared.get_or_insert_with(|| Shared { base: Arc::new(take(own)), written: None });
        Self { own: Vec::new(), shared: Some(shared.clone()) }
    }

    /// Its values, in pieces.
    pub(super) fn pieces(&self, page: usize) -> impl Iterator<Item = &[T]> {
        let pages = self.shared.iter().flat_map(move |shared| {
            let bases = shared.base.chunks(page).enumerate();
            bases.map(|(page, base)| shared.written(page).map_or(base, |written| &written[..]))
        });
        std::iter::once(&self.own[..]).chain(pages)
    }
}

impl<T: Clone> Chunk<T> {
    /// Makes the page of a value the table's own, if not all of the chunk, and gives the bytes that were copied: none where
    /// no view has it any more.
    pub(super) fn leave(&mut self, value: usize, layout: &Layout<T>) -> usize {
        let Some(shared) = &mut self.shared else { return 0 };
        let page = value / layout.page;
        if let Some(written) = shared.written_mut(page) {
            if written.is_unique() {
                return 0;
            }
            let copied = layout.bytes(written);
            *written = Arc::new(written.to_vec());
            return copied;
        }
        if shared.base.is_unique() || shared.is_half_written(layout.page) {
            return self.leave_all(layout);
        }
        shared.write(page, layout)
    }

    /// Makes all values the table's own, in one piece, and gives the bytes that were copied because views have them.
    pub(super) fn leave_all(&mut self, layout: &Layout<T>) -> usize {
        let Some(Shared { base, written }) = self.shared.take() else { return 0 };
        let written = written.map(|written| written.pages).into_iter().flatten().chain(std::iter::repeat(None));
        let mut copied = 0;
        match Arc::try_unwrap(base) {
            Ok(base) => {
                self.own = base;
                for (values, written) in self.own.chunks_mut(layout.page).zip(written) {
                    let written = written.map(|page| Arc::try_unwrap(page).unwrap_or_else(|page| page.to_vec()));
                    values.iter_mut().zip(written.into_iter().flatten()).for_each(|(value, written)| *value = written);
                }
            }
            Err(base) => {
                self.own.reserve_exact(base.capacity());
                for (values, written) in base.chunks(layout.page).zip(written) {
                    let written = written.map(Arc::try_unwrap);
                    let values = match &written {
                        Some(Ok(_)) => &[],
                        Some(Err(shared)) => &shared[..],
                        None => values,
                    };
                    copied += layout.bytes(values);
                    self.own.extend_from_slice(values);
                    self.own.extend(written.and_then(Result::ok).into_iter().flatten());
                }
            }
        }
        copied
    }

    /// Bytes that views have of it.
    pub(super) fn held(&self, layout: &Layout<T>) -> usize {
        let Some(shared) = self.shared.as_ref().filter(|shared| !shared.base.is_unique()) else { return 0 };
        let pages = shared.base.chunks(layout.page).enumerate().map(|(page, base)| match shared.written(page) {
            Some(written) if written.is_unique() => 0,
            Some(written) => layout.bytes(written),
            None => layout.bytes(base),
        });
        pages.sum()
    }
}

impl<T> Shared<T> {
    fn written(&self, page: usize) -> Option<&Arc<Vec<T>>> {
        self.written.as_ref().and_then(|written| written.pages[page].as_ref())
    }

    fn written_mut(&mut self, page: usize) -> Option<&mut Arc<Vec<T>>> {
        self.written.as_mut().and_then(|written| written.pages[page].as_mut())
    }

    /// Some values of a page of so many.
    pub(super) fn row(&self, values: Range<usize>, page: usize) -> &[T] {
        match self.written(values.start / page) {
            Some(written) => &written[values.start % page..][..values.len()],
            None => &self.base[values],
        }
    }

    /// Some values of a page of so many that was [left](Chunk::leave).
    pub(super) fn row_mut(&mut self, values: Range<usize>, page: usize) -> &mut [T] {
        let written = self.written_mut(values.start / page).and_then(Arc::get_mut);
        written.map_or(&mut [], |written| &mut written[values.start % page..][..values.len()])
    }

    /// Whether another page written makes a copy of the whole worth while: then rows are found at once again, and the base
    /// is not held for the rest of its pages.
    fn is_half_written(&self, page: usize) -> bool {
        let count = self.written.as_ref().map_or(0, |written| written.count);
        2 * (count + 1) > self.base.len().div_ceil(page)
    }

    /// Copies a page of the base, and gives its bytes.
    fn write(&mut self, page: usize, layout: &Layout<T>) -> usize
    where
        T: Clone,
    {
        let first = page * layout.page;
        let values = &self.base[first..self.base.len().min(first + layout.page)];
        let none = || Box::new(Written { pages: [const { None }; PAGES], count: 0 });
        let written = self.written.get_or_insert_with(none);
        written.pages[page] = Some(Arc::new(values.to_vec()));
        written.count += 1;
        layout.bytes(values)
    }
}

/// A few pointers.
impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        let written = self.written.as_ref().map(|written| {
            let Written { pages, count } = &**written;
            Box::new(Written { pages: pages.clone(), count: *count })
        });
        Self { base: Arc::clone(&self.base), written }
    }
}

/// Costs the values that are not shared: see [`Paged::freeze`](super::Paged::freeze).
impl<T: Clone> Clone for Chunk<T> {
    fn clone(&self) -> Self {
        Self { own: self.own.clone(), shared: self.shared.clone() }
    }
}
