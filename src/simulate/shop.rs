//! The shop as its users see it: browse, visit, react.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::behaviour::{BUY, CART_SHARE, click_probability, examination_probability, follow_up_probability};
use super::catalogue::{Catalogue, Item};
use super::chance::happens;
use super::click::{Click, EventId, Kind};
use super::people::People;
use super::session::Session;
use super::visit::{RequestId, Visit};

/// One person in so many is in the shop at any time.
const PEOPLE_PER_SESSION: usize = 20;
/// A person that acts on a ranking does one thing after the other, this far apart.
const BETWEEN_REACTIONS_MICROS: i64 = 1_000;

/// Independent streams of the random generator, so that one kind of call does not disturb another.
mod streams {
    pub(super) const WORLD: u64 = 0;
    pub(super) const BROWSING: u64 = 1;
    pub(super) const VISITS: u64 = 2;
    pub(super) const DRIFT: u64 = 3;
    pub(super) const FIRST_REACTION: u64 = 4;
}

/// How large a shop is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopSettings {
    /// Decides everything.
    pub seed: u64,
    /// How many people there are; at least one is made.
    pub people: u32,
    /// How many items there are; at least one is made.
    pub items: u32,
    /// How many categories the items are in; from one to the number of items.
    pub categories: u32,
    /// How many items a visit asks to rank; at most all.
    pub candidates: u32,
}

impl Default for ShopSettings {
    fn default() -> Self {
        Self { seed: 1, people: 2_000, items: 1_000, categories: 40, candidates: 20 }
    }
}

/// A shop in motion. Users, items and categories are numbered from one.
pub struct Shop {
    catalogue: Catalogue,
    people: People,
    sessions: Vec<Session>,
    candidates: usize,
    browsed: u64,
    visits: u64,
    /// Never drawn from: every stream starts as a copy of it.
    root: ChaCha8Rng,
    browsing: ChaCha8Rng,
    visiting: ChaCha8Rng,
}

impl Shop {
    /// Makes the catalogue and the people, and lets some of them in.
    pub fn new(settings: &ShopSettings) -> Self {
        let root = ChaCha8Rng::seed_from_u64(settings.seed);
        let mut random = stream(&root, streams::WORLD);
        let catalogue = Catalogue::new(settings.items, settings.categories, &mut random);
        let people = People::new(settings.people, &catalogue, &mut random);
        let sessions = (0..people.len().div_ceil(PEOPLE_PER_SESSION)).map(|_| Session::begin(&people, &mut random));
        Self {
            sessions: sessions.collect(),
            candidates: (settings.candidates as usize).min(catalogue.len()),
            catalogue,
            people,
            browsed: 0,
            visits: 0,
            browsing: stream(&root, streams::BROWSING),
            visiting: stream(&root, streams::VISITS),
            root,
        }
    }

    /// A new season: everybody's tastes move, at once. What people liked is out of fashion and other things are in; who
    /// looked for what is cheap looks for what is dear (presents, say), and who followed the crowd looks for the unusual.
    ///
    /// People keep what they have in their carts, and the catalogue stays as it is.
    pub fn drift(&mut self) {
        let mut random = stream(&self.root, streams::DRIFT);
        self.people.drift(&self.catalogue, &mut random);
    }

    /// The next thing that somebody in the shop does by themselves, at `now_micros` since 1970.
    pub fn browse(&mut self, now_micros: i64) -> Click {
        let index = self.browsing.random_range(0..self.sessions.len());
        let session = &mut self.sessions[index];
        let (kind, item) = session.step(&self.people, &self.catalogue, &mut self.browsing);
        let user_id = id_of(session.person);
        let event_id = EventId::Browsed(self.browsed);
        self.browsed += 1;
        self.click(event_id, user_id, (kind, item), now_micros)
    }

    /// Somebody in the shop opens a page that wants a ranking, at `now_micros` since 1970.
    ///
    /// Candidates are what a retrieval stage would give: popular items, items of the category that the person is
    /// looking through, and some at random.
    pub fn visit(&mut self, now_micros: i64) -> Visit {
        let random = &mut self.visiting;
        let session = &self.sessions[random.random_range(0..self.sessions.len())];
        let mut candidates = Vec::with_capacity(self.candidates);
        // Popular items repeat; the bound ends the search when few are left to find.
        for _ in 0..8 * self.candidates {
            if candidates.len() == self.candidates {
                break;
            }
            let item = match (random.random_range(0..3), session.category) {
                (0, Some(category)) => self.catalogue.draw_from(category, random),
                (0 | 1, _) => self.catalogue.draw(random),
                _ => random.random_range(0..self.catalogue.len()),
            };
            if !candidates.contains(&id_of(item)) {
                candidates.push(id_of(item));
            }
        }
        let missing = self.candidates - candidates.len();
        let others: Vec<u64> =
            (0..self.catalogue.len()).map(id_of).filter(|id| !candidates.contains(id)).take(missing).collect();
        candidates.extend(others);
        candidates.shuffle(random);
        let request_id = RequestId(self.visits);
        self.visits += 1;
        Visit { request_id, user_id: id_of(session.person), candidates, ts_micros: now_micros }
    }

    /// What the person of a visit does with its ranking, best item first, shown at `now_micros` since 1970.
    ///
    /// Each place is examined or not by its position, and an examined item is clicked by how well it suits. A cart, a
    /// favourite or a buy may follow. The same visit and ranking always give the same clicks.
    pub fn react(&self, visit: &Visit, ranked: &[u64], now_micros: i64) -> Vec<Click> {
        let mut random = stream(&self.root, streams::FIRST_REACTION.wrapping_add(visit.request_id.0));
        let mut clicks = Vec::new();
        let Some(person) = index_of(visit.user_id, self.people.len()).map(|index| self.people.person(index)) else {
            return clicks;
        };
        let mut push = |kind, item| {
            let step = clicks.len() as u32;
            let event_id = EventId::Reaction(visit.request_id, step);
            let ts_micros = now_micros.saturating_add(i64::from(step) * BETWEEN_REACTIONS_MICROS);
            let click = self.click(event_id, visit.user_id, (kind, item), ts_micros);
            clicks.push(Click { request_id: Some(visit.request_id), ..click });
        };
        for (place, item_id) in ranked.iter().enumerate() {
            let Some(index) = index_of(*item_id, self.catalogue.len()) else { continue };
            let item = self.catalogue.item(index);
            if !happens(examination_probability(place) * click_probability(person, item), &mut random) {
                continue;
            }
            push(Kind::View, index);
            if happens(follow_up_probability(person, item), &mut random) {
                let goes_to_cart = happens(CART_SHARE, &mut random);
                push(if goes_to_cart { Kind::Cart } else { Kind::Fav }, index);
                if goes_to_cart && happens(BUY, &mut random) {
                    push(Kind::Buy, index);
                }
            }
        }
        clicks
    }

    /// The truth: the probability that this user clicks this item once it is examined; `None` for an unknown id.
    #[cfg(test)]
    pub(super) fn click_probability(&self, user_id: u64, item_id: u64) -> Option<f64> {
        let person = self.people.person(index_of(user_id, self.people.len())?);
        let item = self.catalogue.item(index_of(item_id, self.catalogue.len())?);
        Some(click_probability(person, item))
    }

    fn click(&self, event_id: EventId, user_id: u64, (kind, item): (Kind, usize), ts_micros: i64) -> Click {
        let Item { category, price, .. } = self.catalogue.item(item);
        let category_id = id_of(*category);
        Click { event_id, user_id, item_id: id_of(item), category_id, kind, price: *price, ts_micros, request_id: None }
    }
}

/// The stream `number` of the generator `root`, from its start.
fn stream(root: &ChaCha8Rng, number: u64) -> ChaCha8Rng {
    let mut stream = root.clone();
    stream.set_stream(number);
    stream
}

/// Ids count from one.
fn id_of(index: usize) -> u64 {
    index as u64 + 1
}

/// The index of an id among `count` things, if it is one of them.
fn index_of(id: u64, count: usize) -> Option<usize> {
    let index = usize::try_from(id.checked_sub(1)?).ok()?;
    (index < count).then_some(index)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const NOW: i64 = 1_511_658_000_000_000;

    fn shop(seed: u64) -> Shop {
        Shop::new(&ShopSettings { seed, ..ShopSettings::default() })
    }

    fn browse(shop: &mut Shop, count: usize) -> Vec<Click> {
        (0..count).map(|_| shop.browse(NOW)).collect()
    }

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        sum / count
    }

    #[test]
    fn the_same_seed_gives_the_same_shop() {
        let (mut one, mut same, mut other) = (shop(1), shop(1), shop(2));
        let clicks = browse(&mut one, 5_000);
        assert_eq!(clicks, browse(&mut same, 5_000));
        assert_ne!(clicks, browse(&mut other, 5_000));
        let visit = one.visit(NOW);
        assert_eq!(visit, same.visit(NOW));
        assert_eq!(one.react(&visit, &visit.candidates, NOW), same.react(&visit, &visit.candidates, NOW));
    }

    #[test]
    fn visits_and_reactions_do_not_change_what_people_do_by_themselves() {
        let (mut quiet, mut busy) = (shop(1), shop(1));
        let expected = browse(&mut quiet, 500);
        let found: Vec<Click> = (0..500)
            .map(|_| {
                let visit = busy.visit(NOW);
                busy.react(&visit, &visit.candidates, NOW);
                busy.browse(NOW)
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn people_look_at_what_suits_them() {
        let mut shop = shop(3);
        let views: Vec<Click> =
            browse(&mut shop, 20_000).into_iter().filter(|click| click.kind == Kind::View).collect();
        let truth = |user_id, item_id| shop.click_probability(user_id, item_id).unwrap();
        let chosen = mean(views.iter().map(|view| truth(view.user_id, view.item_id)));
        // The same items, each put before the person who looked at the next one.
        let swapped = mean(views.windows(2).map(|pair| truth(pair[1].user_id, pair[0].item_id)));
        assert!(chosen > 1.4 * swapped, "{chosen} against {swapped}");
    }

    #[test]
    fn popular_items_take_most_of_the_looks() {
        let mut shop = shop(4);
        let mut looks = vec![0_u32; 1_001];
        for click in browse(&mut shop, 20_000) {
            looks[click.item_id as usize] += u32::from(click.kind == Kind::View);
        }
        let all: u32 = looks.iter().sum();
        looks.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
        let top: u32 = looks[..100].iter().sum();
        assert!(f64::from(top) > 0.5 * f64::from(all), "the top tenth has {top} of {all}");
        assert!(looks[400] > 0, "the tail is looked at too");
    }

    #[test]
    fn sessions_go_from_looks_to_carts_to_buys() {
        let mut shop = shop(5);
        let clicks = browse(&mut shop, 50_000);
        let share = |kind| mean(clicks.iter().map(|click| f64::from(click.kind == kind)));
        assert!(share(Kind::View) > 0.7 && share(Kind::Cart) > 0.04 && share(Kind::Fav) > 0.02);
        assert!(share(Kind::Buy) > 0.01 && share(Kind::Buy) < share(Kind::Cart));
        let mut in_cart = HashSet::new();
        for click in &clicks {
            match click.kind {
                Kind::Cart => {
                    in_cart.insert((click.user_id, click.item_id));
                }
                Kind::Buy => {
                    assert!(in_cart.contains(&(click.user_id, click.item_id)), "bought from nowhere: {click:?}");
                }
                Kind::View | Kind::Fav => {}
            }
        }
    }

    #[test]
    fn clicks_on_a_place_follow_attention_times_appeal() {
        let mut shop = shop(6);
        let (mut clicked, mut expected, mut variance) = ([0.0; 20], [0.0; 20], [0.0; 20]);
        for _ in 0..4_000 {
            let visit = shop.visit(NOW);
            let clicks = shop.react(&visit, &visit.candidates, NOW);
            for (place, item_id) in visit.candidates.iter().enumerate() {
                let wanted = shop.click_probability(visit.user_id, *item_id).unwrap();
                let probability = wanted * (1.0 + place as f64).powf(-0.6);
                expected[place] += probability;
                variance[place] += probability * (1.0 - probability);
                let is_click = |click: &Click| click.kind == Kind::View && click.item_id == *item_id;
                clicked[place] += f64::from(clicks.iter().any(is_click));
            }
        }
        for place in 0..20 {
            let deviation: f64 = clicked[place] - expected[place];
            assert!(deviation.abs() < 4.5 * f64::sqrt(variance[place]), "place {place}: {clicked:?} {expected:?}");
        }
        assert!(clicked[0] > 2.5 * clicked[9], "{clicked:?}");
    }

    #[test]
    fn after_a_drift_people_want_other_things() {
        let mut shop = shop(10);
        let truth = |shop: &Shop, views: &[Click]| {
            mean(views.iter().map(|view| shop.click_probability(view.user_id, view.item_id).unwrap()))
        };
        let before = browse(&mut shop, 10_000);
        let wanted_before = truth(&shop, &before);
        shop.drift();
        let wanted_still = truth(&shop, &before);
        assert!(wanted_still < 0.5 * wanted_before, "{wanted_still} of {wanted_before} is wanted still");
        let after = browse(&mut shop, 10_000);
        let wanted_after = truth(&shop, &after);
        assert!(wanted_after > 1.5 * wanted_still, "{wanted_after} against {wanted_still}");
    }

    #[test]
    fn reactions_carry_their_request_and_are_events_of_their_own() {
        let mut shop = shop(7);
        let mut ids = HashSet::new();
        let mut kinds = HashSet::new();
        for _ in 0..3_000 {
            let visit = shop.visit(NOW);
            for (step, click) in shop.react(&visit, &visit.candidates, NOW).into_iter().enumerate() {
                assert_eq!((click.request_id, click.user_id), (Some(visit.request_id), visit.user_id));
                assert_eq!(click.ts_micros, NOW + 1_000 * step as i64);
                assert!(visit.candidates.contains(&click.item_id));
                assert!(ids.insert(click.event_id.to_string()), "{click:?} has the id of another");
                kinds.insert(click.kind);
            }
        }
        assert_eq!(kinds.len(), 4, "every kind of reaction occurs: {kinds:?}");
        assert!(browse(&mut shop, 1_000).iter().all(|click| ids.insert(click.event_id.to_string())));
    }

    #[test]
    fn a_visit_asks_for_distinct_items_and_for_all_when_there_are_few() {
        let mut shop = shop(8);
        for _ in 0..500 {
            let visit = shop.visit(NOW);
            let distinct: HashSet<_> = visit.candidates.iter().collect();
            assert_eq!((visit.candidates.len(), distinct.len()), (20, 20));
        }
        let mut small = Shop::new(&ShopSettings { items: 12, ..ShopSettings::default() });
        let mut candidates = small.visit(NOW).candidates;
        candidates.sort_unstable();
        assert_eq!(candidates, (1..=12).collect::<Vec<u64>>());
    }

    #[test]
    fn an_empty_shop_is_given_one_of_each() {
        let mut shop = Shop::new(&ShopSettings { seed: 9, people: 0, items: 0, categories: 0, candidates: 20 });
        let click = shop.browse(NOW);
        assert_eq!((click.user_id, click.item_id, click.category_id), (1, 1, 1));
        assert_eq!(shop.visit(NOW).candidates, [1]);
    }

    #[test]
    fn unknown_ids_are_ignored() {
        let mut shop = shop(10);
        let visit = shop.visit(NOW);
        assert_eq!(shop.click_probability(0, 1), None);
        assert_eq!(shop.click_probability(2_001, 1), None);
        assert_eq!(shop.click_probability(1, u64::MAX), None);
        assert!(shop.react(&visit, &[0, 1_001, u64::MAX], NOW).is_empty());
        let stranger = Visit { user_id: 0, ..visit };
        assert!(shop.react(&stranger, &stranger.candidates, NOW).is_empty());
    }
}
