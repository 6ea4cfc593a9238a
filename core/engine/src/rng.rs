//! Unguessable numbers from a seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A generator that a host seeds. With a secret seed its numbers cannot be
/// guessed, which DNS query ids depend on (RFC 5452); with a known one a whole
/// run of the engine can be replayed.
#[derive(Clone, Debug)]
pub(crate) struct Rng(ChaCha8Rng);

impl Rng {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    pub(crate) fn u16(&mut self) -> u16 {
        self.0.next_u32() as u16
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}
