//! The half with threads: sockets, clock, names and TLS are the library's.

use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt::Display;
use std::mem::offset_of;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ::probity_driver::{
    Capacity, Change, Config, Driver, FleetQuery, Handle, Once, OwnedReport, StartError,
};
use ::probity_engine::{Report, TargetId};
use probity_spec::{Delta, Target};

use crate::boundary::{self, Place, Said, Sized_};
use crate::callback::{self, Context, InCallback};
use crate::calls::Calls;
use crate::config::{self, probity_config, probity_target};
use crate::handle::Table;
use crate::log::{Log, PROBITY_LOG_INFO, PROBITY_LOG_WARNING, probity_log_callback};
use crate::notices::{Destination, Forwarder, Queue, probity_notice, probity_notice_callback};
use crate::render;
use crate::report::{Lent, probity_report, probity_target_state};
use crate::result::{Result, probity_result};
use crate::types::probity_buffer;

/// Worker threads that probe. May be used by any number of threads at once.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_driver {
    /// Never 0 for a handle that was given out.
    pub bits: u64,
}

static DRIVERS: Table<Arc<Running>> = Table::new(3);

struct Running {
    handle: Handle,
    /// Those of the last `probity_driver_apply`.
    applied: Mutex<Vec<Target>>,
    /// The labels with which targets are rendered. Who renders takes them as they are, and
    /// nobody waits for him.
    labels: Mutex<Arc<Labels>>,
    /// `None` if the host has given a callback.
    queue: Option<Arc<Queue>>,
    lost: Arc<AtomicU64>,
    /// Whether the host has begun.
    begun: AtomicBool,
    /// Whether the host has asked the driver to stop.
    stopping: Arc<AtomicBool>,
    log: Arc<Log>,
    in_callback: Arc<InCallback>,
    /// `None` when somebody ends it.
    forwarder: Mutex<Option<JoinHandle<()>>>,
    calls: Calls,
}

impl Drop for Running {
    fn drop(&mut self) {
        // That panic may be of this: a second one would end the process.
        if !thread::panicking() {
            self.end();
        }
    }
}

/// A driver during a call of the host.
struct Call(Arc<Running>);

impl Deref for Call {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.calls.leave();
    }
}

/// What a driver is started with. Begin with zeros and the size.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_driver_config {
    /// Bytes of this struct.
    pub size: usize,
    /// Worker threads, at most 1,024; 0: one for each core that the process may use.
    pub workers: u32,
    /// Scheduled runs in flight at once; 0: as many as the limit of descriptors
    /// allows. That limit (RLIMIT_NOFILE) is raised to the hard one in any case: a host
    /// that uses select(2) sets that one, too.
    pub in_flight: u32,
    /// Descriptors that are left to the host; 0: 256.
    pub reserve: u32,
    /// Connections per second towards one address; 0: no limit.
    pub starts_per_destination: u32,
    /// Connections that may go out at once before that rate applies; 0: 100.
    pub burst_per_destination: u32,
    /// Zero.
    pub reserved: u32,
    /// Called for every notice, on a thread of the library; NULL: they are kept
    /// for `probity_driver_notice`.
    pub on_notice: probity_notice_callback,
    /// Handed to `on_notice`.
    pub context: *mut c_void,
    /// Called with what the driver has to say about itself; NULL: nobody wants to
    /// know.
    pub on_log: probity_log_callback,
    /// Handed to `on_log`.
    pub log_context: *mut c_void,
}

// SAFETY: numbers and pointers that are not followed; a callback that is all
// zeros is none.
unsafe impl Sized_ for probity_driver_config {
    const FIRST: usize = offset_of!(Self, on_log).next_multiple_of(align_of::<Self>());
}

/// Starts the workers. No target is due before `probity_driver_begin`. Names are
/// resolved as `/etc/resolv.conf` and `/etc/hosts` say, which are looked at again every
/// five seconds.
///
/// Ownership: the handle is the caller's, to be freed by `probity_driver_free`; `config` is
/// copied. Threads: any, also at the same moment.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_SYSTEM` (it has refused a thread, a
/// descriptor or randomness: `error` says which); `PROBITY_RESULT_BAD_ARGUMENT` (more than
/// 1,024 workers, or `reserved` is not 0); `PROBITY_RESULT_BAD_POINTER` (`config` or
/// `driver`); `PROBITY_RESULT_BAD_SIZE` (of `config`); `PROBITY_RESULT_FULL` (there are
/// 4,294,967,295 drivers).
///
/// # Safety
/// `config` must point to as many bytes as its size says; `context` and `log_context`
/// may be used on other threads until the driver is freed; `driver` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_driver_start(
    config: *const probity_driver_config,
    driver: *mut probity_driver,
    error: *mut probity_buffer,
) -> probity_result {
    let body = || {
        boundary::can_put(driver)?;
        // SAFETY: the caller's promise.
        let it = unsafe { boundary::read_sized(config) }?;
        if it.reserved != 0 {
            return Err(probity_result::BadArgument.into());
        }
        let system = |error: &dyn Display| Said(probity_result::System, error.to_string());
        let log = Arc::new(Log::new(it.on_log, it.log_context));
        let (queue, destination) = match it.on_notice {
            Some(callback) => (None, Destination::Callback(callback, Context(it.context))),
            None => {
                let queue = Arc::new(Queue::new().map_err(|error| system(&error))?);
                (Some(Arc::clone(&queue)), Destination::Queue(queue))
            }
        };
        let handle = Driver::start(driver_config(&it)).map_err(|error| match error {
            StartError::Workers(_) => Said(probity_result::BadArgument, error.to_string()),
            error => system(&error),
        })?;
        say_capacity(&log, handle.capacity(), it.in_flight);
        let forwarder = Forwarder {
            handle: handle.clone(),
            destination,
            in_callback: Arc::default(),
            lost: Arc::default(),
            stopping: Arc::default(),
            log: Arc::clone(&log),
        };
        let running = Running {
            handle,
            applied: Mutex::default(),
            labels: Mutex::default(),
            queue,
            begun: AtomicBool::new(false),
            lost: Arc::clone(&forwarder.lost),
            stopping: Arc::clone(&forwarder.stopping),
            log,
            in_callback: Arc::clone(&forwarder.in_callback),
            forwarder: Mutex::new(Some(
                thread::Builder::new()
                    .name("probity-notices".into())
                    .spawn(move || forwarder.run())
                    .map_err(|error| system(&error))?,
            )),
            calls: Calls::default(),
        };
        let bits = DRIVERS.insert(Arc::new(running))?;
        // SAFETY: the caller's promise.
        unsafe { boundary::put(driver, probity_driver { bits }) }?;
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary::guard_saying(error, body) }
}

fn driver_config(it: &probity_driver_config) -> Config {
    let usual = Config::default();
    let or = |number: u32, usual| if number == 0 { usual } else { number };
    Config {
        workers: it.workers as usize,
        in_flight: it.in_flight as usize,
        reserve: if it.reserve == 0 {
            usual.reserve
        } else {
            it.reserve.into()
        },
        starts_per_destination: it.starts_per_destination,
        burst_per_destination: or(it.burst_per_destination, usual.burst_per_destination),
        ..usual
    }
}

/// What was made of the configuration and of the machine.
fn say_capacity(log: &Log, capacity: Capacity, wanted: u32) {
    let Capacity {
        workers,
        descriptors,
        in_flight,
    } = capacity;
    if in_flight < wanted as usize {
        log.say(PROBITY_LOG_WARNING, "driver", 0, || {
            format!(
                "expected room for {wanted} runs in flight, found {descriptors} descriptors, \
                 enough for {in_flight}: raise the limit (RLIMIT_NOFILE)"
            )
        });
    }
    log.say(PROBITY_LOG_INFO, "driver", 0, || {
        format!("started: {workers} workers, room for {in_flight} runs in flight")
    });
}

/// What a handle stands for, unless this is a call from its log.
fn running(driver: probity_driver) -> Result<Call> {
    let running = DRIVERS.share(driver.bits)?;
    if running.log.is_this_thread() {
        return Err(probity_result::InUse);
    }
    running.calls.enter()?;
    Ok(Call(running))
}

/// Ends a driver and frees it: runs in flight are reported as `shutdown` to those who wait for
/// them. When it returns no callback is being called, nor will be, unless it was called from a
/// callback of this driver: it waits for those that are, notices that were not delivered yet
/// included, and for calls of other threads with this driver. Threads: any, also in a callback
/// of this driver (but its log's), and not in one of another handle: two that wait for each other would wait for
/// ever.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE` (also while another thread frees
/// it); `PROBITY_RESULT_IN_USE` (from its log callback, or a callback of another handle: nothing
/// was done).
#[unsafe(no_mangle)]
pub extern "C" fn probity_driver_free(driver: probity_driver) -> probity_result {
    boundary::guard(|| {
        // This call is not one to be waited for.
        let running = Arc::clone(&running(driver)?.0);
        if callback::is_in_any() && !running.in_callback.is_this_thread() {
            return Err(probity_result::InUse);
        }
        DRIVERS.remove(driver.bits)?;
        running.end();
        Ok(())
    })
}

/// Ends a driver in order: no new runs; those in flight finish, or are reported as `shutdown`
/// when `grace` nanoseconds are over. Returns when the workers have ended; from a callback of
/// a run or a copy of any driver, at once. A second call can only make the time shorter. The
/// handle is still to be freed. Threads: any, also at the same moment.
///
/// Results: `PROBITY_RESULT_OK` (also if it has stopped before); `PROBITY_RESULT_BAD_HANDLE`;
/// `PROBITY_RESULT_IN_USE` (from its log callback: nothing was done).
#[unsafe(no_mangle)]
pub extern "C" fn probity_driver_shutdown(driver: probity_driver, grace: u64) -> probity_result {
    boundary::guard(|| {
        let running = running(driver)?;
        running.stop(Duration::from_nanos(grace));
        Ok(())
    })
}

/// Ends start-up: from now on targets are due, those that were added before spread over their
/// intervals from here. Waits while a worker has 1,024 requests to take already, but not in a
/// callback of a run or a copy. Threads: any, also at the same moment.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_UNAVAILABLE` (the driver has stopped);
/// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (from its log callback).
#[unsafe(no_mangle)]
pub extern "C" fn probity_driver_begin(driver: probity_driver) -> probity_result {
    boundary::guard(|| {
        let running = running(driver)?;
        let begun = running.handle.begin();
        begun.map_err(|_| probity_result::Unavailable)?;
        running.begun.store(true, Ordering::Relaxed);
        Ok(())
    })
}

/// Tells the time of the driver's clock, in nanoseconds since it was started: that of notices,
/// reports and states. Threads: any, also at the same moment.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (from
/// its log callback); `PROBITY_RESULT_BAD_POINTER` (`now`).
///
/// # Safety
/// `now` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_driver_now(
    driver: probity_driver,
    now: *mut u64,
) -> probity_result {
    boundary::guard(|| {
        let running = running(driver)?;
        // SAFETY: the caller's promise.
        unsafe { boundary::put(now, running.handle.now().as_nanos()) }
    })
}

/// Makes the targets of a configuration's jobs those of the driver, in place of the ones of
/// the last call. Targets that have not changed keep their state, schedule and histogram;
/// those of `probity_driver_add` are left alone. Returns before the workers have made the
/// changes: a target beyond the 2,000,000 that a worker has room for gets a notice: unknown,
/// `overload`. The configuration may be freed afterwards. Waits while a worker has 1,024
/// requests to take already, but not in a callback of a run or a copy. Threads: any, one at a
/// time for each driver.
///
/// What is compared is the last call's list: a target of it that was removed by its id comes
/// back when its entry changes, and one that was added by itself with the id of an entry is
/// that entry's.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_UNAVAILABLE` (the driver has stopped: then
/// nothing is changed that anybody would see); `PROBITY_RESULT_IN_USE` (while another thread
/// applies, or a callback does meanwhile, and from its log callback: nothing was done);
/// `PROBITY_RESULT_BAD_HANDLE` (the driver or the configuration).
#[unsafe(no_mangle)]
pub extern "C" fn probity_driver_apply(
    driver: probity_driver,
    config: probity_config,
) -> probity_result {
    boundary::guard(|| {
        let running = running(driver)?;
        let mut targets = config::targets_of(config)?;
        // A worker may be calling: it must not wait for who waits for it.
        let mut applied = match running.applied.try_lock() {
            Ok(applied) => applied,
            Err(TryLockError::Poisoned(applied)) => applied.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(probity_result::InUse),
        };
        let delta = Delta::between(&applied, &mut targets);
        let upserts = delta.upsert.iter();
        let labels = upserts.map(|target| (target.id.0, config::labels(&target.labels)));
        let labels: Vec<_> = labels.collect();
        let removed = delta.remove.clone();
        let removals = delta.remove.into_iter().map(Change::Remove);
        let changed = delta.upsert.into_iter();
        let changed = changed.map(|target| Change::Upsert(target.id, target.spec));
        running.apply(removals.chain(changed).collect(), labels, &removed)?;
        *applied = targets;
        Ok(())
    })
}

/// Adds a target, or changes the one of the same id, which keeps its state. `id` (NULL: nobody
/// wants to know) is set to the id by which it is known. `error` says what is wrong with the
/// target. Texts are copied, and the configuration may be freed afterwards. Returns before the
/// worker has done it: a target beyond the 2,000,000 that a worker has room for gets a notice:
/// unknown, `overload`. Waits while a worker has 1,024 requests to take already, but not in a
/// callback of a run or a copy. Threads: any, also at the same moment. Threads that change one
/// target at the same time are not told apart: which of them is the last for its runs may not
/// be so for the labels with which it is rendered.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_ARGUMENT` (a field of the target is not
/// valid, or a text not UTF-8); `PROBITY_RESULT_NO_MODULE` (`error` says which there are, or
/// why it cannot be used); `PROBITY_RESULT_UNAVAILABLE` (the driver has stopped);
/// `PROBITY_RESULT_BAD_HANDLE` (the driver or `target.config`); `PROBITY_RESULT_IN_USE` (from
/// its log callback); `PROBITY_RESULT_BAD_POINTER` (`target`, a text in it, or an `id` that is
/// not aligned); `PROBITY_RESULT_BAD_SIZE` (of `target`).
///
/// # Safety
/// `target` must point to as many bytes as its size says; `id` and `error` may be
/// NULL or written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_driver_add(
    driver: probity_driver,
    target: *const probity_target,
    id: *mut u64,
    error: *mut probity_buffer,
) -> probity_result {
    let body = || {
        boundary::can_put_if_wanted(id)?;
        let running = running(driver)?;
        // SAFETY: the caller's promise.
        let wanted = unsafe { config::wanted(target) };
        let wanted = wanted.inspect_err(|said| running.refused(said))?;
        let id_of = wanted.id;
        let labels = vec![(id_of.0, wanted.labels)];
        running.apply(vec![Change::Upsert(id_of, wanted.spec)], labels, &[])?;
        if !id.is_null() {
            // SAFETY: the caller's promise.
            unsafe { boundary::put(id, id_of.0) }?;
        }
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary::guard_saying(error, body) }
}

/// Forgets a target. A run in flight ends as `cancelled`. Returns before the worker has done
/// it. Waits while a worker has 1,024 requests to take already, but not in a callback of a run
/// or a copy. Threads: any, also at the same moment.
///
/// Results: `PROBITY_RESULT_OK` (also if no target has this id); `PROBITY_RESULT_UNAVAILABLE`
/// (the driver has stopped); `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (from its
/// log callback).
#[unsafe(no_mangle)]
pub extern "C" fn probity_driver_remove(driver: probity_driver, id: u64) -> probity_result {
    boundary::guard(|| {
        let running = running(driver)?;
        let id = TargetId(id);
        running.apply(vec![Change::Remove(id)], Vec::new(), &[id])
    })
}

/// Called once with the report of a run, on a thread of the library. It may call any function
/// of the library (render, and free of another driver, are refused), and must not wait. The report is lent for the
/// duration of the call.
pub type probity_report_callback =
    Option<unsafe extern "C" fn(context: *mut c_void, report: *const probity_report)>;

/// Runs one check outside any schedule; `target.id`, the initial delay and thresholds are
/// ignored (but refused where they are not valid), and of the interval only counts that a
/// timeout of 0 is no longer than it. `error` says what is wrong with the target. Texts are
/// copied, and the configuration may be freed afterwards. `done` is called exactly once if
/// this returns `PROBITY_RESULT_OK`, perhaps before it does, and never otherwise. The call
/// never waits. Threads: any, also at the same moment.
///
/// A request waits in the inbox of a worker, which has room for 1,024, until the worker takes
/// it. A burst of thousands that comes faster than that fills all inboxes: then this gives
/// `PROBITY_RESULT_UNAVAILABLE`, and may be tried again in a moment. A request that a worker
/// takes while too many such runs are in flight gets its report at once, with outcome unknown
/// and reason `overload`: there is room for 16 to 1,024, by the limit of descriptors, and for
/// as many more as `in_flight` exceeds the targets, an equal share of which is each worker's.
/// The reason is `shutdown` if the driver ends first.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_UNAVAILABLE` (all inboxes are full, or the
/// driver has stopped, which is for good, and said in its log); `PROBITY_RESULT_BAD_ARGUMENT`
/// (a field of the target is not valid, or a text not UTF-8); `PROBITY_RESULT_NO_MODULE`
/// (`error` says which there are, or why it cannot be used); `PROBITY_RESULT_BAD_HANDLE` (the
/// driver or `target.config`); `PROBITY_RESULT_IN_USE` (from its log callback);
/// `PROBITY_RESULT_BAD_POINTER` (`done`, `target`, or a text in it); `PROBITY_RESULT_BAD_SIZE`
/// (of `target`).
///
/// # Safety
/// `target` must point to as many bytes as its size says; `context` may be used on
/// another thread until `done` has returned; `error` may be NULL or written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_driver_run(
    driver: probity_driver,
    target: *const probity_target,
    done: probity_report_callback,
    context: *mut c_void,
    error: *mut probity_buffer,
) -> probity_result {
    let body = || {
        let running = running(driver)?;
        let done = done.ok_or(probity_result::BadPointer)?;
        // SAFETY: the caller's promise.
        let wanted = unsafe { config::wanted(target) };
        let wanted = wanted.inspect_err(|said| running.refused(said))?;
        let once = Once {
            timeout: wanted.spec.schedule.timeout(),
            spec: wanted.spec,
            trace: false,
        };
        let (context, in_callback) = (Context(context), Arc::clone(&running.in_callback));
        let asked = running.handle.run_once(once, move |report| {
            let context = context;
            let mut lent = Lent::default();
            let report = lent.fill(&borrow(&report));
            // SAFETY: the caller's promise.
            in_callback.call(|| unsafe { done(context.0, report) });
        });
        asked.map_err(|_| probity_result::Unavailable)?;
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary::guard_saying(error, body) }
}

/// A report of which everything is borrowed.
fn borrow(report: &OwnedReport) -> Report<'_> {
    Report {
        target: report.target,
        spec: &report.spec,
        outcome: report.outcome,
        runs: report.runs,
        detail: &report.detail,
        phase: report.phase,
        due: report.due,
        started: report.started,
        finished: report.finished,
        total: report.total,
        phases: report.phases,
        facts: &report.facts,
        labels: &report.labels,
        samples: &report.samples,
        tls: report.tls.as_ref(),
        address: report.address,
        transition: report.transition,
        trace: &report.trace,
    }
}

/// Gives the descriptor that is readable while there are notices, for the host's poll, select
/// or epoll. It is the library's: not to be read, written or closed, and gone with the driver.
/// Threads: any, also at the same moment.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NOTHING` (the driver was started with a
/// callback); `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (from its log callback);
/// `PROBITY_RESULT_BAD_POINTER` (`descriptor`).
///
/// # Safety
/// `descriptor` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_driver_descriptor(
    driver: probity_driver,
    descriptor: *mut i32,
) -> probity_result {
    boundary::guard(|| {
        let running = running(driver)?;
        let queue = running.queue.as_ref().ok_or(probity_result::Nothing)?;
        // SAFETY: the caller's promise.
        unsafe { boundary::put(descriptor, queue.descriptor()) }
    })
}

/// Takes the oldest notice. Never waits. Its sentence is written to `detail` (NULL: nobody
/// wants to know). At most 65,536 wait; later ones are lost and counted. Threads: any, also at
/// the same moment: each notice is given once.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NOTHING` (there is none; always, if the
/// driver was started with a callback); `PROBITY_RESULT_NOT_BEGUN` (there will be none,
/// because `probity_driver_begin` was not called though there are targets);
/// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (from its log callback);
/// `PROBITY_RESULT_BAD_POINTER` (`notice`, or a `detail` that is not aligned or has no data);
/// `PROBITY_RESULT_BAD_SIZE` (of `notice`).
///
/// # Safety
/// `notice` may be written, as many bytes as its size says; `detail` may be NULL
/// or written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_driver_notice(
    driver: probity_driver,
    notice: *mut probity_notice,
    detail: *mut probity_buffer,
) -> probity_result {
    boundary::guard(|| {
        boundary::can_write_sized(notice)?;
        // SAFETY: the caller's promise.
        let place = unsafe { Place::new(detail) }?;
        let running = running(driver)?;
        let queue = running.queue.as_ref().ok_or(probity_result::Nothing)?;
        let taken = queue.pop().ok_or_else(|| running.without_notice())?;
        place.write(taken.detail.as_bytes());
        let told = probity_notice {
            detail: boundary::lend_text(""),
            ..probity_notice::of(&taken)
        };
        // SAFETY: the caller's promise.
        unsafe { boundary::write_sized(notice, &told) }
    })
}

/// Tells how many notices were lost since the start, because nobody took them, or `on_notice`
/// took too long. Threads: any, also at the same moment.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (from
/// its log callback); `PROBITY_RESULT_BAD_POINTER` (`lost`).
///
/// # Safety
/// `lost` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_driver_lost(
    driver: probity_driver,
    lost: *mut u64,
) -> probity_result {
    boundary::guard(|| {
        let running = running(driver)?;
        // SAFETY: the caller's promise.
        unsafe { boundary::put(lost, running.lost.load(Ordering::Relaxed)) }
    })
}

/// Called for one target after another, sorted by id, on a thread of the library,
/// and then once with NULL. It may call functions of the library as a report's may; checks do not
/// wait for it.
pub type probity_state_callback =
    Option<unsafe extern "C" fn(context: *mut c_void, state: *const probity_target_state)>;

/// Copies the state of all targets, in parts between the workers' turns, and hands it to
/// `each`, with what it points to lent for the duration of the call. If the driver ends
/// meanwhile these are the targets that were copied before. Never waits. Threads: any, also at
/// the same moment.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_UNAVAILABLE` (256 copies are under way, those
/// of `probity_driver_render` among them, a worker has 1,024 requests to take already, or the
/// driver has stopped: then `each` is not called); `PROBITY_RESULT_BAD_HANDLE`;
/// `PROBITY_RESULT_IN_USE` (from its log callback); `PROBITY_RESULT_BAD_POINTER` (`each`).
///
/// # Safety
/// `context` may be used on another thread until `each` was called with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_driver_fleet(
    driver: probity_driver,
    each: probity_state_callback,
    context: *mut c_void,
) -> probity_result {
    boundary::guard(|| {
        let running = running(driver)?;
        let each = each.ok_or(probity_result::BadPointer)?;
        let (context, in_callback) = (Context(context), Arc::clone(&running.in_callback));
        let asked = running.handle.fleet(FleetQuery::default(), move |fleet| {
            let context = context;
            in_callback.call(|| {
                for row in &fleet.rows {
                    let state = probity_target_state::new(
                        row.id,
                        row.spec.group,
                        row.up,
                        row.results(),
                        row.next,
                        row.last(),
                    );
                    // SAFETY: the caller's promise.
                    unsafe { each(context.0, &state) };
                }
                // SAFETY: the caller's promise.
                unsafe { each(context.0, std::ptr::null()) };
            });
        });
        asked.map_err(|_| probity_result::Unavailable)
    })
}

/// Writes the series of all targets to `text`, in Prometheus' text format 0.0.4: those of
/// blackbox_exporter, `probity_target_up` and `probity_results_total`. If `text.length >=
/// text.capacity` something is missing: call it again with more room. Waits for the workers;
/// if the driver ends meanwhile, the text has the targets that were copied before. Threads:
/// any, also at the same moment; not from a callback, in which it might wait for ever.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_UNAVAILABLE` (as for `probity_driver_fleet`);
/// `PROBITY_RESULT_IN_USE` (from a callback: nothing was done); `PROBITY_RESULT_BAD_HANDLE`;
/// `PROBITY_RESULT_BAD_POINTER` (`text` or its data).
///
/// # Safety
/// `text` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_driver_render(
    driver: probity_driver,
    text: *mut probity_buffer,
) -> probity_result {
    boundary::guard(|| {
        boundary::can_put(text)?;
        // SAFETY: the caller's promise.
        let place = unsafe { Place::new(text) }?;
        let running = running(driver)?;
        if callback::is_in_any() {
            return Err(probity_result::InUse);
        }
        let labels = || Arc::clone(&lock(&running.labels));
        let before = labels();
        let (sender, receiver) = mpsc::sync_channel(1);
        let asked = running.handle.fleet(FleetQuery::default(), move |fleet| {
            // Nobody waits if the caller's thread has ended.
            let _ = sender.send(fleet);
        });
        asked.map_err(|_| probity_result::Unavailable)?;
        let fleet = receiver.recv().map_err(|_| probity_result::Unavailable)?;
        // A target may come or go meanwhile.
        let after = labels();
        let labels = |id| after.text(id).or_else(|| before.text(id));
        place.write(render::text(&fleet, labels).as_bytes());
        Ok(())
    })
}

impl Running {
    /// The end of the driver, which is then no surprise.
    fn stop(&self, grace: Duration) {
        self.stopping.store(true, Ordering::Release);
        self.handle.shutdown(grace);
    }

    /// The end of everything. On a thread that the driver waits for, that is on its
    /// way when this returns.
    fn end(&self) {
        let wait = !self.in_callback.is_this_thread() && !self.log.is_this_thread();
        self.calls.close();
        self.stop(Duration::ZERO);
        let forwarder = lock(&self.forwarder).take();
        if wait {
            if let Some(forwarder) = forwarder {
                // A panic was printed when it happened.
                let _ = forwarder.join();
            }
            self.calls.wait();
        }
    }

    /// Why there is no notice.
    fn without_notice(&self) -> probity_result {
        let begun = self.begun.load(Ordering::Relaxed);
        match begun || lock(&self.labels).by_id.is_empty() {
            true => probity_result::Nothing,
            false => probity_result::NotBegun,
        }
    }

    fn refused(&self, Said(result, text): &Said) {
        self.log.say(PROBITY_LOG_WARNING, "driver", 0, || {
            config::refusal(*result, text)
        });
    }

    /// Hands over changes, with the labels of what they add: a target has labels as long as
    /// it is there, and who is not taken leaves none. Nothing is locked meanwhile, for that
    /// waits for workers, and they may be calling.
    fn apply(
        &self,
        changes: Vec<Change>,
        added: Vec<(u64, String)>,
        removed: &[TargetId],
    ) -> Result<()> {
        let mut labels = lock(&self.labels);
        let known = Arc::make_mut(&mut labels);
        let removed = removed.iter().filter_map(|id| known.number(id.0));
        let removed: Vec<(u64, u64)> = removed.collect();
        let added = added.into_iter().map(|(id, text)| known.insert(id, text));
        let added: Vec<Inserted> = added.collect();
        drop(labels);
        let applied = self.handle.apply(changes);
        let mut labels = lock(&self.labels);
        let known = Arc::make_mut(&mut labels);
        match applied {
            Ok(()) => {
                removed.into_iter().for_each(|named| known.remove(named));
                Ok(())
            }
            Err(_) => {
                added.into_iter().rev().for_each(|it| known.take_back(it));
                Err(probity_result::Unavailable)
            }
        }
    }
}

/// Labels of targets, by id. Each has a number of its own, by which is known whether
/// another thread has set others since.
#[derive(Clone, Default)]
struct Labels {
    by_id: HashMap<u64, (u64, String)>,
    numbers: u64,
}

/// What [`Labels::insert`] has done.
struct Inserted {
    id: u64,
    number: u64,
    before: Option<(u64, String)>,
}

impl Labels {
    fn text(&self, id: u64) -> Option<&str> {
        self.by_id.get(&id).map(|(_, text)| text.as_str())
    }

    /// The id with the number of its labels.
    fn number(&self, id: u64) -> Option<(u64, u64)> {
        self.by_id.get(&id).map(|(number, _)| (id, *number))
    }

    fn insert(&mut self, id: u64, text: String) -> Inserted {
        self.numbers += 1;
        let number = self.numbers;
        let before = self.by_id.insert(id, (number, text));
        Inserted { id, number, before }
    }

    fn remove(&mut self, (id, number): (u64, u64)) {
        if self.number(id) == Some((id, number)) {
            self.by_id.remove(&id);
        }
    }

    fn take_back(&mut self, Inserted { id, number, before }: Inserted) {
        if self.number(id) == Some((id, number)) {
            match before {
                Some(before) => self.by_id.insert(id, before),
                None => self.by_id.remove(&id),
            };
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The labels with which targets would be rendered, for who cannot render them any more.
#[cfg(test)]
pub(crate) fn labels_of(driver: probity_driver) -> HashMap<u64, String> {
    let running = running(driver).unwrap_or_else(|result| panic!("{result:?}"));
    let labels = Arc::clone(&lock(&running.labels));
    let texts = labels.by_id.iter();
    texts.map(|(id, (_, text))| (*id, text.clone())).collect()
}
