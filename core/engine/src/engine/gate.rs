//! The cap on connections per second towards one destination.

use core::net::IpAddr;
use core::time::Duration;

use crate::limits::Limits;
use crate::map::{Map, seeded};
use crate::time::Instant;

/// A generic cell rate algorithm for each destination: a connection may go
/// out when the destination's theoretical arrival time is at most a burst
/// ahead of now.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Time between connections at the full rate; `None` is no limit.
    interval: Option<Duration>,
    burst: Duration,
    /// Theoretical arrival time of the next connection.
    next: Map<IpAddr, Instant>,
    /// Size of `next` at which those that are idle are dropped.
    sweep_at: usize,
}

const SMALLEST_SWEEP: usize = 1_024;

impl Gate {
    pub(crate) fn new(limits: &Limits, seed: u64) -> Self {
        let interval = limits.destination_interval();
        let burst = limits.burst_per_destination.saturating_sub(1);
        Self {
            interval,
            burst: interval.unwrap_or_default().saturating_mul(burst),
            next: seeded(seed),
            sweep_at: SMALLEST_SWEEP,
        }
    }

    /// Books a connection and says when it may go out: `now`, or later.
    pub(crate) fn admit(&mut self, to: IpAddr, now: Instant) -> Instant {
        let Some(interval) = self.interval else {
            return now;
        };
        if self.next.len() >= self.sweep_at {
            self.next.retain(|_, next| *next > now);
            self.sweep_at = (self.next.len() * 2).max(SMALLEST_SWEEP);
        }
        let next = self.next.entry(to).or_insert(now);
        let arrival = (*next).max(now);
        *next = arrival + interval;
        let earliest = arrival
            .as_nanos()
            .saturating_sub(crate::time::nanos(self.burst));
        Instant::from_nanos(earliest).max(now)
    }

    /// Gives a booking back: the run ended before its turn.
    pub(crate) fn cancel(&mut self, to: IpAddr) {
        if let (Some(interval), Some(next)) = (self.interval, self.next.get_mut(&to)) {
            let back = next.as_nanos().saturating_sub(crate::time::nanos(interval));
            *next = Instant::from_nanos(back);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_out_at_once_and_the_rest_at_the_rate() {
        let limits = Limits {
            starts_per_destination: 10,
            burst_per_destination: 3,
            ..Limits::default()
        };
        let mut gate = Gate::new(&limits, 1);
        let to = "192.0.2.1".parse().unwrap();
        let now = Instant::from_nanos(5_000_000_000);
        let waits: alloc::vec::Vec<_> = (0..6)
            .map(|_| (gate.admit(to, now) - now).as_millis())
            .collect();
        assert_eq!(waits, [0, 0, 0, 100, 200, 300]);
        let other = "192.0.2.2".parse().unwrap();
        assert_eq!(
            gate.admit(other, now),
            now,
            "each destination has its own rate"
        );
        let later = now + Duration::from_secs(60);
        assert_eq!(gate.admit(to, later), later, "idleness restores the burst");
    }

    #[test]
    fn idle_destinations_are_forgotten() {
        let limits = Limits {
            starts_per_destination: 1_000,
            ..Limits::default()
        };
        let mut gate = Gate::new(&limits, 1);
        for i in 0..100_000_u32 {
            let now = Instant::from_nanos(u64::from(i) * 1_000_000_000);
            gate.admit(core::net::Ipv4Addr::from_bits(i).into(), now);
        }
        assert!(gate.next.len() <= SMALLEST_SWEEP);
    }
}
