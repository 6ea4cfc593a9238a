//! What the kernel knows about our use of the machine.

use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Keeps this thread, and those that it starts, on one of the cores that it may
/// use: the first (0), or the last one.
pub(crate) fn pin(from_the_end: usize) {
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .collect();
    let core = match from_the_end {
        0 => cores.first(),
        _ => cores.last(),
    };
    if let Some(core) = core {
        let mut only = CpuSet::new();
        only.set(*core);
        // Where it is not allowed the figures are noisier, and no less true.
        let _ = sched_setaffinity(None, &only);
    }
}

/// Lets this thread, and those that it starts, use all cores again, as the process
/// may: until it is dropped, and then the first one alone.
#[derive(Debug)]
pub(crate) struct AllCores(());

impl AllCores {
    pub(crate) fn take() -> Self {
        // The kernel leaves out those that the process may not use.
        let mut all = CpuSet::new();
        (0..CpuSet::MAX_CPU).for_each(|core| all.set(core));
        let _ = sched_setaffinity(None, &all);
        Self(())
    }
}

impl Drop for AllCores {
    fn drop(&mut self) {
        pin(0);
    }
}

/// A point from which CPU time is counted.
#[derive(Debug)]
pub(crate) struct Since {
    wall: Instant,
    cpu: Duration,
    ticks: (u64, u64),
}

/// What was used since then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) wall: f64,
    /// Seconds of CPU, of all threads.
    pub(crate) cpu: f64,
    /// The part of it that was spent in user space, 0 to 1.
    pub(crate) user_part: f64,
}

impl Since {
    pub(crate) fn now() -> Self {
        Self {
            wall: Instant::now(),
            cpu: process_time(),
            ticks: ticks(),
        }
    }

    pub(crate) fn used(&self) -> Used {
        let (user, system) = ticks();
        let user = (user - self.ticks.0) as f64;
        let system = (system - self.ticks.1) as f64;
        Used {
            wall: self.wall.elapsed().as_secs_f64(),
            cpu: (process_time() - self.cpu).as_secs_f64(),
            user_part: user / (user + system).max(1.0),
        }
    }
}

/// CPU time of this process.
fn process_time() -> Duration {
    to_duration(clock_gettime(ClockId::ProcessCPUTime))
}

/// CPU time of this thread.
pub(crate) fn thread_time() -> Duration {
    to_duration(clock_gettime(ClockId::ThreadCPUTime))
}

fn to_duration(time: rustix::time::Timespec) -> Duration {
    Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    )
}

/// User and system time of this process in the kernel's ticks (proc_pid_stat(5),
/// fields 14 and 15).
fn ticks() -> (u64, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = after_name.split_whitespace().skip(11);
    let mut next = || {
        fields
            .next()
            .and_then(|field| field.parse().ok())
            .unwrap_or(0)
    };
    (next(), next())
}

/// Bytes of page tables of this process.
pub(crate) fn page_tables() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPTE:"));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0u64) << 10
}

/// Resident bytes of this process.
pub(crate) fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok());
    pages.unwrap_or(0u64) * rustix::param::page_size() as u64
}
