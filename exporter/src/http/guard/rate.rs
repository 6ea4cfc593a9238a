//! How many requests are answered: a token bucket, as `golang.org/x/time/rate`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One request for each `interval`, and up to `burst` at once.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    interval: Duration,
    burst: u32,
    bucket: Arc<Mutex<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Option<Instant>,
}

impl Rate {
    pub(super) fn new(interval: Duration, burst: u32) -> Self {
        let tokens = f64::from(burst);
        Self {
            interval,
            burst,
            bucket: Arc::new(Mutex::new(Bucket { tokens, at: None })),
        }
    }

    /// Whether the bounds are the same, however much is left.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.interval, self.burst) == (other.interval, other.burst)
    }

    /// Takes a token, if there is one.
    pub(super) fn allow(&self, now: Instant) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let since = bucket
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let gained = since.as_secs_f64() / self.interval.as_secs_f64();
        bucket.at = bucket.at.max(Some(now));
        bucket.tokens = (bucket.tokens + gained).min(f64::from(self.burst));
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_for_each_interval() {
        let second = Duration::from_secs(1);
        let rate = Rate::new(second, 2);
        let now = Instant::now();
        let allowed = |after: f64| rate.allow(now + second.mul_f64(after));
        assert!(allowed(0.0) && allowed(0.0) && !allowed(0.0));
        assert!(!allowed(0.5));
        assert!(allowed(1.0) && !allowed(1.0));
        // What is not used beyond the burst is lost.
        assert!(allowed(100.0) && allowed(100.0) && !allowed(100.0));
        // A clock that another thread read earlier gives nothing back.
        assert!(!allowed(99.0) && !allowed(100.0));
    }
}
