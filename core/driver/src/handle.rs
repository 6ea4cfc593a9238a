//! How the rest of a program talks to the workers: `std` types only.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::{Poll, Waker};
use probity_engine::{GroupId, Instant, Spec, TargetId};

use crate::clerk::Clerk;
use crate::clock::Clock;
use crate::config::{Capacity, Config, StartError};
use crate::crew::Crew;
use crate::inbox::{Command, Inbox, Refused, on_our_thread};
use crate::limits::{self, COMMANDS_PER_TURN};
use crate::notices::{self, Notices};
use crate::report::{Done, OwnedReport, Place};
use crate::snapshot::{Fleet, FleetJob, FleetQuery, StatsJob};
use crate::stats::Stats;
use crate::worker::{self, Worker};

/// Starts workers; see [`Driver::start`].
#[derive(Debug)]
pub struct Driver;

/// One change of the fleet.
#[derive(Clone, Debug)]
pub enum Change {
    /// Adds a target or changes it; one whose spec is equal is left alone.
    Upsert(TargetId, Arc<Spec>),
    /// Forgets it.
    Remove(TargetId),
    /// Forgets what was counted for a group ([`Stats::groups`]), after its
    /// targets were removed: what is left of them begins to be counted anew.
    Forget(GroupId),
}

/// A run outside any schedule.
#[derive(Clone, Debug)]
pub struct Once {
    /// What to check. Its schedule is not used.
    pub spec: Arc<Spec>,
    /// Time that the run may take.
    pub timeout: Duration,
    /// Whether to keep the steps of the run.
    pub trace: bool,
}

/// Names a run that was asked for, for as long as it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    worker: usize,
    number: u64,
}

/// The driver has stopped, or a worker has died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the driver has stopped")
    }
}

impl std::error::Error for Stopped {}

/// The workers have too much to do already, or the driver has stopped. The
/// callback that came with the request is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the driver is too busy, or has stopped")
    }
}

impl std::error::Error for Busy {}

/// A running driver. Clones are the same driver; when the last one is dropped
/// it shuts down without grace.
///
/// No method may be called from a signal handler; all may be called from any
/// thread, also from a callback. On a thread of the driver nothing waits.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<Clock>,
    capacity: Capacity,
    inboxes: Arc<[Inbox]>,
    notices: Arc<notices::Queue>,
    clerk: Clerk,
    crew: Crew,
    /// Held once by each copy under way, and here.
    copies: Arc<()>,
    /// Counts single runs.
    next: AtomicUsize,
    /// Single runs that each worker has to do.
    loads: Arc<[AtomicUsize]>,
    /// Workers, then the clerk; empty once they are joined.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Driver {
    /// Raises the descriptor limit, starts the workers and returns at once.
    /// No target is due before [`Handle::begin`].
    ///
    /// # Errors
    /// If the system has no room for another thread or event queue, or more workers are
    /// wanted than [`limits::WORKERS`].
    pub fn start(config: Config) -> Result<Handle, StartError> {
        if config.workers > limits::WORKERS {
            return Err(StartError::Workers(config.workers));
        }
        let descriptors = limits::raise_descriptor_limit();
        let workers = match config.workers {
            0 => thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let mut budget = limits::budget(descriptors, config.reserve, config.in_flight);
        budget.starts_per_destination = config.starts_per_destination;
        budget.burst_per_destination = config.burst_per_destination;
        let share = limits::share(budget, workers);
        let mut seed = [0; 32];
        match config.seed {
            Some(given) => seed = given,
            None => getrandom::fill(&mut seed).map_err(|error| StartError::Random(error.into()))?,
        }

        let clock = Arc::new(Clock::new());
        let (resolver, follower) = config.names.begin(clock.now());
        let notices = Arc::new(notices::Queue::new(workers));
        let mut polls = Vec::with_capacity(workers);
        let mut inboxes = Vec::with_capacity(workers);
        for _ in 0..workers {
            let poll = Poll::new().map_err(StartError::Poll)?;
            let waker = Waker::new(poll.registry(), worker::WAKE).map_err(StartError::Poll)?;
            polls.push(poll);
            inboxes.push(Inbox::new(waker));
        }
        let inboxes: Arc<[Inbox]> = inboxes.into();
        let crew = Crew::new(Arc::clone(&inboxes));
        let (clerk, clerk_thread) = Clerk::start().map_err(StartError::Thread)?;
        let handle = Handle {
            shared: Arc::new(Shared {
                clock: Arc::clone(&clock),
                capacity: Capacity {
                    workers,
                    descriptors,
                    in_flight: share.in_flight as usize * workers,
                },
                inboxes: Arc::clone(&inboxes),
                notices: Arc::clone(&notices),
                clerk,
                crew: crew.clone(),
                copies: Arc::new(()),
                next: AtomicUsize::new(0),
                loads: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
                threads: Mutex::new(vec![clerk_thread]),
            }),
        };
        for (number, poll) in polls.into_iter().enumerate() {
            let engine = probity_engine::Config {
                limits: share,
                resolver: resolver.clone(),
                seed: seed_of(seed, number),
            };
            let worker = Worker::new(
                number,
                poll,
                engine,
                follower.clone(),
                Arc::clone(&clock),
                (Arc::clone(&inboxes), crew.clone()),
                Arc::clone(&notices),
            );
            // If this fails the handle is dropped, which stops the others.
            let thread = thread::Builder::new()
                .name(format!("probity-{number}"))
                .spawn(move || worker.run())
                .map_err(StartError::Thread)?;
            let mut threads = handle.shared.lock_threads();
            let place = threads.len() - 1;
            threads.insert(place, thread);
        }
        Ok(handle)
    }
}

/// Every shard has randomness of its own.
fn seed_of(mut seed: [u8; 32], worker: usize) -> [u8; 32] {
    for (byte, number) in seed.iter_mut().zip((worker as u64).to_le_bytes()) {
        *byte ^= number;
    }
    seed
}

impl Handle {
    /// What the driver made of its configuration and of the machine.
    pub fn capacity(&self) -> Capacity {
        self.shared.capacity
    }

    /// Applies changes in order; each target's go to the worker
    /// `id % workers`, a group's to all. Waits while that worker's inbox is full, and returns
    /// before the changes are made.
    ///
    /// A worker makes at most 256 of them between two looks at its sockets, so
    /// that a large change never delays checks that run. A target for which
    /// the engine has no room is reported in [`Handle::notices`].
    ///
    /// # Errors
    /// If the driver has stopped. Some changes may have been made.
    pub fn apply(&self, changes: Vec<Change>) -> Result<(), Stopped> {
        let workers = self.shared.inboxes.len();
        let mut batches: Vec<Vec<Change>> = Vec::new();
        batches.resize_with(workers, Vec::new);
        let send = |worker: usize, batch: Vec<Change>| {
            let command = Command::Apply(batch);
            self.shared.inboxes[worker]
                .push(command)
                .map_err(|_| Stopped)
        };
        for change in changes {
            let whose = match &change {
                Change::Upsert(id, _) | Change::Remove(id) => {
                    let worker = (id.0 % workers as u64) as usize;
                    worker..worker + 1
                }
                Change::Forget(_) => 0..workers,
            };
            for worker in whose {
                batches[worker].push(change.clone());
                if batches[worker].len() >= COMMANDS_PER_TURN {
                    send(worker, std::mem::take(&mut batches[worker]))?;
                }
            }
        }
        for (worker, batch) in batches.into_iter().enumerate() {
            if !batch.is_empty() {
                send(worker, batch)?;
            }
        }
        Ok(())
    }

    /// Ends start-up: from now on targets are due, those that were added
    /// before spread over their period from here.
    ///
    /// # Errors
    /// If the driver has stopped.
    pub fn begin(&self) -> Result<(), Stopped> {
        for inbox in &*self.shared.inboxes {
            inbox.push(Command::Begin).map_err(|_| Stopped)?;
        }
        Ok(())
    }

    /// Starts one run outside any schedule, on the worker that has the fewest such
    /// runs.
    ///
    /// `done` is called exactly once, on a thread of the driver, and must not
    /// block. If too many such runs are in flight it gets `Unknown(overload)`,
    /// if the driver stops first `Unknown(shutdown)`.
    ///
    /// # Errors
    /// If all inboxes are full or the driver has stopped; `done` is not called.
    pub fn run_once(
        &self,
        once: Once,
        done: impl FnOnce(OwnedReport) + Send + 'static,
    ) -> Result<Ticket, Busy> {
        let Once {
            spec,
            timeout,
            trace,
        } = once;
        let now = self.now();
        let first = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let number = first as u64;
        let mut command = Command::Once {
            done: Done::new(Arc::clone(&spec), now, number, Box::new(done)),
            spec,
            timeout,
            trace,
        };
        let workers = self.shared.inboxes.len();
        let loads = &self.shared.loads;
        // In turn where they have equally much to do.
        let next = |offset| first.wrapping_add(offset) % workers;
        let idlest = |worker: &usize| loads[*worker].load(Ordering::Relaxed);
        let best = { 0..workers }.map(next).min_by_key(idlest).unwrap_or(0);
        for offset in 0..workers {
            let worker = best.wrapping_add(offset) % workers;
            if let Command::Once { done, .. } = &mut command {
                done.stand(Place::new(loads, worker));
            }
            command = match self.shared.inboxes[worker].try_push(command) {
                Ok(()) => return Ok(Ticket { worker, number }),
                Err(Refused::Full(command) | Refused::Stopped(command)) => command,
            };
        }
        if let Command::Once { done, .. } = command {
            done.forget();
        }
        Err(Busy)
    }

    /// Ends a single run early; its `done` gets `Unknown(cancelled)`. Nothing
    /// happens if the run is over, or if its worker has too much to do to be
    /// told: then the run ends by itself.
    pub fn cancel(&self, ticket: Ticket) {
        let command = Command::Cancel(ticket.number);
        // See above.
        let _ = self.shared.inboxes[ticket.worker].try_push(command);
    }

    /// Copies the state of targets, in parts between the workers' turns.
    /// `done` is called once, on a thread of the driver that runs no checks.
    ///
    /// # Errors
    /// If [`COPIES`](limits::COPIES) are under way, an inbox is full or the
    /// driver has stopped; `done` is not called.
    pub fn fleet(
        &self,
        query: FleetQuery,
        done: impl FnOnce(Fleet) + Send + 'static,
    ) -> Result<(), Busy> {
        let place = self.place_for_a_copy()?;
        let job = Arc::new(FleetJob::new(
            query,
            self.shared.inboxes.len(),
            self.shared.clerk.clone(),
            Box::new(move |parts, complete| {
                done(Fleet::assemble(parts, complete));
                drop(place);
            }),
        ));
        self.ask(|| Command::Fleet(Arc::clone(&job)))
            .inspect_err(|_| job.cancel())
    }

    /// Copies counters, gauges and the histograms of all groups, likewise.
    ///
    /// # Errors
    /// As for [`Handle::fleet`].
    pub fn stats(&self, done: impl FnOnce(Stats) + Send + 'static) -> Result<(), Busy> {
        let place = self.place_for_a_copy()?;
        let notices = Arc::clone(&self.shared.notices);
        let job = Arc::new(StatsJob::new(
            (),
            self.shared.inboxes.len(),
            self.shared.clerk.clone(),
            Box::new(move |parts, complete| {
                done(Stats::assemble(parts, complete, notices.dropped()));
                drop(place);
            }),
        ));
        self.ask(|| Command::Stats(Arc::clone(&job)))
            .inspect_err(|_| job.cancel())
    }

    /// A worker takes questions out of its inbox faster than it answers them, so
    /// the inbox alone would not bound them. Calls at the same time may exceed
    /// the bound by one each.
    fn place_for_a_copy(&self) -> Result<Arc<()>, Busy> {
        let copies = &self.shared.copies;
        if Arc::strong_count(copies) > limits::COPIES {
            return Err(Busy);
        }
        Ok(Arc::clone(copies))
    }

    fn ask(&self, command: impl Fn() -> Command) -> Result<(), Busy> {
        for inbox in &*self.shared.inboxes {
            inbox.try_push(command()).map_err(|_| Busy)?;
        }
        Ok(())
    }

    /// Takes what happened to scheduled targets since the last call: results
    /// that are not plain successes, and flips. Waits up to `wait` for the
    /// first. At most 65,536 are kept; what comes after them is counted and
    /// lost.
    pub fn notices(&self, wait: Duration) -> Notices {
        self.shared.notices.take(wait)
    }

    /// Ends the driver: no new runs; those in flight finish, or are reported
    /// as `Unknown(shutdown)` when `grace` is over. Returns when the threads
    /// have ended, but for what a script is at, whose thread is left to it after
    /// [a second](crate::limits::LAST_ERRAND); on a thread of the driver, at once.
    ///
    /// A second call changes nothing but that grace may become shorter.
    pub fn shutdown(&self, grace: Duration) {
        self.shared.shutdown(grace);
    }

    /// Unix time, in seconds, of an instant of this driver.
    pub fn unix_time(&self, at: Instant) -> f64 {
        self.shared.clock.unix_time(at)
    }

    /// The driver's clock.
    pub fn now(&self) -> Instant {
        self.shared.clock.now()
    }
}

impl Shared {
    fn lock_threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shutdown(&self, grace: Duration) {
        let deadline = self.clock.now() + grace;
        for inbox in &*self.inboxes {
            inbox.stop(deadline);
        }
        if on_our_thread() {
            return;
        }
        // Grace is for what is in flight, which has its answers until the workers end.
        let mut threads = self.lock_threads();
        let clerk = threads.pop();
        for worker in threads.drain(..) {
            // A panic was printed when it happened.
            let _ = worker.join();
        }
        self.crew.stop(true);
        self.clerk.stop();
        if let Some(clerk) = clerk {
            let _ = clerk.join();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.shutdown(Duration::ZERO);
        // A thread cannot wait for itself.
        self.crew.stop(!on_our_thread());
        self.clerk.stop();
    }
}
