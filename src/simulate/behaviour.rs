//! How likely people are to do things: the truth that a model is meant to find.
//!
//! A place in a ranking is clicked when it is *examined* and the item is *wanted*, two independent things (the
//! examination hypothesis: Craswell and others, "An experimental comparison of click position-bias models", 2008).

use super::catalogue::Item;
use super::people::Person;

/// Log-odds of wanting a middling item that has nothing to do with one's taste.
const BASE: f64 = -4.2;
/// Log-odds gained by a perfect match of taste.
const TASTE: f64 = 5.0;
/// How fast attention falls: place 1, 2, 3 are examined with 1, 2^-x, 3^-x.
const ATTENTION_DECAY: f64 = 0.6;
/// Probability that somebody who certainly wants an item does more than look at it.
const FOLLOW_UP: f64 = 0.3;

/// Share of carts among the things that follow a look; the rest are favourites.
pub(super) const CART_SHARE: f64 = 0.6;
/// Probability that what is in the cart is bought, each time it is thought of.
pub(super) const BUY: f64 = 0.25;

/// Log-odds that a person who sees the item wants it.
pub(super) fn appeal(person: &Person, item: &Item) -> f64 {
    BASE + TASTE * person.taste.likeness(&item.character) + person.conformity * item.popularity_score
        - person.price_sensitivity * item.price_score
}

/// Probability that a person who examines the item clicks it.
pub(super) fn click_probability(person: &Person, item: &Item) -> f64 {
    1.0 / (1.0 + (-appeal(person, item)).exp())
}

/// Probability that a cart or a favourite follows a look at the item.
pub(super) fn follow_up_probability(person: &Person, item: &Item) -> f64 {
    FOLLOW_UP * click_probability(person, item)
}

/// Probability that a place of a ranking is examined; the first place is 0.
pub(super) fn examination_probability(place: usize) -> f64 {
    (1.0 + place as f64).powf(-ATTENTION_DECAY)
}
