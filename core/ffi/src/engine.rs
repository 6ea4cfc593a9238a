//! The half without IO: the host owns sockets and clock, and may own names.

mod turn;

use std::collections::HashSet;
use std::ffi::c_void;
use std::mem::{MaybeUninit, offset_of};
use std::time::Duration;

use ::probity_engine::resolve::ResolverConfig;
use ::probity_engine::{Config, Engine, Full, Instant, Limits, RunId, TargetId};
use probity_spec::{Delta, Target};

use self::turn::{Batch, Left};
use crate::boundary::{self, Said, Sized_};
use crate::config::{self, probity_config, probity_target};
use crate::handle::{Exclusive, Table};
use crate::log::{Log, PROBITY_LOG_ERROR, PROBITY_LOG_WARNING, probity_log_callback};
use crate::output::probity_output;
use crate::report::{Lent, nanos, probity_target_state};
use crate::result::{Result, probity_result};
use crate::tls::Tls;
use crate::types::{probity_buffer, probity_bytes, probity_text};

/// An engine. For one thread at a time; others get `PROBITY_RESULT_IN_USE`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_engine {
    /// Never 0 for a handle that was given out.
    pub bits: u64,
}

pub(crate) static ENGINES: Table<Host> = Table::new(2);

/// An engine with what is lent of it.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    /// The latest reading of the host's clock. One before it counts as this.
    now: Instant,
    /// When something is due, if nothing was told since that was found; else 0.
    due: Instant,
    left: Left,
    /// `None`: the host does TLS.
    pub(crate) tls: Option<Tls>,
    pub(crate) log: Log,
    lent: Lent,
    /// Those of the last `probity_engine_apply`.
    applied: Vec<Target>,
}

impl Exclusive for Host {}

/// The engine asks DNS servers itself, over connections that the host opens.
pub const PROBITY_NAMES_ENGINE: u32 = 0;
/// The host resolves names: `PROBITY_OUTPUT_RESOLVE`.
pub const PROBITY_NAMES_HOST: u32 = 1;

/// The host does TLS: `PROBITY_OUTPUT_SECURE`.
pub const PROBITY_TLS_HOST: u32 = 0;
/// The library does: the host carries the bytes as they are. There is then no
/// `PROBITY_OUTPUT_SECURE`; `PROBITY_OUTPUT_SEND` has ciphertext, and ciphertext is
/// what `probity_engine_data` is given. Certificates are judged by the clock of the
/// system. Not in the Wasm build: `PROBITY_RESULT_UNSUPPORTED`.
pub const PROBITY_TLS_LIBRARY: u32 = 1;

/// What an engine is made with. Begin with zeros and the size; numbers of 0 mean
/// the usual bound.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_engine_config {
    /// Bytes of this struct.
    pub size: usize,
    /// 32 bytes of randomness, secret and different for every engine, unless a
    /// run is to be replayed. Required: an engine has no source of its own.
    pub seed: probity_bytes,
    /// Targets registered at once; 0: 2,000,000.
    pub targets: u32,
    /// Scheduled runs in flight at once; 0: 4,096. Each may have up to four
    /// connections, most have one.
    pub in_flight: u32,
    /// Runs in flight at once that were asked for by themselves; 0: 1,024.
    pub once_in_flight: u32,
    /// Look-ups of names in flight at once; 0: 1,024.
    pub lookups: u32,
    /// Names in the cache; 0: 65,536.
    pub cached_names: u32,
    /// Connections per second towards one address; 0: no limit.
    pub starts_per_destination: u32,
    /// Connections that may go out at once before that rate applies; 0: 100.
    pub burst_per_destination: u32,
    /// `PROBITY_NAMES_...`.
    pub names: u32,
    /// The text of resolv.conf(5), for `PROBITY_NAMES_ENGINE`; empty: servers at
    /// 127.0.0.1 and ::1, as in an empty file. The library reads no files for it.
    pub resolv_conf: probity_text,
    /// The text of hosts(5), for `PROBITY_NAMES_ENGINE`; empty: no names, but that
    /// `localhost` is ::1 and 127.0.0.1.
    pub hosts: probity_text,
    /// `PROBITY_TLS_HOST` or `PROBITY_TLS_LIBRARY`.
    pub tls: u32,
    /// Zero.
    pub reserved: u32,
    /// Called with what the engine has to say about itself, during calls of the
    /// host and on their thread; NULL: nobody wants to know.
    pub on_log: probity_log_callback,
    /// Handed to `on_log`.
    pub log_context: *mut c_void,
}

// SAFETY: numbers and pointers, which are looked at only by `boundary`.
unsafe impl Sized_ for probity_engine_config {
    const FIRST: usize = offset_of!(Self, tls).next_multiple_of(align_of::<Self>());
}

/// Makes an engine without targets. `now` is the first reading of the host's
/// clock: nanoseconds since an origin of its choice, monotonic. No target is due
/// before `probity_engine_begin`.
///
/// Ownership: the handle is the caller's, to be freed by `probity_engine_free`; the seed and
/// texts are copied. Threads: any, also at the same moment.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_ARGUMENT` (the seed has not 32 bytes, a
/// text is not UTF-8, or `names`, `tls` or `reserved` is none of its values);
/// `PROBITY_RESULT_BAD_POINTER` (`config`, what it points to, or `engine`);
/// `PROBITY_RESULT_BAD_SIZE` (of `config`); `PROBITY_RESULT_UNSUPPORTED`
/// (`PROBITY_TLS_LIBRARY` in a build without TLS; the log is told, too); `PROBITY_RESULT_FULL`
/// (there are 4,294,967,295 engines).
///
/// # Safety
/// `config` must point to as many bytes as its size says, and what it points to
/// must have its length; `log_context` may be used in every call with the engine;
/// `engine` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_engine_new(
    config: *const probity_engine_config,
    now: u64,
    engine: *mut probity_engine,
) -> probity_result {
    boundary::guard(|| {
        boundary::can_put(engine)?;
        // SAFETY: the caller's promise.
        let (it, config) = unsafe { engine_config(config) }?;
        let log = Log::new(it.on_log, it.log_context);
        let tls = match it.tls {
            PROBITY_TLS_HOST => None,
            PROBITY_TLS_LIBRARY => Some(Tls::new().inspect_err(|_| {
                log.say(PROBITY_LOG_ERROR, "tls", 0, || NO_TLS.into());
            })?),
            _ => return Err(probity_result::BadArgument),
        };
        let now = Instant::from_nanos(now);
        let bits = ENGINES.insert(Host {
            engine: Engine::new(config, now),
            now,
            due: Instant::ZERO,
            left: Left::Nothing,
            tls,
            log,
            lent: Lent::default(),
            applied: Vec::new(),
        })?;
        // SAFETY: the caller's promise.
        unsafe { boundary::put(engine, probity_engine { bits }) }
    })
}

const NO_TLS: &str = "expected TLS to be left to the host (PROBITY_TLS_HOST), found \
    PROBITY_TLS_LIBRARY: this build has none";

/// # Safety
/// As for [`probity_engine_new`].
unsafe fn engine_config(
    config: *const probity_engine_config,
) -> Result<(probity_engine_config, Config)> {
    // SAFETY: the caller's promise.
    let (it, seed, resolv_conf, hosts) = unsafe {
        let it = boundary::read_sized(config)?;
        let seed = boundary::slice(it.seed.data, it.seed.length)?;
        let resolv_conf = boundary::text(it.resolv_conf)?;
        (it, seed, resolv_conf, boundary::text(it.hosts)?)
    };
    if it.reserved != 0 {
        return Err(probity_result::BadArgument);
    }
    let usual = Limits::default();
    let or = |number: u32, usual: u32| if number == 0 { usual } else { number };
    let made = Config {
        limits: Limits {
            targets: or(it.targets, usual.targets),
            in_flight: or(it.in_flight, usual.in_flight),
            once_in_flight: or(it.once_in_flight, usual.once_in_flight),
            lookups: or(it.lookups, usual.lookups),
            cached_names: or(it.cached_names, usual.cached_names),
            starts_per_destination: it.starts_per_destination,
            burst_per_destination: or(it.burst_per_destination, usual.burst_per_destination),
        },
        resolver: match it.names {
            PROBITY_NAMES_ENGINE => ResolverConfig::system(resolv_conf, hosts),
            PROBITY_NAMES_HOST => ResolverConfig::delegated(),
            _ => return Err(probity_result::BadArgument),
        },
        seed: seed.try_into().map_err(|_| probity_result::BadArgument)?,
    };
    Ok((it, made))
}

/// Frees an engine with its targets and runs, which are not reported. Threads:
/// any, and from a log callback; a call that is using it goes on, and gives
/// `PROBITY_RESULT_BAD_HANDLE` where it would have succeeded: what it has written points
/// to what is gone.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn probity_engine_free(engine: probity_engine) -> probity_result {
    boundary::guard(|| ENGINES.remove(engine.bits))
}

/// Ends start-up: from now on targets are due; those that were added before are spread over
/// their intervals from here. `now` is in nanoseconds of the host's clock, and one before the
/// latest counts as that, as everywhere but in `probity_engine_stats_of`. Threads: any, one at
/// a time for each engine.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another
/// call with the engine).
#[unsafe(no_mangle)]
pub extern "C" fn probity_engine_begin(engine: probity_engine, now: u64) -> probity_result {
    work(engine, |host| {
        let now = host.at(now);
        host.engine.begin(now);
        Ok(())
    })
}

/// Makes the targets of a configuration's jobs those of the engine, in place of the ones of
/// the last call. Targets that have not changed keep their state, schedule and histogram;
/// those of `probity_engine_add` are left alone. The configuration may be freed afterwards.
/// `now` is in nanoseconds of the host's clock. Threads: any, one at a time for each engine.
///
/// What is compared is the last call's list: a target of it that was removed by its id comes
/// back when its entry changes, and one that was added by itself with the id of an entry is
/// that entry's.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_FULL` (there is no room for all of them:
/// those that there was room for are there, and the next call tries the others again);
/// `PROBITY_RESULT_BAD_HANDLE` (the engine or the configuration); `PROBITY_RESULT_IN_USE`
/// (another call with the engine).
#[unsafe(no_mangle)]
pub extern "C" fn probity_engine_apply(
    engine: probity_engine,
    config: probity_config,
    now: u64,
) -> probity_result {
    boundary::guard(|| {
        let mut targets = config::targets_of(config)?;
        ENGINES.with(engine.bits, |host| {
            let now = host.at(now);
            let delta = Delta::between(&host.applied, &mut targets);
            for id in delta.remove {
                host.engine.remove(id, now);
            }
            let mut refused = HashSet::new();
            for target in delta.upsert {
                if host.engine.upsert(target.id, target.spec, now).is_err() {
                    refused.insert(target.id);
                }
            }
            // The next call tries those again.
            targets.retain(|target| !refused.contains(&target.id));
            host.applied = targets;
            if refused.is_empty() {
                return Ok(());
            }
            let refused = refused.len();
            host.log.say(PROBITY_LOG_WARNING, "engine", 0, || {
                format!("no room for {refused} targets: they are not probed")
            });
            Err(probity_result::Full)
        })
    })
}

/// Adds a target, or changes the one of the same id, which keeps its state. `id`
/// (NULL: nobody wants to know) is set to the id by which it is known. The first
/// run comes within an interval, at a moment that derives from the id.
///
/// `error` says what is wrong with the target. Texts are copied, and the configuration may be
/// freed afterwards. `now` is in nanoseconds of the host's clock. Threads: any, one at a time
/// for each engine.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_ARGUMENT` (a field of the target is not
/// valid, or a text not UTF-8); `PROBITY_RESULT_NO_MODULE` (`error` says which there are, or
/// why it cannot be used); `PROBITY_RESULT_FULL` (as many targets as
/// `probity_engine_config.targets` says are there, and none has this id);
/// `PROBITY_RESULT_BAD_HANDLE` (the engine or `target.config`); `PROBITY_RESULT_IN_USE`
/// (another call with the engine); `PROBITY_RESULT_BAD_POINTER` (`target`, a text in it, or an
/// `id` that is not aligned); `PROBITY_RESULT_BAD_SIZE` (of `target`).
///
/// # Safety
/// `target` must point to as many bytes as its size says; `id` and `error` may
/// be NULL or written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_engine_add(
    engine: probity_engine,
    target: *const probity_target,
    now: u64,
    id: *mut u64,
    error: *mut probity_buffer,
) -> probity_result {
    let body = || {
        boundary::can_put_if_wanted(id)?;
        // SAFETY: the caller's promise.
        let wanted = unsafe { config::wanted(target) };
        let wanted = wanted.inspect_err(|said| refused(engine, said))?;
        ENGINES.with(engine.bits, |host| {
            let now = host.at(now);
            let added = host.engine.upsert(wanted.id, wanted.spec, now);
            added.map_err(|Full| {
                host.log
                    .say(PROBITY_LOG_WARNING, "engine", wanted.id.0, || {
                        "no room for another target: it is not probed".into()
                    });
                probity_result::Full
            })
        })?;
        if !id.is_null() {
            // SAFETY: the caller's promise.
            unsafe { boundary::put(id, wanted.id.0) }?;
        }
        Ok::<(), Said>(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary::guard_saying(error, body) }
}

/// Forgets a target. A run in flight is reported as `cancelled`. `now` is in nanoseconds of
/// the host's clock. Threads: any, one at a time for each engine.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NO_TARGET` (none has this id);
/// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the engine).
#[unsafe(no_mangle)]
pub extern "C" fn probity_engine_remove(
    engine: probity_engine,
    id: u64,
    now: u64,
) -> probity_result {
    work(engine, |host| {
        let id = TargetId(id);
        host.engine.target(id).ok_or(probity_result::NoTarget)?;
        let now = host.at(now);
        host.engine.remove(id, now);
        Ok(())
    })
}

/// Starts one run outside any schedule; `target.id`, the initial delay and thresholds are
/// ignored (but refused where they are not valid), and of the interval only counts that a
/// timeout of 0 is no longer than it. `error` says what is wrong with the target. Texts are
/// copied, and the configuration may be freed afterwards. `run` is set to its number; its
/// report has target 0. `now` is in nanoseconds of the host's clock. Threads: any, one at a
/// time for each engine.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_ARGUMENT` (a field of the target is not
/// valid, or a text not UTF-8); `PROBITY_RESULT_NO_MODULE` (`error` says which there are, or
/// why it cannot be used); `PROBITY_RESULT_FULL` (as many such runs are in flight as
/// `probity_engine_config.once_in_flight` says, and as many more as its `in_flight` exceeds
/// the targets); `PROBITY_RESULT_BAD_HANDLE` (the engine or `target.config`);
/// `PROBITY_RESULT_IN_USE` (another call with the engine); `PROBITY_RESULT_BAD_POINTER`
/// (`target`, a text in it, or `run`); `PROBITY_RESULT_BAD_SIZE` (of `target`).
///
/// # Safety
/// As for `probity_engine_add`; `run` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_engine_run(
    engine: probity_engine,
    target: *const probity_target,
    now: u64,
    run: *mut u64,
    error: *mut probity_buffer,
) -> probity_result {
    let body = || {
        boundary::can_put(run)?;
        // SAFETY: the caller's promise.
        let wanted = unsafe { config::wanted(target) };
        let wanted = wanted.inspect_err(|said| refused(engine, said))?;
        let started = ENGINES.with(engine.bits, |host| {
            let timeout = wanted.spec.schedule.timeout();
            let now = host.at(now);
            let started = host.engine.run_once(wanted.spec, timeout, false, now);
            started.map_err(|Full| probity_result::Full)
        })?;
        // SAFETY: the caller's promise.
        unsafe { boundary::put(run, started.to_bits()) }?;
        Ok::<(), Said>(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary::guard_saying(error, body) }
}

/// Ends a run early; it is reported as `cancelled`. One that is over is left alone. `now` is
/// in nanoseconds of the host's clock. Threads: any, one at a time for each engine.
///
/// Results: `PROBITY_RESULT_OK` (also for one that is over, or never was);
/// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the engine).
#[unsafe(no_mangle)]
pub extern "C" fn probity_engine_cancel(
    engine: probity_engine,
    run: u64,
    now: u64,
) -> probity_result {
    work(engine, |host| {
        let now = host.at(now);
        host.engine.cancel(RunId::from_bits(run), now);
        Ok(())
    })
}

/// Makes a target due now, and counts its interval from here. One that is in flight is due
/// again when that run is over. `now` is in nanoseconds of the host's clock. Threads: any, one
/// at a time for each engine.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NO_TARGET` (none has this id);
/// `PROBITY_RESULT_NOT_BEGUN` (before `probity_engine_begin`, and after `probity_engine_drain`
/// or `probity_engine_shutdown`: nothing was done); `PROBITY_RESULT_BAD_HANDLE`;
/// `PROBITY_RESULT_IN_USE` (another call with the engine).
#[unsafe(no_mangle)]
pub extern "C" fn probity_engine_trigger(
    engine: probity_engine,
    id: u64,
    now: u64,
) -> probity_result {
    work(engine, |host| {
        let id = TargetId(id);
        host.engine.target(id).ok_or(probity_result::NoTarget)?;
        if host.engine.awaits_begin() {
            return Err(probity_result::NotBegun);
        }
        let now = host.at(now);
        host.engine.trigger(id, now);
        Ok(())
    })
}

/// Expires what is late and starts what is due. To be called when the time of
/// `probity_engine_next_timeout` has come, after all events that are ready were told. At most
/// 64 runs that come due are started by one call, and on top those that have waited for room;
/// if more are due the next time-out says so. They all begin at `now`: what the host takes to
/// open the connections of some of them is in the latencies of the others. `now` is in
/// nanoseconds of the host's clock.
/// Threads: any, one at a time for each engine.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another
/// call with the engine).
#[unsafe(no_mangle)]
pub extern "C" fn probity_engine_handle_timeout(
    engine: probity_engine,
    now: u64,
) -> probity_result {
    work(engine, |host| {
        let now = host.at(now);
        host.engine.handle_timeout(now);
        Ok(())
    })
}

/// Tells when `probity_engine_handle_timeout` should be called next, in nanoseconds of the
/// host's clock; it may be past. Threads: any, one at a time for each engine.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NOTHING` (only an event can change anything:
/// `at` is `UINT64_MAX`); `PROBITY_RESULT_NOT_BEGUN` (`at` likewise: no output waits, there
/// are targets, no run is in flight, and `probity_engine_begin` was not called, or
/// `probity_engine_drain` or `probity_engine_shutdown` was since);
/// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the engine);
/// `PROBITY_RESULT_BAD_POINTER` (`at`).
///
/// # Safety
/// `at` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_engine_next_timeout(
    engine: probity_engine,
    at: *mut u64,
) -> probity_result {
    work(engine, |host| {
        let next = host.engine.poll_timeout();
        let nanos = next.map_or(u64::MAX, Instant::as_nanos);
        // SAFETY: the caller's promise.
        unsafe { boundary::put(at, nanos) }?;
        match next {
            Some(_) => Ok(()),
            None if host.waits_for_ever() => Err(probity_result::NotBegun),
            None => Err(probity_result::Nothing),
        }
    })
}

/// Tells whether a run has still to work on what it was given. A host leaves further data of
/// such a run in the socket until `probity_engine_handle_timeout` was called, and then asks
/// again; one that is given more than 256 KiB all the same works it off within that call, for
/// as long as it takes. Threads: any, one at a time for each engine.
///
/// Results: `PROBITY_RESULT_OK` (it is behind); `PROBITY_RESULT_NOTHING` (it is not, or is
/// over); `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the engine).
#[unsafe(no_mangle)]
pub extern "C" fn probity_engine_is_behind(engine: probity_engine, run: u64) -> probity_result {
    work(engine, |host| {
        match host.engine.is_behind(RunId::from_bits(run)) {
            true => Ok(()),
            false => Err(probity_result::Nothing),
        }
    })
}

/// Does in one call what a turn of a host's loop needs: gives the outputs that there
/// are, in order and up to `capacity` (16, where structs are of another size than in this
/// version). If these are all, none of them is lent until the next call alone, the time has
/// come for it at `now`, and the last call left none for want of room, it then does once what
/// `probity_engine_handle_timeout` does, and gives what comes of that. Where all were given
/// and the time has come all the same, `next` is not after `now`, and the next call begins
/// with that. It tells when it should be called next, as `probity_engine_next_timeout` does.
///
/// `outputs` is an array. The size of its first struct, set by the caller, is that of all of
/// them; `capacity` is 1 or more, and 16 to 64 are plenty. `length` is set to how many there
/// are, which may be 0. `next` is set to 0 if there are more to come (carry these out, and
/// call it again), to the time at which something is due, in nanoseconds of the host's clock,
/// or to `UINT64_MAX` if only an event can change anything. Events that are told after this
/// call may have new outputs: a host calls it after it has told some, and when `next` has
/// come, all events first that are ready then: what has not been told by the time of its
/// deadline was not there in time. `now` is in nanoseconds of the host's clock. Threads: any,
/// one at a time for each engine.
///
/// Outputs are to be carried out in order, and before anything is told but what comes
/// of carrying them out, such as a connection that fails at once. So long is lent what
/// they point to: until the first call with the engine that is made when all of them
/// have been carried out or, for an output that is the last, because of it.
///
/// Results: `PROBITY_RESULT_OK` (also with `length` 0); `PROBITY_RESULT_NOT_BEGUN` (`length`
/// is 0 and `next` `UINT64_MAX`: there are targets, no run is in flight, and
/// `probity_engine_begin` was not called, or `probity_engine_drain` or
/// `probity_engine_shutdown` was since); `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE`
/// (another call with the engine); `PROBITY_RESULT_BAD_ARGUMENT` (`capacity` is 0);
/// `PROBITY_RESULT_BAD_POINTER` (`outputs`, `length` or `next`, or an array of more than 1
/// GiB); `PROBITY_RESULT_BAD_SIZE` (of the first of `outputs`).
///
/// # Safety
/// `outputs` may be written, `capacity` structs of as many bytes as the first one
/// says; so may `length` and `next`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_engine_step(
    engine: probity_engine,
    now: u64,
    outputs: *mut probity_output,
    capacity: usize,
    length: *mut usize,
    next: *mut u64,
) -> probity_result {
    work(engine, move |host| {
        boundary::can_put(length)?;
        boundary::can_put(next)?;
        // SAFETY: the caller's promise.
        let size = unsafe { boundary::size_of_each(outputs, capacity) }?;
        let now = Instant::from_nanos(now);
        let (at, filled) = match size == size_of::<probity_output>() {
            true => {
                // SAFETY: the caller's promise.
                let mut batch = Batch::new(unsafe { boundary::room(outputs, capacity) });
                (host.turn(now, &mut batch), batch.filled)
            }
            // SAFETY: the caller's promise.
            false => unsafe { host.turn_of_size(now, (outputs, size, capacity)) },
        };
        // SAFETY: not NULL and aligned, as was looked at; the rest is the caller's promise.
        unsafe {
            length.write(filled);
            next.write(at.as_nanos());
        }
        if at == Instant::MAX && filled == 0 && host.waits_for_ever() {
            return Err(probity_result::NotBegun);
        }
        Ok(())
    })
}

/// Gives the next thing that the engine asks, in order. What it points to is lent until the
/// next call with this engine. Threads: any, one at a time for each engine.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NOTHING` (there is no more);
/// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the engine);
/// `PROBITY_RESULT_BAD_POINTER` (`output`); `PROBITY_RESULT_BAD_SIZE` (of `output`).
///
/// # Safety
/// `output` may be written, as many bytes as its size says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_engine_output(
    engine: probity_engine,
    output: *mut probity_output,
) -> probity_result {
    work(engine, |host| {
        boundary::can_write_sized(output)?;
        // Of older callers it may be shorter than ours.
        let mut asked = MaybeUninit::uninit();
        loop {
            let (kind, _) = host.ask(&mut asked, false).ok_or(probity_result::Nothing)?;
            if kind != 0 {
                break;
            }
        }
        // SAFETY: it was written, as its kind says; the rest is the caller's promise.
        unsafe { boundary::write_sized(output, asked.assume_init_ref()) }
    })
}

/// Tells what is known of a target. Its sentence is lent until the next call with this engine.
/// Threads: any, one at a time for each engine.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NO_TARGET` (none has this id);
/// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the engine);
/// `PROBITY_RESULT_BAD_POINTER` (`state`); `PROBITY_RESULT_BAD_SIZE` (of `state`).
///
/// # Safety
/// `state` may be written, as many bytes as its size says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_engine_target(
    engine: probity_engine,
    id: u64,
    state: *mut probity_target_state,
) -> probity_result {
    work(engine, |host| {
        let view = host.engine.target(TargetId(id));
        let view = view.ok_or(probity_result::NoTarget)?;
        let known = probity_target_state::new(
            view.id,
            view.spec.group,
            view.up,
            view.results,
            view.next,
            view.last,
        );
        // SAFETY: the caller's promise.
        unsafe { boundary::write_sized(state, &known) }
    })
}

/// Counters and gauges of an engine. Begin with `size = sizeof(...)`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_engine_stats {
    /// Bytes of this struct, set by the caller.
    pub size: usize,
    /// Finished runs, by `PROBITY_OUTCOME_...`.
    pub runs: [u64; 4],
    /// Registered targets.
    pub targets: u64,
    /// Targets of which nothing was learnt for two intervals and a timeout.
    pub overdue: u64,
    /// Runs in flight.
    pub in_flight: u64,
    /// Targets that are due and wait for room.
    pub queued: u64,
    /// The 99th percentile of how late runs have started, in nanoseconds.
    pub start_lag_p99: u64,
}

// SAFETY: numbers.
unsafe impl Sized_ for probity_engine_stats {
    const FIRST: usize = size_of::<Self>();
}

/// Tells what the engine has done and holds. Looks at every target. `now` is in nanoseconds of
/// the host's clock. Threads: any, one at a time for each engine.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another
/// call with the engine); `PROBITY_RESULT_BAD_POINTER` (`stats`); `PROBITY_RESULT_BAD_SIZE`
/// (of `stats`).
///
/// # Safety
/// `stats` may be written, as many bytes as its size says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_engine_stats_of(
    engine: probity_engine,
    now: u64,
    stats: *mut probity_engine_stats,
) -> probity_result {
    work(engine, |host| {
        let found = host.engine.stats(Instant::from_nanos(now));
        let lag = found.start_lag.quantile(0.99).unwrap_or(0.0);
        let known = probity_engine_stats {
            size: size_of::<probity_engine_stats>(),
            runs: found.runs,
            targets: found.targets,
            overdue: found.overdue,
            in_flight: found.in_flight.into(),
            queued: found.queued.into(),
            start_lag_p99: nanos(Duration::try_from_secs_f64(lag).unwrap_or_default()),
        };
        // SAFETY: the caller's promise.
        unsafe { boundary::write_sized(stats, &known) }
    })
}

/// Schedules no more runs; those in flight go on, and those that wait for room are reported as
/// `shutdown`. `now` is in nanoseconds of the host's clock. Threads: any, one at a time for
/// each engine.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another
/// call with the engine).
#[unsafe(no_mangle)]
pub extern "C" fn probity_engine_drain(engine: probity_engine, now: u64) -> probity_result {
    work(engine, |host| {
        let now = host.at(now);
        host.engine.drain(now);
        Ok(())
    })
}

/// Schedules no more runs and reports those in flight as `shutdown`; what is left to do is
/// asked by `probity_engine_step` or `probity_engine_output`. The handle is still to be freed.
/// `now` is in nanoseconds of the host's clock. Threads: any, one at a time for each engine.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another
/// call with the engine).
#[unsafe(no_mangle)]
pub extern "C" fn probity_engine_shutdown(engine: probity_engine, now: u64) -> probity_result {
    work(engine, |host| {
        let now = host.at(now);
        host.engine.shutdown(now);
        Ok(())
    })
}

/// Says that a target was refused, and why. In a call that has failed already
/// nothing comes of it if this does.
fn refused(engine: probity_engine, said: &Said) {
    let Said(result, text) = said;
    let _ = ENGINES.with(engine.bits, |host| {
        host.log.say(PROBITY_LOG_WARNING, "engine", 0, || {
            config::refusal(*result, text)
        });
        Ok(())
    });
}

#[inline]
fn work(engine: probity_engine, body: impl FnOnce(&mut Host) -> Result<()>) -> probity_result {
    boundary::guard(move || ENGINES.with(engine.bits, body))
}
