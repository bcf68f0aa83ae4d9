//! Pages and chunks of them: whose they are, and how they become the table's own again.

use std::mem::{replace, take};

use triomphe::{Arc, UniqueArc};

/// The pages of a chunk: those of the table, or, all of them shared, a list that a view has too.
pub(super) struct Chunk<T> {
    own: Vec<Page<T>>,
    pub(super) shared: Option<Arc<Vec<Page<T>>>>,
}

pub(super) enum Page<T> {
    Own(UniqueArc<[T]>),
    Shared(Arc<[T]>),
    /// On its way from one to the other.
    Moved,
}

impl<T> Page<T> {
    #[inline]
    pub(super) fn values(&self) -> &[T] {
        match self {
            Self::Own(values) => values,
            Self::Shared(values) => values,
            Self::Moved => &[],
        }
    }

    /// The same page for somebody else, if it is shared.
    fn shared(&self) -> Self {
        if let Self::Shared(values) = self { Self::Shared(Arc::clone(values)) } else { Self::Moved }
    }

    /// Whether somebody else has it too.
    pub(super) fn is_held(&self) -> bool {
        if let Self::Shared(values) = self { !values.is_unique() } else { false }
    }

    pub(super) fn share(&mut self) {
        if let Self::Own(_) = self
            && let Self::Own(values) = replace(self, Self::Moved)
        {
            *self = Self::Shared(values.shareable());
        }
    }
}

impl<T: Clone> Clone for Page<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Own(values) => Self::Own(values.iter().cloned().collect()),
            Self::Shared(values) => Self::Shared(Arc::clone(values)),
            Self::Moved => Self::Moved,
        }
    }
}

/// Costs the pages that are not shared: see [`Paged::freeze`](super::Paged::freeze).
impl<T: Clone> Clone for Chunk<T> {
    fn clone(&self) -> Self {
        Self { own: self.own.clone(), shared: self.shared.clone() }
    }
}

impl<T> Chunk<T> {
    pub(super) const EMPTY: Self = Self { own: Vec::new(), shared: None };

    #[inline]
    pub(super) fn pages(&self) -> &[Page<T>] {
        self.shared.as_deref().unwrap_or(&self.own)
    }

    /// The pages, to be written.
    #[inline]
    pub(super) fn own(&mut self) -> &mut Vec<Page<T>> {
        if self.shared.is_some() {
            self.leave();
        }
        &mut self.own
    }

    /// Makes a list of its own of the shared one.
    #[cold]
    fn leave(&mut self) {
        if let Some(shared) = self.shared.take() {
            self.own = Arc::try_unwrap(shared).unwrap_or_else(|shared| shared.iter().map(Page::shared).collect());
        }
    }

    pub(super) fn share(&mut self) -> Self {
        let own = &mut self.own;
        let shared = self.shared.get_or_insert_with(|| {
            own.iter_mut().for_each(Page::share);
            Arc::new(take(own))
        });
        Self { own: Vec::new(), shared: Some(Arc::clone(shared)) }
    }
}

pub(super) fn bytes<T>(values: &[T], weigh: Option<fn(&T) -> usize>) -> usize {
    weigh.map_or_else(|| size_of_val(values), |weigh| values.iter().map(weigh).sum())
}

/// Makes a shared page the table's own, and gives the bytes that were copied: none if no view holds it any more.
#[cold]
pub(super) fn make_own<T: Clone>(page: &mut Page<T>, weigh: Option<fn(&T) -> usize>) -> usize {
    let Page::Shared(values) = replace(page, Page::Moved) else { return 0 };
    let (own, copied) = match Arc::try_unique(values) {
        Ok(values) => (values, 0),
        Err(values) => (values.iter().cloned().collect(), bytes(&values, weigh)),
    };
    *page = Page::Own(own);
    copied
}
