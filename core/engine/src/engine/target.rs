//! Registered targets: what is remembered between runs.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use hashbrown::hash_map::Entry;

use crate::fact::{Facts, Labels, Samples};
use crate::histogram::Exponential;
use crate::id::{RunId, TargetId};
use crate::lifecycle::{Lifecycle, Pod};
use crate::map::Map;
use crate::outcome::{Outcome, Phase, Phases};
use crate::spec::Spec;
use crate::threshold::Threshold;
use crate::time::{Instant, nanos};
use crate::tls::TlsInfo;

/// Where a target is between two runs.
///
/// ```text
///              due, slot free                 finished
/// Scheduled ------------------> Running ------------------> Scheduled
///     | due, no slot            ^    | due again
///     v                         |    v
///   Queued ---------------------'  Running { again } -> due when it ends
///     | waited for its whole timeout
///     `-> reported as Unknown(overload) -> Scheduled
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The timer says when.
    Scheduled,
    /// Due since `due`, waiting for a slot.
    Queued { due: Instant },
    /// In flight. `again`: what came due meanwhile. As in the kubelet one is
    /// remembered and further ones are dropped.
    Running { run: RunId, again: Again },
}

/// What came due while a run was in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    Nothing,
    /// The next run of the schedule.
    Tick,
    /// A run out of turn, from which the schedule then counts.
    Trigger,
}

#[derive(Debug)]
pub(super) struct Target {
    pub(super) id: TargetId,
    pub(super) spec: Arc<Spec>,
    pub(super) added: Instant,
    /// When something was last learnt about it.
    pub(super) seen: Instant,
    pub(super) turn: Turn,
    /// Since when it has been due without having been probed, also over runs that
    /// were given up: who has waited longest is next, or some would never be.
    /// [`Instant::MAX`] if there was room for the last run.
    pub(super) waiting: Instant,
    /// Where in its period it is probed, in nanoseconds: derived from the id,
    /// so that a restart does not bunch the fleet, until it was triggered.
    pub(super) offset: u64,
    /// When the next run is due, if [`Turn::Scheduled`] or `Running`.
    pub(super) next: Instant,
    pub(super) threshold: Threshold,
    /// Attempts in the current pass; see [`crate::lifecycle`].
    pub(super) attempts: u32,
    /// What a host that knows containers has told us.
    pub(super) watched: Option<Box<Watched>>,
    /// `None` until there is something to book.
    pub(super) record: Option<Arc<Record>>,
}

/// A fleet has a million of them: about 570 bytes with the record and its counters, the
/// index (26), the timer (24) and a histogram of a few buckets.
const _: () = assert!(size_of::<Option<Target>>() + size_of::<Record>() <= 448);

/// What the runs of a target have left.
///
/// Whoever wants a copy shares it, which takes eight bytes: the engine makes itself
/// another one when the next result comes, and writes to it in place where nobody has a
/// copy any more.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Results so far by [`Outcome::index`].
    pub results: [u64; 4],
    /// Durations of all results that were not `Unknown`.
    pub histogram: Exponential,
    /// The last result, if there is one.
    pub last: Option<Last>,
}

/// That of a target without one.
static NOTHING: Record = Record {
    results: [0; 4],
    histogram: Exponential::new(),
    last: None,
};

/// The container behind a target.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) lifecycle: Lifecycle,
    pub(super) pod: Option<Pod>,
}

/// The last result of a target.
#[derive(Clone, Debug)]
pub struct Last {
    /// The verdict.
    pub outcome: Outcome,
    /// One sentence; empty for a plain success.
    pub detail: Box<str>,
    /// When it was given.
    pub finished: Instant,
    /// How long the target took.
    pub total: Duration,
    /// The phase in which it ended.
    pub phase: Phase,
    /// Phases that were completed.
    pub phases: Phases,
    /// What was learnt.
    pub facts: Facts,
    /// What was learnt in words.
    pub labels: Labels,
    /// In numbers that no table has.
    pub samples: Samples,
    /// The last handshake.
    pub tls: Option<Arc<TlsInfo>>,
    /// The last address that was connected to.
    pub address: Option<SocketAddr>,
}

/// A target as a host sees it.
#[derive(Clone, Copy, Debug)]
pub struct TargetView<'a> {
    /// Its name.
    pub id: TargetId,
    /// What is checked.
    pub spec: &'a Arc<Spec>,
    /// The health after thresholds; `None` while unknown.
    pub up: Option<bool>,
    /// Results so far by [`Outcome::index`].
    pub results: [u64; 4],
    /// Durations of all results that were not `Unknown`.
    pub histogram: &'a Exponential,
    /// The last result, if there is one.
    pub last: Option<&'a Last>,
    /// All three as one, to be kept; `None` if nothing was booked yet.
    pub record: Option<&'a Arc<Record>>,
    /// When it was registered.
    pub added: Instant,
    /// When its next run is due.
    pub next: Instant,
}

impl Target {
    pub(super) fn view(&self) -> TargetView<'_> {
        let record = self.record.as_deref().unwrap_or(&NOTHING);
        TargetView {
            id: self.id,
            spec: &self.spec,
            up: self.threshold.published(),
            results: record.results,
            histogram: &record.histogram,
            last: record.last.as_ref(),
            record: self.record.as_ref(),
            added: self.added,
            next: self.next,
        }
    }

    /// Its last result is one of another kind of check.
    pub(super) fn forget_last(&mut self) {
        if let Some(record) = &mut self.record {
            Arc::make_mut(record).last = None;
        }
    }

    /// The first run that is due after `after`, of those at
    /// `epoch + offset + n * period`.
    pub(super) fn due_after(&self, epoch: Instant, after: Instant) -> Instant {
        let period = nanos(self.spec.schedule.period());
        let first = epoch.as_nanos().saturating_add(self.offset % period);
        let Some(passed) = after.as_nanos().checked_sub(first) else {
            return Instant::from_nanos(first);
        };
        Instant::from_nanos(first.saturating_add((passed / period + 1).saturating_mul(period)))
    }

    /// The latest run that is due at `now`, and how many before it were never
    /// looked at.
    pub(super) fn latest_due(&self, now: Instant) -> (Instant, u64) {
        let period = nanos(self.spec.schedule.period());
        let missed = nanos(now - self.next) / period;
        let due = self
            .next
            .as_nanos()
            .saturating_add(missed.saturating_mul(period));
        (Instant::from_nanos(due), missed)
    }

    /// Whether nothing was learnt about it for so long that something keeps us
    /// from looking.
    pub(super) fn is_overdue(&self, epoch: Instant, now: Instant) -> bool {
        let schedule = self.spec.schedule;
        let begin = self.added.max(epoch) + schedule.initial_delay();
        now - self.seen.max(begin) > schedule.period() * 2 + schedule.timeout()
    }
}

/// Where in its period a target is probed: its identity, mixed so that ids
/// that differ little are spread (the finaliser of SplitMix64), modulo the
/// period.
pub(super) fn offset(id: TargetId, period: Duration) -> u64 {
    let mut hash = id.0;
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    hash % nanos(period).max(1)
}

/// A slab of targets with an index by id. Slots are stable while a target is
/// registered; timers use them as ids.
#[derive(Debug, Default)]
pub(super) struct Targets {
    slots: Vec<Option<Target>>,
    free: Vec<u32>,
    index: Map<TargetId, u32>,
}

impl Targets {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Number of slots, used or not.
    pub(super) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(super) fn find(&self, id: TargetId) -> Option<u32> {
        self.index.get(&id).copied()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Target> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Target> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Target> {
        self.slots.iter().flatten()
    }

    /// Adds a target that is not registered yet.
    pub(super) fn insert(&mut self, target: Target) -> u32 {
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        match self.index.entry(target.id) {
            Entry::Occupied(_) => debug_assert!(false, "the caller looked the id up"),
            Entry::Vacant(entry) => {
                entry.insert(slot);
            }
        }
        if slot as usize == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[slot as usize] = Some(target);
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Target> {
        let target = self.slots.get_mut(slot as usize)?.take()?;
        self.index.remove(&target.id);
        self.free.push(slot);
        Some(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_spread_a_fleet_over_its_period() {
        let period = Duration::from_nanos(1_000);
        let mut counts = [0_u32; 10];
        for id in 0..100_000 {
            counts[(offset(TargetId(id), period) / 100) as usize] += 1;
        }
        for count in counts {
            assert!((9_500..10_500).contains(&count), "{counts:?}");
        }
    }
}
