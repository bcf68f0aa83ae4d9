//! One person's walk through the shop, event by event.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::behaviour::{BUY, CART_SHARE, appeal, follow_up_probability};
use super::catalogue::Catalogue;
use super::chance::happens;
use super::click::Kind;
use super::people::People;

/// Probability of leaving instead of looking at one more item.
const LEAVE: f64 = 0.1;
/// Probability that the next item is from the same category.
const STAY: f64 = 0.7;
/// How many items catch the eye before one of them is looked at.
const GLANCES: usize = 6;

/// Where a person is in a visit to the shop.
pub(super) struct Session {
    /// Index of the person.
    pub(super) person: usize,
    /// The category that the person is looking through.
    pub(super) category: Option<usize>,
    /// The item just looked at, while something may follow from it.
    viewed: Option<usize>,
    /// What lies in the cart.
    cart: Option<usize>,
}

impl Session {
    /// Somebody comes in.
    pub(super) fn begin(people: &People, random: &mut ChaCha8Rng) -> Self {
        Self { person: people.draw(random), category: None, viewed: None, cart: None }
    }

    /// The next thing that happens in this session: its kind and the index of the item. A session that ends is followed
    /// by another person's.
    pub(super) fn step(&mut self, people: &People, catalogue: &Catalogue, random: &mut ChaCha8Rng) -> (Kind, usize) {
        if let Some(item) = self.viewed.take()
            && happens(follow_up_probability(people.person(self.person), catalogue.item(item)), random)
        {
            if happens(CART_SHARE, random) {
                self.cart = Some(item);
                return (Kind::Cart, item);
            }
            return (Kind::Fav, item);
        }
        if let Some(item) = self.cart
            && happens(BUY, random)
        {
            self.cart = None;
            return (Kind::Buy, item);
        }
        if happens(LEAVE, random) {
            *self = Self::begin(people, random);
        }
        let item = self.choose(people, catalogue, random);
        self.viewed = Some(item);
        self.category = Some(catalogue.item(item).category);
        (Kind::View, item)
    }

    /// The most appealing of a few items, with Gumbel noise: a choice by a multinomial logit (McFadden, "Conditional
    /// logit analysis of qualitative choice behavior", 1974).
    fn choose(&self, people: &People, catalogue: &Catalogue, random: &mut ChaCha8Rng) -> usize {
        let person = people.person(self.person);
        let (mut chosen, mut highest) = (0, f64::NEG_INFINITY);
        for _ in 0..GLANCES {
            let item = match self.category {
                Some(category) if happens(STAY, random) => catalogue.draw_from(category, random),
                _ => catalogue.draw(random),
            };
            let utility = appeal(person, catalogue.item(item)) + gumbel(random);
            if utility > highest {
                (chosen, highest) = (item, utility);
            }
        }
        chosen
    }
}

/// A draw of the standard Gumbel distribution; finite.
fn gumbel(random: &mut ChaCha8Rng) -> f64 {
    let uniform: f64 = random.random_range(f64::EPSILON..1.0);
    -(-uniform.ln()).ln()
}
