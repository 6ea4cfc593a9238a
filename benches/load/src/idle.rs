//! Targets that are registered, and hardly ever due.

use std::time::{Duration, Instant};

use probity_driver::Change;

use crate::Plan;
use crate::alone::{self, Alone};
use crate::client;
use crate::cpu::{self, Since};
use crate::engine::{addresses, driver, specs, stats};
use crate::exporter::{Fleet, Program};
use crate::farm::Farm;
use crate::report::{Bar, Report};

const INTERVAL: Duration = Duration::from_secs(60);

pub(crate) fn measure(plan: &Plan, farm: &Farm, report: &mut Report) -> Result<(), String> {
    alone::run(Alone::Driver, plan, &farm.places, report)?;
    match Program::probity() {
        Ok(program) => all_in(plan, farm, &program, report),
        Err(sentence) => {
            report.note(sentence);
            Ok(())
        }
    }
}

/// The whole program, with a file of targets and all that it keeps of them, once
/// each has had its result.
fn all_in(plan: &Plan, farm: &Farm, program: &Program, report: &mut Report) -> Result<(), String> {
    let (targets, interval) = match plan.quick {
        true => (1_000, Duration::from_secs(1)),
        false => (100_000, INTERVAL),
    };
    let (places, fleet) = (&farm.places.http, Fleet::new()?);
    let config = fleet.config(interval, interval.min(Duration::from_secs(10)));
    fleet.list(places, 0..0)?;
    let empty = program.start(&config, &["--engine.workers=1"])?.resident();
    fleet.list(places, 0..targets)?;
    let begun = Instant::now();
    let exporter = program.start(&config, &["--engine.workers=1"])?;
    let server = exporter.address;
    client::wait_for(server, "job=fleet", targets as u64, interval)?;
    let loaded = begun.elapsed().as_secs_f64() * 1e3;
    report.add("idle: start with the file", loaded, "ms", Bar::None);
    let each = |now: u64| now.saturating_sub(empty) as f64 / targets as f64;
    let before = each(exporter.resident());
    report.add(
        "idle: resident bytes of a target at the start",
        before,
        "B",
        Bar::None,
    );
    client::wait_for(server, "health=up", targets as u64, 2 * interval)?;
    let spent = exporter.spent();
    let begun = Instant::now();
    std::thread::sleep(plan.round * plan.rounds);
    let busy = exporter.spent().since(spent).total() / begun.elapsed().as_secs_f64();
    report.add(
        "idle: CPU with all of them probed",
        busy * 100.0,
        "%",
        Bar::None,
    );
    let after = each(exporter.resident());
    let name = "idle: resident bytes of a target, all in";
    report.add(name, after, "B", Bar::AtMost(1_024.0));
    // One in a hundred goes, and as many come.
    let new = targets / 100;
    fleet.list(places, new..targets + new)?;
    let begun = Instant::now();
    client::request(server, "POST", "/-/reload", "", &mut Vec::new())?;
    let last = format!(
        "target=http://{}/{}",
        places[(targets + new - 1) % places.len()],
        targets + new - 1
    );
    client::wait_for(server, &last, 1, Duration::from_secs(10))?;
    let spent = begun.elapsed().as_secs_f64() * 1e3;
    report.add("idle: a reload that changes 1 %", spent, "ms", Bar::None);
    Ok(())
}

/// What the driver has of them, before anything is due. In a process of its own, as the
/// engine alone is.
pub(crate) fn in_the_driver(plan: &Plan, report: &mut Report) -> Result<(), String> {
    let targets: u32 = if plan.quick { 1_000 } else { 100_000 };
    let interval = INTERVAL;
    // Nobody is there, and nobody is asked: the fleet is not begun.
    let places = addresses(targets);
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
