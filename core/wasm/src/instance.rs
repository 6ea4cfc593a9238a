//! One instance of a guest, and what its calls may take.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use probity_engine::guest::{Class, Fault, FaultKind, Limits};
use wasmtime::{Engine, PoolConcurrencyLimitError, ResourceLimiter, Store, Trap};

use crate::bindings::{Plugin, PluginPre};
use crate::meter::{Meter, Place};
use crate::pool::{Shape, shape};

/// Bytes that one answer may have on top of what may be sent: 32 actions with
/// sentences and labels fit twice.
const ANSWER_BYTES: usize = 64 << 10;
/// Handles that a guest may have for each run at once: its session, and those that it
/// has not let go of yet.
const HANDLES_EACH: usize = 64;

/// The fuel of one run.
#[derive(Debug)]
pub(crate) struct Purse {
    /// What is left to it.
    left: u64,
    /// What was used since this was last asked, or as many nanoseconds as it took if those
    /// are more.
    used: u64,
}

impl Purse {
    pub(crate) const fn new(limits: &Limits) -> Self {
        Self {
            left: limits.fuel_per_run,
            used: 0,
        }
    }

    /// Notes fuel that is not its run's, but was used on the way.
    pub(crate) const fn add_used(&mut self, fuel: u64) {
        self.used = self.used.saturating_add(fuel);
    }

    /// What was used since this was last asked: see [`Session::take_fuel`].
    ///
    /// [`Session::take_fuel`]: probity_engine::guest::Session::take_fuel
    pub(crate) const fn take_used(&mut self) -> u64 {
        std::mem::replace(&mut self.used, 0)
    }
}

/// What a store knows of its guest.
#[derive(Debug)]
pub(crate) struct State {
    shape: Shape,
    /// Bytes of memory that it may still have.
    memory: usize,
    /// Whether the guest wanted more in this call.
    refused: bool,
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let left = self.memory.checked_sub(desired.saturating_sub(current));
        self.refused |= left.is_none();
        self.memory = left.unwrap_or(self.memory);
        Ok(left.is_some())
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= self.shape.table_elements)
    }

    fn instances(&self) -> usize {
        self.shape.core_instances as usize + 1
    }

    fn tables(&self) -> usize {
        self.shape.tables as usize
    }

    fn memories(&self) -> usize {
        self.shape.memories as usize
    }
}

/// An instance of a guest.
pub(crate) struct Instance {
    // Dropped in this order: the place is free once the slot is.
    store: Store<State>,
    exports: Option<Plugin>,
    limits: Limits,
    place: Place,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.place.ends();
    }
}

impl Instance {
    /// Makes one for so many runs at once, with the fuel of the first.
    ///
    /// # Errors
    /// [`FaultKind::Capacity`] if there is no room; what the guest does when it starts.
    pub(crate) fn new(
        engine: &Engine,
        pre: &PluginPre<State>,
        (class, limits, sessions): (Class, Limits, u32),
        meter: &Arc<Meter>,
        purse: &mut Purse,
    ) -> Result<Self, Fault> {
        let full = || {
            let most = meter.room.most;
            let why = format!("is one too many: there is room for {most} instances");
            let fault = Fault::new(FaultKind::Capacity, why);
            meter.broke(&fault);
            fault
        };
        let place = meter.take().ok_or_else(full)?;
        let state = State {
            shape: shape(class),
            memory: limits.memory as usize,
            refused: false,
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(limits.sent as usize + ANSWER_BYTES);
        store.set_max_component_handles(HANDLES_EACH * sessions as usize);
        let mut made = Self {
            store,
            exports: None,
            limits,
            place,
        };
        let start = |store: &mut _, _: Option<&_>| pre.instantiate(store);
        let exports = made.within("when it starts", purse, start);
        made.exports = Some(exports?);
        Ok(made)
    }

    /// Calls the guest, with the fuel of one event of a run.
    ///
    /// # Errors
    /// How it broke. It must not be called again then.
    pub(crate) fn call<R>(
        &mut self,
        purse: &mut Purse,
        call: impl FnOnce(&mut Store<State>, &Plugin) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        self.within("", purse, |store, exports| match exports {
            Some(exports) => call(store, exports),
            None => Err(wasmtime::Error::msg("is called before it has started")),
        })
    }

    fn within<R>(
        &mut self,
        when: &str,
        purse: &mut Purse,
        call: impl FnOnce(&mut Store<State>, Option<&Plugin>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let (given, begun) = (self.limits.fuel_per_event.min(purse.left), Instant::now());
        self.store.data_mut().refused = false;
        let set = self.store.set_fuel(given);
        let result = set.and_then(|()| call(&mut self.store, self.exports.as_ref()));
        let used = given.saturating_sub(self.store.get_fuel().unwrap_or(0));
        purse.left = purse.left.saturating_sub(used);
        let took = begun.elapsed();
        // To make an instance and to end it takes time and no fuel, and so does the kernel
        // where a page of memory is touched for the first time.
        let meter = self.place.meter();
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        purse.add_used(used.max(nanos).saturating_add(meter.take_owed()));
        meter.called(used, took);
        result.map_err(|error| {
            let fault = self.fault(&error, when, purse.left == 0);
            meter.broke(&fault);
            fault
        })
    }

    /// What an error says of the guest, in a run that has used up its fuel or has not.
    fn fault(&self, error: &wasmtime::Error, when: &str, is_used_up: bool) -> Fault {
        if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return Fault::new(FaultKind::Capacity, format!("is one too many: {error}"));
        }
        let Some(trap) = error.downcast_ref::<Trap>() else {
            // Its answer is none: a pointer beyond its memory, bytes that are no text.
            return Fault::new(
                FaultKind::Protocol,
                format!("answered what cannot be read: {}", innermost(error)),
            );
        };
        let when = if when.is_empty() {
            ""
        } else {
            &format!(" {when}")
        };
        let Limits {
            memory,
            fuel_per_event,
            fuel_per_run,
            ..
        } = self.limits;
        match trap {
            Trap::OutOfFuel if is_used_up => Fault::new(
                FaultKind::Fuel,
                format!("used up the fuel of a run{when}: {fuel_per_run}"),
            ),
            Trap::OutOfFuel => Fault::new(
                FaultKind::Fuel,
                format!("used up the fuel of an event{when}: {fuel_per_event}"),
            ),
            Trap::StackOverflow => {
                Fault::new(FaultKind::Stack, format!("nested its calls too deep{when}"))
            }
            Trap::UnreachableCodeReached if self.store.data().refused => Fault::new(
                FaultKind::Memory,
                format!("wanted more than {memory} bytes of memory{when}"),
            ),
            Trap::UnreachableCodeReached => Fault::new(FaultKind::Panic, format!("panicked{when}")),
            trap => {
                let said = trap.to_string();
                let said = said.trim_start_matches("wasm trap: ");
                Fault::new(FaultKind::Trap, format!("was stopped{when}: {said}"))
            }
        }
    }
}

/// What is said last is what went wrong; what is around it names our own calls.
fn innermost(error: &wasmtime::Error) -> String {
    error.root_cause().to_string()
}
