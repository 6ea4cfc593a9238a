//! The engine alone, with a world in which every connection succeeds at once. In a process
//! of its own, because what it takes in memory would else come from what others have left.

use std::time::{Duration, Instant as Clock};

use probity_driver::Change;
use probity_engine::{Config, Engine, Input, Instant, Limits, Output};

use crate::Plan;
use crate::cpu;
use crate::engine::{addresses, specs};
use crate::report::{Bar, Report};

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<(), String> {
    let targets: u32 = if plan.quick { 10_000 } else { 1_000_000 };
    let places = addresses(targets);
    let interval = Duration::from_secs(10);
    let before = cpu::resident();
    let changes = specs(r#"{"prober":"tcp"}"#, &places, targets, interval, interval)?;
    let mut now = Instant::ZERO;
    let config = Config {
        limits: Limits {
            in_flight: 65_536,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut engine = Engine::new(config, now);
    for change in changes {
        if let Change::Upsert(id, spec) = change {
            engine
                .upsert(id, spec, now)
                .map_err(|_| "no room for the fleet")?;
        }
    }
    let each = cpu::resident().saturating_sub(before) as f64 / f64::from(targets);
    engine.begin(now);
    let (mut checks, mut inputs) = (0u64, 0u64);
    let mut opened = Vec::new();
    let begun = cpu::thread_time();
    let end = Clock::now() + plan.round * plan.rounds;
    while Clock::now() < end {
        for (run, conn) in opened.drain(..) {
            engine.handle_input(run, Input::Opened(conn), now);
            inputs += 1;
        }
        if engine.poll_timeout().is_some_and(|at| at <= now) {
            engine.handle_timeout(now);
        }
        while let Some((run, output)) = engine.poll_output() {
            match output {
                Output::Open(conn, _) => opened.push((run, conn)),
                Output::Report(_) => checks += 1,
                _ => {}
            }
        }
        if opened.is_empty()
            && let Some(next) = engine.poll_timeout()
        {
            now = now.max(next);
        }
    }
    let spent = (cpu::thread_time() - begun).as_secs_f64();
    report.add("fleet: targets", f64::from(targets), "", Bar::None);
    report.add(
        "fleet: checks per second of CPU",
        checks as f64 / spent,
        "/s",
        Bar::AtLeast(500_000.0),
    );
    report.add(
        "fleet: inputs per second of CPU",
        inputs as f64 / spent,
        "/s",
        Bar::None,
    );
    report.add(
        "fleet: resident bytes of a target",
        each,
        "B",
        Bar::AtMost(512.0),
    );
    // In a round of a second not all of them have had their turn.
    if checks >= u64::from(targets) {
        let each = cpu::resident().saturating_sub(before) as f64 / f64::from(targets);
        let name = "fleet: resident bytes of a target with a result";
        report.add(name, each, "B", Bar::AtMost(512.0));
    } else {
        report.note(format!(
            "fleet: {checks} checks in the time: not each target has a result"
        ));
    }
    Ok(())
}
