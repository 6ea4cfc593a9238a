//! Hash maps whose order of iteration depends on nothing but what was put in
//! and on a seed that the engine was given: a run can be replayed.

use foldhash::fast::FixedState;

/// A hash map with a fixed hasher. Keys that a peer can choose want a seed
/// ([`seeded`]), so that collisions cannot be prepared.
pub(crate) type Map<K, V> = hashbrown::HashMap<K, V, FixedState>;

/// An empty map whose hashes cannot be guessed without `seed`.
pub(crate) fn seeded<K, V>(seed: u64) -> Map<K, V> {
    Map::with_hasher(FixedState::with_seed(seed))
}
