//! The standard `process_*` metrics, as every client library has them.

use std::fmt;

use procfs::WithCurrentSystemInfo as _;
use procfs::process::LimitValue;
use prometheus_client::metrics::MetricType;

use super::own::Out;

/// What the kernel says about this process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Process {
    cpu_seconds: f64,
    open_fds: usize,
    max_fds: Option<u64>,
    resident_bytes: u64,
    virtual_bytes: u64,
    /// Unix seconds.
    start_time: f64,
}

impl Process {
    /// Reads `/proc/self`; `None` where there is none.
    pub(super) fn read() -> Option<Self> {
        let process = procfs::process::Process::myself().ok()?;
        let stat = process.stat().ok()?;
        let ticks = procfs::ticks_per_second() as f64;
        let max_fds = process
            .limits()
            .ok()
            .map(|limits| limits.max_open_files.soft_limit);
        Some(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            open_fds: process.fd_count().ok()?,
            max_fds: max_fds.and_then(|limit| match limit {
                LimitValue::Value(limit) => Some(limit),
                LimitValue::Unlimited => None,
            }),
            resident_bytes: stat.rss_bytes().get(),
            virtual_bytes: stat.vsize,
            start_time: procfs::boot_time_secs().ok()? as f64 + stat.starttime as f64 / ticks,
        })
    }

    pub(super) fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        out.family(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds.",
            MetricType::Counter,
            [([("", ""); 0], self.cpu_seconds)],
        )?;
        out.gauge(
            "process_open_fds",
            "Number of open file descriptors.",
            self.open_fds as f64,
        )?;
        if let Some(limit) = self.max_fds {
            let help = "Maximum number of open file descriptors.";
            out.gauge("process_max_fds", help, limit as f64)?;
        }
        out.gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            self.resident_bytes as f64,
        )?;
        out.gauge(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            self.virtual_bytes as f64,
        )?;
        out.gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            self.start_time,
        )
    }
}
