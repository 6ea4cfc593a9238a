//! Functions of the host that are called from here.

use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::c_void;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

/// A pointer of the host that is handed back to it.
#[derive(Clone, Copy)]
pub(crate) struct Context(pub(crate) *mut c_void);

// SAFETY: it is never followed here; that callbacks come on other threads is said
// where it is taken.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether the calling thread is in a callback of any handle.
#[cfg(feature = "driver")]
pub(crate) fn is_in_any() -> bool {
    DEPTH.get() > 0
}

/// Threads that are in a callback of the host.
#[derive(Default)]
pub(crate) struct InCallback(Mutex<HashSet<ThreadId>>);

impl InCallback {
    fn lock(&self) -> MutexGuard<'_, HashSet<ThreadId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the calling thread is in one.
    #[cfg(feature = "driver")]
    pub(crate) fn is_this_thread(&self) -> bool {
        self.lock().contains(&thread::current().id())
    }

    /// Calls the host.
    pub(crate) fn call(&self, host: impl FnOnce()) {
        let this = thread::current().id();
        let outermost = self.lock().insert(this);
        DEPTH.set(DEPTH.get() + 1);
        host();
        DEPTH.set(DEPTH.get() - 1);
        if outermost {
            self.lock().remove(&this);
        }
    }
}
