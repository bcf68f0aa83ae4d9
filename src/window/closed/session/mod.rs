//! Sessions: per key, events with less than the gap between one and the next.
//!
//! ```text
//!  events of a key      x  x    x            x   x
//!  sessions             ├───────────gap┤     ├────────gap┤        start of the first, gap after the last
//!                            an event in between joins both:  x
//!                       ├─────────────────────────────────────────────gap┤
//!
//!  rows ─▶ input ─▶ sessions of the key: grow, join ─▶ schedule ──end──▶ row ──lateness──▶ forgotten
//!              └──▶ evaluated rows, chained per session (only what is not a count or a sum)
//! ```
//!
//! - A session closes when the watermark reaches its end, and is final when the lateness has passed as well. Until then
//!   an event may extend it or join it with another, and it is open again when its new end lies ahead.
//! - An event is late when the session that would hold it is final. So the sessions that were emitted are exactly those
//!   that one gets by sorting the events that were taken and cutting them at the gaps.
//! - An event that reaches back behind everything known of its key, by more than the gap and the lateness before the
//!   watermark of the key's first event, is late too: a final session may have been there.
//! - A row that was emitted under bounds that are no longer those of a session is removed: key and window say which row,
//!   its aggregates are NULL. Removals and rows of closed sessions that have changed wait for the next tick.
//! - A view, which is there to be saved on another thread, shares pages with the table. It costs a pointer per chunk of
//!   pages and per part of evaluated rows when it is taken, and later a copy of each page that is written beneath it.
//! - Rows of one moment are ordered by their end, then by the arrival of the session's first event.
//!
//! Sums of floats are pairs (see [`add`](super::totals::add)): it does not show in which order sessions were joined.
//! Distinct counts and all other aggregates are computed when a row is emitted, over the rows of the session in the order
//! of arrival, in one vectorised call for all sessions of the moment. So neither the size of a step nor a save changes a
//! bit of them; the price is memory for the rows of the sessions that are not final, and a session of many rows that is
//! emitted at every tick is computed anew each time.
//!
//! Where the time goes, per event: the key (a look-up), the newest session of the key, one addition per count or sum,
//! and a link in the chain of its rows. A session costs two entries in a heap, and its share of an emission.

mod cells;
mod emission;
mod evaluated;
mod evict;
mod layout;
mod save;
mod sessions;
mod table;
#[cfg(test)]
mod tests;

pub(super) use table::SessionTable;
