//! What is counted: of all checks together, and of each module's.

use std::array;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use probity_engine::guest::{Fault, FaultKind, Figures};
use probity_engine::histogram::Exponential;

use crate::house::House;

/// Threads that count calls each by itself; those beyond share with others.
const COUNTERS: usize = 8;

/// Which counters are this thread's.
fn own_counter() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % COUNTERS;
    }
    OWN.with(|own| *own)
}

/// A count of each thread's own, so that none takes the line of another.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Own<T>(T);

/// What all instances of a host share.
#[derive(Debug)]
pub(crate) struct Room {
    /// Instances that there is room for.
    pub(crate) most: u32,
    /// Instances that there are.
    live: AtomicU32,
    /// Runs that found no room, each time that they looked.
    full: AtomicU64,
    /// Fuel that was used up.
    fuel: [Own<AtomicU64>; COUNTERS],
    /// Nanoseconds that instances took to end, which no run was charged for so far.
    owed: [Own<AtomicU64>; COUNTERS],
    /// Guests that broke.
    faults: AtomicU64,
    /// Instances of scripts whose runs are over. To give back what they have takes time,
    /// and those who end runs have none. Nothing once the host is gone.
    gone: Mutex<Option<Vec<Arc<House>>>>,
}

impl Room {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            live: AtomicU32::new(0),
            full: AtomicU64::new(0),
            fuel: Default::default(),
            owed: Default::default(),
            faults: AtomicU64::new(0),
            gone: Mutex::new(Some(Vec::new())),
        }
    }

    /// Leaves an instance to whoever [clears](Self::clear) next.
    pub(crate) fn bury(&self, house: Arc<House>) {
        if let Some(gone) = &mut *self.gone() {
            gone.push(house);
        }
    }

    /// Gives back what instances have that were left. It takes its time.
    pub(crate) fn clear(&self) {
        let gone = self.gone().as_mut().map(std::mem::take);
        drop(gone);
    }

    /// The same, once and for all: those that come are dropped at once.
    pub(crate) fn close(&self) {
        let gone = self.gone().take();
        drop(gone);
    }

    /// Whether there is room for another instance, or will be once it is cleared.
    pub(crate) fn has_room(&self) -> bool {
        self.live() < self.most || self.gone().as_ref().is_some_and(|gone| !gone.is_empty())
    }

    fn gone(&self) -> MutexGuard<'_, Option<Vec<Arc<House>>>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    pub(crate) fn fuel(&self) -> u64 {
        let each = self.fuel.iter();
        each.map(|own| own.0.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }
}

/// What the runs of one module's check take, of the room of all.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) room: Arc<Room>,
    live: AtomicU32,
    /// By the position in [`FaultKind::ALL`].
    faults: [AtomicU64; FaultKind::ALL.len()],
    calls: [Own<Mutex<Calls>>; COUNTERS],
}

/// Calls of some threads, and the fuel that they took.
#[derive(Debug, Default)]
struct Calls {
    took: Exponential,
    fuel: u64,
}

impl Meter {
    pub(crate) fn new(room: &Arc<Room>) -> Self {
        Self {
            room: Arc::clone(room),
            live: AtomicU32::new(0),
            faults: Default::default(),
            calls: array::from_fn(|_| Own::default()),
        }
    }

    /// Room for one more instance, if there is some.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Place> {
        let Room { most, live, .. } = &*self.room;
        let one_more = |live: u32| (live < *most).then_some(live + 1);
        let taken = live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok()?;
        self.live.fetch_add(1, Ordering::Relaxed);
        Some(Place {
            meter: Arc::clone(self),
            ends_since: None,
        })
    }

    /// Nanoseconds that instances of this thread took to end since this was last asked.
    pub(crate) fn take_owed(&self) -> u64 {
        self.room.owed[own_counter()].0.swap(0, Ordering::Relaxed)
    }

    /// A call of the guest has ended.
    pub(crate) fn called(&self, fuel: u64, took: Duration) {
        let own = own_counter();
        self.room.fuel[own].0.fetch_add(fuel, Ordering::Relaxed);
        let mut calls = lock(&self.calls[own].0);
        calls.fuel += fuel;
        calls.took.record(took);
    }

    /// It has broken, or there was no room for it.
    pub(crate) fn broke(&self, fault: &Fault) {
        let position = FaultKind::ALL.iter().position(|kind| *kind == fault.kind);
        if let Some(count) = position.and_then(|position| self.faults.get(position)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let count = match fault.kind {
            FaultKind::Capacity => &self.room.full,
            _ => &self.room.faults,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn figures(&self) -> Figures {
        let mut all = Calls::default();
        for own in &self.calls {
            let calls = lock(&own.0);
            all.fuel += calls.fuel;
            all.took.merge(&calls.took);
        }
        Figures {
            instances: self.live.load(Ordering::Relaxed),
            fuel: all.fuel,
            faults: self
                .faults
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed)),
            calls: all.took,
        }
    }
}

fn lock(calls: &Mutex<Calls>) -> MutexGuard<'_, Calls> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of one instance, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    meter: Arc<Meter>,
    ends_since: Option<Instant>,
}

impl Place {
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// What is in it begins to be given back.
    pub(crate) fn ends(&mut self) {
        self.ends_since = Some(Instant::now());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Meter { room, live, .. } = &*self.meter;
        if let Some(since) = self.ends_since {
            let took = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            room.owed[own_counter()]
                .0
                .fetch_add(took, Ordering::Relaxed);
        }
        live.fetch_sub(1, Ordering::Relaxed);
        room.live.fetch_sub(1, Ordering::Relaxed);
    }
}
