//! The type and shape of a value, as far as they are known before it is computed.

use crate::model::ElementType;

/// The element type of a value and its dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorKind {
    pub(super) element: ElementType,
    pub(super) dims: Vec<Dim>,
}

/// The size of one dimension in two runs with inputs of different sizes. Two dimensions that are equal in both are
/// taken to be always equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dim([usize; 2]);

impl Dim {
    pub(super) const ONE: Self = Self([1, 1]);

    pub(super) fn fixed(size: usize) -> Self {
        Self([size, size])
    }

    pub(super) const fn measured(first: usize, second: usize) -> Self {
        Self([first, second])
    }

    /// Its size in one of the two runs, 0 or 1.
    pub(super) fn in_run(self, run: usize) -> usize {
        let Self([first, second]) = self;
        if run == 0 { first } else { second }
    }

    /// Its size, unless it varies.
    pub(super) fn size(self) -> Option<usize> {
        let Self([first, second]) = self;
        (first == second).then_some(first)
    }

    /// The dimension of as many elements as two others have together.
    pub(super) fn times(self, other: Self) -> Self {
        let (Self([a, b]), Self([c, d])) = (self, other);
        Self([a.saturating_mul(c), b.saturating_mul(d)])
    }
}

impl TensorKind {
    pub(super) fn float(dims: Vec<Dim>) -> Self {
        Self { element: ElementType::Float32, dims }
    }

    pub(super) fn rank(&self) -> usize {
        self.dims.len()
    }

    /// All sizes, when none varies.
    pub(super) fn fixed(&self) -> Option<Vec<usize>> {
        self.dims.iter().map(|dim| dim.size()).collect()
    }

    /// The axis that a number means, which may count from the end; `None` when there is no such axis.
    pub(super) fn axis(&self, axis: i64) -> Option<usize> {
        let rank = self.rank() as i64;
        let axis = if axis < 0 { axis + rank } else { axis };
        (0..rank).contains(&axis).then_some(axis as usize)
    }

    /// The number of elements of these dimensions.
    pub(super) fn product(dims: &[Dim]) -> Dim {
        dims.iter().fold(Dim::ONE, |product, dim| product.times(*dim))
    }

    pub(super) fn is_float(&self) -> bool {
        self.element == ElementType::Float32
    }
}
