//! What is measured in a process of its own, whose memory nobody has used before.

use std::io::Write as _;
use std::process::{Command, Stdio};

use clap::ValueEnum;

use crate::Plan;
use crate::farm::Places;
use crate::report::Report;
use crate::{cpu, fleet, hang, idle};

/// What that is.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Alone {
    /// The engine, in the simulated fleet.
    Engine,
    /// The driver, with targets that are not due.
    Driver,
    /// The driver, with servers that never answer.
    Hang,
}

/// Measures in this process, beside the servers that standard input tells, and prints the
/// report as JSON.
pub(crate) fn measure(what: Alone, plan: &Plan) -> Result<(), String> {
    probity_driver::raise_descriptor_limit();
    cpu::pin(cpu::Core::First);
    let mut report = Report::new();
    match what {
        Alone::Engine => fleet::measure(plan, &mut report)?,
        Alone::Driver => idle::in_the_driver(plan, &mut report)?,
        Alone::Hang => hang::measure(plan, &places()?, &mut report)?,
    }
    println!("{}", report.json());
    Ok(())
}

fn places() -> Result<Places, String> {
    serde_json::from_reader(std::io::stdin())
        .map_err(|error| format!("expected the places of the servers: {error}"))
}

/// Has another process measure it.
pub(crate) fn run(
    what: Alone,
    plan: &Plan,
    places: &Places,
    report: &mut Report,
) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["--seconds", &plan.round.as_secs_f64().to_string()]);
    command.args(["--rounds", &plan.rounds.to_string()]);
    command.args(plan.quick.then_some("--quick"));
    let name = what.to_possible_value();
    command
        .arg("alone")
        .args(name.iter().map(|it| it.get_name()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let places = serde_json::to_vec(places).map_err(|error| error.to_string())?;
    let measured = command.spawn().and_then(|mut child| {
        // A few KiB, which fit into the pipe; who has no use for them does not read them.
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(&places);
        }
        child.wait_with_output()
    });
    let output = measured.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => report.take(&output.stdout),
        false => Err(format!("the process for it ended with {}", output.status)),
    }
}
