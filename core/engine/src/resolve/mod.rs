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
//! - A look-up is there for the runs that wait for it, and ends with the last of
//!   them. So there are never more than such runs; and as none of those has a
//!   connection, look-ups need no descriptors beyond theirs.
//! - What is remembered is for the runs of the schedule. One that its host waits
//!   for (`/probe`) has the name asked for, as blackbox_exporter does: how long
//!   that takes is part of what it is to find out. It may join a look-up under way.
//! - As long as a look-up has not begun, because there are too many, the time is
//!   ours and not that of the runs that wait.
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

pub(crate) use cache::Answer;
use cache::Cache;
pub use config::{MAX_SEARCH, MAX_SERVERS, ResolverConfig};
use config::{Stub, ends_with_label, relative};
pub(crate) use lookup::{Ask, Lookup};
pub(crate) use verdict::LookupResult;

use crate::check::cx::{Names, Resolution};
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
    /// Names that were neither known nor taken from the cache, and had to be
    /// waited for.
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

/// A name that is looked up.
#[derive(Debug)]
struct Wait {
    stage: Stage,
    /// The runs that wait, by slot, and since when.
    runs: BTreeMap<u32, (RunId, Instant)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There are too many look-ups for this one to begin.
    Queued,
    /// This run asks.
    Asking(RunId),
}

/// What becomes of a look-up that a run no longer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It had not begun: the run has waited for that since then.
    Unbegun(Instant),
    /// It goes on for others.
    Shared,
    /// Nobody else waits for it.
    Alone(RunId),
}

/// Answers for names, and who waits for them.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// `None` if the host resolves names.
    stub: Option<Arc<Stub>>,
    cache: Cache,
    /// Names that are looked up.
    waiting: [Map<Arc<str>, Wait>; Ask::COUNT],
    /// What each run waits for, by slot.
    wanted: BTreeMap<u32, (Ask, Arc<str>)>,
    /// Look-ups that have not begun. One that nobody waits for any more is dropped
    /// when its turn comes.
    queue: VecDeque<Lookup>,
    /// More than this in the queue are not all waited for any more.
    queue_limit: usize,
    /// Those in the queue that somebody waits for.
    queued: u32,
    in_flight: u32,
    in_flight_limit: u32,
    answers: VecDeque<(RunId, Answer)>,
    localhost: Arc<[IpAddr]>,
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
            wanted: BTreeMap::new(),
            queue: VecDeque::new(),
            queue_limit: limits.slots() as usize,
            queued: 0,
            in_flight: 0,
            in_flight_limit: limits.lookups.max(1),
            answers: VecDeque::new(),
            localhost: LOCALHOST.into(),
            begun: 0,
            scratch: String::new(),
            stats: ResolverStats::default(),
        }
    }

    /// Takes another configuration in place of one of its kind. Look-ups that are there
    /// go on as they have begun.
    pub(crate) fn set(&mut self, config: ResolverConfig) {
        let (Some(stub), Some(ours)) = (config.into_stub(), &self.stub) else {
            return;
        };
        if stub != **ours {
            self.stub = Some(Arc::new(stub));
            self.cache.clear();
        }
    }

    /// Whether the host resolves what [`is_literal`] says is a name.
    pub(crate) const fn is_delegated(&self) -> bool {
        self.stub.is_none()
    }

    /// Finds the addresses of `host`, or has `waiter` told later. Those that will
    /// not do for `families` may be among them.
    pub(crate) fn resolve(
        &mut self,
        host: &str,
        families: Families,
        names: Names,
        waiter: RunId,
        now: Instant,
    ) -> Resolution {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Resolution::Literal(address);
        }
        let Some(stub) = self.stub.clone() else {
            debug_assert!(false, "the host resolves names");
            return Resolution::Known(Err(failure(Reason::Internal)));
        };
        let mut name = core::mem::take(&mut self.scratch);
        name.clear();
        name.push_str(host);
        name.make_ascii_lowercase();
        let wanted = (families, names);
        let resolution = self.resolve_name(&stub, &name, wanted, waiter, now);
        self.scratch = name;
        resolution
    }

    /// The same for a name in lower case.
    fn resolve_name(
        &mut self,
        stub: &Arc<Stub>,
        name: &str,
        (families, names): (Families, Names),
        waiter: RunId,
        now: Instant,
    ) -> Resolution {
        if let Some(addresses) = stub.hosts.get(relative(name)) {
            return Resolution::Known(Ok(Arc::clone(addresses)));
        }
        if ends_with_label(relative(name), "localhost") {
            return Resolution::Known(Ok(Arc::clone(&self.localhost)));
        }
        let ask = Ask::of(families);
        if names == Names::Remembered
            && let Some(answer) = self.cache.get(ask, name, now)
        {
            self.stats.cache_hits += 1;
            return Resolution::Known(answer.clone());
        }
        if let Some(host) = self.join(ask, name, waiter, now) {
            self.stats.cache_misses += 1;
            self.stats.joined += 1;
            self.wanted.insert(waiter.slot(), (ask, host));
            return Resolution::Pending;
        }
        let Some(lookup) = Lookup::new(stub, name, ask, self.begun) else {
            return Resolution::Known(Err(failure(Reason::DnsNotFound)));
        };
        self.stats.cache_misses += 1;
        self.begun = self.begun.wrapping_add(1);
        let wait = Wait {
            stage: Stage::Queued,
            runs: BTreeMap::from([(waiter.slot(), (waiter, now))]),
        };
        self.waiting[ask as usize].insert(Arc::clone(lookup.host()), wait);
        let host = Arc::clone(lookup.host());
        self.wanted.insert(waiter.slot(), (ask, host));
        self.queue.push_back(lookup);
        self.queued += 1;
        self.tidy();
        Resolution::Pending
    }

    /// Has `waiter` wait for a look-up that there is already, and gives its name.
    fn join(&mut self, ask: Ask, name: &str, waiter: RunId, now: Instant) -> Option<Arc<str>> {
        let waiting = &mut self.waiting[ask as usize];
        let host = Arc::clone(waiting.get_key_value(name)?.0);
        let wait = waiting.get_mut(name)?;
        if wait.stage == Stage::Queued && wait.runs.is_empty() {
            self.queued += 1;
        }
        wait.runs.insert(waiter.slot(), (waiter, now));
        Some(host)
    }

    /// Drops from the queue what nobody waits for if it is longer than all that
    /// can be waited for.
    fn tidy(&mut self) {
        if self.queue.len() <= self.queue_limit {
            return;
        }
        let waiting = &mut self.waiting;
        self.queue.retain(|lookup| {
            let waiting = &mut waiting[lookup.ask() as usize];
            let wanted = waiting
                .get(lookup.host())
                .is_some_and(|it| !it.runs.is_empty());
            if !wanted {
                waiting.remove(lookup.host());
            }
            wanted
        });
    }

    /// The next look-up to begin, if there may be one more.
    pub(crate) fn next_lookup(&mut self) -> Option<Lookup> {
        if self.in_flight >= self.in_flight_limit {
            return None;
        }
        loop {
            let lookup = self.queue.pop_front()?;
            let waiting = &mut self.waiting[lookup.ask() as usize];
            let wait = waiting.get(lookup.host());
            if wait.is_some_and(|wait| !wait.runs.is_empty()) {
                self.in_flight += 1;
                self.queued -= 1;
                return Some(lookup);
            }
            waiting.remove(lookup.host());
        }
    }

    /// Notes that `run` asks for `name`. Gives the runs that wait, and since when.
    pub(crate) fn begin(
        &mut self,
        (ask, name): (Ask, &str),
        run: RunId,
    ) -> impl Iterator<Item = (RunId, Instant)> + '_ {
        let wait = self.waiting[ask as usize].get_mut(name);
        wait.into_iter().flat_map(move |wait| {
            wait.stage = Stage::Asking(run);
            wait.runs.values().copied()
        })
    }

    /// Whether a run waits for a look-up that has not begun.
    pub(crate) fn is_queued(&self, run: RunId) -> bool {
        let wanted = self.wanted.get(&run.slot());
        wanted.is_some_and(|(ask, name)| {
            let wait = self.waiting[*ask as usize].get(name);
            wait.is_some_and(|wait| wait.stage == Stage::Queued)
        })
    }

    /// A run waits no longer, if it did.
    pub(crate) fn leave(&mut self, run: RunId) -> Option<Left> {
        let (ask, name) = self.wanted.remove(&run.slot())?;
        let wait = self.waiting[ask as usize].get_mut(&name)?;
        let (_, since) = wait.runs.remove(&run.slot())?;
        Some(match wait.stage {
            Stage::Queued => {
                self.queued -= u32::from(wait.runs.is_empty());
                Left::Unbegun(since)
            }
            Stage::Asking(lookup) if wait.runs.is_empty() => Left::Alone(lookup),
            Stage::Asking(_) => Left::Shared,
        })
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
        let Some(wait) = self.waiting[lookup.ask() as usize].remove(lookup.host()) else {
            return;
        };
        for (slot, (run, _)) in wait.runs {
            self.wanted.remove(&slot);
            self.answers.push_back((run, answer.clone()));
        }
    }

    /// Forgets the look-ups that have not begun.
    pub(crate) fn shut_down(&mut self) {
        for lookup in core::mem::take(&mut self.queue) {
            self.answer(&lookup, &Err(failure(Reason::Shutdown)));
        }
        self.queued = 0;
    }

    /// A run to be told, and what. The run may be over.
    pub(crate) fn next_answer(&mut self) -> Option<(RunId, Answer)> {
        self.answers.pop_front()
    }

    pub(crate) fn stats(&self) -> ResolverStats {
        ResolverStats {
            cached_names: self.cache.len() as u64,
            lookups_in_flight: self.in_flight.into(),
            lookups_queued: self.queued.into(),
            ..self.stats
        }
    }
}

/// An error that no server is responsible for.
const fn failure(reason: Reason) -> ResolveError {
    ResolveError {
        reason,
        server: None,
        trouble: None,
    }
}
