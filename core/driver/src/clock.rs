//! The one place that reads the clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use probity_engine::Instant;

/// How far the wall clock may move against ours before times are mapped anew.
const STEP: Duration = Duration::from_millis(50);

/// Time since the driver was started, by `CLOCK_MONOTONIC`: one reading costs
/// about 25 ns and no system call.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: std::time::Instant,
    /// Unix time of the origin, in nanoseconds.
    unix_origin: AtomicU64,
}

impl Clock {
    /// A clock whose origin is now.
    pub(crate) fn new() -> Self {
        let clock = Self {
            origin: std::time::Instant::now(),
            unix_origin: AtomicU64::new(0),
        };
        clock.unix_origin.store(clock.measure(), Ordering::Relaxed);
        clock
    }

    /// Time since the origin; 584 years fit.
    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Unix time of `at`, in seconds.
    ///
    /// The answer for one instant stays the same until the wall clock has
    /// been moved by more than 50 ms against the monotonic one.
    pub(crate) fn unix_time(&self, at: Instant) -> f64 {
        let mut origin = self.unix_origin.load(Ordering::Relaxed);
        let measured = self.measure();
        if Duration::from_nanos(measured.abs_diff(origin)) > STEP {
            origin = measured;
            self.unix_origin.store(measured, Ordering::Relaxed);
        }
        // Seconds and their fraction apart: Unix time in nanoseconds needs
        // more bits than an f64 has.
        let nanos = u128::from(origin) + u128::from(at.as_nanos());
        let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        seconds as f64 + rest as f64 / 1e9
    }

    /// Unix time of the origin as the wall clock now has it.
    fn measure(&self) -> u64 {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(unix.as_nanos())
            .unwrap_or(u64::MAX)
            .saturating_sub(self.now().as_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_time_is_that_of_the_system_and_stays_put() {
        let clock = Clock::new();
        let at = clock.now();
        let unix = clock.unix_time(at);
        let system = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        assert!((system.as_secs_f64() - unix).abs() < 10.0);
        assert_eq!(clock.unix_time(at), unix);
        let later = at + Duration::from_secs(100);
        assert!((clock.unix_time(later) - unix - 100.0).abs() < 1e-3);
    }

    #[test]
    fn a_wall_clock_that_is_set_is_followed() {
        let clock = Clock::new();
        clock.unix_origin.store(0, Ordering::Relaxed);
        assert!(clock.unix_time(clock.now()) > 1e9);
    }
}
