//! Tidewheel turns a shop's clickstream into rankings that learn: events on NATS become windowed features, features become
//! vectors, an ONNX model scores them, the rankings go back onto NATS, and what people then do trains the same model.
//!
//! ```text
//!   cli ──▶ trial, simulate                what people type · a pipeline's test cases · a synthetic shop
//!    ▼
//!   query                                  SELECT over the tables of a running pipeline
//!    ▼
//!   engine ──▶ history                     threads and channels, start and stop · Delta tables
//!    ▼
//!   commit                                 exactly once: epochs, markers, claims, recovery
//!    ▼
//!   step ──▶ score                         the computation: no broker, no clock · vectors become rankings
//!    ▼
//!   pipeline ◀── config                    what a checked pipeline is · a folder becomes one, or all its problems
//!    │
//!    ├─▶ registry, learn ─▶ model          versions of models · labels, training, the gate · ONNX: scores, gradients, weights
//!    ├─▶ feature ─▶ window ─▶ sql          vectors · horizons, windows and their rows · plans and functions
//!    ├─▶ reference ─▶ event                tables of facts · contracts, columns, watermarks
//!    ├─▶ snapshot                          state in a folder or an object store
//!    └─▶ bus                               NATS
//! ```
//!
//! Most rooms also use some that are further down, and all use `fault`, `clock` and `time`. The drawing leaves that out; the rule
//! is that a room imports only rooms before it in this list:
//!
//! `fault, clock, time, event, bus, reference, snapshot, sql, window, history, feature, model, score, registry, learn,
//! pipeline, config, step, commit, engine, query, simulate, trial, cli`
//!
//! Some of them are the only doors to a foreign system: `bus` to NATS, `model` to ONNX Runtime, `history` to Delta Lake,
//! `snapshot` to object stores. DataFusion plans in `sql`, `window` and `feature`, and in `query` for itself.
//! `ARCHITECTURE.md` follows an event, a click and a query through the rooms.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may measure time, and ends with its tasks"))]

pub mod bus;
pub mod cli;
mod clock;
mod commit;
pub mod config;
pub mod engine;
pub mod event;
mod fault;
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
pub mod time;
mod trial;
pub mod window;
