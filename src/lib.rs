//! Tidewheel turns a shop's clickstream into rankings: events on NATS become windowed features, features become vectors,
//! an ONNX model scores them, and the rankings go back onto NATS.
//!
//! ```text
//!  bus ─▶ event ─▶ window ─▶ feature ─▶ model ─▶ score ─▶ engine ─▶ query ─▶ simulate ─▶ config ─▶ cli
//!  NATS   Arrow    tables    vectors    ONNX     rankings  the step  SQL      a shop      folders   verbs
//! ```
//!
//! A module imports only modules to the left of it. Three of them are the only doors to a foreign system: `bus` to NATS,
//! `window` and `query` to DataFusion's planner, `model` to ONNX Runtime.

pub mod bus;
pub mod cli;
pub mod config;
pub mod engine;
pub mod event;
pub mod feature;
pub mod model;
pub mod query;
pub mod score;
pub mod simulate;
pub mod window;
