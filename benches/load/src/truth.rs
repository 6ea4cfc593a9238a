//! Servers that sleep for known times, at rising load: what we say of them.
//!
//! Each target asks its server to sleep, always for as long: for one of the fixed
//! times, or for one that was drawn from an exponential distribution. A server keeps
//! how long it really slept, from the request to the answer. What we say that the
//! target took is compared with that, run for run: a server that is late itself is no
//! error of ours, and what lies on the way and in our own loop is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use probity_driver::{Change, Handle, Row, Stats};
use probity_engine::{Outcome, Spec, TargetId};

use crate::Plan;
use crate::cpu;
use crate::engine::{driver, lag, named, results, rows, stats, upsert};
use crate::farm::{Farm, Slept};
use crate::report::{Bar, Report};

/// Checks per second, up to more than a core can make.
const RATES: [u32; 7] = [1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 40_000];
/// The one that is judged.
const JUDGED: u32 = 10_000;

/// Each target is due once in this time, and is as patient.
const INTERVAL: Duration = Duration::from_secs(1);

/// Microseconds; and the mean of those that are drawn.
const FIXED: [u64; 5] = [0, 1_000, 5_000, 20_000, 100_000];
const MEAN: f64 = 20_000.0;
const KINDS: [&str; 6] = ["0 ms", "1 ms", "5 ms", "20 ms", "100 ms", "exponential"];

pub(crate) fn measure(plan: &Plan, farm: &mut Farm, report: &mut Report) -> Result<(), String> {
    let rates: &[u32] = if plan.quick { &[200] } else { &RATES };
    for rate in rates {
        let handle = driver(fleet(farm, *rate)?)?;
        // Nobody sleeps for the last fleet any more.
        farm.slept(true)?;
        handle.begin().map_err(|error| error.to_string())?;
        std::thread::sleep(INTERVAL);
        let before = stats(&handle)?;
        let mut errors = Errors::default();
        let begun = Instant::now();
        for _ in 0..plan.rounds {
            std::thread::sleep(INTERVAL);
            cpu::behind(|| errors.add(farm, &handle))?;
        }
        let after = stats(&handle)?;
        let spent = begun.elapsed().as_secs_f64();
        handle.shutdown(Duration::ZERO);
        tell(*rate, errors, [before, after], spent, report);
    }
    Ok(())
}

/// As many targets as are due in a second.
fn fleet(farm: &Farm, rate: u32) -> Result<Vec<Change>, String> {
    let places = &farm.places.sleepers;
    let mut draw = Exponential(0x5eed);
    let names = (0..rate).map(|id| {
        let drawn = draw.next();
        let delay = FIXED.get(id as usize % KINDS.len()).copied();
        let (place, delay) = (places[id as usize % places.len()], delay.unwrap_or(drawn));
        format!("http://{place}/{id}/{delay}")
    });
    let specs: Vec<Arc<Spec>> = named(r#"{"prober":"http"}"#, names, INTERVAL, INTERVAL)?;
    let changes = (0..).zip(&specs).map(|(id, spec)| upsert(id, spec));
    Ok(changes.collect())
}

/// Numbers from an exponential distribution, the same in every run.
struct Exponential(u64);

impl Exponential {
    /// Microseconds.
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // More than 0, and at most 1.
        let uniform = ((bits >> 11) + 1) as f64 / (1u64 << 53) as f64;
        (-uniform.ln() * MEAN) as u64
    }
}

/// What we said less what was.
#[derive(Debug, Default)]
struct Errors {
    /// In microseconds, by kind.
    by_kind: [Vec<i64>; KINDS.len()],
    /// How many runs each target had when it was last compared.
    compared: HashMap<TargetId, u64>,
    /// Runs that were not: they ended between the two answers, or were not made.
    missed: u32,
}

impl Errors {
    /// Adds the last run of each target of which both sides know the same, if it was not
    /// added before.
    fn add(&mut self, farm: &mut Farm, handle: &Handle) -> Result<(), String> {
        let rows = rows(handle)?;
        let slept = farm.slept(false)?;
        for row in &rows {
            let id = row.id.0 as usize;
            let runs = row.results().iter().sum();
            match slept.get(id).and_then(|slept| error(row, *slept)) {
                None => self.missed += 1,
                Some(error) if self.compared.insert(row.id, runs) != Some(runs) => {
                    self.by_kind[id % KINDS.len()].push(error);
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn of_all(&self) -> Vec<i64> {
        self.by_kind.concat()
    }
}

/// Of the last run. `None` if the server has answered a later one meanwhile, or
/// there was one of which we heard nothing.
fn error(row: &Row, slept: Slept) -> Option<i64> {
    let last = row.last()?;
    let same = row.results()[Outcome::Success.index()] == slept.answers;
    let told = last.total.as_micros() as i64;
    (same && last.outcome == Outcome::Success).then_some(told - slept.last as i64)
}

/// The part of the errors that is asked for is not larger than this.
fn quantile(mut errors: Vec<i64>, part: f64) -> f64 {
    errors.iter_mut().for_each(|error| *error = error.abs());
    errors.sort_unstable();
    let at = (errors.len() as f64 * part) as usize;
    let last = errors.len().saturating_sub(1);
    errors
        .get(at.min(last))
        .map_or(f64::NAN, |error| *error as f64)
}

fn tell(rate: u32, errors: Errors, [before, after]: [Stats; 2], spent: f64, report: &mut Report) {
    let bar = |most| match rate {
        JUDGED => Bar::AtMost(most),
        _ => Bar::None,
    };
    let name = |what: &str| format!("truth, {rate}/s: {what}");
    let (runs, earlier) = (results(&after), results(&before));
    let all: u64 = runs.iter().sum::<u64>() - earlier.iter().sum::<u64>();
    let made = all - (runs[3] - earlier[3]);
    report.add(name("checks made"), made as f64 / spent, "/s", Bar::None);
    let compared = errors.of_all();
    report.add(name("runs compared"), compared.len() as f64, "", Bar::None);
    let missed = f64::from(errors.missed);
    report.add(name("runs not compared"), missed, "", Bar::None);
    let median = quantile(compared.clone(), 0.5);
    report.add(name("latency error, median"), median, "us", bar(100.0));
    let p99 = quantile(compared, 0.99);
    report.add(name("latency error, p99"), p99, "us", bar(1_000.0));
    if rate == JUDGED {
        for (kind, errors) in KINDS.iter().zip(errors.by_kind) {
            for (which, part) in [("median", 0.5), ("p99", 0.99)] {
                let name = name(&format!("latency error of {kind}, {which}"));
                report.add(name, quantile(errors.clone(), part), "us", Bar::None);
            }
        }
    }
    let lag = lag(&after, 0.99);
    report.add(name("start lag, p99"), lag, "ms", bar(2.0));
    let unknown = (runs[3] - earlier[3]) as f64;
    report.add(name("runs that could not be made"), unknown, "", Bar::None);
    report.add(
        name("healthy targets called down"),
        runs[2] as f64,
        "",
        Bar::AtMost(0.0),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_has_the_mean() {
        let mut draw = Exponential(0x5eed);
        let drawn: Vec<u64> = (0..10_000).map(|_| draw.next()).collect();
        let mean = drawn.iter().sum::<u64>() as f64 / drawn.len() as f64;
        assert!((MEAN * 0.97..MEAN * 1.03).contains(&mean), "{mean}");
        let longer = drawn.iter().filter(|it| **it > MEAN as u64).count();
        // One in e.
        assert!((3_500..3_860).contains(&longer), "{longer}");
    }

    #[test]
    fn errors_are_compared_by_their_size() {
        assert_eq!(quantile(vec![-7, 1, 2, 3], 0.99), 7.0);
        assert_eq!(quantile(vec![3, -1, 2, 0], 0.5), 2.0);
        assert!(quantile(Vec::new(), 0.5).is_nan());
    }
}
