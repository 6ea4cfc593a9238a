//! Instances, and the runs in them: one, several one after the other, or several at
//! once.
//!
//! The guest is never called when a run ends, which may be at any time: it lets go of a
//! session when the next one begins. If it breaks, all runs in it are over, whichever it
//! was that broke it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use probity_engine::RunId;
use probity_engine::guest::{Fault, Limits};
use wasmtime::Store;
use wasmtime::component::ResourceAny;

use crate::bindings::Plugin;
use crate::instance::{Instance, Purse, State};

/// Sessions that are over of which a guest lets go when another begins: more than one, so
/// that it gets through with them.
const LET_GO_AT_ONCE: usize = 2;

/// How runs share instances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sharing {
    /// Runs that an instance serves in all.
    pub(crate) runs: u32,
    /// Runs that it serves at once.
    pub(crate) sessions: u32,
}

/// An instance, and the runs in it.
pub(crate) struct House {
    /// Whose runs may come in, if several may be in it: calls of one thread are never in
    /// each other's way.
    thread: Option<ThreadId>,
    inside: Mutex<Inside>,
}

struct Inside {
    /// Or how the guest broke, for those who did not break it.
    instance: Result<Instance, Fault>,
    sharing: Sharing,
    /// Runs that may still come in.
    runs: u32,
    present: Vec<RunId>,
    /// Sessions that are over.
    over: Vec<ResourceAny>,
    /// Whether it is known to be vacant.
    is_listed: bool,
}

impl House {
    pub(crate) fn new(instance: Instance, sharing: Sharing) -> Self {
        Self {
            thread: (sharing.sessions > 1).then(|| thread::current().id()),
            inside: Mutex::new(Inside {
                instance: Ok(instance),
                sharing,
                runs: sharing.runs,
                present: Vec::new(),
                over: Vec::new(),
                is_listed: false,
            }),
        }
    }

    /// Whether runs that this thread begins may come in.
    pub(crate) fn is_open_here(&self) -> bool {
        self.thread.is_none_or(|it| it == thread::current().id())
    }

    /// It was taken from the list of those that are vacant. Whether it is.
    pub(crate) fn unlist(&self) -> bool {
        let mut inside = self.inside();
        inside.is_listed = false;
        inside.is_vacant()
    }

    /// Whether it is to be put into that list.
    pub(crate) fn list(&self) -> bool {
        let mut inside = self.inside();
        let is_new = inside.is_vacant() && !inside.is_listed;
        inside.is_listed |= is_new;
        is_new
    }

    /// There was no place for it in the list.
    pub(crate) fn forget_listing(&self) {
        self.inside().is_listed = false;
    }

    /// Has the guest let go of sessions that are over. What that takes is on top of what
    /// `purse` has.
    ///
    /// # Errors
    /// How it broke.
    pub(crate) fn let_go(&self, limits: &Limits, purse: &mut Purse) -> Result<(), Fault> {
        let mut inside = self.inside();
        for _ in 0..LET_GO_AT_ONCE {
            let Some(session) = inside.over.pop() else {
                break;
            };
            let mut own = Purse::new(limits);
            let gone = inside.call(None, &mut own, |store, _| session.resource_drop(store));
            purse.add_used(own.take_used());
            gone?;
        }
        Ok(())
    }

    /// A run comes in: begins its session.
    ///
    /// # Errors
    /// How the guest broke.
    pub(crate) fn enter(
        &self,
        run: RunId,
        purse: &mut Purse,
        begin: impl FnOnce(&mut Store<State>, &Plugin) -> wasmtime::Result<ResourceAny>,
    ) -> Result<ResourceAny, Fault> {
        let mut inside = self.inside();
        inside.runs = inside.runs.saturating_sub(1);
        let session = inside.call(None, purse, begin)?;
        inside.present.push(run);
        Ok(session)
    }

    /// Calls the guest for a run that is in it.
    ///
    /// # Errors
    /// How it broke.
    pub(crate) fn call<R>(
        &self,
        run: RunId,
        purse: &mut Purse,
        call: impl FnOnce(&mut Store<State>, &Plugin) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        self.inside().call(Some(run), purse, call)
    }

    /// How it broke, for those who did not break it.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.inside().instance.as_ref().err().cloned()
    }

    /// Lets nobody in any more: a run was against the rules.
    pub(crate) fn shut(&self) {
        self.inside().runs = 0;
    }

    /// A run is over, and so is its session, if it has one that is well.
    pub(crate) fn leave(&self, run: RunId, session: Option<ResourceAny>) {
        let mut inside = self.inside();
        if let Some(place) = inside.present.iter().position(|it| *it == run) {
            inside.present.swap_remove(place);
        }
        // Where nobody comes in any more, all goes together.
        if inside.runs > 0 && inside.instance.is_ok() {
            inside.over.extend(session);
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House").finish_non_exhaustive()
    }
}

impl Inside {
    fn is_vacant(&self) -> bool {
        let has_place = self.present.len() < self.sharing.sessions as usize;
        self.instance.is_ok() && self.runs > 0 && has_place
    }

    /// Calls the guest for `run`, or for none that is in it.
    fn call<R>(
        &mut self,
        run: Option<RunId>,
        purse: &mut Purse,
        call: impl FnOnce(&mut Store<State>, &Plugin) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let instance = self.instance.as_mut().map_err(|fault| fault.clone())?;
        instance.call(purse, call).map_err(|mut fault| {
            let others = self.present.iter().filter(|it| Some(**it) != run);
            fault.others = others.copied().collect();
            let detail = &fault.detail;
            let detail = format!("was in one instance with another run, in which it {detail}");
            self.instance = Err(Fault::new(fault.kind, detail));
            fault
        })
    }
}
