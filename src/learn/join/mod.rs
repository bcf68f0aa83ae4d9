//! The label join: what was shown waits for what people do with it.
//!
//! ```text
//!  shown                    window end                correction end
//!    │◀──────── window ────────▶│◀──────── window ────────▶│
//!    ├──────────────────────────┼──────────────────────────┼───────────────────────────▶ event time
//!    │ feedback: a positive,    │ feedback: a correction   │ forgotten, or feedback with a time from here on:
//!    │ at once                  │ (label 1)                │ no example, counted by reason
//!    │                          └ no feedback so far: a negative
//!    └ impression with its exact vector
//! ```
//!
//! - An impression is shown when its request says, else when the clock said that the request arrived; events that are scored
//!   by themselves are shown at their own time. What event time has passed already has its whole window from the watermark on.
//! - The watermark closes a window, not the time of the feedback: feedback that comes while the window is still open is a
//!   positive and never both.
//! - Where no event moves the watermark, a tick closes: [`LabelJoin::tick`] counts windows by the clock, from when each
//!   impression came into being. Whoever ticks answers for it that all feedback of before then has been given. Event time stays
//!   where it was, so that feedback which was held up somewhere corrects what a tick has closed.
//! - Clocks differ: feedback on what the clock here stamped may seem to come a little before it.
//! - An impression gives at most one positive or correction. Further feedback is counted as repeated.
//! - Memory is bounded in rows and bytes: the impression that arrived first goes first, open or closed. When it was open it
//!   gives no example, because nobody knows its label.
//! - Negatives can be sampled: one is kept by a hash of its key and time, and carries the rate. A model trained on such
//!   examples sees the odds of a positive multiplied by 1 / rate. The trainer adds `-ln(rate)` to the logit of **every**
//!   example before the loss, so that the logit without it stays calibrated (prior correction: King and Zeng, "Logistic
//!   regression in rare events data", 2001, section 4.1; He and others, "Practical lessons from predicting clicks on ads at
//!   Facebook", 2014, section 6.3). Estimates weigh an example by 1 / sampling instead. Never both.
//!
//! Examples are a function of the calls and their order alone: no clock of its own, no random seed, no order of a hash map.

mod closing;
mod label_join;
mod ring;
mod save;
mod settings;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod speed;

pub use label_join::{Impression, LabelJoin};
pub use settings::{JoinError, JoinSettings, LabelCounts};

use closing::Closing;
use ring::Ring;

/// Bytes of ids that there is room for, per row on average: a request's name and a person's, shared by the candidates of a
/// ranking, and the item's.
const ID_BYTES: usize = 48;

/// What rows need without their ids.
fn most_bytes(columns: usize, rows: usize) -> usize {
    Ring::most_bytes(columns, rows).saturating_add(Closing::most_bytes(rows))
}

/// The bytes that are left for ids beside so many rows.
fn text_limit(columns: usize, rows: usize, max_bytes: usize) -> usize {
    max_bytes.saturating_sub(most_bytes(columns, rows))
}

/// The most rows, up to `max_rows`, that never need more than `max_bytes`.
fn row_limit(columns: usize, max_rows: usize, max_bytes: usize) -> usize {
    let fits = |rows: usize| most_bytes(columns, rows).saturating_add(rows.saturating_mul(ID_BYTES)) <= max_bytes;
    let (mut most, mut too_many) = (0, max_rows.saturating_add(1));
    while too_many - most > 1 {
        let middle = most + (too_many - most) / 2;
        if fits(middle) {
            most = middle;
        } else {
            too_many = middle;
        }
    }
    most
}
