//! Which stream, which table: by their place in the pipeline.

/// A stream of a pipeline, by its place among [`Pipeline::streams`](super::Pipeline::streams).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamIndex(pub usize);

/// A table of a pipeline, by its place among [`Pipeline::tables`](super::Pipeline::tables).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TableIndex(pub usize);
