//! Tidewheel turns a shop's clickstream into rankings that learn: events on NATS become windowed features, features become
//! vectors, an ONNX model scores them, the rankings go back onto NATS, and what people then do trains the same model.
//!
//! ```text
//!   cli ─▶ trial                          verbs; a pipeline's own cases
//!    │
//!    ├─▶ query ─────────┐                 SQL over tables
//!    ▼                  │
//!   engine              │                 threads, channels, start and stop: nothing else
//!    │    serve/ train/ │
//!    ▼                  │
//!   commit              │                 exactly once: position, epoch, marker, claim, recovery
//!    ▼                  ▼
//!   step ◀──────────────┘                 events, requests in; state on; outputs out
//!    │
//!    ├──▶ score ──▶ feature ──▶ window ──▶ sql ──▶ reference ──▶ event
//!    ├──▶ learn
//!    ▼
//!   pipeline ◀── config                   what a checked pipeline is; the files that it is made of
//!    ▼
//!   model   snapshot   history   registry   bus
//!
//!   fault                                 below all: whose fault an error is, and what follows
//! ```
//!
//! A room imports only rooms before it in this list:
//!
//! `fault, clock, time, bus, event, reference, snapshot, sql, window, history, feature, model, score, registry, learn,
//! pipeline, config, step, commit, engine, query, simulate, trial, cli`
//!
//! Some of them are the only doors to a foreign system: `bus` to NATS, `sql` to DataFusion's planner, `model` to ONNX Runtime,
//! `history` to Delta Lake. `ARCHITECTURE.md` follows an event, a click and a query through the rooms.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may measure time, and ends with its tasks"))]

pub mod bus;
pub mod cli;
mod clock;
pub mod commit;
pub mod config;
pub mod engine;
pub mod event;
pub mod fault;
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
pub mod trial;
pub mod window;
