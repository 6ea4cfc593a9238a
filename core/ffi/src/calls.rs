//! Who is in a call with a driver, so that whoever frees it can wait for them: during
//! a call the host's log may be called, and a callback that is owed.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::result::{Result, probity_result};

#[derive(Default)]
pub(crate) struct Calls {
    state: Mutex<State>,
    /// The last one has left.
    left: Condvar,
}

#[derive(Default)]
struct State {
    inside: usize,
    closed: bool,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins, unless what it is about is being freed.
    pub(crate) fn enter(&self) -> Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(probity_result::BadHandle);
        }
        state.inside += 1;
        Ok(())
    }

    /// It ends.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.inside -= 1;
        let last = state.inside == 0;
        drop(state);
        if last {
            self.left.notify_all();
        }
    }

    /// From now on nobody enters.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// Waits until nobody is inside.
    pub(crate) fn wait(&self) {
        let inside = |state: &mut State| state.inside > 0;
        let state = self.left.wait_while(self.lock(), inside);
        drop(state.unwrap_or_else(PoisonError::into_inner));
    }
}
