//! Numbers instead of pointers for what lives longer than a call.
//!
//! A pointer that was freed cannot be told from one that was not. A number with
//! a generation can, so that a handle that is used too late, twice at once or on
//! the wrong kind of thing gets a code. The tables are the only state of the
//! process that this library has, and they hold nothing but what was made and
//! not freed: no user of the library can tell that there is another.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};

use crate::result::{Result, probity_result};

/// The bits of a handle: slot in the lower half, generation in the upper one,
/// which is never 0.
pub(crate) struct Table<T> {
    slots: RwLock<Vec<Slot<T>>>,
}

struct Slot<T> {
    generation: u32,
    object: Option<Arc<Object<T>>>,
}

struct Object<T> {
    state: Mutex<T>,
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: RwLock::new(Vec::new()),
        }
    }

    /// Takes `object` in.
    pub(crate) fn insert(&self, object: T) -> Result<u64> {
        let object = Some(Arc::new(Object {
            state: Mutex::new(object),
        }));
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        // A slot whose generations are used up is never used again.
        let free = slots
            .iter()
            .position(|slot| slot.object.is_none() && slot.generation < u32::MAX);
        let index = match free {
            Some(index) => index,
            None => {
                slots.push(Slot {
                    generation: 0,
                    object: None,
                });
                slots.len() - 1
            }
        };
        let low = u32::try_from(index).map_err(|_| probity_result::Full)?;
        let slot = &mut slots[index];
        slot.generation += 1;
        slot.object = object;
        Ok(u64::from(slot.generation) << 32 | u64::from(low))
    }

    /// Lets `body` work on what `bits` stand for.
    ///
    /// # Errors
    /// `BadHandle`, `InUse`, `Panicked` if a call on it has panicked, or what
    /// `body` says.
    pub(crate) fn with<R>(&self, bits: u64, body: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        let object = self.find(bits)?;
        let mut state = match object.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::WouldBlock) => return Err(probity_result::InUse),
            Err(TryLockError::Poisoned(_)) => return Err(probity_result::Panicked),
        };
        body(&mut state)
    }

    /// A copy of what `bits` stand for, of types whose copies are the same thing
    /// and may be used by many threads at once.
    pub(crate) fn share(&self, bits: u64) -> Result<T>
    where
        T: Clone,
    {
        let object = self.find(bits)?;
        // Nobody holds it for longer than a copy takes.
        let state = object.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(state.clone())
    }

    /// Forgets what `bits` stand for. A call that is using it goes on, and the
    /// last one drops it.
    pub(crate) fn remove(&self, bits: u64) -> Result<()> {
        let object = {
            let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
            let slot = slots.get_mut((bits & 0xffff_ffff) as usize);
            slot.filter(|slot| u64::from(slot.generation) == bits >> 32)
                .and_then(|slot| slot.object.take())
                .ok_or(probity_result::BadHandle)?
        };
        // Outside of the lock: it may take long, and may call back.
        catch_unwind(AssertUnwindSafe(|| drop(object))).map_err(|_| probity_result::Panicked)
    }

    fn find(&self, bits: u64) -> Result<Arc<Object<T>>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.get((bits & 0xffff_ffff) as usize);
        slot.filter(|slot| u64::from(slot.generation) == bits >> 32)
            .and_then(|slot| slot.object.clone())
            .ok_or(probity_result::BadHandle)
    }
}
