//! Name resolution as a machine: a stub resolver with the hosts file,
//! resolv.conf, a cache, and one query for many waiting runs.
//!
//! The `Resolver` answers what it knows at once. What it does not know
//! becomes a `Lookup`: a run of its own, driven by the engine like a check,
//! that asks servers over UDP and TCP.
//!
//! # Rules
//!
//! - An address is its own answer. Then comes the hosts file: a name that it
//!   has is not looked up, even if it lacks the wanted family (as in Go).
//!   `localhost` and what is below it are the loopback addresses, whatever a
//!   server would say (RFC 6761 section 6.3).
//! - Addresses keep the order in which they were received. There is no sorting
//!   by RFC 6724: it needs routes, which the engine does not know.
//! - An answer is remembered for the lowest TTL of its records, at most
//!   [`ResolverConfig::max_ttl`]; an answer with TTL 0 only reaches those who
//!   wait for it. That a name or its addresses do not exist is remembered as
//!   RFC 2308 says, for at least one second. Failures are not remembered.
//! - A family that was not answered does not spoil what the other one yielded.
//!
//! How servers are asked is described in `lookup`, which error wins in
//! `verdict`.

mod cache;
mod config;
mod hosts;
mod lookup;
#[cfg(test)]
mod tests;
mod verdict;
mod wire;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use cache::{Answer, Cache};
pub use config::{MAX_SEARCH, MAX_SERVERS, ResolverConfig};
use config::{Stub, ends_with_label, relative};
use lookup::Ask;
pub(crate) use lookup::Lookup;
pub(crate) use verdict::LookupResult;

use crate::check::cx::Resolution;
use crate::id::RunId;
use crate::io::{Families, ResolveError};
use crate::limits::Limits;
use crate::map::{Map, seeded};
use crate::outcome::Reason;
use crate::time::Instant;

/// The addresses of `localhost` where no hosts file says otherwise.
const LOCALHOST: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
];

/// Whether `host` is an address and needs no resolution.
pub(crate) fn is_literal(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

/// What a resolver did so far, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResolverStats {
    /// Names answered from the cache.
    pub cache_hits: u64,
    /// Names that were neither known nor in the cache, and had to be waited
    /// for.
    pub cache_misses: u64,
    /// Those of the misses that joined a look-up under way.
    pub joined: u64,
    /// Names in the cache, whatever they were asked for.
    pub cached_names: u64,
    /// Questions sent by the look-ups that are over.
    pub queries: u64,
    /// Connections that those opened because an answer was truncated.
    pub tcp_fallbacks: u64,
    /// Look-ups that are over.
    pub lookups: u64,
    /// Look-ups that are asking.
    pub lookups_in_flight: u64,
    /// Look-ups that wait for one of those to end.
    pub lookups_queued: u64,
}

/// The runs that wait for one look-up, by slot: a slot has one user at a
/// time, so runs that gave up waiting are overwritten by their successors.
type Waiters = BTreeMap<u32, (RunId, Families)>;

/// Answers for names, and who waits for them.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// `None` if the host resolves names.
    stub: Option<Arc<Stub>>,
    cache: Cache,
    /// Runs that wait, by what they wait for.
    waiting: [Map<Arc<str>, Waiters>; Ask::COUNT],
    queue: VecDeque<Lookup>,
    /// More than this in the queue are not all waited for any more.
    queue_limit: usize,
    in_flight: u32,
    in_flight_limit: u32,
    answers: VecDeque<(RunId, Result<IpAddr, ResolveError>)>,
    /// Look-ups begun, to rotate the servers.
    begun: usize,
    /// For the name in lower case.
    scratch: String,
    stats: ResolverStats,
}

impl Resolver {
    /// `seed` keeps peers, who can redirect to names of their choice, from
    /// preparing collisions.
    pub(crate) fn new(config: ResolverConfig, limits: &Limits, seed: u64) -> Self {
        Self {
            stub: config.into_stub().map(Arc::new),
            cache: Cache::new(limits.cached_names as usize, seed),
            waiting: core::array::from_fn(|_| seeded(seed)),
            queue: VecDeque::new(),
            queue_limit: limits.slots() as usize,
            in_flight: 0,
            in_flight_limit: limits.lookups.max(1),
            answers: VecDeque::new(),
            begun: 0,
            scratch: String::new(),
            stats: ResolverStats::default(),
        }
    }

    /// Whether the host resolves what [`is_literal`] says is a name.
    pub(crate) const fn is_delegated(&self) -> bool {
        self.stub.is_none()
    }

    /// Finds an address for `host`, or has `waiter` told later.
    pub(crate) fn resolve(
        &mut self,
        host: &str,
        families: Families,
        waiter: RunId,
        now: Instant,
    ) -> Resolution {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Resolution::Known(choose(families, &[address]));
        }
        let Some(stub) = self.stub.clone() else {
            debug_assert!(false, "the host resolves names");
            return Resolution::Known(Err(failure(Reason::Internal)));
        };
        let mut name = core::mem::take(&mut self.scratch);
        name.clear();
        name.push_str(host);
        name.make_ascii_lowercase();
        let resolution = self.resolve_name(&stub, &name, families, waiter, now);
        self.scratch = name;
        resolution
    }

    /// The same for a name in lower case.
    fn resolve_name(
        &mut self,
        stub: &Arc<Stub>,
        name: &str,
        families: Families,
        waiter: RunId,
        now: Instant,
    ) -> Resolution {
        if let Some(addresses) = stub.hosts.get(relative(name)) {
            return Resolution::Known(choose(families, addresses));
        }
        if ends_with_label(relative(name), "localhost") {
            return Resolution::Known(choose(families, &LOCALHOST));
        }
        let ask = Ask::of(families);
        if let Some(answer) = self.cache.get(ask, name, now) {
            self.stats.cache_hits += 1;
            return Resolution::Known(apply(families, answer));
        }
        if let Some(waiters) = self.waiting[ask as usize].get_mut(name) {
            self.stats.cache_misses += 1;
            self.stats.joined += 1;
            waiters.insert(waiter.slot(), (waiter, families));
            return Resolution::Pending;
        }
        let Some(lookup) = Lookup::new(stub, name, ask, self.begun) else {
            return Resolution::Known(Err(failure(Reason::DnsNotFound)));
        };
        self.stats.cache_misses += 1;
        self.begun = self.begun.wrapping_add(1);
        let waiters = Waiters::from([(waiter.slot(), (waiter, families))]);
        self.waiting[ask as usize].insert(Arc::clone(lookup.host()), waiters);
        self.queue.push_back(lookup);
        self.shed();
        Resolution::Pending
    }

    /// Keeps the queue from growing with runs that gave up: there are more
    /// look-ups than slots for runs, and the oldest has waited longest.
    fn shed(&mut self) {
        if self.queue.len() > self.queue_limit
            && let Some(oldest) = self.queue.pop_front()
        {
            self.answer(&oldest, &Err(failure(Reason::Overload)));
        }
    }

    /// The next look-up to start, if there may be one more.
    pub(crate) fn next_lookup(&mut self) -> Option<Lookup> {
        if self.in_flight >= self.in_flight_limit {
            return None;
        }
        let lookup = self.queue.pop_front()?;
        self.in_flight += 1;
        Some(lookup)
    }

    /// Takes back a look-up that is over, or that could not run.
    pub(crate) fn complete(&mut self, lookup: Lookup, result: LookupResult, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.stats.lookups += 1;
        self.stats.queries += u64::from(lookup.queries());
        self.stats.tcp_fallbacks += u64::from(lookup.tcp_fallbacks());
        self.answer(&lookup, &result.answer);
        if let Some(ttl) = result.ttl.filter(|ttl| *ttl > Duration::ZERO) {
            let name = Arc::clone(lookup.host());
            self.cache
                .insert(lookup.ask(), name, result.answer, now + ttl, now);
        }
    }

    fn answer(&mut self, lookup: &Lookup, answer: &Answer) {
        let waiters = self.waiting[lookup.ask() as usize].remove(lookup.host());
        for (run, families) in waiters.into_iter().flat_map(BTreeMap::into_values) {
            self.answers.push_back((run, apply(families, answer)));
        }
    }

    /// Forgets the look-ups that have not started: nobody waits any more.
    pub(crate) fn shut_down(&mut self) {
        for lookup in core::mem::take(&mut self.queue) {
            self.answer(&lookup, &Err(failure(Reason::Shutdown)));
        }
    }

    /// A run to be told, and what. The run may be over.
    pub(crate) fn next_answer(&mut self) -> Option<(RunId, Result<IpAddr, ResolveError>)> {
        self.answers.pop_front()
    }

    pub(crate) fn stats(&self) -> ResolverStats {
        ResolverStats {
            cached_names: self.cache.len() as u64,
            lookups_in_flight: self.in_flight.into(),
            lookups_queued: self.queue.len() as u64,
            ..self.stats
        }
    }
}

/// The address that one run takes from an answer.
fn apply(families: Families, answer: &Answer) -> Result<IpAddr, ResolveError> {
    match answer {
        Ok(addresses) => choose(families, addresses),
        Err(error) => Err(*error),
    }
}

fn choose(families: Families, addresses: &[IpAddr]) -> Result<IpAddr, ResolveError> {
    families
        .choose(addresses)
        .ok_or(failure(Reason::DnsNoAddress))
}

/// An error that no server is responsible for.
const fn failure(reason: Reason) -> ResolveError {
    ResolveError {
        reason,
        server: None,
    }
}
