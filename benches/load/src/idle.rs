//! Targets that are registered, and hardly ever due.

use std::time::{Duration, Instant};

use probity_driver::Change;

use crate::Plan;
use crate::cpu::{self, Since};
use crate::engine::{driver, specs, stats};
use crate::report::{Bar, Report};

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<(), String> {
    let targets: u32 = if plan.quick { 1_000 } else { 100_000 };
    let interval = Duration::from_secs(60);
    // Nobody is there, and nobody is asked: the fleet is not begun.
    let places: Vec<_> = (0..targets)
        .map(|id| {
            let [_, a, b, c] = id.to_be_bytes();
            std::net::SocketAddrV4::new([127, a, b, c.max(1)].into(), 9)
        })
        .collect();
    let before = cpu::resident();
    let changes = specs(
        r#"{"prober":"tcp"}"#,
        &places,
        targets,
        interval,
        interval / 2,
    )?;
    let handle = driver(changes)?;
    stats(&handle)?;
    let each = cpu::resident().saturating_sub(before) as f64 / f64::from(targets);
    report.add(
        "idle: resident bytes of a target in the driver",
        each,
        "B",
        Bar::AtMost(1_024.0),
    );
    let one_percent: Vec<Change> = specs(
        r#"{"prober":"tcp"}"#,
        &places[..targets as usize / 100],
        targets / 100,
        interval,
        interval / 3,
    )?;
    let begun = Instant::now();
    handle
        .apply(one_percent)
        .map_err(|error| error.to_string())?;
    stats(&handle)?;
    let spent = begun.elapsed().as_secs_f64() * 1e3;
    report.add("idle: a change of 1 %", spent, "ms", Bar::None);
    let since = Since::now();
    std::thread::sleep(plan.round);
    let used = since.used();
    report.add(
        "idle: CPU before anything is due",
        used.cpu / used.wall * 100.0,
        "%",
        Bar::None,
    );
    handle.shutdown(Duration::ZERO);
    Ok(())
}
