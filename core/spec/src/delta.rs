//! What a reload changes.

use std::collections::HashMap;
use std::sync::Arc;

use probity_engine::{Spec, TargetId};

use crate::targets::Target;

/// The way from one list of targets to another.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// Targets that are new, or that are to be probed in another way.
    pub upsert: Vec<Target>,
    /// Targets that are gone.
    pub remove: Vec<TargetId>,
    /// Targets for which nothing changes, schedule, state and histograms
    /// included.
    pub unchanged: usize,
}

impl Delta {
    /// The way from `old`, of which no id comes twice, to `new`. Unchanged targets of
    /// `new` get the spec of the old ones, which the engine holds already, so that a
    /// reload does not double what is kept in memory.
    ///
    /// Only what the engine is told about counts: which series a job shows,
    /// or the position of a job in the file, is not a change of its targets.
    pub fn between(old: &[Target], new: &mut [Target]) -> Self {
        Self::since(old.iter().map(|target| (target.id, &target.spec)), new)
    }

    /// The same, of old targets of which nothing but this was kept.
    pub fn since<'o>(
        old: impl IntoIterator<Item = (TargetId, &'o Arc<Spec>)>,
        new: &mut [Target],
    ) -> Self {
        let mut gone: HashMap<TargetId, &Arc<Spec>> = old.into_iter().collect();
        let mut delta = Self::default();
        for target in new {
            match gone.remove(&target.id) {
                Some(before) if Arc::ptr_eq(before, &target.spec) || *before == target.spec => {
                    target.spec = Arc::clone(before);
                    delta.unchanged += 1;
                }
                _ => delta.upsert.push(target.clone()),
            }
        }
        delta.remove.extend(gone.into_keys());
        delta.remove.sort_unstable();
        delta
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.upsert.is_empty() && self.remove.is_empty()
    }
}
