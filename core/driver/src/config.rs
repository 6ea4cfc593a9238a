//! What a driver is started with, and what it made of it.

use std::{fmt, io};

use crate::names::Names;

use crate::limits;

/// How to run the engine on this machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads, each with its own engine shard and `mio::Poll`; 0 is
    /// one for each core that is available to the process. At most
    /// [`limits::WORKERS`].
    pub workers: usize,
    /// Scheduled runs in flight at once over all workers; 0 derives it from
    /// the descriptor limit (soft raised to hard) less [`Config::reserve`],
    /// which is also the most that it can be.
    pub in_flight: usize,
    /// Descriptors that are left to the host: its files, its own connections.
    /// At most half of all are.
    pub reserve: u64,
    /// How names are resolved. A configuration that delegates to its host is of no use
    /// here: such look-ups end as `Unknown(internal)`.
    pub names: Names,
    /// Connections per second towards one destination address, over all
    /// workers; 0 is no limit. Each has an equal share, rounded up: with
    /// fewer than one a worker it is one a second for each of them.
    pub starts_per_destination: u32,
    /// Connections that may go out to one destination at once before the rate
    /// applies, likewise.
    pub burst_per_destination: u32,
    /// Seed of all randomness, to replay a run; `None` asks the system.
    pub seed: Option<[u8; 32]>,
}

impl Config {
    /// The reserve of a host that does little else.
    pub const RESERVE: u64 = 256;
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 0,
            in_flight: 0,
            reserve: Self::RESERVE,
            names: Names::default(),
            starts_per_destination: 0,
            burst_per_destination: probity_engine::Limits::default().burst_per_destination,
            seed: None,
        }
    }
}

/// What a running driver can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Worker threads.
    pub workers: usize,
    /// The limit of open file descriptors now in force.
    pub descriptors: u64,
    /// Scheduled runs in flight at once, over all workers.
    pub in_flight: usize,
}

/// Why a driver could not be started.
#[derive(Debug)]
pub enum StartError {
    /// So many workers were wanted, which is more than [`limits::WORKERS`].
    Workers(usize),
    /// No event queue or waker (descriptors, memory).
    Poll(io::Error),
    /// No thread.
    Thread(io::Error),
    /// The system has no randomness.
    Random(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, error) = match self {
            Self::Workers(found) => {
                let most = limits::WORKERS;
                return write!(f, "workers: expected at most {most}, found {found}");
            }
            Self::Poll(error) => ("create an event queue", error),
            Self::Thread(error) => ("start a thread", error),
            Self::Random(error) => ("get random bytes from the system", error),
        };
        write!(f, "cannot {what}: {error}")
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Workers(_) => None,
            Self::Poll(error) | Self::Thread(error) | Self::Random(error) => Some(error),
        }
    }
}
