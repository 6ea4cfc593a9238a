//! Servers that accept and never answer: every deadline fires, and when.

use std::time::Duration;

use crate::Plan;
use crate::cpu;
use crate::engine::{driver, specs, stats};
use crate::farm::Farm;
use crate::report::{Bar, Report};

const TIMEOUT: Duration = Duration::from_secs(4);

pub(crate) fn measure(plan: &Plan, farm: &Farm, report: &mut Report) -> Result<(), String> {
    let targets: u32 = if plan.quick { 200 } else { 18_000 };
    let interval = TIMEOUT + Duration::from_secs(1);
    let changes = specs(
        r#"{"prober":"http"}"#,
        &farm.places.silent,
        targets,
        interval,
        TIMEOUT,
    )?;
    let handle = driver(changes)?;
    stats(&handle)?;
    let before = cpu::resident();
    handle.begin().map_err(|error| error.to_string())?;
    // All have begun after one interval; the first have ended by then.
    let mut most = 0;
    let mut resident = before;
    let end = std::time::Instant::now() + 3 * interval;
    while std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(200));
        let now = stats(&handle)?;
        let open: u32 = now
            .workers
            .iter()
            .map(|worker| worker.connections_open)
            .sum();
        most = most.max(open);
        resident = resident.max(cpu::resident());
    }
    let stats = stats(&handle)?;
    handle.shutdown(Duration::ZERO);
    let Some((_, group)) = stats.groups.first() else {
        return Err("nothing has ended".into());
    };
    let total = &group.total.hdr;
    let expected = TIMEOUT.as_micros() as u64;
    let late = total.value_at_quantile(0.99).abs_diff(expected) as f64 / 1e3;
    let early = total.min() as f64 / 1e3 - expected as f64 / 1e3;
    report.add(
        "hang: runs in flight at once",
        f64::from(most),
        "",
        Bar::None,
    );
    report.add(
        "hang: runs ended by their deadline",
        group.runs[2] as f64,
        "",
        Bar::None,
    );
    report.add(
        "hang: runs that we could not make",
        group.runs[3] as f64,
        "",
        Bar::AtMost(0.0),
    );
    report.add("hang: deadline error, p99", late, "ms", Bar::AtMost(5.0));
    report.add("hang: earliest deadline", early, "ms", Bar::AtLeast(-0.1));
    let each = resident.saturating_sub(before) as f64 / f64::from(most.max(1));
    report.add(
        "hang: user-space bytes of a run in flight",
        each,
        "B",
        Bar::AtMost(4_096.0),
    );
    Ok(())
}
