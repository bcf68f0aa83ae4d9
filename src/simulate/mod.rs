//! The synthetic shop: people with tastes, a catalogue, and what the ones do with the other.
//!
//! ```text
//!            seed
//!             │
//!   World: catalogue (items on shelves) × people (taste, purse, activity)
//!             │ appeal = log-odds that this person wants this item once seen
//!      ┌──────┴───────────────┐
//!      ▼                      ▼
//!   browse ─▶ Click        visit ─▶ Visit: who, which candidates
//!   view, view, cart, buy         │
//!   as sessions do it             ▼  somebody ranks them
//!                            react ─▶ Clicks: seen? (position) × wanted? (appeal)
//! ```
//!
//! What makes it worth learning from: people look at what suits their taste and purse, popular items are looked at
//! more (Zipf), and the upper places of a ranking are seen more often than the lower ones.
//!
//! - Everything follows from the seed: [`Shop::browse`] and [`Shop::visit`] give the same sequence of results for the
//!   same sequence of calls, and [`Shop::react`] depends only on the visit and the ranking, so answers may arrive in
//!   any order. Logarithms and powers are the platform's, so another platform may differ in rare draws.
//! - There is no clock and no I/O: the caller says what time it is and sends what it gets.
//! - It does not imitate any real shop's numbers, and says nothing of how well a model does on real people.
//!
//! Nothing in it fails. Ids that the shop does not know are ignored.

mod behaviour;
mod catalogue;
mod chance;
mod click;
mod people;
mod session;
mod shop;
mod taste;
mod visit;

#[cfg(test)]
mod shipped;

pub use click::Click;
pub(crate) use click::Kind;
pub use shop::{Shop, ShopSettings};
