//! What a step remembers, saved and restored: it goes on as if nothing had happened, and damage is never another state. A
//! table that computes something else by then is made again, and it alone.
//!
//! ```text
//!  events ─▶ straight ───────────────────────────────────────────▶ everything that came out
//!     │                                                                     ‖
//!     └────▶ steps ─▶ save, restore ─▶ other steps ─▶ save, restore ─▶ ... ─▶ everything that came out
//! ```

mod batches;
mod damage;
mod folders;
mod goes_on;
mod golden;
pub mod passage;
mod rebuilt;
mod shop;
mod viewed;
