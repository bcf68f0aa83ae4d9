//! Who comes to the shop.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::catalogue::Catalogue;
use super::chance::Weighted;
use super::taste::Taste;

/// How much the second favourite category counts beside the first.
const SECOND_FAVOURITE: f64 = 0.6;
/// How far a taste is from the categories it is made of.
const TASTE_SPREAD: f64 = 0.4;
/// Typical aversion to one standard deviation of price, in log-odds.
const PRICE_SENSITIVITY: f64 = 1.4;
/// Typical attraction of one standard deviation of popularity, in log-odds.
const CONFORMITY: f64 = 1.1;
/// Spread of the logarithm of activity: the busiest hundredth comes eight times as often as the median.
const LOG_ACTIVITY_SPREAD: f64 = 0.9;

/// Everybody; a person is known by an index.
pub(super) struct People {
    people: Vec<Person>,
    activity: Weighted,
}

/// One person.
pub(super) struct Person {
    /// What the person likes.
    pub(super) taste: Taste,
    /// Log-odds lost per unit of an item's price score; negative where dear items are wanted.
    pub(super) price_sensitivity: f64,
    /// Log-odds gained per standard deviation of an item's popularity; negative where the unusual is wanted.
    pub(super) conformity: f64,
}

impl People {
    /// Makes `count` people (at least one) with tastes for what the catalogue has.
    pub(super) fn new(count: u32, catalogue: &Catalogue, random: &mut ChaCha8Rng) -> Self {
        let count = count.max(1);
        let people = (0..count).map(|_| Person::draw(catalogue, random)).collect();
        let activity =
            Weighted::new((0..count).map(|_| (LOG_ACTIVITY_SPREAD * random.sample::<f64, _>(StandardNormal)).exp()));
        Self { people, activity }
    }

    /// Gives everybody another taste, and turns round what they think of prices and of what is popular.
    pub(super) fn drift(&mut self, catalogue: &Catalogue, random: &mut ChaCha8Rng) {
        for person in &mut self.people {
            let drifted = Person::draw(catalogue, random);
            *person = Person {
                taste: drifted.taste,
                price_sensitivity: -person.price_sensitivity,
                conformity: -person.conformity,
            };
        }
    }

    /// How many people there are.
    pub(super) fn len(&self) -> usize {
        self.people.len()
    }

    /// The person of this index.
    pub(super) fn person(&self, index: usize) -> &Person {
        &self.people[index]
    }

    /// Somebody, active people more often.
    pub(super) fn draw(&self, random: &mut ChaCha8Rng) -> usize {
        self.activity.draw(random)
    }
}

impl Person {
    fn draw(catalogue: &Catalogue, random: &mut ChaCha8Rng) -> Self {
        let (first, second) = (catalogue.draw_centre(random), catalogue.draw_centre(random));
        Self {
            taste: first.plus(SECOND_FAVOURITE, second).near(TASTE_SPREAD, random),
            price_sensitivity: PRICE_SENSITIVITY * random.sample::<f64, _>(StandardNormal).abs(),
            conformity: CONFORMITY * random.sample::<f64, _>(StandardNormal).abs(),
        }
    }
}
