//! Randomness that a seed determines, the same on every machine and for ever.

use std::time::Duration;

/// SplitMix64 (Steele, Lea and Flood, 2014): 64 bits of state are plenty for a
/// world, and the generator is too small to change under our feet.
#[derive(Clone, Debug)]
pub struct Rng(u64);

/// One in a million.
pub type Ppm = u32;

impl Rng {
    /// The generator that `seed` names.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub const fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, or 0 if that is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.u64() as u128 * bound as u128) >> 64) as u64
    }

    /// A number in `low..=high`.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// A duration up to `most`, inclusive.
    pub fn duration(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.between(0, most.as_nanos() as u64))
    }

    /// True once in `1_000_000 / ppm` times. Draws nothing if that is never.
    pub const fn chance(&mut self, ppm: Ppm) -> bool {
        ppm > 0 && self.below(1_000_000) < ppm as u64
    }

    /// One of `options`, which must not be empty.
    pub fn pick<'a, T>(&mut self, options: &'a [T]) -> &'a T {
        &options[self.below(options.len() as u64) as usize]
    }

    /// An independent generator.
    #[must_use]
    pub const fn fork(&mut self) -> Self {
        Self(self.u64())
    }

    /// A seed for the engine.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        for part in seed.chunks_exact_mut(8) {
            part.copy_from_slice(&self.u64().to_le_bytes());
        }
        seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        let mut rng = Rng::new(1_234_567);
        let first = [rng.u64(), rng.u64(), rng.u64()];
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(first, published);
    }

    #[test]
    fn bounds_are_kept_and_reached() {
        let mut rng = Rng::new(7);
        let drawn: Vec<u64> = (0..1_000).map(|_| rng.between(3, 5)).collect();
        for value in 3..=5 {
            assert!(drawn.contains(&value));
        }
        assert!(drawn.iter().all(|value| (3..=5).contains(value)));
        assert!((0..1_000).all(|_| !rng.chance(0)));
        assert!((0..1_000).all(|_| rng.chance(1_000_000)));
    }
}
