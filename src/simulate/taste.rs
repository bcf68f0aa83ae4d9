//! The hidden space in which people and items meet.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Enough for a few dozen categories to point in different directions.
const DIMENSIONS: usize = 8;

/// What a person likes, or what an item is like: a direction, as a vector of length one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Taste([f64; DIMENSIONS]);

impl Taste {
    /// Any direction, all equally likely.
    pub(super) fn draw(random: &mut ChaCha8Rng) -> Self {
        Self(normals(random)).of_length_one()
    }

    /// A direction near this one: `spread` is the length of what is added, on average.
    pub(super) fn near(self, spread: f64, random: &mut ChaCha8Rng) -> Self {
        let scale = spread / (DIMENSIONS as f64).sqrt();
        self.plus(scale, Self(normals(random)))
    }

    /// This direction leaning towards another by `weight`.
    pub(super) fn plus(self, weight: f64, other: Self) -> Self {
        let mut sum = self.0;
        for (value, added) in sum.iter_mut().zip(other.0) {
            *value += weight * added;
        }
        Self(sum).of_length_one()
    }

    /// Cosine of the angle between two directions: 1 is the same, 0 unrelated, -1 opposite.
    pub(super) fn likeness(&self, other: &Self) -> f64 {
        self.0.iter().zip(other.0).map(|(one, other)| one * other).sum()
    }

    fn of_length_one(self) -> Self {
        let length = self.0.iter().map(|value| value * value).sum::<f64>().sqrt();
        Self(self.0.map(|value| value / length.max(f64::MIN_POSITIVE)))
    }
}

fn normals(random: &mut ChaCha8Rng) -> [f64; DIMENSIONS] {
    std::array::from_fn(|_| random.sample::<f64, _>(StandardNormal))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_direction_is_like_its_neighbours_and_not_like_strangers() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let (mut near, mut far) = (0.0, 0.0);
        for _ in 0..1_000 {
            let taste = Taste::draw(&mut random);
            assert!((taste.likeness(&taste) - 1.0).abs() < 1e-12);
            near += taste.likeness(&taste.near(0.5, &mut random)) / 1_000.0;
            far += taste.likeness(&Taste::draw(&mut random)) / 1_000.0;
        }
        assert!(near > 0.8, "{near}");
        assert!(far.abs() < 0.06, "{far}");
    }
}
