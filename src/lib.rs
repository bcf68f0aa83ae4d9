//! Tidewheel turns a shop's clickstream into rankings that learn: events on NATS become windowed features, features become
//! vectors, an ONNX model scores them, the rankings go back onto NATS, and what people then do trains the same model.
//!
//! ```text
//!  bus ─▶ event ─▶ reference ─▶ window ─▶ history ─▶ feature ─▶ model ─▶ score ─▶ registry ─▶ learn ─▶
//!  NATS   Arrow    catalogues   tables    Delta      vectors    ONNX     rankings  versions    labels
//!
//!  ─▶ snapshot ─▶ engine ─▶ query ─▶ simulate ─▶ config ─▶ cli
//!     state        the step  SQL      a shop      folders   verbs
//! ```
//!
//! A module imports only modules before it. Some of them are the only doors to a foreign system: `bus` to NATS, `window`
//! and `query` to DataFusion's planner, `model` to ONNX Runtime, `history` to Delta Lake.

pub mod bus;
pub mod cli;
pub mod commit;
pub mod config;
pub mod engine;
pub mod event;
pub mod feature;
pub mod history;
pub mod learn;
pub mod model;
pub mod pipeline;
pub mod query;
pub mod reference;
pub mod registry;
pub mod score;
pub mod simulate;
pub mod snapshot;
pub mod sql;
pub mod step;
pub mod trial;
pub mod window;
