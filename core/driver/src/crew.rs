//! The threads that do what would keep a worker from its sockets for too long
//! ([`Errand`]). There are none until there is some.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use probity_engine::{Errand, Reason, RunId};

use crate::inbox::{Inbox, mark_thread};
use crate::limits::{CREW, ERRANDS_WAITING, LAST_ERRAND};

/// The niceness of these threads. Elsewhere than on Linux a thread has none of its own.
const LOWER_PRIORITY: i32 = 10;

/// Gives work to the crew, and its answers to the workers.
#[derive(Clone, Debug)]
pub(crate) struct Crew(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Notified when there is work, or never will be.
    wanted: Condvar,
    /// Notified when a thread has ended.
    ended: Condvar,
    inboxes: Arc<[Inbox]>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Threads that wait for work.
    idle: usize,
    /// Threads that have not ended.
    present: usize,
    threads: Vec<JoinHandle<()>>,
    is_over: bool,
}

/// Errand, of which worker's run.
struct Job {
    worker: usize,
    run: RunId,
    errand: Errand,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").finish_non_exhaustive()
    }
}

impl Crew {
    pub(crate) fn new(inboxes: Arc<[Inbox]>) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            wanted: Condvar::new(),
            ended: Condvar::new(),
            inboxes,
        }))
    }

    /// Has it done as soon as a thread is free; its answer comes to the worker's inbox.
    ///
    /// # Errors
    /// Why it will not be: too much waits already, or there is no thread for it.
    pub(crate) fn give(&self, worker: usize, run: RunId, errand: Errand) -> Result<(), Reason> {
        let mut state = self.0.lock();
        if state.is_over || state.waiting.len() >= ERRANDS_WAITING {
            return Err(Reason::Overload);
        }
        if state.idle <= state.waiting.len() && state.threads.len() < CREW {
            match self.hire() {
                Ok(thread) => {
                    state.present += 1;
                    state.threads.push(thread);
                }
                // Those that there are do it.
                Err(_) if !state.threads.is_empty() => {}
                Err(_) => return Err(Reason::Overload),
            }
        }
        state.waiting.push_back(Job {
            worker,
            run,
            errand,
        });
        drop(state);
        self.0.wanted.notify_one();
        Ok(())
    }

    fn hire(&self) -> std::io::Result<JoinHandle<()>> {
        let shared = Arc::clone(&self.0);
        thread::Builder::new()
            .name("probity-errand".into())
            .spawn(move || {
                mark_thread();
                // Where there are fewer processors than threads, sockets go first. What is
                // not granted only takes longer.
                if cfg!(target_os = "linux") {
                    let _ = rustix::process::setpriority_process(None, LOWER_PRIORITY);
                }
                while let Some(job) = shared.next() {
                    shared.do_it(job);
                }
                shared.lock().present -= 1;
                shared.ended.notify_all();
            })
    }

    /// Ends the threads, each after what it is doing, and waits for that unless it is told
    /// not to, but not for ever: what a guest does cannot be cut short, and its answer is
    /// wanted by nobody. What waits is left undone.
    pub(crate) fn stop(&self, and_wait: bool) {
        let mut state = self.0.lock();
        state.is_over = true;
        let left = std::mem::take(&mut state.waiting);
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        drop(left);
        self.0.wanted.notify_all();
        if !and_wait || threads.is_empty() {
            return;
        }
        let (state, ended) = (self.0.lock(), &self.0.ended);
        let waited = ended.wait_timeout_while(state, LAST_ERRAND, |state| state.present > 0);
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        // One that is left holds all that it needs, and ends with its errand or the process.
        if !waited.timed_out() {
            for thread in threads {
                // What it panicked with was printed.
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work; `None` is the end.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        state.idle += 1;
        let nothing = |state: &mut State| state.waiting.is_empty() && !state.is_over;
        let waited = self.wanted.wait_while(state, nothing);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        state.waiting.pop_front()
    }

    fn do_it(&self, job: Job) {
        let Job {
            worker,
            run,
            mut errand,
        } = job;
        // What the guest's host has printed is all that is known.
        let done = catch_unwind(AssertUnwindSafe(|| errand.run()));
        let answer = done.map(|()| errand).map_err(|_| Reason::Internal);
        if let Some(inbox) = self.inboxes.get(worker) {
            inbox.answer(run, answer);
        }
    }
}
