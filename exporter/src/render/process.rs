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
    /// Of no limit, the largest number.
    max_virtual_bytes: Option<u64>,
    /// Received and sent, by all that shares the process' network.
    network_bytes: Option<[u64; 2]>,
    /// Unix seconds.
    start_time: f64,
}

impl Process {
    /// Reads `/proc/self`; `None` where there is none.
    pub(super) fn read() -> Option<Self> {
        let process = procfs::process::Process::myself().ok()?;
        let stat = process.stat().ok()?;
        let ticks = procfs::ticks_per_second() as f64;
        let limits = process.limits().ok();
        let max_fds = limits.as_ref().map(|it| it.max_open_files.soft_limit);
        let max_virtual = limits.map(|it| it.max_address_space.soft_limit);
        let netstat = std::fs::read_to_string("/proc/self/net/netstat").ok();
        Some(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            open_fds: process.fd_count().ok()?,
            max_fds: max_fds.and_then(|limit| match limit {
                LimitValue::Value(limit) => Some(limit),
                LimitValue::Unlimited => None,
            }),
            resident_bytes: stat.rss_bytes().get(),
            virtual_bytes: stat.vsize,
            max_virtual_bytes: max_virtual.map(|limit| match limit {
                LimitValue::Value(limit) => limit,
                LimitValue::Unlimited => u64::MAX,
            }),
            network_bytes: netstat.as_deref().and_then(octets),
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
        if let Some(limit) = self.max_virtual_bytes {
            let help = "Maximum amount of virtual memory available in bytes.";
            out.gauge("process_virtual_memory_max_bytes", help, limit as f64)?;
        }
        if let Some([received, sent]) = self.network_bytes {
            let help = "Number of bytes received by the process over the network.";
            out.counter("process_network_receive_bytes", help, received)?;
            let help = "Number of bytes sent by the process over the network.";
            out.counter("process_network_transmit_bytes", help, sent)?;
        }
        out.gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            self.start_time,
        )
    }
}

/// `InOctets` and `OutOctets` of a `netstat` of proc(5): a line of names, then
/// one of values.
fn octets(netstat: &str) -> Option<[u64; 2]> {
    let mut lines = netstat
        .lines()
        .filter_map(|line| line.strip_prefix("IpExt: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let value = |wanted| {
        let mut pairs = names.split(' ').zip(values.split(' '));
        pairs.find(|(name, _)| *name == wanted)?.1.parse().ok()
    };
    Some([value("InOctets")?, value("OutOctets")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_those_of_ip() {
        let netstat = "\
TcpExt: InOctets X
TcpExt: 1 2
IpExt: InNoRoutes InOctets OutOctets InMcastOctets
IpExt: 7 5276637853 5070414051 9
";
        assert_eq!(octets(netstat), Some([5_276_637_853, 5_070_414_051]));
        for wrong in [
            "",
            "IpExt: InOctets OutOctets\n",
            "IpExt: InOctets\nIpExt: 1\n",
        ] {
            assert_eq!(octets(wrong), None, "{wrong}");
        }
    }
}
