//! Tidewheel.
pub mod bus;
pub mod config;
pub mod event;
pub mod feature;
pub mod model;
pub mod simulate;
pub mod window;
