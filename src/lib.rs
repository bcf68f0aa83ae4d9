//! Tidewheel turns a shop's clickstream into rankings that learn: events on NATS become windowed features, features become
//! vectors, an ONNX model scores them, the rankings go back onto NATS, and what people then do trains the same model.
//!
//! ```text
//!  bus ─▶ event ─▶ window ─▶ feature ─▶ model ─▶ score ─▶ registry ─▶ learn ─▶ engine ─▶ query ─▶ simulate ─▶ config ─▶ cli
//!  NATS   Arrow    tables    vectors    ONNX     rankings  versions    labels   the step  SQL      a shop      folders   verbs
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
pub mod learn;
pub mod model;
pub mod query;
pub mod registry;
pub mod score;
pub mod simulate;
pub mod window;
