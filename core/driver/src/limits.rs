//! Every bound of the driver, and how many descriptors there are to spend.

use std::time::Duration;

use probity_engine::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Worker threads: beyond any machine, and far below what a mistake would ask for.
pub const WORKERS: usize = 1_024;

/// Events taken from the kernel at once.
pub const EVENTS: usize = 128;

/// Turns in a row, each with a full batch of events, in which no timer is
/// looked at: a full batch leaves others waiting in the kernel, among them
/// answers that came in time.
pub const UNTIMED_TURNS: usize = 8;

/// Bytes read by one system call; one such buffer for each worker.
pub const READ_BUFFER: usize = 64 * 1024;

/// Reads from one connection before the others have their turn.
pub const READS_PER_VISIT: usize = 2;

/// Sockets that have more to read, and are looked at again in one turn.
pub const REVISITS_PER_TURN: usize = 32;

/// Changes of the fleet (or other commands) that a worker takes between two
/// looks at its sockets.
pub const COMMANDS_PER_TURN: usize = 256;

/// Commands that wait for a worker. One command holds at most
/// [`COMMANDS_PER_TURN`] changes.
pub const INBOX: usize = 1_024;

/// Threads that do what would keep workers from their sockets for too long.
pub const CREW: usize = 2;

/// How long the end of a driver waits for what they are doing.
pub const LAST_ERRAND: Duration = Duration::from_secs(1);

/// What waits for one of them at most; a run with more is `Unknown(overload)`.
pub const ERRANDS_WAITING: usize = 1_024;

/// Events of our own (a connect that fails at once) that are told in one turn.
pub const DEFERRED_PER_TURN: usize = 256;

/// Targets looked at for a copy of the fleet in one turn.
pub const ROWS_PER_TURN: usize = 256;

/// Groups whose histograms are copied in one turn: up to 250 KiB each.
pub const GROUPS_PER_TURN: usize = 4;

/// Copies ([`Handle::fleet`](crate::Handle::fleet) and
/// [`Handle::stats`](crate::Handle::stats)) under way at once, until their
/// callbacks have returned.
pub const COPIES: usize = 256;

/// Notices that are kept until somebody takes them.
pub const NOTICES: usize = 65_536;

/// Buffers for bytes that the kernel did not take, kept for reuse, and the
/// largest capacity that is worth keeping.
pub const POOLED_BUFFERS: usize = 64;
/// See [`POOLED_BUFFERS`]; bytes.
pub const POOLED_BUFFER_BYTES: usize = 64 * 1024;

/// Bytes of the body of a request that are written, or encrypted, at once, when
/// the kernel has taken what came before. So much of it a
/// connection holds; the rest waits in the module, which all its runs share.
pub const PIECE: usize = probity_tls::PIECE;

/// Bytes that all connections together write, or encrypt, in one turn, bodies of
/// requests included as far as there is room: less than a millisecond's worth.
/// Bodies take turns, a [`PIECE`] each; the last of them may exceed this, and one
/// goes on in every turn.
pub const SENT_PER_TURN: usize = 256 * 1024;

/// Most runs in flight that are derived from a descriptor limit. Some
/// containers have a limit of 2^30; what is in flight also costs memory, about
/// 4 KiB each, and more where bodies are held to be matched.
const MOST_IN_FLIGHT: u64 = 65_536;

/// Most look-ups in flight: a burst of queries that servers can be expected to
/// take, and twice as many datagrams.
const MOST_LOOKUPS: u64 = 4_096;

/// Raises the soft limit of open descriptors to the hard one and returns the
/// limit now in force; `u64::MAX` is none.
///
/// If the system does not let us, the limit stays what it is.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        // Refused: nothing changes, and what is read below says so.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Bounds of all shards together, for `descriptors` of them less the host's
/// reserve. `in_flight` is what the user wants, or 0.
pub(crate) fn budget(descriptors: u64, reserve: u64, in_flight: usize) -> Limits {
    let free = descriptors.saturating_sub(reserve).max(descriptors / 2);
    let spendable = free.min(MOST_IN_FLIGHT);
    let once = (spendable / 32).clamp(16, 1_024);
    let derived = spendable.saturating_sub(once).max(16);
    // A look-up has the descriptor of a run that waits for it, and has none itself:
    // names whose servers are silent leave room for the others.
    let lookups = spendable.clamp(8, MOST_LOOKUPS);
    let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Limits {
        in_flight: match in_flight {
            0 => narrow(derived),
            // Each needs a descriptor.
            wanted => narrow((wanted as u64).min(free.saturating_sub(once).max(1))),
        },
        once_in_flight: narrow(once),
        lookups: narrow(lookups),
        ..Limits::default()
    }
}

/// One worker's share of `limits`: at least 1 of everything, a rate of 0 (no
/// limit) stays 0.
pub(crate) fn share(limits: Limits, workers: usize) -> Limits {
    let workers = u32::try_from(workers).unwrap_or(u32::MAX).max(1);
    let part = |value: u32| value.div_ceil(workers).max(1);
    Limits {
        in_flight: part(limits.in_flight),
        once_in_flight: part(limits.once_in_flight),
        lookups: part(limits.lookups),
        cached_names: part(limits.cached_names),
        starts_per_destination: limits.starts_per_destination.div_ceil(workers),
        burst_per_destination: part(limits.burst_per_destination),
        ..limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    /// A run that waits for a look-up has no connection meanwhile.
    fn descriptors_of(limits: Limits) -> u64 {
        u64::from(limits.in_flight) + u64::from(limits.once_in_flight)
    }

    #[test]
    fn a_budget_fits_into_the_descriptors() {
        for descriptors in [256, 1_024, 20_000, 65_536, 1 << 30, u64::MAX] {
            let limits = budget(descriptors, Config::RESERVE, 0);
            assert!(
                descriptors_of(limits) <= descriptors,
                "{descriptors}: {limits:?}"
            );
            assert!(limits.in_flight >= 16);
        }
        assert!(budget(20_000, Config::RESERVE, 0).in_flight > 18_500);
        let spent = descriptors_of(budget(20_000, 2_000, 0));
        assert!((17_900..=18_000).contains(&spent), "{spent}");
        assert_eq!(budget(20_000, Config::RESERVE, 77).in_flight, 77);
        assert!(descriptors_of(budget(20_000, Config::RESERVE, usize::MAX)) <= 20_000);
        // Whoever waits for a silent server keeps few from asking another.
        assert_eq!(budget(20_000, Config::RESERVE, 0).lookups, 4_096);
        assert!(budget(1_024, Config::RESERVE, 0).lookups > 500);
        // What is asked for one by one has places of its own.
        let once = |in_flight| budget(33_000, 1_000, in_flight).once_in_flight;
        assert_eq!([0, 1, usize::MAX].map(once), [1_000; 3]);
        assert_eq!(budget(256, 0, 0).once_in_flight, 16);
        assert_eq!(budget(1 << 20, 0, 0).once_in_flight, 1_024);
    }

    #[test]
    fn shares_are_never_nothing() {
        let limits = Limits {
            in_flight: 3,
            starts_per_destination: 0,
            ..Limits::default()
        };
        let share = share(limits, 64);
        assert_eq!(share.in_flight, 1);
        assert_eq!(share.starts_per_destination, 0);
    }

    #[test]
    fn the_soft_limit_reaches_the_hard_one() {
        let limit = raise_descriptor_limit();
        assert_eq!(
            limit,
            getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
        );
    }
}
