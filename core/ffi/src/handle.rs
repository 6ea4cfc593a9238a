//! Numbers instead of pointers for what lives longer than a call.
//!
//! A pointer that was freed cannot be told from one that was not. A number with
//! a generation can, so that a handle that is used too late, twice at once or on
//! the wrong kind of thing gets a code. The tables are the only state of the
//! process that this library has, and they hold nothing but what was made and
//! not freed: no user of the library can tell that there is another.
//!
//! # How it works
//!
//! A slot is a word and a pointer to an object. The word says whose turn it is:
//!
//! ```text
//! bits 63..32   generation: of whose handle it is
//! bit  31       CLOSED      nobody may begin to use it: it is free, or being freed
//! bit  30       BROKEN      a call has panicked
//! bits 29..0                calls that are using it
//! ```
//!
//! A handle has the generation in its upper half and the number of the slot in its
//! lower one. A call begins with one compare-and-swap from exactly "this generation,
//! open, whole, nobody" and ends with one subtraction. That is why the pointer is
//! followed by nobody but who holds the slot: to free it is to set `CLOSED`, and the
//! object is dropped by whoever is then the last to leave, the one who frees it or
//! the call that was under way. Only after that the slot is given out again, with the
//! next generation. Slots are in chunks that never move and are never given back, so
//! that a handle of any age may look at its word.

use std::cell::UnsafeCell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::result::{Result, probity_result};

const CLOSED: u64 = 1 << 31;
const BROKEN: u64 = 1 << 30;
/// One call; the calls are what is below `BROKEN`.
const CALL: u64 = 1;
const CALLS: u64 = BROKEN - 1;

/// log2 of the slots of the first chunk. Each is twice as large as the last.
const FIRST_BITS: u32 = 6;
/// As many as a slot's number in 32 bits can name.
const CHUNKS: usize = (u32::BITS - FIRST_BITS + 1) as usize;

/// What the handles of a type stand for.
pub(crate) struct Table<T> {
    /// The word of a slot that was never used.
    first: u64,
    chunks: [AtomicPtr<Slot<T>>; CHUNKS],
    room: Mutex<Room>,
}

/// Slots that nobody uses.
struct Room {
    free: Vec<u32>,
    /// Those from here on were never used.
    unused: u32,
}

struct Slot<T> {
    word: AtomicU64,
    object: UnsafeCell<Option<Box<T>>>,
}

/// What one call at a time may change.
pub(crate) trait Exclusive: Send {}

/// A chunk, and where in it a slot is.
#[inline]
const fn place(slot: u32) -> (usize, usize) {
    // Of most programs all are there.
    if slot < 1 << FIRST_BITS {
        return (0, slot as usize);
    }
    let number = slot as u64 + (1 << FIRST_BITS);
    let chunk = number.ilog2();
    (
        (chunk - FIRST_BITS) as usize,
        (number - (1 << chunk)) as usize,
    )
}

/// The last generation of a slot, and its bits: the two above are the kind's.
const GENERATIONS: u64 = (1 << 30) - 1;

impl<T: Send> Table<T> {
    /// `kind`, 0 to 3, is in the generations of all its handles, so that those of another
    /// table are none of its own.
    pub(crate) const fn new(kind: u64) -> Self {
        Self {
            first: kind << 62 | CLOSED,
            chunks: [const { AtomicPtr::new(null_mut()) }; CHUNKS],
            room: Mutex::new(Room {
                free: Vec::new(),
                unused: 0,
            }),
        }
    }

    /// The slot that `bits` name, if there ever was one.
    fn slot(&self, bits: u64) -> Result<&Slot<T>> {
        let (chunk, index) = place(bits as u32);
        let first = self.chunks[chunk].load(Ordering::Acquire);
        if first.is_null() {
            return Err(probity_result::BadHandle);
        }
        // SAFETY: a chunk has as many slots as `place` can name in it, and is never
        // given back.
        Ok(unsafe { &*first.add(index) })
    }

    /// Takes `object` in.
    pub(crate) fn insert(&self, object: T) -> Result<u64> {
        let number = self.take_room()?;
        let slot = self.slot(number.into())?;
        // SAFETY: the slot is closed and has no user, and its number was given to
        // nobody else.
        unsafe { *slot.object.get() = Some(Box::new(object)) };
        let generation = (slot.word.load(Ordering::Relaxed) >> 32) + 1;
        slot.word.store(generation << 32, Ordering::Release);
        Ok(generation << 32 | u64::from(number))
    }

    /// The number of a slot that is closed and empty.
    fn take_room(&self) -> Result<u32> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = room.free.pop() {
            return Ok(number);
        }
        let number = room.unused;
        let after = number.checked_add(1).ok_or(probity_result::Full)?;
        let (chunk, index) = place(number);
        if index == 0 {
            let count = 1_usize.checked_shl(chunk as u32 + FIRST_BITS);
            let slots = (0..count.ok_or(probity_result::Full)?).map(|_| Slot {
                word: AtomicU64::new(self.first),
                object: UnsafeCell::new(None),
            });
            let slots: Box<[Slot<T>]> = slots.collect();
            let first = Box::leak(slots).as_mut_ptr();
            self.chunks[chunk].store(first, Ordering::Release);
        }
        room.unused = after;
        Ok(number)
    }

    /// Begins a call on a slot: nobody else may be using it.
    #[inline]
    fn claim(slot: &Slot<T>, bits: u64) -> Result<()> {
        let open = bits & !0xffff_ffff;
        let claimed =
            slot.word
                .compare_exchange(open, open + CALL, Ordering::Acquire, Ordering::Relaxed);
        claimed.map(drop).map_err(|word| unusable(word, bits))
    }

    /// Ends a call; the last one on a slot that is closed drops its object. Tells whether
    /// this was the one.
    ///
    /// # Errors
    /// `Panicked` if dropping it has panicked.
    #[inline]
    fn leave(&self, slot: &Slot<T>, bits: u64) -> Result<bool> {
        let word = slot.word.fetch_sub(CALL, Ordering::AcqRel) - CALL;
        match word & (CLOSED | CALLS) {
            CLOSED => self.vacate(slot, bits).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Drops the object of a slot that is closed and has no user.
    #[cold]
    fn vacate(&self, slot: &Slot<T>, bits: u64) -> Result<()> {
        // SAFETY: `CLOSED` is set once in a generation, and who sees it together with
        // no user, first, is one: nobody comes after that.
        let object = unsafe { &mut *slot.object.get() }.take();
        // It may take long, and may call back: the slot is nobody's meanwhile.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(object)));
        // A slot whose generations are used up is never used again.
        if bits >> 32 & GENERATIONS < GENERATIONS {
            let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
            room.free.push(bits as u32);
        }
        dropped.map_err(|_| probity_result::Panicked)
    }

    /// Forgets what `bits` stand for. A call that is using it goes on, and the
    /// last one drops it.
    pub(crate) fn remove(&self, bits: u64) -> Result<()> {
        let slot = self.slot(bits)?;
        let mut word = slot.word.load(Ordering::Relaxed);
        loop {
            if word >> 32 != bits >> 32 || word & CLOSED != 0 {
                return Err(probity_result::BadHandle);
            }
            // This call is one of those that leave.
            let closed = (word | CLOSED) + CALL;
            let swapped =
                slot.word
                    .compare_exchange_weak(word, closed, Ordering::AcqRel, Ordering::Relaxed);
            match swapped {
                Ok(_) => break,
                Err(found) => word = found,
            }
        }
        self.leave(slot, bits).map(drop)
    }
}

impl<T: Exclusive> Table<T> {
    /// Lets `body` work on what `bits` stand for.
    ///
    /// # Errors
    /// `BadHandle`, also if it is freed meanwhile and `body` has succeeded, `InUse`,
    /// `Panicked` if a call on it has panicked, or what `body` says.
    #[inline(always)]
    pub(crate) fn with<R>(&self, bits: u64, body: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        let slot = self.slot(bits)?;
        Self::claim(slot, bits)?;
        // Its end is only come to if `body` panics.
        let broken = Breaking(self, slot, bits);
        // SAFETY: the slot is this call's alone until it leaves.
        let object = unsafe { &mut *slot.object.get() };
        let result = match object {
            Some(object) => body(object),
            None => Err(probity_result::BadHandle),
        };
        mem::forget(broken);
        match self.leave(slot, bits) {
            Ok(false) => result,
            // It was freed meanwhile: what this call gives may point to what is gone.
            Ok(true) | Err(_) => result.and(Err(probity_result::BadHandle)),
        }
    }
}

impl<T: Send + Sync> Table<Arc<T>> {
    /// What `bits` stand for, to be used by any number of threads at once.
    pub(crate) fn share(&self, bits: u64) -> Result<Arc<T>> {
        let slot = self.slot(bits)?;
        let mut word = slot.word.load(Ordering::Relaxed);
        loop {
            if word >> 32 != bits >> 32 || word & CLOSED != 0 {
                return Err(probity_result::BadHandle);
            }
            let swapped = slot.word.compare_exchange_weak(
                word,
                word + CALL,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => break,
                Err(found) => word = found,
            }
        }
        // SAFETY: nobody changes it while the slot has a user; `Arc<T>` is never
        // `Exclusive`.
        let object = unsafe { &*slot.object.get() };
        let object = object.as_deref().map(Arc::clone);
        let _ = self.leave(slot, bits);
        object.ok_or(probity_result::BadHandle)
    }
}

/// A call that panics.
struct Breaking<'a, T: Send>(&'a Table<T>, &'a Slot<T>, u64);

impl<T: Send> Drop for Breaking<'_, T> {
    fn drop(&mut self) {
        let Self(table, slot, bits) = self;
        slot.word.fetch_or(BROKEN, Ordering::Relaxed);
        let _ = table.leave(slot, *bits);
    }
}

/// Why a call cannot begin.
#[cold]
fn unusable(word: u64, bits: u64) -> probity_result {
    if word >> 32 != bits >> 32 || word & CLOSED != 0 {
        probity_result::BadHandle
    } else if word & CALLS != 0 {
        probity_result::InUse
    } else {
        probity_result::Panicked
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;

    impl Exclusive for Counted {}

    /// Counts how many there are.
    struct Counted(Arc<AtomicUsize>);

    impl Counted {
        fn new(count: &Arc<AtomicUsize>) -> Self {
            count.fetch_add(1, Ordering::SeqCst);
            Self(Arc::clone(count))
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn every_number_has_a_place_of_its_own() {
        let mut last = (0, usize::MAX);
        for number in 0..1_000 {
            let (chunk, index) = place(number);
            assert!(index < 1 << (chunk as u32 + FIRST_BITS), "{number}");
            assert!(chunk == last.0 && index == last.1.wrapping_add(1) || index == 0);
            last = (chunk, index);
        }
        let (chunk, index) = place(u32::MAX);
        assert_eq!((chunk, index), (CHUNKS - 1, (1 << FIRST_BITS) - 1));
    }

    #[test]
    fn slots_are_used_again_and_their_old_handles_are_not() {
        let (table, count) = (Table::new(0), Arc::default());
        let mut old = Vec::new();
        for round in 0..3 {
            let made: Vec<u64> = (0..200)
                .map(|_| table.insert(Counted::new(&count)).expect("there is room"))
                .collect();
            assert_eq!(count.load(Ordering::SeqCst), 200);
            assert!(made.iter().all(|bits| (*bits as u32) < 200), "{round}");
            for bits in &old {
                assert_eq!(
                    table.with(*bits, |_| Ok(())),
                    Err(probity_result::BadHandle)
                );
                assert_eq!(table.remove(*bits), Err(probity_result::BadHandle));
            }
            for bits in &made {
                assert_eq!(table.with(*bits, |_| Ok(())), Ok(()));
                assert_eq!(table.remove(*bits), Ok(()));
            }
            assert_eq!(count.load(Ordering::SeqCst), 0);
            old.extend(made);
        }
    }

    #[test]
    fn what_is_freed_in_use_lives_to_the_end_of_it_and_its_slot_so_long() {
        let (table, count) = (Table::new(0), Arc::default());
        let bits = table.insert(Counted::new(&count)).expect("there is room");
        let used = table.with(bits, |_| {
            assert_eq!(table.remove(bits), Ok(()));
            assert_eq!(table.remove(bits), Err(probity_result::BadHandle));
            assert_eq!(count.load(Ordering::SeqCst), 1);
            let other = table.insert(Counted::new(&count)).expect("there is room");
            assert_ne!(bits as u32, other as u32);
            table.remove(other)
        });
        let gone = Err(probity_result::BadHandle);
        assert_eq!((used, count.load(Ordering::SeqCst)), (gone, 0));
    }

    #[test]
    fn one_at_a_time_whoever_frees_it() {
        let (table, count) = (Table::new(0), Arc::default());
        for _ in 0..200 {
            let bits = table.insert(Counted::new(&count)).expect("there is room");
            let (barrier, inside, freed) =
                (Barrier::new(4), AtomicUsize::new(0), AtomicUsize::new(0));
            thread::scope(|scope| {
                for thread in 0..4 {
                    let (table, barrier, inside, freed) = (&table, &barrier, &inside, &freed);
                    scope.spawn(move || {
                        barrier.wait();
                        for turn in 0..20 {
                            let used = table.with(bits, |it| {
                                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                                assert!(it.0.load(Ordering::SeqCst) > 0);
                                inside.fetch_sub(1, Ordering::SeqCst);
                                Ok(())
                            });
                            let usual = [
                                Ok(()),
                                Err(probity_result::InUse),
                                Err(probity_result::BadHandle),
                            ];
                            assert!(usual.contains(&used), "{used:?}");
                            if thread > 1 && turn == 10 && table.remove(bits).is_ok() {
                                freed.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                    });
                }
            });
            assert_eq!(freed.load(Ordering::SeqCst), 1);
            assert_eq!(count.load(Ordering::SeqCst), 0);
        }
    }
}
