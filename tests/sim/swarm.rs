//! Worlds from seeds: safety under faults, then liveness without.
//!
//! `PROBITY_SIM_SEEDS` says how many (1,000), `PROBITY_SIM_SEED` runs one.

use std::env;

use probity_simulator::swarm::{self, Kind};

/// Worlds unless told otherwise.
const SEEDS: u64 = 1_000;

/// More failures than this say nothing new.
const MOST_FAILURES: usize = 5;

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is {value:?}, not a number")),
    )
}

#[test]
fn every_seed_keeps_every_rule() {
    let seeds = match number("PROBITY_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PROBITY_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let mut failures = Vec::new();
    let mut reports = [0_u64; 4];
    let mut kinds = [[0_u64; 4]; Kind::ALL.len()];
    let count = seeds.end - seeds.start;
    for seed in seeds {
        match swarm::run(seed) {
            Ok(summary) => {
                for (sum, more) in reports.iter_mut().zip(summary.reports) {
                    *sum += more;
                }
                let sums = kinds.iter_mut().flatten();
                for (sum, more) in sums.zip(summary.kinds.into_iter().flatten()) {
                    *sum += more;
                }
            }
            Err(complaints) => failures.push(format!(
                "seed {seed}; replay it with\n    PROBITY_SIM_SEED={seed} cargo test -p \
                 probity-tests --test sim every_seed_keeps_every_rule\n{complaints}"
            )),
        }
        if failures.len() >= MOST_FAILURES {
            break;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    println!("{count} worlds; reports by outcome: {reports:?}");
    // A swarm in which nothing happens proves nothing.
    if count >= 100 {
        assert!(
            reports[0] > 0 && reports[2] > 0 && reports[3] > 0,
            "{reports:?}"
        );
        for kind in Kind::ALL {
            let [success, _, failure, unknown] = kinds[kind.index()];
            println!("{kind:?}: {:?}", kinds[kind.index()]);
            assert!(success > 0 && failure > 0 && unknown > 0, "{kind:?}");
        }
    }
}

#[test]
fn a_seed_reproduces_everything() {
    for seed in [3, 1_000_003, u64::MAX] {
        assert_eq!(swarm::run(seed), swarm::run(seed), "seed {seed}");
    }
    assert_ne!(swarm::run(3), swarm::run(4));
}
