//! Tidewheel.
pub mod model;
pub mod window;
