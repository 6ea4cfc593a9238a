//! The engine stays within its bounds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use probity_engine::{Engine, Instant, Output, RunId};

use super::{Checker, Seen, TICK, Terms};

/// Counts runs in flight, and looks at the lengths of what can grow.
#[derive(Debug)]
pub struct Capacity {
    terms: Terms,
    /// Runs that have opened a connection and not reported.
    flying: BTreeSet<RunId>,
    /// Look-ups that have a connection.
    asking: BTreeMap<RunId, u32>,
    /// Connections to each destination within the last second.
    opened: BTreeMap<IpAddr, VecDeque<Instant>>,
    swept: Instant,
    /// The highest slot seen.
    highest: u32,
    /// Reports since the engine last had nothing to say, and most ever.
    unread: u32,
    most_unread: u32,
}

/// How often the engine's own gauges are read.
const SWEEP: Duration = Duration::from_secs(1);

impl Capacity {
    pub(super) const fn new(terms: Terms) -> Self {
        Self {
            terms,
            flying: BTreeSet::new(),
            asking: BTreeMap::new(),
            opened: BTreeMap::new(),
            swept: Instant::ZERO,
            highest: 0,
            unread: 0,
            most_unread: 0,
        }
    }

    fn rate(&mut self, to: IpAddr, now: Instant) -> Result<(), String> {
        let limits = &self.terms.limits;
        if limits.starts_per_destination == 0 {
            return Ok(());
        }
        let opened = self.opened.entry(to).or_default();
        opened.push_back(now);
        while opened
            .front()
            .is_some_and(|at| *at + Duration::from_secs(1) <= now)
        {
            opened.pop_front();
        }
        // A late timer lets two go out closer together than they should.
        let late = (TICK + self.terms.longest_lag).as_secs_f64();
        let late = f64::from(limits.starts_per_destination) * late;
        let allowed = limits.starts_per_destination + limits.burst_per_destination;
        let allowed = allowed as usize + late as usize + 1;
        match opened.len() {
            count if count > allowed => Err(format!("{count} connections to {to} within a second")),
            _ => Ok(()),
        }
    }
}

impl Checker for Capacity {
    fn name(&self) -> &'static str {
        "capacity"
    }

    fn see(&mut self, now: Instant, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::Output(run, output) = seen else {
            return Ok(());
        };
        let limits = &self.terms.limits;
        self.highest = self.highest.max(run.slot());
        match output {
            Output::Open(_, endpoint) if endpoint.to.port() == 53 => {
                *self.asking.entry(*run).or_default() += 1;
            }
            Output::Open(_, endpoint) => {
                self.flying.insert(*run);
                let (count, cap) = (self.flying.len(), limits.in_flight + limits.once_in_flight);
                if count > cap as usize {
                    return Err(format!("{count} runs have connections, {cap} are allowed"));
                }
                return self.rate(endpoint.to.ip(), now);
            }
            Output::Report(_) => {
                self.unread += 1;
                self.flying.remove(run);
            }
            _ => {}
        }
        Ok(())
    }

    fn settled(&mut self, now: Instant, engine: &Engine) -> Result<(), String> {
        let limits = &self.terms.limits;
        let (flying, cap) = (engine.in_flight(), limits.in_flight + limits.once_in_flight);
        if flying > cap {
            return Err(format!("{flying} runs are in flight, {cap} are allowed"));
        }
        self.most_unread = self.most_unread.max(std::mem::take(&mut self.unread));
        let bound = limits.slots().saturating_add(self.most_unread);
        if self.highest >= bound {
            let highest = self.highest;
            return Err(format!("slot {highest} is in use, slots end at {bound}"));
        }
        if now < self.swept + SWEEP {
            return Ok(());
        }
        self.swept = now;
        let stats = engine.stats(now);
        let names = [
            ("queued", stats.queued.into(), stats.targets),
            ("targets", stats.targets, limits.targets.into()),
            (
                "cached_names",
                stats.resolver.cached_names,
                limits.cached_names.into(),
            ),
            (
                "lookups",
                stats.resolver.lookups_in_flight,
                limits.lookups.into(),
            ),
            (
                "lookups_queued",
                stats.resolver.lookups_queued,
                limits.slots().into(),
            ),
        ];
        match names.into_iter().find(|(_, found, most)| found > most) {
            Some((name, found, most)) => Err(format!("{name} is {found}, {most} are allowed")),
            None => Ok(()),
        }
    }
}
