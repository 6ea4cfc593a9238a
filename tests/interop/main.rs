//! The program among its neighbours: a real nginx as the fleet, real
//! Prometheus servers that scrape it, promtool that judges its names.
//!
//! A neighbour that is not installed is said to be missing, and its tests
//! count as ignored, never as passed. `PROBITY_REQUIRE_PEERS="nginx prometheus
//! promtool"` makes a missing one a failure.

mod http2;
mod neighbours;
mod nginx;
mod prometheus;
mod promtool;

use std::process::ExitCode;

fn main() -> ExitCode {
    probity_tests::support::main(|| {
        let mut trials = nginx::trials();
        trials.extend(http2::trials());
        trials.extend(prometheus::trials());
        trials.extend(promtool::trials());
        trials
    })
}
