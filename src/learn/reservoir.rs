//! A uniform sample of everything that was learned from, in bounded memory.

use rand::RngExt;
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use super::codec::{decode_with, encode_with};
use super::{Example, ExampleError, Examples, Provenance};
use crate::feature::Inputs;

const SEEN: &str = "tidewheel.reservoir.seen";
const SEED: &str = "tidewheel.reservoir.seed";
const POSITION: &str = "tidewheel.reservoir.position";

/// Keeps a sample of the examples that it was given: each of them is in it with the same probability (Vitter, "Random
/// sampling with a reservoir", 1985, algorithm R). Equal seeds and equal calls give equal samples.
#[derive(Debug)]
pub struct Reservoir {
    capacity: usize,
    held: Examples,
    /// Examples offered so far.
    seen: u64,
    seed: u64,
    random: ChaCha8Rng,
}

impl Reservoir {
    /// An empty reservoir of `capacity` rows of these types; none with capacity 0.
    #[must_use]
    pub fn new(inputs: impl Into<Inputs>, capacity: usize, seed: u64) -> Self {
        Self { capacity, held: Examples::new(inputs), seen: 0, seed, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The most rows that it holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Offers an example: it is kept with probability `capacity / seen`, in the place of a random one.
    ///
    /// # Errors
    /// [`ExampleError::Width`] when its vector is of another width.
    pub fn offer(&mut self, example: Example<'_>) -> Result<(), ExampleError> {
        self.held.expect_width(example.vector.len())?;
        // Nothing is learnt from it, and it would take more memory than the vector.
        let example = Example { provenance: Provenance::unknown(), ..example };
        self.seen = self.seen.saturating_add(1);
        if self.held.len() < self.capacity {
            return self.held.push(example);
        }
        let place = self.random.random_range(0..self.seen);
        if place < self.held.len() as u64 { self.held.replace(place as usize, example) } else { Ok(()) }
    }

    /// Offers all examples of a batch, in their order.
    ///
    /// # Errors
    /// [`ExampleError::Width`] when they are of another width; none is offered.
    pub fn offer_all(&mut self, examples: &Examples) -> Result<(), ExampleError> {
        self.held.expect_width(examples.width())?;
        (0..examples.len()).filter_map(|row| examples.get(row)).try_for_each(|example| self.offer(example))
    }

    /// Adds `count` different examples, drawn uniformly, to `batch`; all when there are fewer. They stay in the reservoir.
    ///
    /// # Errors
    /// [`ExampleError::Width`] when the batch is of another width.
    pub fn sample(&mut self, count: usize, batch: &mut Examples) -> Result<(), ExampleError> {
        batch.expect_width(self.held.width())?;
        let count = count.min(self.held.len());
        index::sample(&mut self.random, self.held.len(), count)
            .into_iter()
            .filter_map(|row| self.held.get(row))
            .try_for_each(|example| batch.push(example))
    }

    /// The examples that are held.
    #[must_use]
    pub fn held(&self) -> &Examples {
        &self.held
    }

    /// How many examples were offered.
    #[cfg(test)]
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Everything that is needed to go on as if nothing had happened, as one message of examples with more metadata.
    ///
    /// # Errors
    /// [`ExampleError::Value`] when an example is not finite, [`ExampleError::Write`] when Arrow fails.
    pub fn save(&self, fingerprint: &str) -> Result<Vec<u8>, ExampleError> {
        let position = self.random.get_word_pos().to_string();
        let more = [(SEEN, self.seen.to_string()), (SEED, self.seed.to_string()), (POSITION, position)];
        encode_with(&self.held, fingerprint.into(), more)
    }

    /// The reservoir that was saved, now of `capacity` rows.
    ///
    /// With less capacity than before a random part of the rows is kept, which is still a uniform sample. With more, the
    /// rows that are held stand for the whole past until newer ones have filled the rest.
    ///
    /// # Errors
    /// An [`ExampleError`] that says what is wrong with the bytes, or that they are of another vector.
    pub fn load(
        bytes: &[u8],
        inputs: impl Into<Inputs>,
        capacity: usize,
        fingerprint: &str,
    ) -> Result<Self, ExampleError> {
        let mut held = Examples::new(inputs);
        let metadata = decode_with(bytes, fingerprint, &mut held)?;
        let number = |key: &str| {
            let text = metadata.get(key).map(String::as_str).unwrap_or_default();
            let reason = || format!("not a saved reservoir: {key} is {text:?}");
            text.parse::<u128>().map_err(|_| ExampleError::Unreadable { reason: reason() })
        };
        let too_large = |key| ExampleError::Unreadable { reason: format!("not a saved reservoir: {key} is too large") };
        let seed = u64::try_from(number(SEED)?).map_err(|_| too_large(SEED))?;
        let offered = u64::try_from(number(SEEN)?).map_err(|_| too_large(SEEN))?;
        if offered < held.len() as u64 {
            let reason = format!("not a saved reservoir: {SEEN} is {offered}, but {} are held", held.len());
            return Err(ExampleError::Unreadable { reason });
        }
        let mut reservoir = Self::new(held.inputs(), capacity, seed);
        reservoir.random.set_word_pos(number(POSITION)?);
        if held.len() > capacity {
            // Drawn from the rows that were held, which take the reservoir's place for a moment.
            let mut kept = Examples::new(held.inputs());
            reservoir.held = held;
            reservoir.sample(capacity, &mut kept)?;
            held = kept;
        }
        reservoir.seen = if held.len() < capacity { held.len() as u64 } else { offered };
        reservoir.held = held;
        Ok(reservoir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{ExampleKind, encode};

    fn example(vector: &[f32]) -> Example<'_> {
        let kind = ExampleKind::Negative;
        Example {
            vector,
            kind,
            sampling: 1.0,
            shown_micros: vector[0] as i64,
            labelled_micros: 0,
            place: 0,
            provenance: Provenance::unknown(),
        }
    }

    fn offer(reservoir: &mut Reservoir, numbers: std::ops::Range<usize>) {
        for number in numbers {
            reservoir.offer(example(&[number as f32])).unwrap();
        }
    }

    /// Chi-squared of how often each of equally likely things happened, divided by its degrees of freedom: about 1.
    fn unevenness(counts: &[u32]) -> f64 {
        let total: u32 = counts.iter().sum();
        let expected = f64::from(total) / counts.len() as f64;
        let squares = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected);
        squares.sum::<f64>() / (counts.len() - 1) as f64
    }

    #[test]
    fn every_example_is_held_with_the_same_probability() {
        let mut counts = [0_u32; 100];
        for seed in 0..4_000 {
            let mut reservoir = Reservoir::new(1, 10, seed);
            offer(&mut reservoir, 0..100);
            assert_eq!((reservoir.held().len(), reservoir.seen()), (10, 100));
            reservoir.held().vectors().iter().for_each(|number| counts[*number as usize] += 1);
        }
        let unevenness = unevenness(&counts);
        assert!((0.5..1.5).contains(&unevenness), "{unevenness}");
    }

    #[test]
    fn a_sample_is_uniform_without_repeats_and_adds_to_the_batch() {
        let mut reservoir = Reservoir::new(1, 50, 7);
        offer(&mut reservoir, 0..50);
        let mut counts = [0_u32; 50];
        for _ in 0..4_000 {
            let mut batch = Examples::new(1);
            batch.push(example(&[-1.0])).unwrap();
            reservoir.sample(5, &mut batch).unwrap();
            let mut drawn: Vec<usize> = batch.vectors()[1..].iter().map(|number| *number as usize).collect();
            for number in &drawn {
                counts[*number] += 1;
            }
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), 5);
        }
        let unevenness = unevenness(&counts);
        assert!((0.4..1.6).contains(&unevenness), "{unevenness}");
        let mut all = Examples::new(1);
        reservoir.sample(51, &mut all).unwrap();
        assert_eq!(all.len(), 50);
    }

    #[test]
    fn a_loaded_reservoir_goes_on_as_the_saved_one_would_have() {
        let mut straight = Reservoir::new(1, 20, 3);
        offer(&mut straight, 0..500);
        let saved = straight.save("8a21").unwrap();
        let mut loaded = Reservoir::load(&saved, 1, 20, "8a21").unwrap();
        for reservoir in [&mut straight, &mut loaded] {
            offer(reservoir, 500..900);
        }
        let (mut expected, mut found) = (Examples::new(1), Examples::new(1));
        straight.sample(9, &mut expected).unwrap();
        loaded.sample(9, &mut found).unwrap();
        assert_eq!((found, loaded.held(), loaded.seen()), (expected, straight.held(), 900));
    }

    #[test]
    fn less_capacity_keeps_a_part_and_more_capacity_counts_what_is_held_as_the_past() {
        let mut reservoir = Reservoir::new(1, 20, 3);
        offer(&mut reservoir, 0..500);
        let saved = reservoir.save("8a21").unwrap();
        let smaller = Reservoir::load(&saved, 1, 5, "8a21").unwrap();
        assert_eq!((smaller.held().len(), smaller.seen()), (5, 500));
        let mut larger = Reservoir::load(&saved, 1, 30, "8a21").unwrap();
        offer(&mut larger, 500..510);
        assert_eq!((larger.held().len(), larger.seen()), (30, 30));
        let mut none = Reservoir::load(&saved, 1, 0, "8a21").unwrap();
        offer(&mut none, 0..10);
        assert!(none.held().is_empty());
    }

    #[test]
    fn what_was_not_saved_for_this_vector_is_refused() {
        let mut reservoir = Reservoir::new(1, 20, 3);
        offer(&mut reservoir, 0..2);
        let saved = reservoir.save("8a21").unwrap();
        let error = Reservoir::load(&saved, 1, 20, "77ff").unwrap_err();
        assert!(matches!(error, ExampleError::Fingerprint { .. }));
        let plain = encode(reservoir.held(), "8a21").unwrap();
        insta::assert_snapshot!(
            Reservoir::load(&plain, 1, 20, "8a21").unwrap_err(),
            @r#"not a message of examples: not a saved reservoir: tidewheel.reservoir.seed is """#
        );
        reservoir.seen = 1;
        insta::assert_snapshot!(
            Reservoir::load(&reservoir.save("8a21").unwrap(), 1, 20, "8a21").unwrap_err(),
            @"not a message of examples: not a saved reservoir: tidewheel.reservoir.seen is 1, but 2 are held"
        );
    }
}
