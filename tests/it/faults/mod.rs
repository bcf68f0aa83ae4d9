//! Faults on purpose, while a pipeline works: at the end everything that came out is compared with what should have.
//!
//! ```text
//!   Producer ─▶ input streams ─▶ tidewheel run (a child) ─▶ output stream ─▶ Outputs ──┐
//!   seeded        │                 ▲ killed, stopped, aborted at named places         ├─▶ Report: lost, duplicate, wrong
//!                 │                 broker: killed, stopped, wiped, rolled back        │
//!                 └──── read back at the end ─▶ Truth (plain maps) and a run without faults ──┘
//! ```
//!
//! What the input streams hold at the end is what happened; how it came there is the producer's own concern, and it is made
//! sure of that it lost nothing on the way. Two things are compared with what came out: counts, sums, bounds and dead
//! letters that plain maps give, and everything, byte for byte, that the same program gives in one go.
//!
//! `KILLS`, `BROKER_KILLS` and `SEED` in the environment make the long form of the random kills; see `make faults`.

mod broker;
mod cluster;
mod compare;
mod determinism;
mod disk;
mod events;
mod faultless;
mod kills;
mod limits;
mod outputs;
mod overload;
mod pipeline;
mod points;
mod producer;
mod proxy;
mod rivals;
mod shipped;
mod site;
mod together;
mod truth;
mod unfinished;
mod worker;

use tokio::sync::{Mutex, MutexGuard};

/// Tests of faults measure time-outs of two processes on few cores: one at a time.
pub async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// A number of the environment.
pub fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}
