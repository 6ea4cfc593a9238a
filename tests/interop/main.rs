//! The program among its neighbours: a real nginx as the fleet, real
//! Prometheus servers that scrape it and alert, promtool that judges its
//! names, the real blackbox_exporter that it stands in for.
//!
//! A neighbour that is not installed is said to be missing, and its tests
//! count as ignored, never as passed. `PROBITY_REQUIRE_PEERS="nginx prometheus
//! promtool"` makes a missing one a failure; `blackbox_exporter-0.28` is the release that
//! `.ci/sid` unpacks.

mod dashboards;
mod http2;
mod neighbours;
mod nginx;
mod prometheus;
mod promtool;
mod side_by_side;

use std::process::ExitCode;

fn main() -> ExitCode {
    probity_tests::support::main(|| {
        let mut trials = nginx::trials();
        trials.extend(http2::trials());
        trials.extend(prometheus::trials());
        trials.extend(promtool::trials());
        trials.extend(dashboards::trials());
        trials.extend(side_by_side::trials());
        trials
    })
}
