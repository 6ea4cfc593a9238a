//! What the kernel knows about our use of the machine.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// One of the cores that this program may use.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Core {
    /// Of what is measured.
    First,
    /// Of what it talks to.
    Last,
}

/// Those cores, as they were before anybody was kept on one of them.
static ALLOWED: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let allowed = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    let cores = 0..CpuSet::MAX_CPU;
    cores.filter(|core| allowed.is_set(*core)).collect()
});

/// Keeps this thread, and the threads and processes that it starts, on a core.
pub(crate) fn pin(core: Core) {
    let core = match core {
        Core::First => ALLOWED.first(),
        Core::Last => ALLOWED.last(),
    };
    if let Some(core) = core {
        let mut only = CpuSet::new();
        only.set(*core);
        // Where it is not allowed the figures are noisier, and no less true.
        let _ = sched_setaffinity(None, &only);
    }
}

/// Does something on a thread of the other core than what is measured.
pub(crate) fn beside<T: Send>(
    work: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    apart(|| pin(Core::Last), work)
}

/// Has this thread give way to the others of its core, for good: what is measured would wait
/// for it for some milliseconds otherwise, and one run in a hundred have them in its latency.
pub(crate) fn give_way() {
    const LAST: i32 = 19;
    // As with cores: noisier where it is not allowed.
    let _ = rustix::process::nice(LAST);
}

/// Does something on a thread that [gives way](give_way).
pub(crate) fn behind<T: Send>(
    work: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    apart(give_way, work)
}

fn apart<T: Send>(
    settle: impl FnOnce() + Send,
    work: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            settle();
            work()
        });
        thread
            .join()
            .unwrap_or_else(|_| Err("a thread of the benchmark panicked".into()))
    })
}

/// Lets this thread, and those that it starts, use all cores again that the process may:
/// until it is dropped, and then the first one alone.
#[derive(Debug)]
pub(crate) struct AllCores(());

impl AllCores {
    pub(crate) fn take() -> Self {
        let mut all = CpuSet::new();
        ALLOWED.iter().for_each(|core| all.set(*core));
        let _ = sched_setaffinity(None, &all);
        Self(())
    }
}

impl Drop for AllCores {
    fn drop(&mut self) {
        pin(Core::First);
    }
}

/// A point from which CPU time is counted.
#[derive(Debug)]
pub(crate) struct Since {
    wall: Instant,
    cpu: Duration,
    spent: Spent,
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
            spent: Spent::of_this(),
        }
    }

    pub(crate) fn used(&self) -> Used {
        let spent = Spent::of_this().since(self.spent);
        Used {
            wall: self.wall.elapsed().as_secs_f64(),
            cpu: (process_time() - self.cpu).as_secs_f64(),
            user_part: spent.user / spent.total().max(f64::MIN_POSITIVE),
        }
    }
}

/// Seconds of CPU of a process, as the kernel shows them to everybody: in ticks
/// of 10 ms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl Spent {
    fn of_this() -> Self {
        Self::from_stat("self", 14)
    }

    /// So far, of all its threads. Nothing of a process that there is not.
    pub(crate) fn of(process: u32) -> Self {
        Self::from_stat(&process.to_string(), 14)
    }

    /// Of this process and of those that it has started and that have ended.
    fn of_all_of_us() -> Self {
        let (own, ended) = (Self::of_this(), Self::from_stat("self", 16));
        Self {
            user: own.user + ended.user,
            system: own.system + ended.system,
        }
    }

    /// The field, counted from 1, and the next one (proc_pid_stat(5)).
    fn from_stat(process: &str, field: usize) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // A name may have spaces, but is in parentheses, and is the second field.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = after_name.split_whitespace().skip(field - 3);
        let mut next = || seconds(fields.next());
        Self {
            user: next(),
            system: next(),
        }
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user - earlier.user,
            system: self.system - earlier.system,
        }
    }

    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }
}

/// Of a number of ticks.
fn seconds(field: Option<&str>) -> f64 {
    let ticks: u64 = field.and_then(|field| field.parse().ok()).unwrap_or(0);
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// What the machine did besides, from here on.
#[derive(Debug)]
pub(crate) struct Machine {
    wall: Instant,
    busy: f64,
    stolen: f64,
    ours: f64,
}

impl Machine {
    pub(crate) fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let all = stat.lines().next().unwrap_or_default();
        // user, nice, system, idle, iowait, irq, softirq, steal (proc_stat(5))
        let fields: Vec<f64> = all
            .split_whitespace()
            .skip(1)
            .map(|field| seconds(Some(field)))
            .collect();
        let of = |wanted: &[usize]| wanted.iter().filter_map(|at| fields.get(*at)).sum();
        Self {
            wall: Instant::now(),
            busy: of(&[0, 1, 2, 5, 6]),
            stolen: of(&[7]),
            ours: Spent::of_all_of_us().total(),
        }
    }

    /// Cores that were used by others, and that the machine below did not give,
    /// on average. What we have started must have ended.
    pub(crate) fn others(&self) -> (f64, f64) {
        let now = Self::now();
        let spent = self.wall.elapsed().as_secs_f64();
        let others = (now.busy - self.busy) - (now.ours - self.ours);
        (others.max(0.0) / spent, (now.stolen - self.stolen) / spent)
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

/// Bytes of page tables of this process.
pub(crate) fn page_tables() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPTE:"));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0u64) << 10
}

/// Resident bytes of this process.
pub(crate) fn resident() -> u64 {
    resident_of("self")
}

pub(crate) fn resident_of(process: &str) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok());
    pages.unwrap_or(0u64) * rustix::param::page_size() as u64
}
