//! A chunk of rows: the table's own, or shared with views, the pages that were written since beside it.

use std::mem::take;
use std::ops::{AddAssign, Range};

use triomphe::Arc;

/// The values of a chunk: those that are its own, or, none of them, those that it shares.
pub(super) struct Chunk<T> {
    pub(super) own: Vec<T>,
    pub(super) shared: Option<Shared<T>>,
}

pub(super) struct Shared<T> {
    base: Arc<Vec<T>>,
    /// Pages in the place of some of the base, or behind it: a list that is shared too, until it is changed.
    written: Option<Arc<Written<T>>>,
}

struct Written<T> {
    pages: Vec<Option<Arc<Vec<T>>>>,
    count: usize,
}

/// How values lie in pages, and what they weigh.
pub(super) struct Layout<T> {
    /// Values of a page.
    pub(super) page: usize,
    /// Bytes of a value where they are not all in the page.
    pub(super) weigh: Option<fn(&T) -> usize>,
}

/// What views make a table do, bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Cost {
    /// Of pages that were copied because a view holds them.
    pub(super) copied: usize,
    /// Of pages that were put back into their chunk.
    pub(super) moved: usize,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.copied += other.copied;
        self.moved += other.moved;
    }
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
        let pages =
            self.shared.iter().flat_map(move |shared| (0..shared.pages(page)).map(move |at| shared.page(at, page)));
        std::iter::once(&self.own[..]).chain(pages)
    }
}

impl<T: Clone> Chunk<T> {
    /// Makes the page of a value the table's own, if not all of the chunk. Nothing is copied that no view has any more.
    pub(super) fn leave(&mut self, value: usize, layout: &Layout<T>) -> Cost {
        let Some(shared) = self.shared.as_mut().filter(|shared| !shared.base.is_unique()) else {
            return self.leave_all(layout);
        };
        let page = value / layout.page;
        if let Some(written) = shared.written_mut(page) {
            let mut cost = Cost::default();
            if !written.is_unique() {
                cost.copied = layout.bytes(written);
                *written = Arc::new(written.to_vec());
            }
            return cost;
        }
        if shared.is_half_written(layout.page) {
            return self.leave_all(layout);
        }
        let copy = shared.page(page, layout.page).to_vec();
        let copied = layout.bytes(&copy);
        shared.write(page, copy);
        Cost { copied, moved: 0 }
    }

    /// Makes all values the table's own, in one piece.
    pub(super) fn leave_all(&mut self, layout: &Layout<T>) -> Cost {
        let mut cost = Cost::default();
        let Some(shared) = self.shared.take() else { return cost };
        let (pages, Shared { base, written }) = (shared.pages(layout.page), shared);
        let written =
            written.map(|written| Arc::try_unwrap(written).unwrap_or_else(|written| (*written).clone()).pages);
        let written = written.into_iter().flatten().chain(std::iter::repeat(None));
        match Arc::try_unwrap(base) {
            Ok(base) => {
                self.own = base;
                for (page, written) in written.take(pages).enumerate() {
                    let written = written.map(|page| Arc::try_unwrap(page).unwrap_or_else(|page| page.to_vec()));
                    cost.moved += written.as_ref().map_or(0, |written| size_of_val(&written[..]));
                    for (place, value) in written.into_iter().flatten().enumerate() {
                        match self.own.get_mut(page * layout.page + place) {
                            Some(before) => *before = value,
                            None => self.own.push(value),
                        }
                    }
                }
            }
            Err(base) => {
                self.own.reserve_exact(base.capacity());
                let bases = base.chunks(layout.page).chain(std::iter::repeat(&[][..]));
                for (values, written) in bases.zip(written).take(pages) {
                    let written = written.map(Arc::try_unwrap);
                    let values = match &written {
                        Some(Ok(_)) => &[],
                        Some(Err(shared)) => &shared[..],
                        None => values,
                    };
                    cost.copied += layout.bytes(values);
                    cost.moved += written
                        .as_ref()
                        .and_then(|written| written.as_ref().ok())
                        .map_or(0, |own| size_of_val(&own[..]));
                    self.own.extend_from_slice(values);
                    self.own.extend(written.and_then(Result::ok).into_iter().flatten());
                }
            }
        }
        cost
    }

    /// Where the next value is to be pushed, which is this one of the chunk: to it all, or to a page of it.
    pub(super) fn open(&mut self, value: usize, layout: &Layout<T>, cost: &mut Cost) -> &mut Vec<T> {
        let page = value / layout.page;
        if !value.is_multiple_of(layout.page) {
            *cost += self.leave(value, layout);
        } else if let Some(shared) = &mut self.shared {
            if shared.base.is_unique() || shared.is_half_written(layout.page) {
                *cost += self.leave_all(layout);
            } else {
                shared.write(page, Vec::with_capacity(layout.page));
            }
        }
        let written = self.shared.as_mut().and_then(|shared| shared.own_mut(page));
        written.unwrap_or(&mut self.own)
    }

    /// Bytes that views have of it.
    pub(super) fn held(&self, layout: &Layout<T>) -> usize {
        let Some(shared) = self.shared.as_ref().filter(|shared| !shared.base.is_unique()) else { return 0 };
        let is_list_held = shared.written.as_ref().is_some_and(|written| !written.is_unique());
        let is_held = |page: &usize| is_list_held || shared.written(*page).is_none_or(|written| !written.is_unique());
        let held = (0..shared.pages(layout.page)).filter(is_held);
        held.map(|page| layout.bytes(shared.page(page, layout.page))).sum()
    }
}

impl<T> Shared<T> {
    fn written(&self, page: usize) -> Option<&Arc<Vec<T>>> {
        self.written.as_ref().and_then(|written| written.pages.get(page)?.as_ref())
    }

    fn written_mut(&mut self, page: usize) -> Option<&mut Arc<Vec<T>>> {
        self.written.as_mut().and_then(|written| Arc::make_mut(written).pages.get_mut(page)?.as_mut())
    }

    /// A page that nobody else has.
    fn own_mut(&mut self, page: usize) -> Option<&mut Vec<T>> {
        let written = self.written.as_mut().and_then(Arc::get_mut);
        written.and_then(|written| Arc::get_mut(written.pages.get_mut(page)?.as_mut()?))
    }

    /// How many pages there are, of so many values each.
    fn pages(&self, page: usize) -> usize {
        let written = self.written.as_ref().map_or(0, |written| written.pages.len());
        self.base.len().div_ceil(page).max(written)
    }

    /// A page of so many values, of which the last may have fewer.
    fn page(&self, at: usize, page: usize) -> &[T] {
        let base = || &self.base[at * page..self.base.len().min((at + 1) * page)];
        self.written(at).map_or_else(base, |written| &written[..])
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
        let written = self.own_mut(values.start / page);
        written.map_or(&mut [], |written| &mut written[values.start % page..][..values.len()])
    }

    /// Whether another page written makes a copy of the whole worth while: then rows are found at once again, and views alone
    /// have the base.
    fn is_half_written(&self, page: usize) -> bool {
        let count = self.written.as_ref().map_or(0, |written| written.count);
        2 * (count + 1) > self.base.len().div_ceil(page)
    }

    /// Puts a page in the place of one of the base, or behind it.
    fn write(&mut self, page: usize, values: Vec<T>) {
        let written =
            Arc::make_mut(self.written.get_or_insert_with(|| Arc::new(Written { pages: Vec::new(), count: 0 })));
        if written.pages.len() <= page {
            written.pages.resize(page + 1, None);
        }
        written.pages[page] = Some(Arc::new(values));
        written.count += 1;
    }
}

/// Two pointers.
impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { base: Arc::clone(&self.base), written: self.written.clone() }
    }
}

impl<T> Clone for Written<T> {
    fn clone(&self) -> Self {
        Self { pages: self.pages.clone(), count: self.count }
    }
}

/// Costs the values that are not shared: see [`Paged::freeze`](super::Paged::freeze).
impl<T: Clone> Clone for Chunk<T> {
    fn clone(&self) -> Self {
        Self { own: self.own.clone(), shared: self.shared.clone() }
    }
}
