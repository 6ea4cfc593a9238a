//! What is measured in a process of its own, whose memory nobody has used before.

use std::process::{Command, Stdio};

use clap::ValueEnum;

use crate::Plan;
use crate::report::Report;
use crate::{cpu, fleet, idle};

/// What that is.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Alone {
    /// The engine, in the simulated fleet.
    Engine,
    /// The driver, with targets that are not due.
    Driver,
}

/// Measures in this process, and prints the report as JSON.
pub(crate) fn measure(what: Alone, plan: &Plan) -> Result<(), String> {
    probity_driver::raise_descriptor_limit();
    cpu::pin(cpu::Core::First);
    let mut report = Report::new();
    match what {
        Alone::Engine => fleet::measure(plan, &mut report)?,
        Alone::Driver => idle::in_the_driver(plan, &mut report)?,
    }
    println!("{}", report.json());
    Ok(())
}

/// Has another process measure it.
pub(crate) fn run(what: Alone, plan: &Plan, report: &mut Report) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["--seconds", &plan.round.as_secs_f64().to_string()]);
    command.args(["--rounds", &plan.rounds.to_string()]);
    command.args(plan.quick.then_some("--quick"));
    let name = what.to_possible_value();
    command
        .arg("alone")
        .args(name.iter().map(|it| it.get_name()));
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => report.take(&output.stdout),
        false => Err(format!("the process for it ended with {}", output.status)),
    }
}
