//! What the shop sells: items on shelves, one shelf per category.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::chance::Weighted;
use super::taste::Taste;

/// How the number of looks falls with an item's rank: weight = rank ^ -ZIPF.
const ZIPF: f64 = 0.9;
/// How far an item is from the middle of its shelf.
const ITEM_SPREAD: f64 = 0.5;
/// Natural logarithm of the price in the middle of the catalogue.
const MIDDLE_LOG_PRICE: f64 = 3.2;
/// Spread of log prices between shelves and within one.
const SHELF_LOG_PRICE_SPREAD: f64 = 0.8;
const ITEM_LOG_PRICE_SPREAD: f64 = 0.4;

/// All items; an item is known by its index.
pub(super) struct Catalogue {
    items: Vec<Item>,
    popularity: Weighted,
    shelves: Vec<Shelf>,
}

/// One item.
pub(super) struct Item {
    /// Index of its shelf.
    pub(super) category: usize,
    /// In whole cents.
    pub(super) price: f64,
    /// How dear it is: 0 in the middle of the catalogue, about one standard deviation per unit.
    pub(super) price_score: f64,
    /// How popular it is with everybody: mean 0 and standard deviation 1 over the items.
    pub(super) popularity_score: f64,
    /// What it is like.
    pub(super) character: Taste,
}

struct Shelf {
    centre: Taste,
    items: Vec<usize>,
    popularity: Weighted,
}

impl Catalogue {
    /// Makes `items` items (at least one) on `categories` shelves (at least one, at most one per item).
    pub(super) fn new(items: u32, categories: u32, random: &mut ChaCha8Rng) -> Self {
        let count = items.max(1) as usize;
        let categories = (categories.max(1) as usize).min(count);
        let centres: Vec<(Taste, f64)> = (0..categories)
            .map(|_| {
                let log_price = MIDDLE_LOG_PRICE + SHELF_LOG_PRICE_SPREAD * random.sample::<f64, _>(StandardNormal);
                (Taste::draw(random), log_price)
            })
            .collect();
        let mut ranks: Vec<usize> = (1..=count).collect();
        ranks.shuffle(random);
        let items: Vec<Item> = ranks
            .iter()
            .enumerate()
            .map(|(index, rank)| {
                // The first items see to it that no shelf is empty.
                let category = if index < categories { index } else { random.random_range(0..categories) };
                Item::draw(category, centres[category], (*rank, count), random)
            })
            .collect();
        let weights: Vec<f64> = ranks.iter().map(|rank| (*rank as f64).powf(-ZIPF)).collect();
        let shelves = centres.iter().enumerate().map(|(category, (centre, _))| {
            let on_shelf: Vec<usize> = (0..count).filter(|index| items[*index].category == category).collect();
            let popularity = Weighted::new(on_shelf.iter().map(|index| weights[*index]));
            Shelf { centre: *centre, items: on_shelf, popularity }
        });
        Self { shelves: shelves.collect(), popularity: Weighted::new(weights), items }
    }

    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The item of this index.
    pub(super) fn item(&self, index: usize) -> &Item {
        &self.items[index]
    }

    /// An item, popular ones more often.
    pub(super) fn draw(&self, random: &mut ChaCha8Rng) -> usize {
        self.popularity.draw(random)
    }

    /// An item of a category, popular ones more often.
    pub(super) fn draw_from(&self, category: usize, random: &mut ChaCha8Rng) -> usize {
        let shelf = &self.shelves[category];
        shelf.items[shelf.popularity.draw(random)]
    }

    /// What the items of some category are like, each category equally likely.
    pub(super) fn draw_centre(&self, random: &mut ChaCha8Rng) -> Taste {
        self.shelves[random.random_range(0..self.shelves.len())].centre
    }
}

impl Item {
    /// An item near the centre of its shelf, of the given rank among all.
    fn draw(
        category: usize,
        (centre, log_price): (Taste, f64),
        (rank, count): (usize, usize),
        random: &mut ChaCha8Rng,
    ) -> Self {
        let log_price = log_price + ITEM_LOG_PRICE_SPREAD * random.sample::<f64, _>(StandardNormal);
        Self {
            category,
            price: (log_price.exp().clamp(0.5, 100_000.0) * 100.0).round() / 100.0,
            price_score: (log_price - MIDDLE_LOG_PRICE) / SHELF_LOG_PRICE_SPREAD.hypot(ITEM_LOG_PRICE_SPREAD),
            // A rank is uniform, so ln(count / rank) is exponential with mean and standard deviation 1.
            popularity_score: (count as f64 / rank as f64).ln() - 1.0,
            character: centre.near(ITEM_SPREAD, random),
        }
    }
}
