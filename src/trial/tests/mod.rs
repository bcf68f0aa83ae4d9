//! Cases told through whole pipelines.

mod cases;
mod clocks;
